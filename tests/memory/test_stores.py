"""One suite for every store: SQLite, Milvus Lite, and a Milvus server where one is given.

The server's address is taken from ``PLACEMEMORY_TEST_MILVUS`` (``http://host:port``); the test in
``test_milvus_server.py`` starts a real server and runs this file against it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import (
    DescriptorError,
    EncoderMismatchError,
    InputError,
    MemoryLockedError,
    MemoryNotFoundError,
    MemoryStoreError,
    MemoryUnfinishedError,
    SettingError,
)
from placememory.frames import Frame, Pose
from placememory.memory import PlaceMemory, Where, copy, merge
from tests.conftest import make_card, make_descriptors, make_frames

SERVER = os.environ.get("PLACEMEMORY_TEST_MILVUS")
STORES = ["server"] if SERVER else ["sqlite", "lite"]


@pytest.fixture(params=STORES)
def new_uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[object]:
    """A function that gives fresh addresses of one kind of store."""
    kind = request.param
    if kind == "lite":
        pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")

    def make() -> str:
        name = f"m{uuid.uuid4().hex[:12]}"
        if kind == "server":
            return f"{SERVER}/{name}"
        return f"milvus-lite:{tmp_path / name}" if kind == "lite" else str(tmp_path / name)

    return make


@pytest.fixture
def uri(new_uri) -> str:
    return new_uri()


def test_places_come_back_as_they_were_written(uri: str) -> None:
    frames = [*make_frames(3), Frame("a b/ü.png", "run/2 x", 7), *make_frames(2, "run0")]
    descriptors = make_descriptors(len(frames))
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        assert memory.add(frames, descriptors) == len(frames)
    with PlaceMemory.open(uri, encoder=make_card()) as memory:
        assert [p.id for p in memory.places] == sorted((f.session, f.index) for f in frames)
        assert memory.manifest.frame_id == "map"
        assert memory.sessions() == {"run/2 x": 1, "run0": 2, "run1": 3}
        order = sorted(range(len(frames)), key=lambda i: (frames[i].session, frames[i].index))
        np.testing.assert_array_equal(memory.descriptors, descriptors[order])
        for place, i in zip(memory.places, order, strict=True):
            assert (place.name, place.stamp, place.pose) == (
                frames[i].name,
                frames[i].stamp,
                frames[i].pose,
            )
            assert (place.vertex_id, place.floor) == (frames[i].vertex_id, frames[i].floor)
        memory.check()


def test_covariance_and_a_position_without_heading_are_kept(uri: str) -> None:
    covariance = tuple(float(i) for i in range(36))
    frames = [
        Frame("a", "s", 0, pose=Pose(1.0, 2.0, 3.0, frame_id="utm")),
        Frame("b", "s", 1, pose=Pose(1.0, 2.0, 3.0, (0, 0, 0, 1), "utm", covariance)),
    ]
    with PlaceMemory.create(uri, encoder=make_card(), frame_id="utm") as memory:
        memory.add(frames, make_descriptors(2))
        first, second = memory.places
    assert first.pose is not None
    assert first.pose.quaternion is None
    assert first.pose.frame_id == "utm"
    assert second.pose is not None
    assert second.pose.covariance == covariance


def test_a_pose_in_another_frame_is_refused(uri: str) -> None:
    odom = [replace(f, pose=replace(f.pose, frame_id="odom")) for f in make_frames(3)]
    with PlaceMemory.create(uri, encoder=make_card(), frame_id="site") as memory:
        with pytest.raises(InputError, match=r"'site'.*'run1/0000.png' is in 'odom'"):
            memory.add(odom, make_descriptors(3))
        memory.add(make_frames(3, "run2"), make_descriptors(3))  # they name no frame
        memory.add([Frame("a", "s", 0)], make_descriptors(1))  # without a pose
        assert len(memory) == 4


def test_masked_descriptors_are_refused(uri: str) -> None:
    descriptors = np.ma.masked_array(make_descriptors(3), np.eye(3, 8))
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        with pytest.raises(DescriptorError, match="masked"):
            memory.add(make_frames(3), descriptors)
        memory.add(make_frames(3), make_descriptors(3))
        with pytest.raises(DescriptorError, match="masked"):
            memory.search(descriptors)
        with pytest.raises(SettingError, match="using is 'foo'"):
            memory.search(make_descriptors(1), using="foo")


@pytest.mark.parametrize("value", [np.nan, np.inf, "high"])
def test_a_calibration_that_cannot_be_stored_is_refused(uri: str, value: object) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.set_calibration({"slope": 2.0})
        with pytest.raises(SettingError, match=r"calibration\.a"):
            memory.set_calibration({"a": value})
    with PlaceMemory.open(uri) as memory:
        assert memory.manifest.calibration == {"slope": 2.0}


def test_adding_again_replaces_and_does_not_duplicate(uri: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(5), make_descriptors(5))
        memory.add(make_frames(3, start=3), make_descriptors(3, seed=1))
        assert len(memory) == 8 - 2
        np.testing.assert_array_equal(memory.descriptors[3:], make_descriptors(3, seed=1))
    with PlaceMemory.open(uri) as memory:
        assert memory.manifest.count == 6


def test_search_equals_brute_force_with_ties_by_place_id(uri: str) -> None:
    frames = make_frames(60)
    descriptors = make_descriptors(60)
    descriptors[40:50] = descriptors[10]  # ten equal places
    shuffled = np.random.default_rng(3).permutation(60)
    queries = np.concatenate([make_descriptors(7, seed=5), descriptors[10:11]])
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add([frames[i] for i in shuffled], descriptors[shuffled])
        found = memory.search(queries, k=20)
        alone = [memory.search(query, k=20)[0] for query in queries]
    exact = (queries.astype(np.float64) @ descriptors.T.astype(np.float64)).astype(np.float32)
    for row, candidates in zip(exact, found, strict=True):
        expected = np.lexsort((np.arange(60), -row))[:20]
        assert [c.place.index for c in candidates] == expected.tolist()
        assert [c.rank for c in candidates] == list(range(1, 21))
        np.testing.assert_allclose([c.similarity for c in candidates], row[expected], atol=1e-6)
    assert found == alone


def test_more_than_there_is_and_nothing_at_all(uri: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        assert memory.search(make_descriptors(2), k=3) == [[], []]
        assert memory.add([], np.empty((0, 8), np.float32)) == 0
        memory.add(make_frames(2), make_descriptors(2))
        assert [len(c) for c in memory.search(make_descriptors(3), k=100)] == [2, 2, 2]
        assert memory.search(np.empty((0, 8), np.float32)) == []
        with pytest.raises(SettingError, match="k must be at least 1"):
            memory.search(make_descriptors(1), k=0)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where(session="run2"), {("run2", i) for i in range(4)}),
        (Where(session=["run1", "run3"]), {("run1", i) for i in range(6)}),
        (
            Where(stamp=(1_500_000_000, 2_000_000_000)),
            {(s, i) for s in ("run1", "run2") for i in (1, 2)},
        ),
        (Where(near=(2.0, 0.5), radius=1.0), {(s, i) for s in ("run1", "run2") for i in (1, 2, 3)}),
        (Where(near=(2.0, 0.5, 5.0), radius=1.0), set()),
        (Where(floor="first", session="run1"), {("run1", i) for i in (1, 3, 5)}),
    ],
)
def test_filters(uri: str, where: Where, expected: set[tuple[str, int]]) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(
            [*make_frames(6), *make_frames(4, "run2"), Frame("nowhere", "run4", 0)],
            make_descriptors(11),
        )
        [candidates] = memory.search(make_descriptors(1, seed=9), k=20, where=where)
    assert {c.place.id for c in candidates} == expected


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: np.where(np.arange(8) == 2, np.nan, d), "NaN"),
        (lambda d: d * np.array([[1], [0], [1]], np.float32), "are zero: run1/0001.png"),
        (lambda d: d[:, :7], r"\(N, 8\)"),
        (lambda d: d[:2], "3 frames but 2 descriptors"),
        (lambda d: (d * 100).astype(np.int32), "floating-point"),
        (lambda d: d[None], r"\(N, 8\)"),
    ],
)
def test_bad_descriptors_are_refused_and_nothing_is_written(uri: str, spoil, message: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(1, "before"), make_descriptors(1))
        with pytest.raises(DescriptorError, match=message):
            memory.add(make_frames(3), spoil(make_descriptors(3)))
        assert len(memory) == 1
        memory.refresh()
        assert len(memory) == 1


def test_bad_queries_are_refused(uri: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(2), make_descriptors(2))
        for bad in (
            np.full(8, np.nan, np.float32),
            np.zeros(8, np.float32),
            np.ones(7, np.float32),
        ):
            with pytest.raises(DescriptorError):
                memory.search(bad)


def test_descriptors_are_brought_to_unit_norm(uri: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(2), 7.5 * make_descriptors(2))
        np.testing.assert_allclose(np.linalg.norm(memory.descriptors, axis=1), 1.0, atol=1e-6)
        [[best]] = memory.search(100.0 * make_descriptors(2)[:1], k=1)
        assert best.similarity == pytest.approx(1.0, abs=1e-6)


def test_two_frames_of_one_id_in_a_call_are_refused(uri: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        with pytest.raises(DescriptorError, match="same session and index"):
            memory.add([*make_frames(1), *make_frames(1)], make_descriptors(2))
        assert len(memory) == 0


def test_another_encoder_is_refused(uri: str) -> None:
    card, other = make_card(), make_card(options={"words": 64})
    with PlaceMemory.create(uri, encoder=card) as memory:
        with pytest.raises(EncoderMismatchError, match="options"):
            memory.add(make_frames(1), make_descriptors(1), encoder=other)
        assert memory.add(make_frames(1), make_descriptors(1), encoder=card) == 1
    with pytest.raises(EncoderMismatchError, match="options"):
        PlaceMemory.open(uri, encoder=other)
    with PlaceMemory.open(uri, encoder=card) as memory:
        assert len(memory) == 1


def test_a_large_fitted_card_survives(uri: str) -> None:
    words = np.random.default_rng(0).normal(size=(256, 112)).astype(np.float32)
    card = make_card(fitted={"words": words})
    PlaceMemory.create(uri, encoder=card).close()
    with PlaceMemory.open(uri) as memory:
        np.testing.assert_array_equal(memory.card.fitted["words"], words)
        assert memory.card.hash == card.hash


def test_sequence_descriptors_are_kept_beside(uri: str) -> None:
    sequences = make_descriptors(4, dim=5, seed=2)
    sequences[1] = np.nan
    with PlaceMemory.create(uri, encoder=make_card(), sequence_dim=5) as memory:
        memory.add(make_frames(4), make_descriptors(4), sequences)
        memory.add(make_frames(2, "run2"), make_descriptors(2))
    with PlaceMemory.open(uri) as memory:
        kept = memory.rows.sequences
        assert kept is not None
        np.testing.assert_array_equal(kept[:4], sequences)
        assert np.isnan(kept[4:]).all()
    with PlaceMemory.open(uri) as memory, pytest.raises(DescriptorError, match="sequence"):
        memory.add(make_frames(4), make_descriptors(4), sequences[:, :3])


def test_remove_a_session(uri: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add([*make_frames(5), *make_frames(4, 'run "2"')], make_descriptors(9))
        assert memory.remove('run "2"') == 4
        assert memory.sessions() == {"run1": 5}
        with pytest.raises(SettingError, match="has no session 'run9'"):
            memory.remove("run9")
    with PlaceMemory.open(uri) as memory:
        assert memory.manifest.count == len(memory) == 5


def test_a_memory_that_is_not_there(uri: str) -> None:
    assert not PlaceMemory.exists(uri)
    with pytest.raises(MemoryNotFoundError):
        PlaceMemory.open(uri)


def test_creating_over_a_memory_is_refused(uri: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(2), make_descriptors(2))
    assert PlaceMemory.exists(uri)
    with pytest.raises(MemoryLockedError):
        PlaceMemory.create(uri, encoder=make_card())
    with PlaceMemory.open(uri) as memory:
        assert len(memory) == 2


def test_copy_is_bit_for_bit_and_resumes(new_uri, tmp_path: Path) -> None:
    source, target, back = tmp_path / "source.memory", new_uri(), tmp_path / "back.memory"
    with PlaceMemory.create(source, encoder=make_card(), sequence_dim=8) as memory:
        memory.add(make_frames(40), make_descriptors(40), make_descriptors(40, seed=8))
        memory.set_calibration({"slope": 2.0})
        rows = memory.rows.take(range(40))
    task = f"the copy of {source}"
    with PlaceMemory.create(target, encoder=make_card(), sequence_dim=8, unfinished=task) as half:
        half.add_rows(rows.take(range(10)))
    with pytest.raises(MemoryUnfinishedError, match=f"{task} was cut off"):
        PlaceMemory.open(target)
    with pytest.raises(MemoryUnfinishedError, match=f"{task} was cut off"):
        merge([source], target)
    with copy(source, target) as copied:
        np.testing.assert_array_equal(copied.descriptors, rows.descriptors)
        assert copied.manifest.calibration == {"slope": 2.0}
    with copy(target, back) as returned:
        np.testing.assert_array_equal(returned.descriptors, rows.descriptors)
        np.testing.assert_array_equal(returned.rows.sequences, rows.sequences)
        assert list(returned.places) == list(rows.places)
        assert returned.manifest.checksum == int(rows.checksums.sum())


def test_merge_keeps_sessions_apart(new_uri, tmp_path: Path) -> None:
    first, second, target = tmp_path / "a.memory", tmp_path / "b.memory", new_uri()
    for path, session in ((first, "run1"), (second, "run2")):
        with PlaceMemory.create(path, encoder=make_card()) as memory:
            memory.add(make_frames(3, session), make_descriptors(3))
    with merge([first, second], target) as merged:
        assert merged.sessions() == {"run1": 3, "run2": 3}
    with merge([first, second], target) as again:  # as after an interruption
        assert len(again) == 6


def test_the_index_of_the_store_agrees_with_exact_where_it_is_flat(uri: str) -> None:
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(200), make_descriptors(200))
        queries = make_descriptors(5, seed=4)
        if "milvus" not in uri and "http" not in uri:
            with pytest.raises(SettingError, match="only a Milvus store"):
                memory.search(queries, using="store")
            return
        exact = memory.search(queries, k=10)
        flat = memory.search(queries, k=10, using="store")
        assert [[c.place for c in q] for q in flat] == [[c.place for c in q] for q in exact]
        near = Where(near=(50.0, 0.5), radius=5.0)
        assert [
            [c.place.id for c in q] for q in memory.search(queries, k=3, where=near, using="store")
        ] == [[c.place.id for c in q] for q in memory.search(queries, k=3, where=near)]
        for kind in ("ivf", "hnsw"):
            memory.make_index(kind)
            assert memory.manifest.index == kind
            approximate = memory.search(queries, k=10, using="store")
            assert all(len(found) == 10 for found in approximate)


def test_nobody_loads_a_memory_that_milvus_holds(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to the client are the answers, whatever is asked."""
    if "milvus" not in uri and "http" not in uri:
        pytest.skip("the file itself is mapped here")
    import pymilvus

    received = []
    for name in ("query", "search"):
        ask = getattr(pymilvus.MilvusClient, name)

        def count(*given: object, ask=ask, **more: object) -> object:
            found = ask(*given, **more)
            received.append(sum(len(f) if isinstance(f, list) else 1 for f in found))
            return found

        monkeypatch.setattr(pymilvus.MilvusClient, name, count)
    frames = [*make_frames(900), *make_frames(900, "run2")]
    with PlaceMemory.create(tmp_path / "m", encoder=make_card()) as here:
        here.add(frames, make_descriptors(1800))
        with PlaceMemory.create(uri, encoder=make_card()) as memory:
            memory.add(frames, make_descriptors(1800))
        with PlaceMemory.open(uri) as memory:
            received.clear()
            queries = make_descriptors(3, seed=7)
            assert len(memory) == 1800
            assert memory.sessions() == {"run1": 900, "run2": 900}
            for where in (
                None,
                Where(session="run2", floor="first"),
                Where(exclude_sessions="run1", stamp=(5_000_000_000, 90_000_000_000)),
                Where(near=(450.0, 0.5), radius=20.0),
                Where(near=(450.0, 0.5), radius=1e308),
                Where(near=(450.0, 0.5, 0.0), radius=0.0),
                Where(session="run9"),
            ):
                assert memory.search(queries, 5, where) == here.search(queries, 5, where)
            with pytest.raises(SettingError, match="no session 'run9' to leave out"):
                memory.search(queries, 5, Where(exclude_sessions="run9"))
            where = Where(session=["run2", "run9"], near=(100.0, 0.5), radius=7.0, floor="ground")
            chosen, expected = memory.rows.select(where), here.rows.select(where)
            assert list(chosen.places) == list(expected.places)
            np.testing.assert_array_equal(chosen.descriptors, expected.descriptors)
            memory.add(make_frames(2, "run3"), make_descriptors(2))
            assert memory.remove("run3") == 2
            assert memory.is_current() is False
            assert sum(received) < 600
            assert memory.search(queries, 5, using="exact") == here.search(queries, 5)
            assert sum(received) >= 1800


