"""Clocks that jump, evidence that is old, cameras that hang: never located from what is past."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.errors import SettingError
from placememory.frames import PoseTrack
from placememory.fusion import Belief, Odometry
from placememory.localization import Estimate, Freshness, Motions, SameView, Summary, Timing
from placememory.memory import Place
from tests.conftest import make_card

DIM = 48
SECOND = 1_000_000_000
STEP = Odometry(1.0, 0.0, 0.0)
STILL = Odometry(0.0, 0.0, 0.0)
ROWS = np.random.default_rng(0).normal(size=(60, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def memory() -> PlaceMemory:
    """Sixty places along a line, a metre apart."""
    made = PlaceMemory.create(":memory:", encoder=make_card(DIM))
    places = [Place("run", i, f"{i}.png", pose=Pose.from_yaw(i, 0.0, 0.0)) for i in range(60)]
    made.add(places, ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True))
    return made


def _view(place: int, seed: int) -> np.ndarray:
    return ROWS[place] + 0.3 * np.random.default_rng(seed).normal(size=DIM).astype(np.float32)


class Robot:
    """Drives a metre a step, half a second apart."""

    def __init__(self, memory: PlaceMemory, *, stamps: bool = True, odometry: bool = True) -> None:
        self.localizer = Localizer(memory)
        self.stamps, self.odometry, self.steps, self.offset = stamps, odometry, 0, 0.0

    def see(self, view: np.ndarray | None = None, motion: Odometry = STEP) -> Estimate:
        """The next frame; an image that cannot be read if the view is empty."""
        seconds = 0.5 * self.steps + self.offset
        stamp = round(seconds * SECOND) if self.stamps else None
        frame = Frame(f"{self.steps}.png", "query", self.steps, stamp=stamp, read=_black)
        row = _view(5 + self.steps, self.steps) if view is None else view
        self.steps += 1
        return self.localizer.observe(
            frame, motion if self.odometry else None, descriptor=row if len(row) else None
        )

    def walk(self, steps: int) -> Estimate:
        """Frames that show where it is."""
        return [self.see() for _ in range(steps)][-1]


def _black() -> np.ndarray:
    return np.zeros((48, 64, 3), np.uint8)


NOTHING = np.zeros(0, np.float32)


def test_age_counts_from_the_newest_evidence(memory: PlaceMemory) -> None:
    robot = Robot(memory)
    assert robot.walk(8).age == 0.0
    ages = [robot.see(NOTHING, STILL).age for _ in range(4)]
    assert ages == [0.5, 1.0, 1.5, 2.0]
    assert robot.walk(1).age == 0.0
    assert Robot(memory, stamps=False).walk(3).age is None


@pytest.mark.parametrize(
    ("stamps", "odometry", "motion", "last", "words"),
    [
        (True, True, STILL, 10, "out of date: 5.5 s without evidence"),
        (True, False, STEP, 10, "out of date: 5.5 s without evidence"),
        (False, True, STEP, 4, "out of date: 5.0 m without evidence"),
        (False, False, STEP, 9, "out of date: 10 frames without evidence"),
    ],
)
def test_without_evidence_nothing_stays_located(
    memory: PlaceMemory, stamps: bool, odometry: bool, motion: Odometry, last: int, words: str
) -> None:
    robot = Robot(memory, stamps=stamps, odometry=odometry)
    assert robot.walk(8).verdict == "located"
    blind = [robot.see(NOTHING, motion) for _ in range(30)]
    assert all(estimate.verdict != "located" for estimate in blind[last:])
    stale = [e.belief.reason for e in blind if e.belief and e.belief.reason.startswith("out of")]
    assert stale[:1] in ([words], [] if motion is STEP else [words])  # the filter may say so first
    old = [e for e in blind if e.belief.reason.startswith("out of")]
    assert all(e.pose is None and e.probability is None for e in old)
    assert all(e.reason == "featureless" for e in blind if e.verdict != "located")


def test_a_belief_that_is_out_of_date_is_unknown_and_has_no_probability() -> None:
    fresh = Freshness(Timing(max_age=2.0))
    belief = Belief("located", (), 0.99, 0.0, 0.0, 7)
    fresh.take(1.0, None, evidence=True)
    fresh.take(3.0, None, evidence=False)
    assert fresh.judge(belief) is belief
    fresh.take(3.1, None, evidence=False)
    old = fresh.judge(belief)
    assert (old.verdict, old.probability) == ("unknown", None)
    assert fresh.judge(replace(belief, verdict="warming-up")).verdict == "warming-up"
    fresh.take(3.2, None, evidence=True)
    assert fresh.judge(belief) is belief


@pytest.mark.parametrize("jump", [-20.0, -1.5, 1e6, 90.0])
def test_a_clock_that_jumps_starts_again_and_says_so(memory: PlaceMemory, jump: float) -> None:
    robot = Robot(memory)
    robot.offset = 100.0
    assert robot.walk(8).verdict == "located"
    robot.offset += jump
    first = robot.see()
    word = "went back" if jump < 0 else "leapt"
    assert first.note.startswith(f"clock {word} ")
    assert first.note.endswith("s: started again")
    assert first.verdict == "warming-up"
    assert first.pose is None
    assert first.candidates  # the frame is used, as the first one
    assert robot.walk(4).verdict == "located"
    assert robot.localizer.latest.note == ""


def test_one_stamp_of_the_far_future_does_not_end_the_run(memory: PlaceMemory) -> None:
    robot = Robot(memory)
    robot.walk(8)
    robot.offset = 1e9
    robot.see()
    robot.offset = 0.0
    later = [robot.see() for _ in range(6)]
    assert [bool(e.note) for e in later] == [True] + [False] * 5
    assert later[-1].verdict == "located"
    assert later[-1].pose.distance_to(Pose(5.0 + robot.steps - 1, 0.0)) < 1.5


def test_a_bag_in_a_loop_is_followed_each_time(memory: PlaceMemory) -> None:
    robot = Robot(memory)
    for _ in range(3):
        robot.steps = 0
        assert robot.walk(12).verdict == "located"
        assert robot.localizer.latest.pose.distance_to(Pose(16.0, 0.0)) < 1.5


def test_a_late_frame_tells_the_belief_only_while_it_is_fresh(memory: PlaceMemory) -> None:
    robot = Robot(memory)
    robot.walk(8)
    stuck = Frame("late.png", "query", 99, stamp=round(3.2 * SECOND))
    told = [robot.localizer.observe(stuck, descriptor=_view(40, i)) for i in range(12)]
    assert {e.note for e in told} == {"out of order"}
    assert told[0].verdict == "located"
    assert [e.verdict for e in told[-3:]] == ["unknown"] * 3  # a clock that hangs
    assert all(e.pose is None for e in told[-3:])


def test_a_late_frame_after_a_change_of_the_map_is_of_no_earlier_map(memory: PlaceMemory) -> None:
    made = PlaceMemory.create(":memory:", encoder=make_card(DIM))
    made.add(list(memory.places), memory.descriptors)
    robot = Robot(made)
    assert robot.walk(8).verdict == "located"
    made.add([Place("new", 0, "new.png", pose=Pose(0.0, 9.0))], np.ones((1, DIM), np.float32) / 7)
    assert robot.localizer.refresh()
    late = Frame("late.png", "query", 99, stamp=round(3.2 * SECOND))
    told = robot.localizer.observe(late, descriptor=_view(40, 0))
    assert (told.verdict, told.hypothesis) == ("unknown", None)
    assert told.belief.reason == "the map has changed"


@pytest.mark.parametrize("odometry", [True, False])
def test_a_frozen_camera_is_noticed_and_does_not_stay_located(
    memory: PlaceMemory, odometry: bool
) -> None:
    robot = Robot(memory, odometry=odometry)
    robot.walk(8)
    view = _view(13, 5)
    frozen = [robot.see(view) for _ in range(40)]
    assert [e.note for e in frozen[:4]] == ["", "", "", "frozen"]
    assert all(e.note == "frozen" for e in frozen[3:])
    assert all(e.verdict != "located" for e in frozen[14:])
    assert all(e.candidates for e in frozen)
    robot.steps = 20
    robot.offset += 40 * 0.5
    assert robot.walk(6).verdict == "located"


def test_the_same_image_of_a_robot_that_stands_is_evidence(memory: PlaceMemory) -> None:
    robot = Robot(memory)
    robot.walk(8)
    view = _view(13, 5)
    robot.see(view)
    standing = [robot.see(view, STILL) for _ in range(40)]
    assert standing[-1].note == "frozen"
    assert standing[-1].age == 0.0
    assert standing[-1].verdict == "located"


def test_images_that_are_nearly_the_same_are_not_frozen() -> None:
    rng, view = np.random.default_rng(0), SameView()
    row = rng.normal(size=512)
    rows = [(row + 0.02 * rng.normal(size=512)).astype(np.float32) for _ in range(20)]
    assert not any(view.is_frozen(r / np.float32(np.linalg.norm(r)), None) for r in rows)


def test_frames_answered_alone_keep_their_candidates(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, fusion=None)
    said = [localizer.observe(descriptor=_view(3, 1)) for _ in range(6)]
    assert said[-1].note == "frozen"
    assert said[-1].best.place.index == 3


def test_motion_starts_again_with_the_clock() -> None:
    stamps = [0, SECOND, 2 * SECOND, 3 * SECOND]
    track = PoseTrack(stamps, [Pose.from_yaw(0.5 * i, 0.0, 0.0) for i in range(4)])
    motions = Motions(track, max_gap=2.0)
    order = [2, 3, 0, 1, 2, 900, 1, 2]
    found = [s.odometry for s in motions.steps(
        Frame(f"{i}", "run", i, stamp=t * SECOND) for i, t in enumerate(order))]  # fmt: skip
    assert [f is not None for f in found] == [False, True, False, True, True, False, False, True]
    assert all(f.dx == pytest.approx(0.5) for f in found if f is not None)


def test_the_summary_counts_a_clock_as_one_kind_of_note() -> None:
    summary = Summary()
    for seconds in range(50):
        note = f"clock went back {seconds}.5 s: started again; blurred"
        summary.add(Estimate(Frame("a", "b", 0), (), note=note))
    assert summary.notes == {"clock went back": 50, "blurred": 50}


def test_age_and_note_are_told(memory: PlaceMemory) -> None:
    robot = Robot(memory)
    robot.walk(5)
    told = json.loads(json.dumps(robot.see(NOTHING).to_dict(), allow_nan=False))
    assert (told["age"], told["note"]) == (0.5, "featureless")


@pytest.mark.parametrize("settings", [
    {"max_age": 0.0}, {"max_distance": -1.0}, {"max_frames": 0}, {"reorder": math.nan},
])  # fmt: skip
def test_impossible_limits(settings: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        Timing(**settings)
