"""A map that lies in Milvus gives the estimates of the same map in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from placememory.fusion import Odometry
from placememory.localization import Localizer
from placememory.memory import PlaceMemory, Where
from tests.conftest import make_card, make_descriptors, make_frames


@pytest.mark.parametrize(
    "where", [None, Where(session="run2"), Where(near=(30.0, 0.5), radius=12.0)]
)
def test_a_served_map_gives_the_same_estimates(tmp_path: Path, where: Where | None) -> None:
    pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
    frames = [*make_frames(50), *make_frames(50, "run2")]
    descriptors = make_descriptors(100, 32)
    noise = make_descriptors(20, 32, seed=5)
    told = []
    for uri in (str(tmp_path / "m"), f"milvus-lite:{tmp_path / 'lite'}"):
        with PlaceMemory.create(uri, encoder=make_card(32)) as memory:
            memory.add(frames, descriptors)
        with PlaceMemory.open(uri, readonly=True) as memory:
            localizer = Localizer(memory, where=where, verify=None)
            told.append([])
            for i in range(20):
                seen = descriptors[75 + i] + 0.4 * noise[i]
                estimate = localizer.observe(odometry=Odometry(1.0, 0.0, 0.1), descriptor=seen)
                assert estimate.belief is not None
                told[-1].append((estimate.verdict, estimate.belief, estimate.candidates))
    for (verdict, belief, candidates), (other, served, found) in zip(*told, strict=True):
        assert (verdict, candidates) == (other, found)
        assert served.best == belief.best
    assert len({verdict for verdict, _, _ in told[0]}) > 1
