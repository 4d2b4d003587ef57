"""Shards of frames: equal to one process, safe from kills, never done twice."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from placememory.encoders import BadFrames, Workers, encode_frames, encode_shards
from placememory.errors import ImageError, InputError, PlaceMemoryError, SettingError
from placememory.frames import Frame, list_frames
from tests.encoders.shard_toy import CARD, AlwaysKilled, ShardToy

COUNT, SIZE = 11, 2


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(COUNT):
        PillowImage.new("RGB", (6, 4), (i, 0, 0)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(params=["processes", "dask"])
def started_by(request, monkeypatch) -> str:
    if request.param == "dask":
        pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    else:
        monkeypatch.setitem(sys.modules, "distributed", None)  # as if it were not installed
    return request.param


def _workers(log: Path, *, count: int = 2, victim: int = -1, toy: type = ShardToy) -> Workers:
    return Workers(count, make=partial(toy, log=log, victim=victim), size=SIZE)


def _described(log: Path) -> Counter[int]:
    return Counter(map(int, log.read_text().split()))


def _rows(parts) -> tuple[list[str], np.ndarray]:
    names, rows = [], []
    for frames, part in parts:
        names += [frame.name for frame in frames]
        rows.append(part)
    return names, np.concatenate(rows)


def _one_process(images: Path, bad: BadFrames | None = None) -> tuple[list[str], np.ndarray]:
    toy = ShardToy(CARD, images.with_name("alone.log"))
    return _rows(encode_frames(toy, list_frames(images), bad))


def _by_shards(images: Path, workers: Workers, bad: BadFrames | None = None):
    toy = ShardToy(CARD, images.with_name("here.log"))
    return encode_shards(toy, list_frames(images), images.with_name("shards"), workers, bad)


def test_a_killed_worker_loses_its_shard_and_nothing_else(images, tmp_path, started_by) -> None:
    log, victim = tmp_path / "log", 9
    names, rows = _rows(_by_shards(images, _workers(log, victim=victim)))
    assert (tmp_path / "killed").exists()
    expected_names, expected = _one_process(images)
    assert names == expected_names
    assert rows.tobytes() == expected.tobytes()
    described = _described(log)
    assert described[victim] == 2
    assert {i for i, times in described.items() if times > 1} <= {victim - victim % SIZE, victim}
    assert set(described) == set(range(COUNT))


def test_finished_shards_are_kept_and_damaged_ones_done_again(images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    log, workers = tmp_path / "log", _workers(tmp_path / "log", count=1)
    first = _rows(_by_shards(images, workers))
    log.unlink()
    assert _rows(_by_shards(images, workers))[1].tobytes() == first[1].tobytes()
    assert not log.exists()

    files = sorted((tmp_path / "shards").glob("*.npy"))
    assert len(files) == 6
    content = bytearray(files[0].read_bytes())
    content[-1] ^= 1
    files[0].write_bytes(content)
    files[1].with_suffix(".json").unlink()
    assert _rows(_by_shards(images, workers))[1].tobytes() == first[1].tobytes()
    assert set(_described(log).values()) == {1}
    assert 3 <= len(_described(log)) <= 2 * SIZE

    log.unlink()
    PillowImage.new("RGB", (6, 4), (200, 0, 0)).save(images / "4.png")  # another image
    changed = _rows(_by_shards(images, workers))[1]
    assert [i for i in range(COUNT) if (changed[i] != first[1][i]).any()] == [4]
    assert set(_described(log)) == {200, 5}


def test_an_error_keeps_what_is_finished(images, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    log = tmp_path / "log"
    with pytest.raises(PlaceMemoryError, match=r"workers were killed.*Finished shards are kept"):
        list(_by_shards(images, _workers(log, count=1, victim=4, toy=AlwaysKilled)))
    assert _described(log)[4] == 4  # tries
    log.unlink()
    _, rows = _rows(_by_shards(images, _workers(log, count=1)))
    assert rows.tobytes() == _one_process(images)[1].tobytes()
    assert not {0, 1, 2, 3} & set(_described(log))


def test_unreadable_images_are_left_out_or_refused(images, tmp_path, started_by) -> None:
    for name in ("4.png", "5.png", "7.png"):
        (images / name).write_bytes(b"no image")
    workers = _workers(tmp_path / "log", count=1)
    bad, alone = BadFrames(skip=True), BadFrames(skip=True)
    names, rows = _rows(_by_shards(images, workers, bad))
    expected_names, expected = _one_process(images, alone)
    assert names == expected_names
    assert rows.tobytes() == expected.tobytes()
    assert bad.names == alone.names
    assert [name for name, _ in bad.names] == ["4.png", "5.png", "7.png"]
    with pytest.raises(ImageError, match=r"4\.png.*--skip-bad"):
        list(_by_shards(images, workers))


def test_workers_of_a_scheduler(images, tmp_path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        make = partial(ShardToy, log=tmp_path / "log")
        assert cluster.scheduler_address.startswith("tcp://")
        workers = Workers(scheduler=cluster.scheduler_address, make=make, size=SIZE)
        _, rows = _rows(_by_shards(images, workers))
    assert rows.tobytes() == _one_process(images)[1].tobytes()
    nobody = Workers(scheduler="nothing here", make=make)
    (tmp_path / "shards").rename(tmp_path / "others")
    with pytest.raises(SettingError, match=r"nothing here: no Dask scheduler with 1 workers"):
        list(_by_shards(images, nobody))


def test_a_single_shard_starts_no_process(images, tmp_path) -> None:
    make = partial(ShardToy, log=tmp_path / "log")
    names, _ = _rows(_by_shards(images, Workers(2, make=make, size=COUNT)))
    assert len(names) == COUNT
    assert not (tmp_path / "log").exists()
    assert not (tmp_path / "shards").exists()


def test_what_cannot_be_is_refused(tmp_path) -> None:
    frame = Frame("run.mp4#000001", "run", 1, read=lambda: np.zeros((4, 6, 3), np.uint8))
    toy = ShardToy(CARD, tmp_path / "log")
    with pytest.raises(InputError, match=r"'run\.mp4#000001' is no image file.*in one process"):
        list(encode_shards(toy, [frame, frame], tmp_path, Workers(2, size=1)))
    with pytest.raises(SettingError, match="workers is 0"):
        Workers(0)
