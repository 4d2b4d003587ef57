"""Encoder cards and preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from placememory.encoders import EncoderCard, Preprocess
from placememory.encoders.preprocessing import resampling_weights
from placememory.errors import ImageError, MemoryFormatError
from tests.conftest import make_card


def test_a_card_survives_bytes_with_its_arrays() -> None:
    words = np.random.default_rng(0).normal(size=(32, 112)).astype(np.float32)
    card = make_card(12, fitted={"words": words, "mean": np.arange(3)}, licence="Apache-2.0")
    again = EncoderCard.from_bytes(card.to_bytes())
    assert again.hash == card.hash
    assert again.licence == "Apache-2.0"
    np.testing.assert_array_equal(again.fitted["words"], words)
    assert again.fitted["mean"].dtype == np.int64


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"licence": "MIT"}, True),
        ({"origin": "elsewhere"}, True),
        ({"dim": 9}, False),
        ({"name": "other"}, False),
        ({"weights_sha256": "ab"}, False),
        ({"options": {"words": 64}}, False),
        ({"preprocess": Preprocess(longest=64)}, False),
        ({"batch_invariant": False}, False),
        ({"fitted": {"words": np.ones(2, np.float32)}}, False),
    ],
)
def test_the_hash_covers_what_changes_descriptors(change: dict[str, object], same: bool) -> None:
    assert (make_card(8).replace(**change).hash == make_card(8).hash) is same


def test_a_changed_value_of_fitted_state_changes_the_hash() -> None:
    words = np.ones((2, 2), np.float32)
    other = words.copy()
    other[0, 0] += 1e-6
    assert make_card(fitted={"words": words}).hash != make_card(fitted={"words": other}).hash


@pytest.mark.parametrize("data", [b"", b"x" * 7, b"\x08" + bytes(7) + b"nonsense", bytes(64)])
def test_damaged_card_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MemoryFormatError, match="card"):
        EncoderCard.from_bytes(data)


@given(height=st.integers(1, 5000), width=st.integers(1, 5000))
def test_sides_are_multiples_and_the_area_is_kept(height: int, width: int) -> None:
    rows, columns = Preprocess(pixels=320 * 240, multiple=16).target(height, width)
    assert rows % 16 == columns % 16 == 0
    assert min(rows, columns) >= 64
    if 0.3 < height / width < 3.3:
        assert 0.85 < rows * columns / (320 * 240) < 1.15


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    preprocess = Preprocess(pixels=320 * 240, multiple=16)
    assert preprocess.resize(image) is image
    assert preprocess.resize(image[:, :200]).shape == (*preprocess.target(240, 200), 3)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        "photo.png",
        [[1, 2, 3]],
    ],
)
def test_what_is_no_image_is_refused(bad: object) -> None:
    with pytest.raises(ImageError, match=r"\(H, W, 3\) uint8"):
        Preprocess(longest=8).resize(bad)


def test_a_size_is_needed_once() -> None:
    for sizes in ({}, {"longest": 3, "pixels": 3}):
        with pytest.raises(ValidationError, match="either longest, pixels, size or native"):
            Preprocess(**sizes)


@given(old=st.integers(1, 300), new=st.integers(1, 300))
def test_area_weights_cover_every_pixel_evenly(old: int, new: int) -> None:
    rows = resampling_weights(old, new, "area")
    assert rows.shape == (new, old)
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(rows.sum(axis=0), new / old, rtol=1e-3)


def test_small_images_are_not_enlarged_unless_asked() -> None:
    for enlarge, expected in ((True, (50, 100)), (False, (10, 20))):
        assert Preprocess(longest=100, enlarge=enlarge).target(10, 20) == expected
