"""A localizer follows its memory: refreshed while it runs, saved and loaded, seeded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.errors import InputError, PlaceMemoryError, SettingError
from placememory.fusion import Evidence, MapProfile, Odometry, PlaceTable, create
from placememory.localization import follow
from placememory.memory import Where
from tests.conftest import make_card, make_descriptors
from tests.localization.test_localizer import DIM, ToyEncoder, _frame, _image

STEP = Odometry(1.0, 0.0, 0.0)


def frames(session: str, indices: range, shift: float = 0.0) -> list[Frame]:
    return [
        Frame(f"{session}/{i}", session, i, pose=Pose.from_yaw(i + shift, 0.0, 0.0))
        for i in indices
    ]


def views(indices: range, noise: float = 0.0) -> np.ndarray:
    return ToyEncoder().encode([_image(i, noise, seed=i) for i in indices])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Forty places along a line, a metre apart."""
    made = tmp_path / "line.memory"
    with PlaceMemory.create(made, encoder=ToyEncoder.card) as memory:
        memory.add(frames("first", range(40)), views(range(40)))
    return made


def walk(localizer: Localizer, start: int, count: int, index: int = 0) -> list:
    steps = [(start + i, index + i) for i in range(count)]
    return [localizer.observe(_frame(place, i), STEP) for place, i in steps]


@pytest.mark.parametrize("fusion", ["bayes", "spatial", "heatmap", "frequency", None])
def test_places_of_another_process_are_taken_in(path: Path, fusion: str | None) -> None:
    with PlaceMemory.open(path, readonly=True) as memory, PlaceMemory.open(path) as other:
        matcher = None if fusion is None else "band-dp"
        localizer = Localizer(memory, ToyEncoder(), fusion=fusion, matcher=matcher, refresh_every=5)
        walk(localizer, 20, 10)
        first = localizer.revision
        assert localizer.latest.revision == first
        other.add(frames("a second", range(30, 70)), views(range(30, 70), 20.0))
        assert localizer.refresh()
        assert not localizer.refresh()
        assert localizer.revision != first
        seen = walk(localizer, 30, 30, index=10)
        assert {e.revision for e in seen} == {localizer.revision}
        assert seen[-1].candidates[0].place.id == ("a second", 59)
        if fusion is not None:
            assert seen[-1].verdict == "located"
            assert seen[-1].match.places[-1].id == ("a second", 59)
        assert seen[-1].hypothesis.distance_to(Pose(59.0, 0.0)) < 1.5


def test_the_belief_stays_with_its_places(path: Path) -> None:
    with PlaceMemory.open(path, readonly=True) as memory, PlaceMemory.open(path) as other:
        localizer, alone = Localizer(memory, ToyEncoder()), Localizer(memory, ToyEncoder())
        for one in (localizer, alone):
            assert walk(one, 5, 12)[-1].verdict == "located"
        other.add(frames("a", range(100, 130), 500.0), views(range(100, 130)))  # rows move on by 30
        assert localizer.refresh()
        [mine] = walk(localizer, 17, 1, index=12)
        [theirs] = walk(alone, 17, 1, index=12)
        assert mine.verdict == theirs.verdict == "located"
        assert mine.belief.best.place == theirs.belief.best.place == ("first", 17)
        assert mine.belief.frames == theirs.belief.frames == 13
        assert mine.probability == pytest.approx(theirs.probability, abs=0.05)


