"""Pose files: one reader per format, one file per reader.

A format is a module in this folder (or one named by an entry point in the group
``placememory.frames.poses``) with ``matches(path, head)``, which says by the name and the first
lines whether a file has its format, and ``read(path)``, which returns a :class:`PoseTable`.
"""

from pathlib import Path

from placememory._registry import Registry
from placememory.errors import PoseError
from placememory.frames.poses._explain import explain_times
from placememory.frames.poses._table import LEAST_SHARE, JoinReport, PoseRecord, PoseTable

_FORMATS = Registry(__name__, "pose format")

__all__ = [
    "LEAST_SHARE",
    "JoinReport",
    "PoseRecord",
    "PoseTable",
    "explain_times",
    "formats",
    "read_poses",
]


def formats() -> list[str]:
    """Names of the pose formats that can be read.

    Example:
        >>> formats()
        ['colmap', 'coordinates', 'csv-table', 'euroc', 'kitti', 'maplab', 'tum']
    """
    return _FORMATS.names()


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
    if format is not None:
        _FORMATS.check_name(format)
    path = _file_in(Path(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PoseError(f"{path}: cannot read the pose file ({error})") from error
    table: PoseTable = _FORMATS.load(format or _find_format(path, text)).read(path)
    if not table.records:
        raise PoseError(f"{path}: the file holds no poses")
    return table


def _file_in(path: Path) -> Path:
    for name in ("images.txt", "vertices.csv", "data.csv"):
        if path.is_dir() and (path / name).is_file():
            return path / name
    return path


def _find_format(path: Path, text: str) -> str:
    head = [line.strip() for line in text[:65536].splitlines() if line.strip()][:20]
    for name, reader in _FORMATS.load_all():
        if reader.matches(path, head):
            return name
    raise PoseError(
        f"{path}: no known pose format fits; give the format, one of {', '.join(formats())}"
    )
