"""What the network sees: one change for a window, another for the next, the same for one seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from placememory.encoders import Preprocess
from placememory.encoders.device import choose_device
from placememory.errors import ImageError
from placememory.frames import Frame
from placememory.training.config import Augment
from placememory.training.inputs import ImageInputs, change_images
from placememory.training.sampling import change_speed, shuffle_window
from tests.training.made import line_set

SMOOTH = torch.arange(48)[:, None] + torch.arange(64)[None]
IMAGE = torch.stack([SMOOTH, 2 * SMOOTH, 200 - SMOOTH]).to(torch.uint8)
STRONG = Augment(colour=0.8, blur=0.5, crop=0.4, perspective=0.5)


def inputs(count: int = 6, augment: Augment = STRONG) -> ImageInputs:
    """Frames that all show one image."""
    shown = np.ascontiguousarray(IMAGE.permute(1, 2, 0).numpy())
    frames = [Frame(f"{i}.png", "a", i, read=lambda: shown) for i in range(count)]
    return ImageInputs(frames, Preprocess(native=True), choose_device("cpu", "float32"), augment)


def test_all_frames_of_a_window_are_changed_alike_and_windows_are_not() -> None:
    x = inputs()(np.array([[0, 1, 2], [3, 4, 5]]), seed=(1, 2))
    assert x.shape == (2, 3, 3, 48, 64)
    assert torch.equal(x[:, :1].expand_as(x), x)
    assert not torch.equal(x[0], x[1])


def test_a_window_keeps_its_change_in_whatever_part_it_comes() -> None:
    windows = np.arange(6)[:, None]
    found = inputs()
    whole = found(windows, seed=(5,))
    parts = torch.cat([found(windows[i : i + 2], seed=(5,), first=i) for i in (0, 2, 4)])
    assert torch.equal(whole, parts)
    found.load(windows)
    assert torch.equal(whole, found(windows, seed=(5,)))
    assert not torch.equal(whole, found(windows, seed=(6,)))


def test_without_a_seed_nothing_is_changed() -> None:
    plain = inputs(augment=Augment())(np.array([[0]]), seed=(1,))
    assert torch.equal(inputs()(np.array([[0]])), plain)


@pytest.mark.parametrize(
    "change",
    [{"colour": 0.8}, {"crop": 0.5}, {"perspective": 0.9}, {"noise": 8.0}, {"blur": 1.0}],
    ids=lambda c: next(iter(c)),
)
def test_every_change_changes_but_keeps_shape_and_kind(change: dict[str, float]) -> None:
    augment = Augment(**change)
    checks = (torch.arange(64)[None] // 8 + torch.arange(48)[:, None] // 8) % 2 * 180 + 40
    image = checks.to(torch.uint8).expand(2, 3, 48, 64) if "blur" in change else IMAGE[None]
    changed = change_images(image, augment, np.random.default_rng(0))
    assert changed.shape == image.shape
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, image)


def test_a_change_of_view_leaves_no_black_border() -> None:
    white = torch.full((1, 3, 48, 64), 200, dtype=torch.uint8)
    for seed in range(10):
        changed = change_images(white, Augment(perspective=1.0), np.random.default_rng(seed))
        assert changed.min() >= 100  # of 200; black is 0


def test_noise_does_not_darken() -> None:
    grey = torch.full((1, 3, 96, 96), 120, dtype=torch.uint8)
    changed = change_images(grey, Augment(noise=6.0), np.random.default_rng(0)).float()
    assert abs(changed.mean() - 120) < 0.2
    assert 5 < changed.std() < 7


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 10_000))
def test_another_speed_never_goes_backwards(length: int, step: int, seed: int) -> None:
    window = np.arange(length) + 100
    changed = change_speed(window, step, np.random.default_rng(seed))
    assert (changed[0], changed[-1]) == (100, 100 + length - 1)
    assert (np.diff(changed) >= 0).all()
    assert (np.abs(changed - window)[1:-1] <= max(step, 1)).all()


def test_frames_that_are_too_near_are_not_shuffled() -> None:
    found = line_set([[(0.1 * i, 0.0, 0.0) for i in range(4)]], length=4)
    assert shuffle_window(found.queries[0], found, 0.5, np.random.default_rng(0)) is None
    assert shuffle_window(found.queries[0], found, 0.05, np.random.default_rng(0)) is not None


def test_images_of_several_sizes_are_refused() -> None:
    frames = [
        Frame(f"{i}.png", "a", i, read=lambda i=i: np.zeros((32 + i, 32, 3), np.uint8))
        for i in range(2)
    ]
    found = ImageInputs(frames, Preprocess(native=True), choose_device("cpu", "float32"), Augment())
    with pytest.raises(ImageError, match="several sizes"):
        found(np.array([[0], [1]]))
    with pytest.raises(ImageError, match="several sizes"):
        found(np.array([[0, 1]]))
