"""What the result of a run depends on: weights, data, configuration, protocol, by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from placememory._types import Vectors
from placememory._version import __version__
from placememory.datasets import Traverse
from placememory.encoders import LocatedWeights, locate_weights
from placememory.encoders.weights import sha256_of
from placememory.errors import PlaceMemoryError
from placememory.evaluation.config import NO_ENCODER, DatasetConfig, EncoderConfig
from placememory.evaluation.plan import Run, read_traverse

PROTOCOL = 3
"""Version of what runs do and count; another one makes all finished runs stale."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the result of a run depends on.

    Attributes:
        key: SHA-256 (64 hex digits) of all of it; ``None`` where a file of weights or a traverse is
            not there, or cannot be read.
        weights: ``encoder``, ``file`` and ``sha256`` of each file of weights.
    """

    key: str | None
    weights: tuple[dict[str, Any], ...] = ()


class Contents:
    """Reads what runs depend on, each weight and traverse once.

    Example:
        >>> from placememory.evaluation import EncoderConfig
        >>> Contents().weights(EncoderConfig(encoder="salad", weights="random"))
        []
    """

    def __init__(self) -> None:
        self._traverses: dict[tuple[str, str], str] = {}

    def of(self, run: Run) -> Content:
        """What a run depends on, as it is now."""
        weights: tuple[dict[str, Any], ...] = ()
        try:
            weights = tuple(row for one in encoders_of(run) for row in self.weights(one))
            if any(row["sha256"] is None for row in weights):
                return Content(None, weights)
            facts = {
                "protocol": PROTOCOL,
                "run": run.to_dict(),
                "weights": weights,
                "traverses": [
                    self._traverse(run.dataset, split) for split in (run.map_name, run.pair.query)
                ],
                "files": [sha256_of(path) for path in files_beside(run.dataset)],
            }
        except (PlaceMemoryError, OSError):
            return Content(None, weights)
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return Content(key, weights)

    def weights(self, one: EncoderConfig) -> list[dict[str, Any]]:
        """Encoder, file and SHA-256 of the files an encoder is made of.

        The hash of a file that is not there is the stated one, or ``None``.
        """
        rows = []
        for found in files_of(one):
            known = None if found.published is None else found.published.sha256
            digest = sha256_of(found.path) if found.is_there else known
            rows.append({"encoder": one.name, "file": str(found.path), "sha256": digest})
        return rows

    def _traverse(self, dataset: DatasetConfig, split: str) -> str:
        key = dataset.model_dump_json(include={"root", "layout", "options"}), split
        if key not in self._traverses:
            self._traverses[key] = digest_traverse(read_traverse(dataset, split))
        return self._traverses[key]


def encoders_of(run: Run) -> list[EncoderConfig]:
    """The encoders of a run, each once."""
    both = [run.encoder, run.sequence]
    found = [one for one in both if one is not None and one.encoder != NO_ENCODER]
    return found[:1] if len(found) == 2 and found[0] == found[1] else found


def files_of(one: EncoderConfig) -> list[LocatedWeights]:
    """The files an encoder is made of, there or not: its weights, and its PCA."""
    weights = locate_weights(one.encoder, one.weights, **one.options)
    projection = None if one.projection is None else LocatedWeights(Path(one.projection))
    return [file for file in (weights, projection) if file is not None]


def missing_weights(runs: Iterable[Run]) -> list[str]:
    """What is missing, and where it is to be had, a line for each file."""
    lines: dict[Path, str] = {}
    for run in runs:
        for one in encoders_of(run):
            for file in files_of(one):
                if not file.is_there:
                    lines.setdefault(file.path, describe_missing(one, file))
    return list(lines.values())


def digest_rows(*parts: Vectors | None) -> str:
    """SHA-256 over shapes and values of descriptors, as little-endian float32.

    Example:
        >>> digest_rows(np.eye(2)) == digest_rows(np.eye(2, dtype=np.float32), None)
        True
    """
    digest = hashlib.sha256()
    for part in parts:
        if part is not None:
            digest.update(str(part.shape).encode())
            digest.update(np.ascontiguousarray(part, "<f4").tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def describe_code() -> dict[str, str]:
    """Version of the package, and SHA-256 over its Python files.

    Example:
        >>> sorted(describe_code()), len(describe_code()["sha256"])
        (['placememory', 'sha256'], 64)
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return {"placememory": __version__, "sha256": digest.hexdigest()}


def describe_missing(one: EncoderConfig, file: LocatedWeights) -> str:
    """A line on a file of weights that is not there."""
    where: str | None = one.published
    if file.published is not None:
        where = where or file.published.url or file.published.page
    ending = "; it will be downloaded" if file.is_fetched else ""
    return f"{file.path}: the weights of {one.name} are missing" + (
        f" ({where})" * bool(where) + ending
    )


def digest_traverse(traverse: Traverse) -> str:
    """SHA-256 over names, sizes, times of change and poses of all frames, and the truth."""
    digest = hashlib.sha256()
    for frame in traverse.frames:
        facts = None if frame.path is None else frame.path.stat()
        size = "" if facts is None else f"{facts.st_size}|{facts.st_mtime_ns}"
        digest.update(f"{frame!r}|{size}\n".encode(errors="surrogateescape"))
    for array in (traverse.positions, traverse.frame_numbers, traverse.tolerances):
        digest.update(b"" if array is None else array.tobytes())
    for rows in traverse.positives or ():
        digest.update(rows.tobytes() + b"|")
    return digest.hexdigest()


def files_beside(dataset: DatasetConfig) -> list[Path]:
    """Files beside the traverses that decide about a run."""
    listed = [] if dataset.positives is None else [dataset.positives_file]
    return listed + ([] if dataset.odometry is None else [dataset.odometry])