def test_places_that_move_or_go(path: Path) -> None:
    with PlaceMemory.open(path, readonly=True) as memory, PlaceMemory.open(path) as other:
        other.add(frames("b", range(40), 0.3), views(range(40), 20.0))
        localizer = Localizer(memory, ToyEncoder(), refresh_every=0)
        localizer.refresh()
        walk(localizer, 5, 12)
        other.add(frames("b", range(40), 100.3), views(range(40), 20.0))  # the map is moved
        other.add(frames("first", range(40), 100.0), views(range(40)))
        localizer.refresh()
        [moved] = walk(localizer, 17, 1, index=12)
        assert moved.verdict == "located"
        assert moved.pose.distance_to(Pose(117.1, 0.0)) < 1.0
        other.remove("first")
        localizer.refresh()
        [left] = walk(localizer, 18, 1, index=13)
        assert left.belief.best.place == ("b", 18)
        assert left.verdict == "located"
        other.remove("b")
        with pytest.raises(InputError, match="no places any more"):
            localizer.refresh()
        [stale] = walk(localizer, 19, 1, index=14)
        assert stale.revision == left.revision


def test_it_is_refreshed_by_itself_and_the_run_keeps_all_places(path: Path) -> None:
    with PlaceMemory.open(path, readonly=True) as memory, PlaceMemory.open(path) as other:
        localizer = Localizer(memory, ToyEncoder(), refresh_every=10)

        def change(estimate) -> None:
            if estimate.frame.index == 14:
                other.add(frames("second", range(40, 60)), views(range(40, 60)))
                other.remove("first")

        run = follow(localizer, [_frame(20 + i, i) for i in range(36)], on_estimate=change)
        revisions = [estimate.revision for estimate in run]
        assert revisions[:20] == revisions[:1] * 20
        assert revisions[20] != revisions[0]
        assert len(run.places) == 60
        assert {c.place.session for c in run.estimates[19].candidates} == {"first"}
        assert {c.place.session for c in run.estimates[20].candidates} == {"second"}
        assert run.score(2.0).recall.recalls[1].value > 0.95
        assert run.estimates[-1].verdict == "located"


def test_a_store_that_fails_leaves_the_map(path: Path, caplog, monkeypatch) -> None:
    with PlaceMemory.open(path, readonly=True) as memory:
        localizer = Localizer(memory, ToyEncoder(), refresh_every=4)

        def fail() -> bool:
            raise PlaceMemoryError("the network is down")

        monkeypatch.setattr(memory, "is_current", fail)
        seen = walk(localizer, 5, 9)
        assert seen[-1].verdict == "located"
        assert "the map stays as it was: the network is down" in caplog.text
        with pytest.raises(PlaceMemoryError, match="down"):
            localizer.refresh()


def test_the_places_that_are_searched_stay_those_of_the_filter(path: Path) -> None:
    with PlaceMemory.open(path) as memory:
        memory.add(frames("second", range(40)), views(range(40), 20.0))
        localizer = Localizer(memory, ToyEncoder(), where=Where(exclude_sessions="second"))
        memory.add(frames("third", range(40, 50)), views(range(40, 50)))
        assert localizer.refresh()
        assert {place.session for place in localizer.places} == {"first", "third"}
        growing = Localizer(memory, ToyEncoder(), fusion=None, growing=True)
        with pytest.raises(InputError, match="growing map"):
            growing.refresh()


@pytest.mark.parametrize("changed", [False, True])
def test_a_belief_outlives_a_restart(path: Path, tmp_path: Path, changed: bool) -> None:
    file = tmp_path / "robot.state"
    with PlaceMemory.open(path, readonly=True) as memory:
        straight, before = Localizer(memory, ToyEncoder()), Localizer(memory, ToyEncoder())
        for one in (straight, before):
            walk(one, 5, 12)
        before.save(file)
        [expected] = walk(straight, 17, 1, index=12)
        if changed:
            with PlaceMemory.open(path) as other:
                other.add(frames("a", range(100, 120), 500.0), views(range(100, 120)))
    with PlaceMemory.open(path, readonly=True) as memory:
        after = Localizer(memory, ToyEncoder())
        after.load(file)
        assert after.latest is None
        [found] = walk(after, 17, 1, index=12)
        assert found.verdict == expected.verdict == "located"
        assert found.belief.best.place == expected.belief.best.place
        assert found.belief.frames == expected.belief.frames
        assert found.probability == pytest.approx(expected.probability, abs=0.05 * changed + 1e-12)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("pause", [-100.0, 0.0, 2.0, 3600.0])
