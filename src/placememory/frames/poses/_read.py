"""Find the format of a pose file and read it."""

from __future__ import annotations

from pathlib import Path

from placememory._registry import discover, load
from placememory.errors import PoseError, SettingError
from placememory.frames.poses._table import PoseTable

_PACKAGE = __package__ or "placememory.frames.poses"


def formats() -> list[str]:
    """Names of the pose formats that can be read.

    Example:
        >>> formats()
        ['colmap', 'coordinates', 'csv-table', 'euroc', 'kitti', 'maplab', 'tum']
    """
    return list(discover(_PACKAGE))


def read_poses(path: Path | str, format: str | None = None) -> PoseTable:  # noqa: A002
    """Read a pose file.

    Args:
        path: The file; a COLMAP model folder is taken as its ``images.txt``, a maplab mission
            folder as its ``vertices.csv``.
        format: One of :func:`formats`; found from the name and the first lines if left out.

    Returns:
        The poses, body in world, ready to be joined to frames.

    Raises:
        PoseError: The file is missing, of no known format, or malformed (the message names the
            line).
        SettingError: ``format`` is not known.
    """
    if format is not None and format not in formats():
        raise SettingError(f"unknown pose format {format!r}; known: {', '.join(formats())}")
    path = _file_in(Path(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PoseError(f"{path}: cannot read the pose file ({error})") from error
    table: PoseTable = load(_PACKAGE, format or _guess(path, text)).read(path)
    if not table.records:
        raise PoseError(f"{path}: the file holds no poses")
    return table


def _file_in(path: Path) -> Path:
    for name in ("images.txt", "vertices.csv", "data.csv"):
        if path.is_dir() and (path / name).is_file():
            return path / name
    return path


def _guess(path: Path, text: str) -> str:
    head = [line.strip() for line in text[:65536].splitlines() if line.strip()][:20]
    for name in formats():
        if load(_PACKAGE, name).matches(path, head):
            return name
    raise PoseError(
        f"{path}: no known pose format; say which one it is, out of {', '.join(formats())}"
    )
