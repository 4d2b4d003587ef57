"""What only Milvus Lite can suffer: old files, foreign folders, other processes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import (
    MemoryDamagedError,
    MemoryFormatError,
    MemoryLockedError,
    MemoryNotFoundError,
    MemoryStoreError,
    SettingError,
)
from placememory.frames import Frame, Pose
from placememory.memory import PlaceMemory, import_collection, index_recall
from placememory.memory.stores import milvus
from placememory.memory.stores.milvus_client import State, connect
from tests.conftest import make_card, make_descriptors, make_frames

pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A Lite folder of 50 places."""
    path = tmp_path / "office"
    with PlaceMemory.create(f"milvus-lite:{path}", encoder=make_card(16)) as memory:
        memory.add(make_frames(50), make_descriptors(50, 16))
    return path


def test_a_file_of_an_older_lite_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "milvus_demo.db"
    old.write_bytes(b"SQLite format 3\0" + bytes(4000))
    with pytest.raises(MemoryFormatError, match="since version 3"):
        PlaceMemory.open(f"milvus-lite:{old}")


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"x")
    for call in (PlaceMemory.open, lambda uri: PlaceMemory.create(uri, encoder=make_card())):
        with pytest.raises(MemoryFormatError, match="not a Milvus Lite folder"):
            call(f"milvus-lite:{tmp_path}")
    assert [p.name for p in tmp_path.iterdir()] == ["photo.png"]


def test_a_second_process_gets_a_clear_error(path: Path) -> None:
    script = (
        "import sys; from placememory.memory import PlaceMemory; from placememory import errors\n"
        "try: PlaceMemory.open(sys.argv[1])\n"
        "except errors.MemoryLockedError as error: print(error)"
    )
    uri = f"milvus-lite:{path}"
    with PlaceMemory.open(uri):
        done = subprocess.run(
            [sys.executable, "-c", script, uri], capture_output=True, text=True, check=True
        )
        assert "another process" in done.stdout
        with pytest.raises(MemoryLockedError):
            PlaceMemory.open(uri)
    with PlaceMemory.open(uri) as memory:  # the lock went with the close
        assert len(memory) == 50


def test_rows_that_an_older_manifest_hides_are_noticed(path: Path) -> None:
    """Lite falls back to an older manifest of its own in silence; our count tells."""
    collection = path / "collections" / "places"
    manifest = json.loads((collection / "manifest.json").read_text())
    for partition in manifest["partitions"].values():
        partition["data_files"] = []
    (collection / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MemoryDamagedError):
        PlaceMemory.open(f"milvus-lite:{path}")


def test_an_address_without_a_collection_is_refused() -> None:
    with pytest.raises(SettingError, match="http://host:port/collection"):
        PlaceMemory.open("http://localhost:19530")


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(MemoryNotFoundError):
        PlaceMemory.open(f"milvus-lite:{tmp_path / 'none'}")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_file_is_noticed_or_not_needed(path: Path, tmp_path: Path) -> None:
    query = make_descriptors(1, 16, seed=3)
    with PlaceMemory.open(f"milvus-lite:{path}") as memory:
        expected = memory.search(query)
    noticed = []
    for i, file in enumerate(sorted(p for p in path.rglob("*") if p.is_file())):
        copied = tmp_path / f"copy{i}"
        shutil.copytree(path, copied)
        (copied / file.relative_to(path)).unlink()
        try:
            with PlaceMemory.open(f"milvus-lite:{copied}") as memory:
                assert memory.search(query) == expected, file
                memory.check()
        except MemoryStoreError as error:
            noticed.append(str(error))
    assert len(noticed) >= 3
    assert all(str(tmp_path / "copy") in message for message in noticed)


def test_milvus_shows_and_filters_the_columns(path: Path) -> None:
    connection = connect(f"milvus-lite:{path}", create=False)
    client = connection.client
    client.load_collection("places")
    found = client.query(
        "places",
        filter='session == "run1" and floor == "first" and x > 4.5 and stamp < 5000000000',
        output_fields=["name", "index", "vertex_id", "x", "y", "z", "qz", "qw", "yaw", "extra"],
    )
    connection.close()
    rows = sorted((dict(row) for row in found), key=lambda row: row["index"])
    assert [row["index"] for row in rows] == [5, 7]
    yaw = pytest.approx(0.5)
    assert rows[0] == {
        **{"key": "run1/000000000005", "name": "run1/0005.png", "index": 5, "vertex_id": 105},
        **{"x": 5.0, "y": 0.5, "z": 0.0, "yaw": yaw, "extra": ""},
        **{"qz": pytest.approx(np.sin(0.25)), "qw": pytest.approx(np.cos(0.25))},
    }