def test_any_time_may_pass_before_a_belief_goes_on(
    path: Path, tmp_path: Path, pause: float
) -> None:
    file = tmp_path / "robot.state"
    with PlaceMemory.open(path, readonly=True) as memory:
        before = Localizer(memory, ToyEncoder())
        assert walk(before, 5, 12)[-1].verdict == "located"
        before.save(file)
        after = Localizer(memory, ToyEncoder())
        after.load(file)
        start = 6.0 + pause  # seconds; the last frame was at 5.5
        black = np.zeros((4, 4, 3), np.uint8)
        blind = after.observe(
            Frame("dark", "q", 0, stamp=int(start * 1e9), read=lambda: black), STEP
        )
        assert (blind.note, blind.belief.frames) == ("featureless", 12)
        assert blind.verdict != "located" or 0.0 <= pause <= 4.0
        stamps = [int((start + 0.5 * (i + 1)) * 1e9) for i in range(3)]
        seen = [after.observe(_frame(18 + i, i, stamp=s), STEP) for i, s in enumerate(stamps)]
        assert {e.note for e in seen} == {""}
        assert [e.belief.frames for e in seen] == [13, 14, 15]
        assert seen[-1].verdict == "located"
        assert seen[-1].pose.distance_to(Pose(20.0, 0.0)) < 1.5


