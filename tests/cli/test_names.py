"""Names of files are shown as they are: no markup, no emoji, no control codes, one row each."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from placememory._io import write_csv
from placememory.cli._console import PlainConsole, print_json, print_table, progress, say, warn
from tests.conftest import run_command

NAMES = {
    "markup.png": "w[/red].png",
    "style.png": "[bold]w[/bold] [link=x].png",
    "emoji.png": ":office: milvus-lite:office.png",
    "escape.png": "a\x1b[31mred\x1b]0;title\x07.png",
    "lines.png": "a\nb\r\tc.png",
    "c1.png": "a\x9b31m\x85b.png",
    "turned.png": "a\u202egnp.exe",
    "bytes.png": os.fsdecode(b"w\xff\x80.png"),
}
SHOWN = {
    "markup.png": "w[/red].png",
    "style.png": "[bold]w[/bold] [link=x].png",
    "emoji.png": ":office: milvus-lite:office.png",
    "escape.png": r"a\x1b[31mred\x1b]0;title\x07.png",
    "lines.png": r"a\nb\r\tc.png",
    "c1.png": r"a\x9b31m\x85b.png",
    "turned.png": r"a\u202egnp.exe",
    "bytes.png": r"w\xff\x80.png",
}


@pytest.mark.parametrize("kind", NAMES)
def test_what_the_console_prints(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, shown = NAMES[kind], SHOWN[kind]
    print_table((name, "b"), [(name, 1.0)], title=name)
    print_json({"name": name})
    say(f"x {name}")
    warn(name)
    with progress(name) as advance:
        advance(1, 2, name)
    printed = capsys.readouterr()
    title, header, row, *rest = printed.out.splitlines()
    assert title.rstrip() == shown
    assert header.startswith(shown)
    assert row.startswith(shown)
    assert json.loads("\n".join(rest)) == {"name": name}
    one_line = shown if kind != "lines.png" else "a\nb\\r\\tc.png"
    assert printed.err == f"x {one_line}\nwarning: {one_line}\n"
    raw = (printed.out + printed.err).replace("\n", "")
    assert raw.isprintable()


def test_a_style_is_still_a_style() -> None:
    console = PlainConsole(force_terminal=True, color_system="standard", width=80)
    with console.capture() as capture:
        console.print("warning: ", style="yellow", end="")
        console.print("[red]x")
    assert "\x1b[33mwarning: \x1b[0m" in capture.get()
    assert "[red]x" in capture.get()


@pytest.mark.parametrize("kind", NAMES)
def test_a_row_of_csv_is_one_line(tmp_path: Path, kind: str) -> None:
    write_csv(tmp_path / "a.csv", ("name", "x"), [(NAMES[kind], 1), ("b", None)])
    text = (tmp_path / "a.csv").read_text(encoding="utf-8", errors="surrogateescape")
    lines = text.split("\n")
    assert len(lines) == 4
    name = NAMES[kind] if kind == "bytes.png" else SHOWN[kind]  # so that the file is found again
    assert list(csv.reader(lines[1:2])) == [[name, "1"]]


def test_commands_with_such_names(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for i, name in enumerate(NAMES.values()):
        (folder / name).parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((80, 80), 0).save(folder / name, format="PNG")
    (folder / NAMES["turned.png"]).rename(folder / "a\u202egnp.exe.png")
    shown = run_command("build", tmp_path / "a.memory", "--images", folder)
    assert f"{len(NAMES)} places added" in shown.err
    shown = run_command("query", tmp_path / "a.memory", *sorted(folder.rglob("*.png")), "-k", 1)
    for text in (*SHOWN.values(), ":office:"):
        assert text in shown.out
    run_command("localize", tmp_path / "a.memory", folder, "--out", tmp_path / "o", "--no-verify")
    for file in ("estimates.csv", "test_to_vertex_matches.csv"):
        with (tmp_path / "o" / file).open(
            errors="surrogateescape", encoding="utf-8", newline=""
        ) as opened:
            assert sum(1 for _ in opened) == len(NAMES) + 1
    shown = run_command("query", tmp_path / "a.memory", tmp_path / "no\x1b[31m[/red]", expect=2)
    assert r"no\x1b[31m[/red]: there is no such image" in shown.err