def test_a_memory_is_made_of_a_collection_of_a_tutorial(tmp_path: Path) -> None:
    import pymilvus

    source, kind = f"milvus-lite:{tmp_path / 'tutorial'}", pymilvus.DataType
    connection = connect(source, create=True)
    schema = pymilvus.MilvusClient.create_schema(auto_id=True)
    schema.add_field("image_id", kind.INT64, is_primary=True)
    schema.add_field("image_name", kind.VARCHAR, max_length=512)
    schema.add_field("vertex_id", kind.INT64)
    schema.add_field("pose_x", kind.FLOAT)
    schema.add_field("pose_y", kind.FLOAT)
    schema.add_field("embedding", kind.FLOAT_VECTOR, dim=8)
    index = pymilvus.MilvusClient.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type="IP")
    connection.client.create_collection("places", schema=schema, index_params=index)
    rows = [
        {"image_name": f"{i}.png", "vertex_id": 9 - i, "pose_x": 0.5 * i, "pose_y": 2.0}
        for i in range(9)
    ]
    vectors = make_descriptors(9)
    entities = [{**row, "embedding": v} for row, v in zip(rows, vectors, strict=True)]
    connection.client.insert("places", entities)
    connection.close()
    with pytest.raises(MemoryFormatError, match=r"image_name.*embedding.*copy --collection"):
        PlaceMemory.open(source)
    with import_collection(source, tmp_path / "m", session="tour") as memory:
        assert [place.name for place in memory.places] == [f"{i}.png" for i in reversed(range(9))]
        first = memory.places[0]
        assert (first.id, first.vertex_id, first.pose) == (("tour", 0), 1, Pose(4.0, 2.0))
        np.testing.assert_array_equal(memory.descriptors, vectors[::-1])


def test_many_sessions_fit_the_manifest(tmp_path: Path) -> None:
    frames = [Frame(f"{i}.png", f"a session with a long name, {i:04d}", i) for i in range(700)]
    uri = f"milvus-lite:{tmp_path / 'm'}"
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(frames, make_descriptors(700))
        for_one = memory.search(make_descriptors(1), 1)
    with PlaceMemory.open(uri) as memory:
        assert memory.sessions() == {frame.session: 1 for frame in frames}
        assert memory.search(make_descriptors(1), 1) == for_one


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://me:secret@host:port/office", "port"),
        ("http://me:secret@host:99999/office", "port"),
        ("http://me:sec/ret@host:19530/office", "port"),
        ("http://me:secret@/office", "no host"),
        ("http://me:secret@host:19530", "no collection"),
        ("http://me:secret@host:19530/an office", "no collection"),
    ],
)
def test_a_bad_address_is_refused_without_its_password(address: str, message: str) -> None:
    with pytest.raises(SettingError, match=message) as error:
        PlaceMemory.open(address)
    assert not re.search("sec|ret", str(error.value))


def test_a_password_goes_to_the_server_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import pymilvus

    given = {}

    def refuse(**arguments: object) -> None:
        given.update(arguments)
        raise pymilvus.MilvusException(message="nobody is there")

    monkeypatch.setattr(pymilvus, "MilvusClient", refuse)
    with pytest.raises(MemoryStoreError, match=r"//\*\*\*@host:19530/office: no Milvus") as error:
        PlaceMemory.open("http://me:p%40ss@host:19530/office")
    assert (given["uri"], given["token"]) == ("http://host:19530", "me:p@ss")
    assert "p@ss" not in str(error.value)
    assert "p%40ss" not in str(error.value)


def test_recall_of_an_index_is_measured(path: Path) -> None:
    with PlaceMemory.open(f"milvus-lite:{path}") as memory:
        measured = index_recall(memory, k=5)
        assert (measured.recall, measured.queries, measured.places) == (1.0, 50, 50)
        assert "recall@5 100.0 %" in str(measured)


def test_a_collection_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    uri = f"milvus-lite:{tmp_path / 'm'}"
    connection = connect(uri, create=True)
    client = connection.client
    client.create_collection("places", dimension=4)
    client.insert("places", [{"id": 1, "vector": [1.0, 0.0, 0.0, 0.0]}])
    client.flush("places")
    connection.close()
    with pytest.raises(MemoryFormatError, match="choose another name"):
        PlaceMemory.create(uri, encoder=make_card())
    connection = connect(uri, create=False)
    assert connection.client.get_collection_stats("places")["row_count"] == 1
    connection.close()


def test_a_creation_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "m/collections/places").mkdir(parents=True)
    uri = f"milvus-lite:{tmp_path / 'm'}"
    with pytest.raises(MemoryNotFoundError):
        PlaceMemory.open(uri)
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(3), make_descriptors(3))
        assert len(memory) == 3


@pytest.mark.parametrize("replacing", [False, True])
def test_a_write_that_was_cut_off_loses_no_older_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch, replacing: bool
) -> None:
    """The rows arrive, the confirmation does not."""
    uri = f"milvus-lite:{path}"
    frames = make_frames(5, "run1" if replacing else "run2")
    with PlaceMemory.open(uri) as memory:
        write = milvus.write_state

        def only_announce(connection: object, state: State) -> None:
            if not state.pending:
                raise KeyboardInterrupt
            write(connection, state)

        monkeypatch.setattr(milvus, "write_state", only_announce)
        with pytest.raises(KeyboardInterrupt):
            memory.add(frames, make_descriptors(5, 16, seed=7))
        monkeypatch.undo()
    with PlaceMemory.open(uri) as memory:
        assert memory.sessions() == {"run1": 50}
        assert memory.manifest.count == 50
        expected = make_descriptors(5, 16, seed=7) if replacing else make_descriptors(50, 16)[:5]
        np.testing.assert_array_equal(memory.descriptors[:5], expected)
