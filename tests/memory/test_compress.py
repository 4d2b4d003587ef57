"""Compressed memories: shorter descriptors, the same places, an encoder that goes with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory.errors import EncoderError, MemoryUnfinishedError, SettingError
from placememory.frames import list_frames
from placememory.memory import PlaceMemory, compress
from tests.conftest import make_card, make_frames, run_command


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory of 300 places whose descriptors lie near a space of 20 directions."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(300, 20)), axis=0) @ rng.normal(size=(20, 96))
    rows = (walk + 0.05 * rng.normal(size=walk.shape)).astype(np.float32)
    path = tmp_path / "long.memory"
    with PlaceMemory.create(path, encoder=make_card(96), sequence_dim=8) as memory:
        memory.add(make_frames(300), rows, np.ones((300, 8), np.float32))
        memory.set_calibration({"slope": 2.0})
        memory.set_map("/maps/office.yaml")
    return path


def test_places_stay_and_recall_is_told(path: Path, tmp_path: Path, caplog) -> None:
    report = compress(path, tmp_path / "short", 20, dtype="float16")
    assert report.before == 96
    assert report.energy > 0.99
    assert report.queries == 300
    assert report.recall_after > 0.95 * report.recall_before
    assert "20 instead of 96 numbers" in str(report)
    assert "calibration" in caplog.text
    with PlaceMemory.open(path) as memory, PlaceMemory.open(tmp_path / "short") as short:
        assert list(short.places) == list(memory.places)
        assert short.card.dim == 20
        assert short.manifest.dtype == "float16"
        assert short.manifest.map_yaml == "/maps/office.yaml"
        assert short.manifest.calibration is None
        assert short.rows.sequences.shape == (300, 8)
        assert len(np.unique(short.descriptors, axis=0)) == 300
    with pytest.raises(SettingError, match="is there already"):
        compress(path, tmp_path / "short", 20)


def test_what_was_cut_off_goes_on(path: Path, tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(path, tmp_path / "short", 12, progress=stop)
    with pytest.raises(MemoryUnfinishedError, match="compression"):
        PlaceMemory.open(tmp_path / "short")
    assert compress(path, tmp_path / "short", 12).places == 300
    compress(path, tmp_path / "again", 12)
    with PlaceMemory.open(tmp_path / "short") as one, PlaceMemory.open(tmp_path / "again") as other:
        assert one.revision == other.revision


def test_what_cannot_be_compressed_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="smaller dim"):
        compress(path, tmp_path / "a", 96)
    with pytest.raises(SettingError, match="dim is 0"):
        compress(path, tmp_path / "a", 0)
    compress(path, tmp_path / "short", 20)
    with pytest.raises(EncoderError, match="compressed already"):
        compress(tmp_path / "short", tmp_path / "a", 10)


def test_a_compressed_memory_is_asked_and_added_to(office: Path, building, tmp_path: Path) -> None:
    shown = run_command("compress", office, tmp_path / "short", "--dim", 30)
    assert "30 instead of 3584 numbers" in shown.err
    queries = list_frames(building.query)[:8]
    with PlaceMemory.open(office) as memory, PlaceMemory.open(tmp_path / "short") as short:
        assert short.manifest.background is not None
        for i in range(0, len(memory), 9):
            found = short.search(short.descriptors[i], k=1)
            assert found[0][0].place == memory.places[i]
        same = [
            short.query(frame, k=1)[0].place == memory.query(frame, k=1)[0].place
            for frame in queries
        ]
        assert sum(same) >= 6
    run_command("build", tmp_path / "short", building.query, "--session", "second")
    with PlaceMemory.open(tmp_path / "short") as short:
        assert short.sessions()["second"] > 0
