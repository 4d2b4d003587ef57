"""Recordings for Rerun and Foxglove, read back by what those ship."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import placememory as pm
from placememory.figures import map_of, write_foxglove, write_rerun
from placememory.localization import LocalizedRun, Summary
from placememory.maps import OccupancyGrid
from placememory.memory import no_images

pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")


@pytest.fixture
def walked(tmp_path: Path):
    """A memory of 20 places, and a run of located, ambiguous and unstamped frames."""
    from placememory.encoders import EncoderCard, Preprocess
    from placememory.fusion import Belief, Hypothesis

    card = EncoderCard(name="toy", dim=20, preprocess=Preprocess(longest=8))
    memory = pm.PlaceMemory.create(tmp_path / "hall.memory", encoder=card)
    memory.add(
        [pm.Place("map", i, f"{i}.png", pose=pm.Pose.from_yaw(i, 1.0, 0.0)) for i in range(20)],
        np.eye(20, dtype=np.float32),
    )
    estimates = []
    for i in range(6):
        place = memory.places[2 * i]
        verdict = "located" if i % 2 == 0 else "ambiguous"
        guess = Hypothesis(2 * i, place.id, 0.9, (2.0 * i + 0.5, 1.0), 0.1)
        spread = np.diag([0.04, 0.01, 0.02])
        belief = Belief(verdict, (guess,), 0.9, 0.0, 0.0, 3, covariance=spread)
        frame = pm.Frame(
            f"q{i}.png", "run", i, stamp=(i + 5) * 10**9, pose=pm.Pose(2.0 * i, 1.0),
            read=lambda: np.full((12, 16, 3), 120, np.uint8),
        )  # fmt: skip
        found = (pm.Candidate(place, 0.8, 1), pm.Candidate(memory.places[2 * i + 1], 0.7, 2))
        estimates.append(pm.Estimate(frame, found, belief, spread=np.eye(6) * 0.1))
    summary = Summary()
    for estimate in estimates:
        summary.add(estimate)
    with memory:
        yield memory, LocalizedRun(tuple(estimates), list(memory.places), summary)


GRID = OccupancyGrid(np.ones((10, 40)), 0.5, (-1.0, -1.0, 0.2), negate=True)


def test_foxglove_gets_every_frame_at_its_time(walked, tmp_path: Path) -> None:
    pytest.importorskip("foxglove", reason="the extra 'foxglove' is not installed")
    reader = pytest.importorskip("mcap.reader", reason="mcap is not installed")
    memory, run = walked
    path = write_foxglove(tmp_path / "run.mcap", memory, run, image_of=no_images, grid=GRID)
    seen = defaultdict(list)
    with path.open("rb") as file:
        for schema, channel, message in reader.make_reader(file).iter_messages():
            seen[channel.topic].append((message.log_time, schema.name, message.data))
    stamps = [(i + 5) * 10**9 for i in range(6)]
    for topic in ("/query", "/robot", "/verdict", "/numbers"):
        assert [at for at, _, _ in seen[topic]] == stamps, topic
    assert [at for at, _, _ in seen["/pose"]] == stamps[::2], "located frames only"
    assert [kind for _, kind, _ in seen["/map"]] == ["foxglove.Grid"]
    assert len(seen["/places"][0][2]) > 20 * 12
    numbers = [json.loads(data) for _, _, data in seen["/numbers"]]
    assert numbers[0] == {"probability": 0.9, "similarity": 0.8, "error": 0.5}
    assert not seen["/match"], "the images of the places are not there"


def test_rerun_gets_every_frame(walked, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the extra 'rerun' is not installed")
    memory, run = walked
    path = write_rerun(tmp_path / "run.rrd", memory, run, image_of=no_images, grid=GRID)
    tool = shutil.which("rerun", path=str(Path(sys.executable).parent)) or "rerun"

    def ask(*words: str) -> str:
        command = [tool, "rrd", *words, str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    ask("verify")
    told = ask("print", "-vv")
    for entity in ("/map/places", "/map/robot", "/map/candidates", "/map/ground", "/query",
                   "/plots/error", "/verdict"):  # fmt: skip
        assert entity in told, entity


def test_a_recording_appears_whole_or_not_at_all(walked, tmp_path: Path) -> None:
    pytest.importorskip("foxglove", reason="the extra 'foxglove' is not installed")
    memory, run = walked

    def broken(place):
        raise KeyboardInterrupt

    path = tmp_path / "run.mcap"
    with pytest.raises(KeyboardInterrupt):
        write_foxglove(path, memory, run, image_of=broken)
    assert [p.name for p in tmp_path.iterdir() if "run" in p.name] == []


def test_a_memory_without_a_map_has_none(walked) -> None:
    assert map_of(walked[0]) is None
