"""The file of a localizer's belief: kept over a restart, and refused where it does not belong."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._io import write_bytes
from placememory._types import Vectors
from placememory.errors import InputError
from placememory.fusion import State

FORMAT = 1
_ABOUT, _CONTENT = "about", "content"


@dataclass(frozen=True, slots=True)
class StateHeader:
    """Facts beside a belief.

    Attributes:
        encoder: Hash of the memory's card.
        frame_id: Name of the map frame.
        revision: Of the memory.
        fusion: Name of the method.
        stamp: Of the last frame, seconds; ``None`` where unknown.
        count: Frames seen.
        format: Version of the file.
    """

    encoder: str
    frame_id: str
    revision: str
    fusion: str
    stamp: float | None
    count: int
    format: int = FORMAT


def fingerprint(descriptors: Vectors) -> NDArray[np.int64]:
    """(N,) int64, one number for the content of each descriptor: the same in every revision."""
    return np.array([zlib.crc32(row.tobytes()) for row in descriptors], dtype=np.int64)


def write_state(path: Path, header: StateHeader, state: State, content: NDArray[np.int64]) -> None:
    """Write a state in one piece, as NumPy's archive without pickle; the header is JSON in it.

    Raises:
        PlaceMemoryError: The folder cannot be written to, or the disk is full.
    """
    stream = io.BytesIO()
    about = np.frombuffer(json.dumps(asdict(header)).encode(), np.uint8)
    arrays: dict[str, Any] = {**state, _ABOUT: about, _CONTENT: content}
    np.savez(stream, **arrays)
    write_bytes(path, stream.getvalue())


def read_state(path: Path) -> tuple[StateHeader, State, NDArray[np.int64]]:
    """Read what :func:`write_state` wrote.

    Raises:
        InputError: There is no such file, or it is no whole state.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = StateHeader(**json.loads(arrays.pop(_ABOUT).tobytes()))
        content = arrays.pop(_CONTENT)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: this is no state of a localizer ({error})") from error
    if header.format != FORMAT:
        raise InputError(f"{path}: written in format {header.format}, this version reads {FORMAT}")
    return header, arrays, content
