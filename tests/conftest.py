"""Fixtures for all tests: where the shared data lies, and small made-up memories."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from placememory.encoders import EncoderCard, Preprocess
from placememory.frames import Frame, Pose

os.environ.setdefault("OMP_NUM_THREADS", "2")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real image sequences; skips where the checkout stands alone."""
    return _shared("data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the recorded outputs; skips where the checkout stands alone."""
    return _shared("golden")


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: this checkout stands alone")
    return folder


def make_card(dim: int = 8, **fields: object) -> EncoderCard:
    """A card of an encoder that exists in tests only."""
    return EncoderCard(name="toy", dim=dim, preprocess=Preprocess(longest=32), **fields)


def make_frames(count: int, session: str = "run1", start: int = 0) -> list[Frame]:
    """Frames along a line, one metre apart, half a second apart, without images."""
    return [
        Frame(
            name=f"{session}/{i:04d}.png",
            session=session,
            index=i,
            stamp=1_000_000_000 + i * 500_000_000,
            pose=Pose.from_yaw(float(i), 0.5, 0.1 * i),
            vertex_id=100 + i,
            floor="ground" if i % 2 == 0 else "first",
        )
        for i in range(start, start + count)
    ]


def make_descriptors(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    """(count, dim) float32 unit rows."""
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
