"""``placememory query``: which places look like these images?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

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
from placememory.cli._compare import compare_with_milvus
from placememory.cli._index import use_index
from placememory.memory import Candidate, PlaceMemory


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
