"""Every command that writes a memory, small enough to be killed many times.

Each has a state before it, and what must be true once it has been run to its end, however often it
was killed on the way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from placememory.encoders import Encoder, EncoderCard, FittableEncoder
from placememory.errors import MemoryUnfinishedError
from placememory.frames import Frame, Image
from placememory.memory import PlaceMemory, copy, merge, prune, upgrade
from placememory.memory.build import build
from tests.conftest import make_card, make_descriptors, make_frames

COUNT, DIM, BATCH = 3000, 64, 64
LITE = "milvus-lite:"
FULL = os.environ.get("PLACEMEMORY_CRASH") == "full"
"""Whether the whole is wanted (``make crash``), or the part that every test run does."""


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        prepare: Makes what is there before, in a folder.
        run: The command; ``target`` is the address of the memory that it writes.
        check: Asserts what must be true after it.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path, str], None]
    check: Callable[[Path, PlaceMemory], None]


def _rows(count: int = COUNT, session: str = "run1") -> tuple[list[Frame], np.ndarray]:
    return make_frames(count, session), make_descriptors(count, DIM, seed=len(session))


def make_source(path: Path, session: str = "run1", count: int = COUNT) -> None:
    """A memory with a calibration."""
    with PlaceMemory.create(path, encoder=make_card(DIM), map_yaml="/maps/a.yaml") as memory:
        memory.add(*_rows(count, session))
        memory.set_calibration({"slope": 2.0})
        memory.set_sources({session: "/images"})


def _is_source(folder: Path, memory: PlaceMemory) -> None:
    with PlaceMemory.open(folder / "a") as source:
        assert memory.revision == source.revision
        assert memory.manifest.calibration == {"slope": 2.0}
        assert memory.manifest.sources == source.manifest.sources


def _make_two(folder: Path) -> None:
    make_source(folder / "a")
    make_source(folder / "b", "run2")


def _is_merged(folder: Path, memory: PlaceMemory) -> None:
    assert memory.sessions() == {"run1": COUNT, "run2": COUNT}
    for session in ("run1", "run2"):
        number = memory.rows.columns.sessions.index(session)
        mine = np.flatnonzero(memory.rows.columns.session == number)
        np.testing.assert_array_equal(memory.descriptors[mine], _rows(session=session)[1])


def _is_pruned(folder: Path, memory: PlaceMemory) -> None:
    assert len(memory) == COUNT // 2
    with PlaceMemory.open(folder / "a") as source:
        there = {place.id: i for i, place in enumerate(source.places)}
        rows = np.array([there[place.id] for place in memory.places])
        np.testing.assert_array_equal(memory.descriptors, source.descriptors[rows])
        assert memory.manifest.sources == source.manifest.sources


def _add(folder: Path, target: str) -> None:
    frames, descriptors = _rows()
    if not PlaceMemory.exists(target):
        PlaceMemory.create(target, encoder=make_card(DIM)).close()
    with PlaceMemory.open(target) as memory:
        known = {place.id for place in memory.places}
        missing = [i for i, f in enumerate(frames) if (f.session, f.index) not in known]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            memory.add([frames[i] for i in part], descriptors[part])


def _is_added(folder: Path, memory: PlaceMemory) -> None:
    np.testing.assert_array_equal(memory.descriptors, _rows()[1])
    assert [place.name for place in memory.places] == [frame.name for frame in _rows()[0]]


def _copy(folder: Path, target: str) -> None:
    copy(folder / "a", target).close()


def _merge(folder: Path, target: str) -> None:
    merge([folder / "a", folder / "b"], target).close()


def _prune(folder: Path, target: str) -> None:
    if PlaceMemory.exists(target):
        with contextlib.suppress(MemoryUnfinishedError):
            PlaceMemory.open(target).close()
            return  # finished: a second pruning is refused
    prune(folder / "a", target, places=COUNT // 2)


def _replace(folder: Path, target: str) -> None:
    """Give all places new poses, and new descriptors to half of them."""
    frames, descriptors = _rows()
    changed = np.where(np.arange(COUNT)[:, None] % 2, make_descriptors(COUNT, DIM, 9), descriptors)
    with PlaceMemory.open(target) as memory:
        for start in range(0, COUNT, BATCH):
            part = slice(start, start + BATCH)
            memory.add(frames[part], changed[part])


def _is_replaced(folder: Path, memory: PlaceMemory) -> None:
    descriptors = _rows()[1]
    np.testing.assert_array_equal(memory.descriptors[::2], descriptors[::2])
    np.testing.assert_array_equal(memory.descriptors[1::2], make_descriptors(COUNT, DIM, 9)[1::2])


def _remove(folder: Path, target: str) -> None:
    with PlaceMemory.open(target) as memory:
        if "run2" in memory.sessions():
            memory.remove("run2")


def _make_target_of_two(folder: Path) -> None:
    make_source(folder / "target")
    with PlaceMemory.open(folder / "target") as memory:
        memory.add(*_rows(session="run2"))


def _is_without(folder: Path, memory: PlaceMemory) -> None:
    assert memory.sessions() == {"run1": COUNT}


class Words(FittableEncoder):
    """Colours against the mean of a sample: fitted, and quick."""

    def __init__(self, card: EncoderCard | None = None) -> None:
        self.card = card or make_card(3)

    @property
    def is_fitted(self) -> bool:
        return "mean" in self.card.fitted

    @property
    def fit_sample(self) -> int:
        return 200

    def find_features(self, images: Sequence[Image]):
        for image in images:
            yield np.float32(image.mean((0, 1)))[None]

    def fit_features(self, features: Sequence[np.ndarray]) -> tuple[Words, np.ndarray]:
        mean = np.mean([f[0] for f in features], axis=0, dtype=np.float32)
        fitted = self.with_fitted({"mean": mean})
        return fitted, np.stack([fitted._describe(f) for f in features])

    def with_fitted(self, fitted) -> Words:
        return Words(self.card.replace(fitted=dict(fitted)))

    def encode(self, images: Sequence[Image]) -> np.ndarray:
        rows = [self._describe(f) for f in self.find_features(images)]
        return np.stack(rows) if rows else np.empty((0, 3), np.float32)

    def _describe(self, features: np.ndarray) -> np.ndarray:
        row = features[0] - self.card.fitted["mean"] + np.float32(1e-3)
        return np.float32(row / np.linalg.norm(row))


def coloured_frames(count: int = 600) -> list[Frame]:
    """Frames whose image is one colour each."""
    colours = np.random.default_rng(0).integers(0, 255, (count, 3), dtype=np.uint8)
    return [
        Frame(f"{i:04d}.png", "run1", i, read=lambda c=c: np.broadcast_to(c, (32, 32, 3)))
        for i, c in enumerate(colours)
    ]


def _build(folder: Path, target: str) -> None:
    encoder: Encoder | None = None if PlaceMemory.exists(target) else Words()
    if encoder is None:
        with PlaceMemory.open(target, readonly=True) as memory:
            encoder = Words(memory.card)
    build(target, coloured_frames(), encoder=encoder, batch=8).close()


def _is_built(folder: Path, memory: PlaceMemory) -> None:
    assert [place.index for place in memory.places] == list(range(600))
    expected = Words(memory.card).encode([frame.image() for frame in coloured_frames()])
    np.testing.assert_array_equal(memory.descriptors, expected)


def _make_old(folder: Path) -> None:
    data = Path(__file__).parents[1] / "memory" / "data" / "format_1.sqlite"
    (folder / "target").write_bytes(data.read_bytes())


def _upgrade(folder: Path, target: str) -> None:
    upgrade(target)


def _is_upgraded(folder: Path, memory: PlaceMemory) -> None:
    memory.check()
    np.testing.assert_array_equal(memory.descriptors, make_descriptors(12))
    assert memory.manifest.calibration == {"slope": 2.5}


def _nothing(folder: Path) -> None:
    pass


COMMANDS = {
    "add": Command(_nothing, _add, _is_added),
    "build": Command(_nothing, _build, _is_built),
    "copy": Command(lambda folder: make_source(folder / "a"), _copy, _is_source),
    "merge": Command(_make_two, _merge, _is_merged),
    "prune": Command(lambda folder: make_source(folder / "a"), _prune, _is_pruned),
    "replace": Command(lambda folder: make_source(folder / "target"), _replace, _is_replaced),
    "remove": Command(_make_target_of_two, _remove, _is_without),
    "upgrade": Command(_make_old, _upgrade, _is_upgraded),
}
IN_PLACE = ("replace", "remove", "upgrade")
"""Those that begin with a memory at the target; on Milvus Lite it would have to be copied there."""
