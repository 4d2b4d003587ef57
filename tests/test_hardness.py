"""What a hostile user does: damaged files, odd names, full disks, runs that look alike."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from placememory.encoders import create
from placememory.encoders.device import choose_device
from placememory.errors import (
    DescriptorError,
    EncoderError,
    InputError,
    MemoryDamagedError,
    MemoryFormatError,
    MemoryStoreError,
    PlaceMemoryError,
    SettingError,
    WeightsError,
)
from placememory.frames import Frame, Pose, list_frames
from placememory.memory import PlaceMemory, copy, merge
from placememory.memory.build import build_from_features, feature_frames
from placememory.memory.features_h5 import FeatureWriter
from placememory.memory.search import similarity_of
from tests.conftest import make_card, make_descriptors, make_frames
from tests.memory.test_build import Thumbnails, build_report, features_report


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory of 30 places."""
    return _memory(tmp_path / "office.memory", 30)


def _memory(path: Path, count: int = 5, session: str = "run1", seed: int = 0, **how) -> Path:
    with PlaceMemory.create(path, encoder=make_card(), **how) as memory:
        memory.add(make_frames(count, session), make_descriptors(count, seed=seed))
    return path


def _images(folder: Path, seed: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(6):
        tile = rng.integers(0, 2, (4, 4, 3), dtype=np.uint8) * 255
        PillowImage.fromarray(tile).resize((32, 32), 0).save(folder / f"{i}.png")
    return folder


def test_random_damage_is_found_or_harmless(path: Path) -> None:
    """Any byte of the file: our own error, or exactly what was written."""
    with PlaceMemory.open(path) as memory:
        places, descriptors = list(memory.places), memory.descriptors.copy()
    data, rng, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 4])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(bytes(damaged))
        try:
            with PlaceMemory.open(path) as memory:
                assert list(memory.places) == places
                np.testing.assert_array_equal(memory.descriptors, descriptors)
        except PlaceMemoryError:
            refused += 1
        for side in ("-wal", "-shm"):
            path.with_name(path.name + side).unlink(missing_ok=True)
    assert 0 < refused < 300


def test_a_closed_memory_is_not_called_damaged(path: Path) -> None:
    memory = PlaceMemory.open(path)
    memory.close()
    with pytest.raises(MemoryStoreError, match="closed") as caught:
        memory.refresh()
    assert not isinstance(caught.value, MemoryDamagedError)


