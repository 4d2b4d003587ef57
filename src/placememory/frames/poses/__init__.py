"""Pose files: one reader per format, one file per reader.

A format is a module in this folder (or one named by an entry point in the group
``placememory.frames.poses``) with ``matches(path, head)``, which says by the name and the first
lines whether a file has its format, and ``read(path)``, which returns a :class:`PoseTable`. Where
it also has ``EXAMPLE``, a typical line, it is named to those whose file looks like it.
"""

import re
from difflib import SequenceMatcher
from pathlib import Path

from placememory._registry import Registry
from placememory.errors import PoseError
from placememory.frames.poses._explain import explain_times
from placememory.frames.poses._table import LEAST_SHARE, JoinReport, PoseRecord, PoseTable
from placememory.frames.tables import read_head, read_text

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
        ['colmap', 'coordinates', 'csv-table', 'euroc', 'g2o', 'hloc', 'kitti', 'maplab', 'nclt',
        'odm', 'tartanair', 'tum']
    """
    return _FORMATS.names()


def read_poses(path: Path | str, format: str | None = None) -> PoseTable:  # noqa: A002
    """Read a pose file.

    Args:
        path: The file; a COLMAP model folder is taken as its ``images.txt`` or ``images.bin``, a
            maplab mission folder as its ``vertices.csv``, one of EuRoC as its ``data.csv``.
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
    head = [line.strip() for line in read_head(path).splitlines() if line.strip()][:20]
    if not head and path.suffix != ".bin":
        read_text(path)  # says why there is none
    table: PoseTable = _FORMATS.load(format or _find_format(path, head)).read(path)
    if not table.records:
        raise PoseError(f"{path}: the file holds no poses")
    return table


_FILES = ("images.txt", "images.bin", "vertices.csv", "data.csv")
_MODELS = ("sparse/0", "sparse", "0")


def _file_in(path: Path) -> Path:
    """The file that a folder stands for."""
    if not path.is_dir():
        return path
    for folder in (path, *(path / name for name in _MODELS)):
        for name in _FILES:
            if (folder / name).is_file():
                return folder / name
    raise PoseError(f"{path}: it is a folder with none of {', '.join(_FILES)}; name the file")


def _find_format(path: Path, head: list[str]) -> str:
    nearest = []
    line = next((line for line in head if line[:1] not in "#%"), head[0] if head else "")
    for name, reader in _FORMATS.load_all():
        if reader.matches(path, head):
            return name
        example = getattr(reader, "EXAMPLE", "")
        nearest.append(
            (SequenceMatcher(None, _shape(line), _shape(example)).ratio(), name, example)
        )
    near = sorted(nearest, reverse=True)[:3]
    shown = "it is empty" if not line else f"its first line is {line[:100]!r}"
    raise PoseError(
        f"{path}: no known pose format fits; {shown}. The nearest are "
        f"{', '.join(f'{name} ({example})' for _, name, example in near)}; give the format, one of "
        f"{', '.join(formats())}, or write a table with the header name,x,y or stamp,x,y"
    )


def _shape(line: str) -> str:
    """A line with a 9 for each number and an a for each word."""
    plain = re.sub(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w.])", "9", line[:200])
    return re.sub(r"[^\W\d][\w./:]*", "a", plain)
