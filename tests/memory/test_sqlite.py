"""What only the SQLite file can suffer: damage, other files, other processes, a full disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import (
    MemoryChangedError,
    MemoryDamagedError,
    MemoryFormatError,
    MemoryLockedError,
    MemoryStoreError,
)
from placememory.memory import PlaceMemory, Where
from placememory.memory.codes import Codes
from placememory.memory.stores import sqlite as sqlite_store
from tests.conftest import make_card, make_descriptors, make_frames, run_command


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory of 50 places."""
    path = tmp_path / "office.memory"
    with PlaceMemory.create(path, encoder=make_card(64)) as memory:
        memory.add(make_frames(50), make_descriptors(50, 64))
    return path


def test_a_closed_memory_is_one_file(path: Path) -> None:
    assert [p.name for p in path.parent.iterdir()] == ["office.memory"]


def test_what_is_committed_is_in_the_one_file(path: Path, tmp_path: Path) -> None:
    with PlaceMemory.open(path) as memory, PlaceMemory.open(path, readonly=True) as reader:
        memory.add(make_frames(30, "run2"), make_descriptors(30, 64))
        assert len(reader) == 50
        shutil.copy(path, tmp_path / "copied")  # while both have it open
        assert sorted(p.name for p in tmp_path.iterdir()) == ["copied", "office.memory"]
    with PlaceMemory.open(tmp_path / "copied") as copied:
        copied.check()
        assert copied.sessions() == {"run1": 50, "run2": 30}


def test_a_flipped_byte_of_a_descriptor_is_noticed_when_it_is_used(path: Path) -> None:
    data = bytearray(path.read_bytes())
    needle = make_descriptors(50, 64)[20].tobytes()
    data[data.index(needle) + 100] ^= 1
    path.write_bytes(bytes(data))
    with PlaceMemory.open(path) as memory:
        for use in (lambda: memory.descriptors, memory.check):
            with pytest.raises(MemoryDamagedError, match="checksum"):
                use()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM columns",
        "UPDATE columns SET data = zeroblob(length(data))",
        "UPDATE columns SET part = 1",
        "UPDATE columns SET data = substr(data, 85), crc = 0",
        "DELETE FROM chunks WHERE key = 0",
        "UPDATE chunks SET data = replace(CAST(data AS TEXT), 'map', 'mop') WHERE key = 0",
    ],
)
def test_rows_changed_behind_our_back_are_noticed(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(MemoryDamagedError):
        PlaceMemory.open(path)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM chunks WHERE key >> 56 = 4",
        "UPDATE chunks SET data = zeroblob(length(data)) WHERE key >= 3 << 56",
        "UPDATE chunks SET data = substr(data, 3) WHERE key >= 3 << 56",
        "UPDATE chunks SET live = live + 1 WHERE key >= 3 << 56",
        "INSERT INTO chunks SELECT key + 1, data, crc, live FROM chunks WHERE key = 0",
    ],
)
def test_a_check_reads_everything(path: Path, statement: str) -> None:
    with PlaceMemory.open(path) as memory:
        memory.check()
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    with PlaceMemory.open(path) as memory, pytest.raises(MemoryDamagedError):
        memory.check()


def test_a_reader_notices_what_was_removed_behind_it(path: Path) -> None:
    with PlaceMemory.open(path) as memory, PlaceMemory.open(path) as other:
        memory.add(make_frames(5, "run2"), make_descriptors(5, 64))
        assert len(other) == 50
        assert other.places[7].name == "run1/0007.png"  # added places do not matter
        other.refresh()
        memory.remove("run2")
        with pytest.raises(MemoryChangedError, match="refresh"):
            _ = other.places[54]
        with pytest.raises(MemoryChangedError, match="refresh"):
            _ = other.descriptors
        other.refresh()
        assert len(other.places) == len(other.descriptors) == 50


