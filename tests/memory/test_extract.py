"""Extraction by several processes: the same file as that of one, whatever was interrupted."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from placememory.encoders import Workers, make_like
from placememory.errors import ImageError
from placememory.frames import list_frames
from placememory.memory.extract import encoder_like, extract, shards_path
from placememory.memory.features_h5 import FeatureReader
from tests.conftest import run_command
from tests.encoders.shard_toy import CARD, ShardToy

like = partial(encoder_like, weights=None, options={"words": 4}, device="cpu", precision="auto")


def _make_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i in range(count):
        pixels = draw.integers(0, 255, (12, 16, 3), np.uint8)
        PillowImage.fromarray(pixels).resize((64, 48)).save(folder / f"{i}.png")
    return folder


def _read(path: Path) -> tuple[list[str], bytes]:
    with FeatureReader(path) as reader:
        return reader.names, reader.read().tobytes()


def test_workers_make_the_file_of_one_process(tmp_path: Path) -> None:
    """The vocabulary is fitted in this process, and comes to the workers on the card."""
    db, frames = tmp_path / "db.h5", list_frames(_make_images(tmp_path / "images", 7))
    extract(frames[:3], db, like(None, db, "lite-vlad"), half=False)
    alone, shared = tmp_path / "alone.h5", tmp_path / "shared.h5"
    encoder = like(str(db), alone, "lite-vlad")
    extract(frames, alone, encoder, half=False)
    workers = Workers(2, make=make_like(), size=4)
    report = extract(frames, shared, encoder, half=False, workers=workers)
    assert (report.added, report.present) == (7, 0)
    assert _read(shared) == _read(alone)
    assert not shards_path(shared).exists()


def test_the_command_uses_the_workers_of_a_scheduler(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster'")
    folder, few = _make_images(tmp_path / "images", 5), tmp_path / "few.h5"
    run_command("extract", folder / "0.png", "--out", few, "--set", "words=4")
    alone, shared = tmp_path / "alone.h5", tmp_path / "shared.h5"
    run_command("extract", folder, "--out", alone, "--like", few)
    with distributed.LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        address = cluster.scheduler_address
        shown = run_command(
            "extract", folder, "--out", shared, "--like", few, "--scheduler", address
        )
        assert "describe_shard" in cluster.scheduler.task_prefixes
    assert "5 images described" in shown.err
    assert _read(shared) == _read(alone)


def test_an_extraction_that_ended_early_goes_on(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    folder, out, log = _make_images(tmp_path / "images", 6), tmp_path / "out.h5", tmp_path / "log"
    whole = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(whole[:40])
    toy = ShardToy(CARD, log)
    workers = Workers(1, make=partial(ShardToy, log=log), size=2)
    with pytest.raises(ImageError, match=r"3\.png"):
        extract(list_frames(folder), out, toy, workers=workers)
    (folder / "3.png").write_bytes(whole)
    extract(list_frames(folder), out, toy, workers=workers)
    assert len(_read(out)[0]) == 6
    assert len(log.read_text().split()) == 6
