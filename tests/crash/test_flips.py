"""A flipped bit anywhere in a memory file changes no answer without a word."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import PlaceMemoryError
from placememory.memory import PlaceMemory
from tests.conftest import make_card, make_descriptors, make_frames
from tests.crash.commands import FULL

COUNT, DIM = 60, 32
FLIPS = 20_000 if FULL else 600


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A memory with all its parts, replaced and removed places among them."""
    path = tmp_path_factory.mktemp("flips") / "whole"
    words = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    card = make_card(DIM, fitted={"words": words})
    with PlaceMemory.create(path, encoder=card, sequence_dim=8, map_yaml="/a/b.yaml") as memory:
        memory.add(make_frames(COUNT, "gone"), make_descriptors(COUNT, DIM))
        memory.remove("gone")
        memory.add(make_frames(COUNT), make_descriptors(COUNT, DIM), make_descriptors(COUNT, 8))
        memory.add(make_frames(5), make_descriptors(5, DIM, 1), make_descriptors(5, 8))
        memory.set_calibration({"slope": 2.0, "offset": 1.5})
        memory.set_sources({"run1": "/images/run1"})
    return path.read_bytes()


def _facts(path: Path) -> tuple[object, ...]:
    """Everything that can be asked of a memory."""
    with PlaceMemory.open(path) as memory:
        found = memory.search(make_descriptors(3, DIM, 2), k=5)
        return (
            memory.manifest,
            memory.card.hash,
            [place.to_json() for place in memory.places],
            memory.descriptors.tobytes(),
            memory.rows.sequences.tobytes(),
            memory.rows.columns.positions.tobytes(),
            memory.rows.columns.stamp.tobytes(),
            memory.sessions(),
            [c.to_dict() for c in found],
        )


def _places_of_flips(used: np.ndarray) -> list[tuple[int, int]]:
    """Byte and bit: the file's head, and over all bytes that are not zero."""
    dice = random.Random(0)
    head = [(byte, bit) for byte in range(100) for bit in range(8)]
    return dice.sample(head, min(len(head), FLIPS // 4)) + [
        (int(dice.choice(used)), dice.randrange(8)) for _ in range(FLIPS * 3 // 4)
    ]


def test_no_flip_changes_an_answer_without_a_word(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "flipped"
    path.write_bytes(whole)
    before, noticed, unnoticed = _facts(path), 0, 0
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))
    flips = _places_of_flips(used)
    for byte, bit in flips:
        data = bytearray(whole)
        data[byte] ^= 1 << bit
        path.write_bytes(bytes(data))
        try:
            facts = _facts(path)
            assert facts == before, f"byte {byte} bit {bit} was not noticed"
            unnoticed += 1
        except PlaceMemoryError as error:
            noticed += "flipped" in str(error)  # the message names the file
        for left in tmp_path.glob("flipped-*"):
            left.unlink()
    assert noticed + unnoticed == len(flips)
    assert noticed > unnoticed


@pytest.mark.parametrize("name", ["manifest", "calibration", "frame"])
def test_every_byte_of_the_manifest_counts(whole: bytes, tmp_path: Path, name: str) -> None:
    path, words = tmp_path / "flipped", {"manifest": b'{"format"', "calibration": b'"slope":2.0'}
    start = whole.rindex(words.get(name, b'"frame_id":"map"'))
    for byte in range(start, start + 11):
        data = bytearray(whole)
        data[byte] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(PlaceMemoryError, match="flipped"):
            _facts(path)


@pytest.mark.parametrize("share", [i / 20 for i in range(20)])
def test_a_file_that_was_cut_off_is_refused(whole: bytes, tmp_path: Path, share: float) -> None:
    path = tmp_path / "flipped"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PlaceMemoryError, match="flipped"):
        _facts(path)