@pytest.mark.parametrize("change", ["DELETE FROM chunks", "UPDATE chunks SET data = zeroblob(9)"])
def test_codes_are_made_anew_where_they_are_damaged(path: Path, change: str, caplog) -> None:
    with PlaceMemory.open(path) as memory:
        memory.add(make_frames(30, "run2"), make_descriptors(30, 64, 2))
        kept = memory.rows.codes
    with sqlite3.connect(path) as connection:
        connection.execute(f"{change} WHERE key = (SELECT max(key) FROM chunks)")
    connection.close()
    with PlaceMemory.open(path) as memory, caplog.at_level("INFO"):
        memory.check()
        for name in ("values", "scales", "errors"):
            np.testing.assert_array_equal(getattr(memory.rows.codes, name), getattr(kept, name))
        np.testing.assert_array_equal(kept.scales, Codes.of(memory.descriptors).scales)
    assert "anew" in caplog.text


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_large_memory_is_searched_exactly_without_being_read(tmp_path: Path, dtype: str) -> None:
    count, descriptors = 3000, make_descriptors(3000, 2048)
    with PlaceMemory.create(tmp_path / "m", encoder=make_card(2048), dtype=dtype) as memory:
        memory.add(make_frames(count), descriptors)
    queries = make_descriptors(4, 2048, 7) + descriptors[[5, 900, 1700, 2999]]
    where = Where(floor="first")
    with PlaceMemory.open(tmp_path / "m") as memory:
        found = memory.search(queries, k=9)
        filtered = memory.search(queries, k=9, where=where)
        assert not memory.rows.is_resident
        _ = memory.descriptors
        assert memory.rows.is_resident
        assert memory.search(queries, k=9) == found
        assert memory.search(queries, k=9, where=where) == filtered
        unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        scores = unit.astype(np.float64) @ memory.descriptors.T.astype(np.float64)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :9]
    assert [[c.place.index for c in row] for row in found] == best.tolist()


def test_many_threads_may_use_one_memory(path: Path) -> None:
    def add(number: int) -> None:
        for start in range(0, 40, 4):
            memory.add(make_frames(4, f"t{number}", start), make_descriptors(4, 64, number))

    def look(_: int) -> None:
        for query in make_descriptors(20, 64):
            [found] = memory.search(query, k=3)
            assert found[0].similarity > 0.999
            _ = memory.places[-1].name, memory.is_current()

    with PlaceMemory.open(path) as memory:
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(add, i) for i in range(4)] + [
                pool.submit(look, i) for i in range(4)
            ]
            for job in jobs:
                job.result()
        assert memory.sessions() == {"run1": 50, **{f"t{i}": 40 for i in range(4)}}
        memory.check()


def test_replaced_and_removed_places_leave_no_room_behind(path: Path) -> None:
    with PlaceMemory.open(path) as memory:
        for seed in range(5):
            memory.add(make_frames(50), make_descriptors(50, 64, seed))
        memory.check()
        memory.add(make_frames(50, "run2"), make_descriptors(50, 64))
        before = path.stat().st_size
        memory.remove("run2")
        memory.add(make_frames(50, "run3"), make_descriptors(50, 64))
        memory.check()
        assert path.stat().st_size == before


