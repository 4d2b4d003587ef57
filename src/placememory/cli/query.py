"""``placememory query``: the most similar places of images."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from placememory.cli import _options as options
from placememory.cli._console import out, peak_megabytes, print_json, print_table, say
from placememory.errors import SettingError
from placememory.frames import Pose, list_frames, read_image, read_poses
from placememory.memory import Candidate, Candidates, PlaceMemory, copy


@dataclass(frozen=True, slots=True)
class _Answer:
    """Candidates of one image, its descriptor, and milliseconds spent."""

    image: Path
    true: Pose | None
    descriptor: Any
    candidates: Candidates
    read_ms: float
    encode_ms: float
    search_ms: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "image": str(self.image),
            "true_pose": None if self.true is None else self.true.to_dict(),
            "candidates": self.candidates.to_dict(),
            "encode_ms": self.encode_ms,
            "search_ms": self.search_ms,
        }


@options.expand_groups
def run(
    memory: options.Memory,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files.", show_default=False)
    ],
    places: options.Filter,
    running: options.Running,
    k: Annotated[int, typer.Option("-k", min=1, help="Candidates an image.")] = 5,
    compare: Annotated[
        bool, typer.Option("--compare", help="Put exact and Milvus ranks side by side.")
    ] = False,
    index: options.IndexKind = None,
    exif: options.Exif = True,
    poses: options.PoseFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Print the most similar places of images: rank, place, vertex, pose, similarity, timing.

    Example: [b]placememory query office.memory photo.jpg -k 5[/b]
    """
    where = places.where
    options.check_order(memory, images[0])
    for path in images:
        if path.is_dir():
            raise SettingError(
                f"{path} is a folder; query takes images ({path}/*.jpg), localize takes runs"
            )
    true = dict.fromkeys(images) if poses is None else _true_poses(images, poses)
    if index is not None:
        options.say_index(memory, index)
    started = time.perf_counter()
    with PlaceMemory.open(memory, readonly=True) as opened:
        encoder = running.encoder_of(opened)
        loaded = time.perf_counter()
        answers = []
        for path in images:
            times = [time.perf_counter()]
            image = read_image(path, exif=exif, levels=opened.levels)
            times.append(time.perf_counter())
            descriptor = encoder.encode([image])
            times.append(time.perf_counter())
            [found] = opened.search(descriptor, k, where, using=None if index is None else "store")
            times.append(time.perf_counter())
            spent = (1e3 * np.diff(times)).tolist()
            answers.append(_Answer(path, true[path], descriptor[0], found, *spent))
        timing = _timing(answers, loaded - started, time.perf_counter() - started)
        if not as_json:
            _print(answers, timing, places=len(opened))
        comparisons = _compare(opened, answers, k) if compare else None
    if as_json:
        more = {} if comparisons is None else {"compare": comparisons}
        print_json({"answers": [a.to_dict() for a in answers], "timing": timing, **more})
    elif comparisons is not None:
        _print_comparison(comparisons)


def _true_poses(images: list[Path], file: Path) -> dict[Path, Pose | None]:
    """True poses of images, found by their names; says of how many."""
    frames = [frame for path in images for frame in list_frames(path)]
    joined, report = read_poses(file).join(frames)
    report.check()
    return {path: frame.pose for path, frame in zip(images, joined, strict=True)}


def _timing(answers: list[_Answer], load: float, total: float) -> dict[str, Any]:
    names = ("read_ms", "encode_ms", "search_ms")
    return {
        "images": len(answers),
        "load_ms": 1e3 * load,
        **{f"{n}_per_image": float(np.mean([getattr(a, n) for a in answers])) for n in names},
        "total_ms": 1e3 * total,
        "peak_mb": peak_megabytes(),
    }


def _print(answers: list[_Answer], timing: dict[str, Any], places: int) -> None:
    columns = ("rank", "place", "session", "vertex", "x [m]", "y [m]", "yaw [deg]", "similarity")
    for answer in answers:
        title, rows = str(answer.image), [_cells(c) for c in answer.candidates]
        if answer.true is not None:
            there = answer.true
            title += f" (truly at {there.x:.2f}, {there.y:.2f} m)"
            for row, candidate in zip(rows, answer.candidates, strict=True):
                pose = candidate.place.pose
                row.append(None if pose is None else f"{pose.distance_to(there):.2f}")
        told = columns if answer.true is None else (*columns, "off [m]")
        print_table(told, rows, title=title)
        if not answer.candidates:
            out.print("no place answers")
    peak = ", ".join(f"{value:.0f} MB {name}" for name, value in timing["peak_mb"].items())
    say(
        f"load {timing['load_ms']:.0f} ms (once); per image: read "
        f"{timing['read_ms_per_image']:.1f} ms, encode {timing['encode_ms_per_image']:.1f} ms, "
        f"search {timing['search_ms_per_image']:.2f} ms over {places} places; total "
        f"{timing['total_ms']:.0f} ms; peak {peak}"
    )


def _cells(candidate: Candidate) -> list[Any]:
    row = candidate.to_row()
    cells: list[Any] = [row[name] for name in ("rank", "name", "session", "vertex_id")]
    forms = {"x": ".2f", "y": ".2f", "yaw": ".1f"}
    cells += [None if row[n] is None else format(row[n], form) for n, form in forms.items()]
    return [*cells, candidate.similarity]


def _compare(memory: PlaceMemory, answers: list[_Answer], k: int) -> list[dict[str, Any]]:
    """The tutorial's comparison: exact candidates of each image, and those of a Milvus index."""
    queries = np.stack([answer.descriptor for answer in answers])
    with _in_milvus(memory) as milvus:
        kind = milvus.manifest.index or "flat"
        exact = memory.search(queries, k, using="exact")
        theirs = milvus.search(queries, k, using="store")
    return [
        {
            "image": str(answer.image),
            "index": kind,
            "exact": ours.to_dict(),
            "milvus": others.to_dict(),
        }
        for answer, ours, others in zip(answers, exact, theirs, strict=True)
    ]


def _print_comparison(comparisons: list[dict[str, Any]]) -> None:
    """Rank by rank: exact vertex and score, whether Milvus agrees, its vertex and score."""
    columns = ("rank", "exact vertex", "exact score", "same", "Milvus vertex", "Milvus score")
    agreed = total = 0
    for image in comparisons:
        rows = []
        for i, ours in enumerate(image["exact"]):
            other = image["milvus"][i] if i < len(image["milvus"]) else None
            same = other is not None and all(other[n] == ours[n] for n in ("session", "index"))
            agreed, total = agreed + same, total + 1
            theirs = [None, None] if other is None else [_vertex(other), other["similarity"]]
            mark = "\N{CHECK MARK}" if same else "\N{BALLOT X}"
            rows.append([ours["rank"], _vertex(ours), ours["similarity"], mark, *theirs])
        title = f"{image['image']}: exact against Milvus ({image['index']})"
        print_table(columns, rows, title=title)
    say(f"{agreed} of {total} ranks are the same")


def _vertex(place: dict[str, Any]) -> Any:
    return place["name"] if place["vertex_id"] is None else place["vertex_id"]


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
