"""The table of results is true: commands exist, figures are on their pages, peers have a source."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from placememory.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/results.md"
PAGES = sorted((ROOT / "docs/results").glob("*.md"))
FILE = re.compile(r"benchmarks/[\w./]+\.(?:py|yaml)|tests/\w+")


def _rows(text: str) -> list[list[str]]:
    """Cells of the first table of a page, without its head."""
    lines = text[text.index("\n|") :].strip().split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


ROWS = _rows(PAGE.read_text(encoding="utf-8"))


def test_the_page_begins_with_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.index("| what | placememory | command | peers |") < text.index("\n## ")
    assert len(ROWS) >= 10


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:40] for row in ROWS])
def test_each_row_has_a_command_and_a_source(row: list[str]) -> None:
    what, _, command, peers, _ = row
    assert re.fullmatch(r"`[^`]+`", command), what
    _check(command.strip("`"))
    assert "https://" in peers or re.match(r"none|in none|four bytes", peers), what


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:40] for row in ROWS])
def test_each_figure_of_ours_is_on_the_page_it_links_to(row: list[str]) -> None:
    what, ours, command, _, _ = row
    figures = re.findall(r"\*\*([^*]+)\*\*", ours)
    targets = re.findall(r"\]\((results/[^)]+)\)", ours)
    assert bool(figures) <= bool(targets), what
    for target in targets:
        page = (PAGE.parent / target).read_text(encoding="utf-8")
        for figure in figures:
            assert figure.removesuffix(" %") in page, (what, figure)
        if figures:
            script = FILE.search(command)
            assert script is not None, what
            assert script.group().rpartition("/")[2] in page, (what, "its command is not there")


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_each_page_is_listed_and_has_its_command(page: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    [line] = [
        line
        for line in text.splitlines()
        if line.startswith("| [") and f"](results/{page.name})" in line
    ]
    [command] = re.findall(r"`((?:python|placememory) [^`]+)`", line)
    _check(command)
    script = FILE.search(command)
    assert script is not None
    assert script.group() in page.read_text(encoding="utf-8")


def _check(command: str) -> None:
    """The program, its options and the files of the project that a command names exist."""
    words = shlex.split(command)
    for name in FILE.findall(command):
        assert (ROOT / name).exists(), command
    if words[0] != "placememory":
        assert words[0] in ("python", "pytest"), command
        return
    commands = typer.main.get_command(app).commands
    assert words[1] in commands, command
    chosen = commands[words[1]]
    inner = getattr(chosen, "commands", {})
    chosen = inner.get(words[2], inner.get("show", chosen))
    known = {name for p in chosen.params for name in (*p.opts, *p.secondary_opts)}
    for word in words[2:]:
        if word.startswith("--"):
            assert word.split("=")[0] in known, command