def test_a_reader_leaves_no_side_files(path: Path) -> None:
    with PlaceMemory.open(path, readonly=True) as memory:
        assert len(memory) == 30
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["a b%20?mode=memory#x", "memory:", "file:x", "ü'\"[red]\n"])
def test_any_file_name_is_a_file(tmp_path: Path, name: str, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    _memory(Path(name))
    with PlaceMemory.open(name, readonly=True) as memory:
        assert len(memory) == 5
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("place", ["/proc/none/m", "{file}/below/m", "{folder}/" + 300 * "x"])
def test_an_impossible_place_is_refused_clearly(path: Path, place: str) -> None:
    uri = place.format(file=path, folder=path.parent)
    assert not PlaceMemory.exists(uri)
    with pytest.raises(MemoryStoreError):
        PlaceMemory.create(uri, encoder=make_card())
    with pytest.raises(MemoryStoreError):
        PlaceMemory.open(uri)


def test_a_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    encoder = Thumbnails()
    with pytest.raises(MemoryFormatError, match="is a folder"):
        build_report(tmp_path, list_frames(_images(tmp_path / "run", 0)), encoder)
    assert encoder.encoded == 0


def test_what_a_killed_creation_left_does_not_stop_the_next(tmp_path: Path) -> None:
    left = tmp_path / f".m.{os.getpid()}.part"
    _memory(left)
    for suffix in ("-wal", "-journal"):
        left.with_name(left.name + suffix).write_bytes(bytes(4096))
    _memory(tmp_path / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("kind", ["", "milvus-lite:"])
def test_odd_names_and_numbers(tmp_path: Path, kind: str) -> None:
    if kind:
        pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
    sessions = ["it's", 'a "b"', "back\\slash\\", "new\nline", "tab\t", "ü日本", "", "%_#?", "a/b"]
    with PlaceMemory.create(f"{kind}{tmp_path / 'm'}", encoder=make_card()) as memory:
        for session in sessions:
            frames = [Frame(f"{session} {i}", session, i, stamp=i) for i in (-1, 2**63 - 1)]
            memory.add(frames, make_descriptors(2))
        memory.add([Frame("n", "numpy", np.int64(3), stamp=np.int64(4))], make_descriptors(1))
        for bad in (Frame("n", "s", 2**63), Frame("n", "s", 0, stamp=-(2**64))):
            with pytest.raises(InputError, match="64 bits"):
                memory.add([bad], make_descriptors(1))
        with pytest.raises(InputError, match="--session"):
            memory.add([Frame("n", os.fsdecode(b"\xff"), 0)], make_descriptors(1))
        memory.set_sources({"numpy": os.fsdecode(b"/\xff")})
        memory.refresh()
        assert memory.sessions() == {**dict.fromkeys(sessions, 2), "numpy": 1}
        for session in sessions:
            assert memory.remove(session) == 2
        assert [place.id for place in memory.places] == [("numpy", 3)]


def test_a_refused_write_to_milvus_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
    uri = f"milvus-lite:{tmp_path / 'm'}"
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(3), make_descriptors(3))
        long = replace(make_frames(1, "long")[0], floor="f" * 70_000)
        with pytest.raises(MemoryStoreError):
            memory.add([*make_frames(2, "other"), long], make_descriptors(3))
        memory.add(make_frames(2, "next"), make_descriptors(2))
        memory.refresh()
        assert memory.sessions() == {"next": 2, "run1": 3}
    with PlaceMemory.open(uri) as memory:
        assert memory.manifest.count == 5


def test_merging_into_float16_rounds(tmp_path: Path) -> None:
    half = _memory(tmp_path / "half", session="run2", dtype="float16")
    whole = _memory(tmp_path / "whole")
    for _ in range(2):  # again, as after an interruption
        merge([whole], half).close()
    with PlaceMemory.open(half) as merged:
        assert merged.sessions() == {"run1": 5, "run2": 5}
        np.testing.assert_allclose(merged.descriptors[:5], make_descriptors(5), atol=1e-3)


def test_memories_that_do_not_go_together(tmp_path: Path) -> None:
    plain, other = _memory(tmp_path / "plain"), _memory(tmp_path / "other", session="run2")
    sequences = tmp_path / "sequences"
    PlaceMemory.create(sequences, encoder=make_card(), sequence_dim=4).close()
    lookalike = _memory(tmp_path / "lookalike", seed=1)
    with pytest.raises(SettingError, match="sequence descriptors"):
        merge([plain], sequences)
    with pytest.raises(SettingError, match="'run1' is in"):
        merge([plain], lookalike)
    with pytest.raises(SettingError, match="5 places that are not in"):
        copy(plain, other)
    with (
        PlaceMemory.open(plain) as memory,
        PlaceMemory.open(sequences) as target,
        pytest.raises(DescriptorError, match="sequence descriptors"),
    ):
        target.add_rows(memory.rows)
    for untouched, session in ((plain, "run1"), (other, "run2"), (lookalike, "run1")):
        with PlaceMemory.open(untouched) as memory:
            assert memory.sessions() == {session: 5}


def test_a_copy_is_brought_up_to_date(tmp_path: Path) -> None:
    source, target = _memory(tmp_path / "source"), tmp_path / "target"
    copy(source, target).close()
    with PlaceMemory.open(source) as memory:
        memory.add(make_frames(2), make_descriptors(2, seed=7))
        memory.set_sources({"run1": "/data/run1"})
        rows = memory.rows.take(range(len(memory)))
    with copy(source, target) as copied:
        np.testing.assert_array_equal(copied.descriptors, rows.descriptors)
        assert copied.manifest.sources == {"run1": "/data/run1"}


def test_building_again_without_poses_keeps_them(tmp_path: Path) -> None:
    uri, folder = tmp_path / "m", _images(tmp_path / "run", 0)
    frames = list_frames(folder)
    posed = [replace(f, pose=Pose(f.index, 0.0), floor="1") for f in frames]
    build_report(uri, posed, Thumbnails(), dtype="float16")
    with PlaceMemory.open(uri) as memory:
        before = memory.descriptors
    report = build_report(uri, frames, Thumbnails())
    assert (report.added, report.moved, report.without_pose) == (0, 0, 0)
    moved = [replace(f, pose=Pose(f.index, 9.0)) for f in frames]
    assert build_report(uri, moved, Thumbnails()).moved == 6
    with PlaceMemory.open(uri) as memory:
        assert [p.pose for p in memory.places] == [Pose(i, 9.0) for i in range(6)]
        assert {p.floor for p in memory.places} == {"1"}
        np.testing.assert_array_equal(memory.descriptors, before)


def test_two_runs_with_the_same_names_are_not_taken_for_one(tmp_path: Path) -> None:
    uri = tmp_path / "m"
    first, second = (_images(tmp_path / f"run{i}" / "images", i) for i in (1, 2))
    build_report(uri, list_frames(first), Thumbnails(), source=first)
    with pytest.raises(InputError, match="--session"):
        build_report(uri, list_frames(second), Thumbnails(), source=second)
    elsewhere = tmp_path / "elsewhere" / "images"
    elsewhere.parent.mkdir()
    first.rename(elsewhere)
    assert build_report(uri, list_frames(elsewhere), Thumbnails(), source=elsewhere).present == 6
    assert (
        build_report(uri, list_frames(second, session="b"), Thumbnails(), source=second).added == 6
    )


def test_two_feature_files_with_the_same_names_are_not_taken_for_one(tmp_path: Path) -> None:
    uri = tmp_path / "m"
    for i in (1, 2):
        with FeatureWriter(tmp_path / f"{i}.h5", make_card()) as writer:
            writer.add(["a.png", "b.png"], make_descriptors(2, seed=i))
    first, second = tmp_path / "1.h5", tmp_path / "2.h5"
    assert features_report(uri, first, feature_frames(first, "s")).added == 2
    assert features_report(uri, first, feature_frames(first, "s")).present == 2
    with pytest.raises(InputError, match="--session"):
        build_from_features(uri, second, feature_frames(second, "s"))


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    path = _memory(tmp_path / "m", 1, "run0")
    script = (
        "import sys; from placememory.memory import PlaceMemory; from tests.conftest import *\n"
        "with PlaceMemory.open(sys.argv[1]) as m:\n"
        "  for i in range(40): m.add(make_frames(2, sys.argv[2], 2 * i), make_descriptors(2))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, path, name], cwd=Path(__file__).parents[1])
        for name in ("a", "b")
    ]
    with PlaceMemory.open(path, readonly=True) as reader:
        while any(writer.poll() is None for writer in writers):
            reader.refresh()  # checks count and checksum each time
    assert [writer.returncode for writer in writers] == [0, 0]
    with PlaceMemory.open(path) as memory:
        assert memory.sessions() == {"a": 80, "b": 80, "run0": 1}


def test_threads_of_one_reader(path: Path) -> None:
    queries, found = make_descriptors(20, seed=3), []
    with PlaceMemory.open(path, readonly=True) as memory:
        threads = [
            threading.Thread(target=lambda: found.append(memory.search(queries, 5)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [memory.search(queries, 5)] * 4


def test_many_ties_are_scored_the_same() -> None:
    rows = np.repeat(make_descriptors(3), 1000, axis=0)
    query = make_descriptors(1, seed=2)[0]
    expected = (rows.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(similarity_of(rows, query), expected, atol=1e-7)
    assert len(set(similarity_of(rows, query).tolist())) == 3


@pytest.mark.parametrize("seed", ["abc", -1, True, 1.5])
def test_an_impossible_seed_is_refused(seed) -> None:
    with pytest.raises(EncoderError, match="seed"):
        create("lite-vlad", "random", seed=seed)


@pytest.mark.parametrize("weights", ["no such file", "/"])
def test_missing_weights_are_named(weights: str) -> None:
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    with pytest.raises(WeightsError, match="no such file of weights"):
        create("lite-vlad", weights)


@pytest.mark.parametrize("device", ["meta", "cuda:99", "nonsense"])
def test_an_impossible_device_is_refused(device: str) -> None:
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    with pytest.raises(SettingError, match=device):
        choose_device(device, "auto")