@pytest.mark.parametrize("keep", [0.99, 0.5, 0.1])
def test_a_truncated_file_is_refused(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises((MemoryDamagedError, MemoryFormatError), match=path.name):
        PlaceMemory.open(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    text, foreign = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("not a memory, but long enough to have a header" * 100)
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE places (x)")
    connection.close()
    for path in (text, foreign, tmp_path):
        with pytest.raises(MemoryFormatError, match=path.name):
            PlaceMemory.open(path)


def test_another_format_version_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(MemoryFormatError, match="format 999"):
        PlaceMemory.open(path)


def test_a_full_disk_loses_nothing(path: Path) -> None:
    with PlaceMemory.open(path) as memory:
        connection = memory._store._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(MemoryStoreError, match="disk is full"):
            memory.add(make_frames(500, "run2"), make_descriptors(500, 64))
        assert len(memory) == 50
    with PlaceMemory.open(path) as memory:
        assert memory.sessions() == {"run1": 50}


def test_a_second_writer_gets_a_clear_error(path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sqlite_store, "_WAIT_SECONDS", 0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with PlaceMemory.open(path) as memory:
            with pytest.raises(MemoryLockedError, match="another process is writing"):
                memory.add(make_frames(1, "run2"), make_descriptors(1, 64))
            assert len(memory) == 50  # reading goes on
    finally:
        other.close()


def test_readers_see_a_writer_after_refresh(path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, '.');"
        "from placememory.memory import PlaceMemory;"
        "from tests.conftest import *;"
        "m = PlaceMemory.open(sys.argv[1]);"
        "m.add(make_frames(7, 'run2'), make_descriptors(7, 64)); m.close()"
    )
    with (
        PlaceMemory.open(path, readonly=True) as reader,
        PlaceMemory.open(path, readonly=True) as second,
    ):
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        assert len(reader) == 50  # what was open stays as it was
        assert len(reader.search(make_descriptors(1, 64), k=100)[0]) == 50
        reader.refresh()
        assert len(reader) == 57
        assert len(second) == 50


def test_a_reader_cannot_write(path: Path) -> None:
    with (
        PlaceMemory.open(path, readonly=True) as memory,
        pytest.raises(MemoryStoreError, match="readonly"),
    ):
        memory.add(make_frames(1, "run2"), make_descriptors(1, 64))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_can_be_opened(path: Path) -> None:
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        with PlaceMemory.open(path, readonly=True) as memory:
            assert len(memory) == 50
    finally:
        path.parent.chmod(0o755)


def test_float16_halves_the_file_and_keeps_the_order(tmp_path: Path) -> None:
    sizes = {}
    descriptors = make_descriptors(100, 3584)
    for dtype in ("float32", "float16"):
        uri = tmp_path / dtype
        with PlaceMemory.create(uri, encoder=make_card(3584), dtype=dtype) as memory:
            memory.add(make_frames(100), descriptors)
        with PlaceMemory.open(uri) as memory:
            [found] = memory.search(descriptors[17], k=1)
            assert found[0].place.index == 17
            np.testing.assert_allclose(memory.descriptors, descriptors, atol=1e-3)
        sizes[dtype] = uri.stat().st_size
    assert sizes["float16"] < 0.7 * sizes["float32"]


def test_a_closed_memory_says_so(path: Path) -> None:
    memory = PlaceMemory.open(path)
    memory.close()
    memory.close()
    with pytest.raises(MemoryStoreError, match="closed"):
        memory.refresh()


@pytest.fixture
def first_format(tmp_path: Path) -> Path:
    """A memory of 12 places that version 0.1.0 wrote."""
    path = tmp_path / "old.memory"
    shutil.copy(Path(__file__).parent / "data" / "format_1.sqlite", path)
    return path


def test_a_memory_of_the_first_format_is_read(first_format: Path) -> None:
    with PlaceMemory.open(first_format) as memory:
        assert [p.name for p in memory.places] == [f.name for f in make_frames(12)]
        np.testing.assert_array_equal(memory.descriptors, make_descriptors(12))
        [found] = memory.search(make_descriptors(12)[7], k=1, where=Where(floor="first"))
        assert found[0].place.index == 7
        with pytest.raises(MemoryFormatError, match="placememory upgrade"):
            memory.add(make_frames(1, "run2"), make_descriptors(1))


def test_a_memory_of_the_first_format_is_converted(first_format: Path) -> None:
    with PlaceMemory.open(first_format) as memory:
        revision, manifest = memory.revision, memory.manifest
        sequences = memory.rows.sequences
    assert "converted" in run_command("upgrade", first_format).err
    assert "already" in run_command("upgrade", first_format).err
    assert [p.name for p in first_format.parent.iterdir()] == ["old.memory"]
    with PlaceMemory.open(first_format) as memory:
        memory.check()
        assert memory.revision == revision
        np.testing.assert_array_equal(memory.rows.sequences, sequences)
        for field in ("calibration", "sources", "map_yaml", "dim", "sequence_dim", "card_hash"):
            assert getattr(memory.manifest, field) == getattr(manifest, field)
        memory.add(make_frames(1, "run2"), make_descriptors(1))


def test_a_damaged_memory_of_the_first_format_is_refused(first_format: Path) -> None:
    data = bytearray(first_format.read_bytes())
    data[data.index(make_descriptors(12)[5].tobytes()) + 3] ^= 1
    first_format.write_bytes(bytes(data))
    with pytest.raises(MemoryDamagedError, match="checksum"):
        PlaceMemory.open(first_format)
    assert "checksum" in run_command("upgrade", first_format, expect=1).err
