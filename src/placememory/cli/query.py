"""The tutorial's comparison: ranks by exact search beside those of a Milvus index."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from placememory.cli import _options as options
from placememory.cli._common import (
    encoder_of,
    out,
    peak_megabytes,
    print_json,
    print_table,
    say,
    where_of,
)
from placememory.cli._index import use_index
from placememory.memory import Candidate, PlaceMemory, copy


def compare_with_milvus(
    memory: PlaceMemory,
    images: Sequence[Path],
    descriptors: Sequence[Any],
    k: int,
    *,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Print rank by rank: exact vertex and score, whether Milvus agrees, Milvus vertex and score.

    A memory in another store is copied into a temporary Milvus Lite with an IVF index, as in the
    tutorial. With ``as_json`` nothing is printed and both answers are returned.
    """
    queries = np.stack(descriptors)
    with _in_milvus(memory) as milvus:
        kind = milvus.manifest.index or "flat"
        exact = memory.search(queries, k)
        theirs = milvus.search(queries, k, using="store")
    if as_json:
        return [
            {
                "image": str(image),
                "index": kind,
                "exact": [candidate.to_dict() for candidate in ours],
                "milvus": [candidate.to_dict() for candidate in others],
            }
            for image, ours, others in zip(images, exact, theirs, strict=True)
        ]
    columns = ("rank", "exact vertex", "exact score", "same", "Milvus vertex", "Milvus score")
    agreed = total = 0
    for image, ours, others in zip(images, exact, theirs, strict=True):
        rows = []
        for i, candidate in enumerate(ours):
            other = others[i] if i < len(others) else None
            same = other is not None and other.place.id == candidate.place.id
            agreed, total = agreed + same, total + 1
            rows.append([candidate.rank, *_shown(candidate), "✓" if same else "✗", *_shown(other)])
        print_table(columns, rows, title=f"{image}: exact against Milvus ({kind})")
    say(f"{agreed} of {total} ranks are the same")
    return []


def _shown(candidate: Candidate | None) -> list[Any]:
    if candidate is None:
        return [None, None]
    vertex = candidate.place.vertex_id
    return [vertex if vertex is not None else candidate.place.name, candidate.similarity]


@contextmanager
def _in_milvus(memory: PlaceMemory) -> Iterator[PlaceMemory]:
    """The memory in a Milvus store: itself, or a temporary copy with an IVF index."""
    if memory.has_index:
        yield memory
        return
    with tempfile.TemporaryDirectory() as folder:
        say("copying into a temporary Milvus Lite …")
        with copy(memory.uri, f"milvus-lite:{folder}/compare") as copied:
            copied.make_index("ivf")
            yield copied


@dataclass(frozen=True, slots=True)
class _Answer:
    """Candidates of one image, with milliseconds spent."""

    image: Path
    candidates: list[Candidate]
    read_ms: float
    encode_ms: float
    search_ms: float


def run(
    memory: options.Memory,
    images: Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)],
    k: Annotated[int, typer.Option("-k", min=1, help="Candidates an image.")] = 5,
    compare: Annotated[
        bool, typer.Option("--compare", help="Put exact and Milvus ranks side by side.")
    ] = False,
    in_session: options.InSession = None,
    near: options.Near = None,
    within: options.Within = None,
    floor: options.Floor = None,
    index: options.IndexKind = None,
    exif: options.Exif = True,
    weights: options.Weights = None,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Print the most similar places of images: rank, place, vertex, pose, similarity, timing.

    Example: [b]placememory query office.memory photo.jpg -k 5[/b]
    """
    from placememory.frames import read_image

    where = where_of(in_session or [], near, within, floor)
    if index is not None:
        use_index(memory, index)
    started = time.perf_counter()
    with PlaceMemory.open(memory, readonly=True) as opened:
        encoder = encoder_of(opened, weights=weights, device=device, precision=precision)
        loaded = time.perf_counter()
        answers, descriptors = [], []
        for path in images:
            begin = time.perf_counter()
            image = read_image(path, exif=exif)
            read = time.perf_counter()
            descriptor = encoder.encode([image])
            encoded = time.perf_counter()
            [found] = opened.search(
                descriptor, k, where, using="exact" if index is None else "store"
            )
            done = time.perf_counter()
            answers.append(
                _Answer(
                    path, found, *(1e3 * t for t in (read - begin, encoded - read, done - encoded))
                )
            )
            descriptors.append(descriptor[0])
        timing = _timing(answers, loaded - started, time.perf_counter() - started)
        printed = {"answers": [_answer_dict(a) for a in answers], "timing": timing}
        if not as_json:
            _show(answers, timing, places=len(opened))
        if compare:
            printed["compare"] = compare_with_milvus(
                opened, images, descriptors, k, as_json=as_json
            )
        if as_json:
            print_json(printed)


def _timing(answers: list[_Answer], load: float, total: float) -> dict[str, Any]:
    count = max(1, len(answers))
    return {
        "images": len(answers),
        "load_ms": 1e3 * load,
        "read_ms_per_image": sum(a.read_ms for a in answers) / count,
        "encode_ms_per_image": sum(a.encode_ms for a in answers) / count,
        "search_ms_per_image": sum(a.search_ms for a in answers) / count,
        "total_ms": 1e3 * total,
        "peak_mb": peak_megabytes(),
    }


def _answer_dict(answer: _Answer) -> dict[str, Any]:
    return {
        "image": str(answer.image),
        "candidates": [candidate.to_dict() for candidate in answer.candidates],
        "encode_ms": answer.encode_ms,
        "search_ms": answer.search_ms,
    }


def _show(answers: list[_Answer], timing: dict[str, Any], places: int) -> None:
    columns = ("rank", "place", "session", "vertex", "x [m]", "y [m]", "yaw [deg]", "similarity")
    for answer in answers:
        print_table(columns, [_row(c) for c in answer.candidates], title=str(answer.image))
        if not answer.candidates:
            out.print("no place answers")
    peak = ", ".join(f"{value:.0f} MB {name}" for name, value in timing["peak_mb"].items())
    say(
        f"load {timing['load_ms']:.0f} ms (once); per image: read "
        f"{timing['read_ms_per_image']:.1f} ms, encode {timing['encode_ms_per_image']:.1f} ms, "
        f"search {timing['search_ms_per_image']:.2f} ms over {places} places; total "
        f"{timing['total_ms']:.0f} ms; peak {peak}"
    )


def _row(candidate: Candidate) -> list[Any]:
    place, pose = candidate.place, candidate.place.pose
    cells: list[Any] = [candidate.rank, place.name, place.session, place.vertex_id]
    if pose is None:
        return [*cells, None, None, None, candidate.similarity]
    yaw = None if pose.quaternion is None else f"{pose.yaw * 57.29577951:.1f}"
    return [*cells, f"{pose.x:.2f}", f"{pose.y:.2f}", yaw, candidate.similarity]
