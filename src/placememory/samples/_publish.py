"""Folders of rendered files that appear when they are complete, and are reused as they are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from placememory.errors import InputError

_RECORD = "building.json"


def reusable(target: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a complete building with the wanted arguments, or ``None``.

    Raises:
        InputError: The folder holds something that is no sample building.
    """
    record = _read_record(target)
    if record is None:
        if target.is_file() or (target.exists() and any(target.iterdir())):
            raise InputError(f"{target} holds no sample building; choose another folder")
        return None
    same = all(record.get(key) == value for key, value in wanted.items())
    return record if same and _complete(target, record) else None


def publish(
    target: Path, wanted: dict[str, Any], write: Callable[[Path], dict[str, Any]]
) -> dict[str, Any]:
    """Let ``write`` fill a folder beside the target, then put it in the target's place.

    Args:
        target: The folder that appears.
        wanted: The arguments that the files follow from, kept in the record.
        write: Makes and fills the folder it is given; returns what else the record keeps, with
            ``files``, the names of all files relative to the folder.

    Returns:
        The record.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        record = wanted | write(part)
        (part / _RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def _read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a sample building; ``None`` where there is none or it cannot be read."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "recipe" in record else None


def _complete(folder: Path, record: dict[str, Any]) -> bool:
    """Whether every file that the record lists is there."""
    return all((folder / name).is_file() for name in record.get("files", [""]))


def _remove_leftovers(target: Path) -> None:
    """Remove what killed runs left beside the target."""
    for part in target.parent.glob(f".{target.name}.part-*"):
        process = part.name.rpartition("-")[2]
        alive = process.isdigit() and process != str(os.getpid()) and _alive(int(process))
        if not alive:
            shutil.rmtree(part, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
