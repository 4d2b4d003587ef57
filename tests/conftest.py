"""Fixtures for all tests: where the shared data lies, and small made-up memories."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings

from placememory.cli import main
from placememory.encoders import EncoderCard, Preprocess
from placememory.frames import Frame, Pose
from placememory.samples import Building, render_building

collect_ignore = ["memory/start_milvus.py", "ros/drive.py", "ros/wire.py"]  # for other environments
settings.register_profile("any machine", deadline=None)  # a loaded one takes its time
settings.load_profile("any machine")
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


@pytest.fixture(scope="session")
def building(tmp_path_factory: pytest.TempPathFactory) -> Building:
    """A small rendered building: 40 mapping frames and a query run."""
    pytest.importorskip("vizdoom", reason="the extra 'demo' is not installed")
    return render_building(tmp_path_factory.mktemp("sample") / "building", frames=40)


@pytest.fixture(scope="session")
def office(building: Building, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory of the building, made by the command line; do not change it."""
    path = tmp_path_factory.mktemp("memory") / "office.memory"
    run_command(
        "build",
        path,
        building.mapping,
        "--poses",
        building.mapping_vertices,
        "--map",
        building.map_yaml,
    )
    return path


def run_command(*arguments: object, expect: int = 0) -> Output:
    """Run ``placememory`` with its exit code checked, in this process to spare the imports."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["placememory", *map(str, arguments)])
        try:
            main()
        except SystemExit as error:
            code = int(error.code or 0)
    printed = Output(out.getvalue(), err.getvalue())
    assert code == expect, (code, printed.out[-2000:], printed.err[-4000:])
    return printed


class Output(NamedTuple):
    """What a command printed."""

    out: str
    err: str
