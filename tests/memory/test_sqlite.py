"""What only the SQLite file can suffer: damage, other files, other processes, a full disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import (
    MemoryDamagedError,
    MemoryFormatError,
    MemoryLockedError,
    MemoryStoreError,
)
from placememory.memory import PlaceMemory
from placememory.memory.stores import sqlite as sqlite_store
from tests.conftest import make_card, make_descriptors, make_frames


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory of 50 places."""
    path = tmp_path / "office.memory"
    with PlaceMemory.create(path, encoder=make_card(64)) as memory:
        memory.add(make_frames(50), make_descriptors(50, 64))
    return path


def test_a_closed_memory_is_one_file(path: Path) -> None:
    assert [p.name for p in path.parent.iterdir()] == ["office.memory"]


def test_a_flipped_byte_of_a_descriptor_is_noticed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    needle = make_descriptors(50, 64)[20].tobytes()
    data[data.index(needle) + 100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(MemoryDamagedError, match="checksum"):
        PlaceMemory.open(path)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM places WHERE idx = 7",
        "UPDATE places SET place = replace(place, '0007', '0008') WHERE idx = 7",
        "UPDATE places SET descriptor = x'00' WHERE idx = 7",
        "INSERT INTO places SELECT 'other', idx, place, descriptor, NULL, 0 FROM places LIMIT 1",
    ],
)
def test_rows_changed_behind_our_back_are_noticed(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(MemoryDamagedError):
        PlaceMemory.open(path)


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