def test_a_radius_is_searched_until_enough_lie_inside(uri: str) -> None:
    """The box around the circle is full of places that look more alike, in its corners."""
    query = np.float32([1, 0, 0, 0, 0, 0, 0, 0])
    corners = [
        Frame(f"c{i}", "corner", i, pose=Pose(9.5 * sx, 9.5 * sy))
        for i, (sx, sy) in enumerate([(1, 1), (1, -1), (-1, 1), (-1, -1)] * 60)
    ]
    inside = [Frame(f"i{i}", "inside", i, pose=Pose(float(i), 0.0)) for i in range(12)]
    descriptors = np.repeat(query[None], 252, axis=0)
    descriptors[240:, 1] = np.linspace(1, 2, 12)
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add([*corners, *inside], descriptors)
        [found] = memory.search(query, 5, Where(near=(0.0, 0.0), radius=10.0))
        assert [c.place.id for c in found] == [("inside", i) for i in range(5)]
        [few] = memory.search(query, 9, Where(near=(0.0, 0.0), radius=3.0))
        assert [c.place.index for c in few] == [0, 1, 2, 3]
        [ties] = memory.search(query, 3)  # of 240 that are alike, the first
        assert [c.place.id for c in ties] == [("corner", 0), ("corner", 1), ("corner", 2)]


def test_a_revision_names_the_content(new_uri, tmp_path: Path) -> None:
    uri = new_uri()
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        empty = memory.revision
        memory.add(make_frames(3), make_descriptors(3))
        assert not memory.is_current()
        three = memory.revision
        assert memory.is_current()
        assert three != empty
        memory.set_sources({"run1": tmp_path})
        assert memory.is_current()
        moved = [replace(frame, pose=Pose(5.0, 5.0)) for frame in make_frames(3)]
        memory.add(moved, make_descriptors(3))
        assert memory.revision != three
        memory.add(make_frames(3), make_descriptors(3))
        assert memory.revision == three
    same = copy(uri, str(tmp_path / "copied.memory"))
    assert same.revision == three
    same.close()


def test_what_cannot_be_written_says_so_before(new_uri) -> None:
    uri = new_uri()
    with PlaceMemory.create(uri, encoder=make_card()) as memory:
        memory.add(make_frames(3), make_descriptors(3))
        memory.check_writable()
        revision = memory.revision
    with PlaceMemory.open(uri, readonly=True) as memory:
        assert memory.revision == revision
        with pytest.raises(MemoryStoreError, match="read"):
            memory.check_writable()