def test_a_state_that_does_not_belong_here_is_refused(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "robot.state"
    with PlaceMemory.open(path, readonly=True) as memory:
        localizer = Localizer(memory, ToyEncoder())
        walk(localizer, 5, 12)
        localizer.save(file)
        votes = Localizer(memory, ToyEncoder(), fusion="spatial")
        for call in (votes.save, votes.load):
            with pytest.raises(SettingError, match="only the fusion 'bayes'"):
                call(file)
        with pytest.raises(InputError, match="cannot be read"):
            localizer.load(tmp_path / "none.state")
    other = tmp_path / "other.memory"
    with PlaceMemory.create(other, encoder=ToyEncoder.card) as memory:
        memory.add(frames("first", range(40)), views(range(200, 240)))  # the same ids
        with pytest.raises(InputError, match="another memory"):
            Localizer(memory, ToyEncoder()).load(file)
    with PlaceMemory.create(":memory:", encoder=make_card(DIM, options={"a": 1})) as memory:
        memory.add(frames("first", range(40)), make_descriptors(40, DIM))
        with pytest.raises(InputError, match="another encoder"):
            Localizer(memory).load(file)
    with PlaceMemory.create(":memory:", encoder=ToyEncoder.card, frame_id="hall") as memory:
        memory.add(frames("first", range(40)), views(range(40)))
        with pytest.raises(InputError, match="another map frame"):
            Localizer(memory).load(file)


def test_damaged_states_change_nothing(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "robot.state"
    with PlaceMemory.open(path, readonly=True) as memory:
        localizer = Localizer(memory, ToyEncoder())
        walk(localizer, 5, 12)
        localizer.save(file)
        whole = file.read_bytes()
        for damaged in (b"", b"nonsense", whole[: len(whole) // 2], _without(file, "mass")):
            file.write_bytes(damaged)
            with pytest.raises(InputError):
                localizer.load(file)
        [on] = walk(localizer, 17, 1, index=12)
        assert on.verdict == "located"
        assert on.belief.frames == 13


def _without(file: Path, name: str) -> bytes:
    import io

    with np.load(file, allow_pickle=False) as arrays:
        rest = {key: arrays[key] for key in arrays.files if key != name}
    stream = io.BytesIO()
    np.savez(stream, **rest)
    return stream.getvalue()


def test_a_seed_decides_between_places_that_look_alike() -> None:
    card = make_card(64)
    rows = make_descriptors(30, 64, seed=4)
    with PlaceMemory.create(":memory:", encoder=card) as memory:
        for session, shift in (("low", 0.0), ("high", 200.0)):
            memory.add(frames(session, range(30), shift), rows)  # two floors, quite alike

        def drive(localizer: Localizer) -> list:
            return [
                localizer.observe(Frame(f"{i}", "q", i, stamp=10**9 * i), STEP, descriptor=rows[i])
                for i in range(8, 18)
            ]

        plain = drive(Localizer(memory))
        assert all(e.verdict != "located" for e in plain)
        seeded = Localizer(memory)
        seeded.seed(Pose(208.0, 0.0), np.diag([4.0, 4.0, 0.1]))
        assert seeded.latest is None
        seen = drive(seeded)
        assert seen[0].verdict == "warming-up"
        assert seen[-1].verdict == "located"
        assert seen[-1].belief.best.place == ("high", 17)
        wide = np.zeros((6, 6))
        wide[[0, 1, 5], [0, 1, 5]] = 4.0, 4.0, 0.1
        ros = Localizer(memory)
        ros.seed(Pose.from_yaw(208.0, 0.0, 0.0), wide)
        assert drive(ros)[-1].belief.best.place == ("high", 17)


def test_a_seed_is_no_evidence_and_may_be_wrong(path: Path) -> None:
    with PlaceMemory.open(path, readonly=True) as memory:
        localizer = Localizer(memory, ToyEncoder())
        localizer.seed(Pose(30.0, 0.0), np.diag([0.01, 0.01, 0.01]))
        black = Frame("black", "q", 0, read=lambda: np.zeros((4, 4, 3), np.uint8))
        seen = [localizer.observe(black) for _ in range(6)]
        assert all(e.verdict != "located" for e in seen)
        localizer.seed(Pose(30.0, 0.0), np.diag([0.01, 0.01, 0.01]))
        assert walk(localizer, 5, 8)[-1].pose.distance_to(Pose(12.0, 0.0)) < 1.5
        localizer.seed(Pose(900.0, 900.0), np.eye(3))  # where there is no map
        assert walk(localizer, 13, 8, index=8)[-1].verdict == "located"


def test_what_is_no_seed(path: Path) -> None:
    with PlaceMemory.open(path, readonly=True) as memory:
        localizer = Localizer(memory, ToyEncoder())
        with pytest.raises(InputError, match="frame 'odom'"):
            localizer.seed(Pose(1.0, 0.0, frame_id="odom"), np.eye(3))
        with pytest.raises(InputError, match="needs a covariance"):
            localizer.seed(Pose(1.0, 0.0))
        for bad in (np.eye(2), -np.eye(3), np.full((3, 3), np.nan)):
            with pytest.raises(InputError, match="covariance"):
                localizer.seed(Pose(1.0, 0.0), bad)
        with pytest.raises(SettingError, match="seeded"):
            Localizer(memory, ToyEncoder(), fusion="heatmap").seed(Pose(1.0, 0.0), np.eye(3))


def test_a_filter_goes_on_from_its_own_state() -> None:
    table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(30)], yaw=[0.0] * 30)
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(30, 48)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    profile = MapProfile(rows, table)
    one, other = create("bayes", table, profile), create("bayes", table, profile)
    for i in range(20):
        view = rows[i + 3] + 0.05 * draw.normal(size=48)
        view /= np.linalg.norm(view)
        stepped = None if i % 3 else STEP
        evidence = Evidence(column=rows @ view, descriptor=view, stamp=0.5 * i)
        expected = one.update(evidence, stepped)
        if i == 10:
            other.restore(one.state())
        elif i > 10:
            found = other.update(evidence, stepped)
            assert found.probability == pytest.approx(expected.probability, abs=1e-6)
            assert found.off_map == pytest.approx(expected.off_map, abs=1e-6)
            assert found.verdict == expected.verdict
