"""Rooms are entered by public names, and drawn alike in CONTRIBUTING and in the contracts."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src/placememory"
SHARED = {"_io", "_registry", "_checks", "_types", "_version"}


def _imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, module below the package, and name of each import from it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("placememory"):
            module = (node.module or "").removeprefix("placememory").lstrip(".")
            for alias in node.names:
                yield node.lineno, module, alias.name


def test_no_room_imports_a_private_name_of_another() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        for line, module, name in _imports(path):
            parts = [part for part in (*module.split("."), name) if part]
            foreign = parts[0] != room and parts[0] not in SHARED
            if foreign and any(part.startswith("_") and part != "__version__" for part in parts):
                found.append(f"{path.relative_to(ROOT)}:{line} imports {'.'.join(parts)}")
    assert not found, "\n".join(found)


def test_the_picture_of_the_rooms_is_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [c["layers"] for c in contracts["contracts"] if c["type"] == "layers"]
    rooms = [layer.removeprefix("placememory.") for layer in reversed(layers)]
    there = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert there | {"errors", "likeness", "maps"} == set(rooms)
    drawn = re.search(r"```text\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    assert drawn is not None
    names = re.findall(r"^    (\w+?)(?:/|\.py)", drawn.group(1), re.M)
    assert names == rooms
