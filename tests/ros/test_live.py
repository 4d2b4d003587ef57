"""Cameras and odometry as they come, without ROS."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.errors import ImageError, InputError
from placememory.ros.live import Answer, LiveTrack, Robot
from tests.localization.test_localizer import ToyEncoder, _image

SECOND = 10**9
COUNT = 60


@pytest.fixture
def memory() -> PlaceMemory:
    made = PlaceMemory.create(":memory:", encoder=ToyEncoder.card)
    made.add(
        [Frame(f"{i}", "run", i, pose=Pose.from_yaw(i, 0.0, 0.0)) for i in range(COUNT)],
        ToyEncoder().encode([_image(i) for i in range(COUNT)]),
    )
    return made


class Sink:
    """Collects answers, and waits for them."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._more = threading.Condition()

    def __call__(self, answer: Answer) -> None:
        with self._more:
            self.answers.append(answer)
            self._more.notify_all()

    def wait(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.answers) >= count, timeout=600)


def drive(robot: Robot, sink: Sink, places: range, camera: str = "front") -> list[Answer]:
    first = len(sink.answers)
    for n, i in enumerate(places, start=1):
        robot.take_odometry(i * SECOND, Pose.from_yaw(i - 20.0, 3.0, 0.0))
        robot.take_image(camera, i * SECOND, lambda i=i: _image(i, 5.0, seed=i))
        sink.wait(first + n)
    return sink.answers[first:]


def robot_of(memory: PlaceMemory, sink: Sink, **options) -> Robot:
    return Robot({"front": Localizer(memory, ToyEncoder())}, sink, **options)


def test_frames_are_located_with_the_transform_of_the_odometry(memory: PlaceMemory) -> None:
    sink = Sink()
    robot = robot_of(memory, sink)
    robot.start()
    answers = drive(robot, sink, range(10, 30))
    robot.stop()
    last = answers[-1]
    assert last.verdict == "located"
    assert last.base.distance_to(Pose(29.0, 0.0)) < 1.5
    assert last.odom.distance_to(Pose(20.0, -3.0)) < 1.5
    assert last.covariance.shape == (6, 6)
    assert answers[0].base is None
    assert last.to_dict()["pose"]["x"] == last.base.x
    assert robot.counts.received == robot.counts.answered == 20


def test_the_newest_frame_wins(memory: PlaceMemory) -> None:
    sink, seen, go = Sink(), [], threading.Event()
    robot = robot_of(memory, sink)

    def read(i: int) -> np.ndarray:
        seen.append(i)
        go.wait(600)
        return _image(i)

    robot.start()
    robot.take_image("front", 0, lambda: read(0))
    while not seen:
        pass
    for i in range(1, 8):
        robot.take_image("front", i * SECOND, lambda i=i: read(i))
    go.set()
    sink.wait(2)
    robot.stop()
    assert seen == [0, 7]
    assert robot.counts.dropped == 6


def test_what_is_no_image_is_counted_and_the_next_is_taken(memory: PlaceMemory) -> None:
    sink = Sink()
    robot = robot_of(memory, sink)

    def refuse() -> np.ndarray:
        raise ImageError("the encoding 'magic' is not known")

    robot.start()
    robot.take_image("front", 0, refuse)
    sink.wait(1)  # the localizer says that it cannot be read
    assert sink.answers[0].estimate.note == "unreadable"
    answers = drive(robot, sink, range(10, 22))
    robot.stop()
    assert answers[-1].verdict == "located"


def test_a_camera_that_looks_elsewhere_gives_the_pose_of_the_base(memory: PlaceMemory) -> None:
    """The memory's body stands half a metre ahead of the base, turned by a quarter."""
    sink = Sink()
    mount = Pose.from_yaw(0.5, 0.0, np.pi / 2)
    robot = robot_of(memory, sink, mounts={"front": mount})
    robot.start()
    for n, i in enumerate(range(10, 30), start=1):
        # the body drives along x, so the base, which it looks left of, looks along -y
        robot.take_odometry(i * SECOND, Pose.from_yaw(0.0, -float(i), -np.pi / 2))
        robot.take_image("front", i * SECOND, lambda i=i: _image(i, 5.0, seed=i))
        sink.wait(n)
    robot.stop()
    last = sink.answers[-1]
    assert last.verdict == "located"
    assert last.base.yaw == pytest.approx(-np.pi / 2, abs=0.2)
    assert last.base.distance_to(Pose(29.0, 0.5)) < 1.5


def test_cameras_that_contradict_each_other_locate_nothing(memory: PlaceMemory) -> None:
    sink = Sink()
    both = {name: Localizer(memory, ToyEncoder()) for name in ("front", "rear")}
    robot = Robot(both, sink)
    robot.start()
    for n, i in enumerate(range(10, 30)):
        robot.take_odometry(i * SECOND, Pose.from_yaw(i, 0.0, 0.0))
        robot.take_image("front", i * SECOND, lambda i=i: _image(i, 5.0, seed=i))
        sink.wait(2 * n + 1)
        robot.take_image("rear", i * SECOND, lambda i=i: _image(i + 25, 5.0, seed=i))
        sink.wait(2 * n + 2)
    robot.stop()
    last = sink.answers[-1]
    assert last.estimate.verdict == "located"
    assert last.verdict == "ambiguous"
    assert last.base is None
    assert last.odom is None
    assert "cameras disagree" in last.reason


def test_it_can_be_asked_seeded_reset_and_given_another_map(memory: PlaceMemory) -> None:
    sink = Sink()
    robot = robot_of(memory, sink)
    assert robot.ask(0.01) is None
    robot.start()
    found: list[Answer | None] = []
    asking = threading.Thread(target=lambda: found.append(robot.ask(600.0)))
    asking.start()
    drive(robot, sink, range(10, 30))
    asking.join(600)
    assert found[0].verdict == "located"
    robot.reset()
    [again] = drive(robot, sink, range(30, 31))
    assert again.verdict == "warming-up"
    robot.seed(Pose.from_yaw(40.0, 0.0, 0.0), np.diag([0.3, 0.3, 0.1, 0.1, 0.1, 0.1]))
    with pytest.raises(InputError, match="transform it first"):
        robot.seed(Pose(1.0, 2.0, frame_id="odom"), np.eye(6))
    other = PlaceMemory.create(":memory:", encoder=ToyEncoder.card)
    moved = [Frame(f"{i}", "b", i, pose=Pose.from_yaw(i + 500.0, 0, 0)) for i in range(COUNT)]
    other.add(moved, ToyEncoder().encode([_image(i) for i in range(COUNT)]))
    robot.replace_map({"front": Localizer(other, ToyEncoder())})
    answers = drive(robot, sink, range(31, 45))
    robot.stop()
    assert answers[-1].base.distance_to(Pose(544.0, 0.0)) < 1.5


def test_without_odometry_a_frame_waits_for_nothing(memory: PlaceMemory) -> None:
    sink = Sink()
    robot = robot_of(memory, sink, wait=3600.0)
    robot.start()
    robot.take_image("front", None, lambda: _image(3))
    sink.wait(1)
    robot.stop()
    assert sink.answers[0].odom is None


def test_the_track_keeps_half_a_minute() -> None:
    track = LiveTrack("odom")
    for i in range(200):
        track.add(i * SECOND // 2, Pose.from_yaw(i, 0.0, 0.0))
    assert track.span == (139 * SECOND // 2, 199 * SECOND // 2)
    track.add(5, Pose.from_yaw(0.0, 0.0, 0.0))  # the clock began again
    assert track.span == (5, 5)


def test_a_memory_whose_file_goes_away_stays_at_hand(tmp_path: Path) -> None:
    file = tmp_path / "line.memory"
    with PlaceMemory.create(file, encoder=ToyEncoder.card) as made:
        made.add(
            [Frame(f"{i}", "run", i, pose=Pose.from_yaw(i, 0.0, 0.0)) for i in range(COUNT)],
            ToyEncoder().encode([_image(i) for i in range(COUNT)]),
        )
    sink = Sink()
    with PlaceMemory.open(file, readonly=True) as memory:
        robot = Robot({"front": Localizer(memory, ToyEncoder(), refresh_every=1)}, sink)
        robot.start()
        drive(robot, sink, range(10, 25))
        file.rename(tmp_path / "gone")
        answers = drive(robot, sink, range(25, 35))
        (tmp_path / "gone").rename(file)
        answers += drive(robot, sink, range(35, 40))
        robot.stop()
    assert {answer.verdict for answer in answers} == {"located"}


def test_a_camera_that_goes_away_is_located_again(memory: PlaceMemory) -> None:
    sink = Sink()
    robot = robot_of(memory, sink)
    robot.start()
    assert drive(robot, sink, range(5, 20))[-1].verdict == "located"
    for i in range(20, 40):  # it drives on, unseen
        robot.take_odometry(i * SECOND, Pose.from_yaw(i - 20.0, 3.0, 0.0))
    answers = drive(robot, sink, range(40, 50))
    robot.stop()
    assert answers[-1].verdict == "located"
    for answer in answers:
        if answer.base is not None:
            assert answer.base.distance_to(Pose(answer.estimate.frame.stamp / SECOND, 0.0)) < 2.0


def test_an_odometry_that_goes_away_is_taken_again(memory: PlaceMemory) -> None:
    sink = Sink()
    robot = robot_of(memory, sink)
    robot.start()
    drive(robot, sink, range(5, 20))
    for n, i in enumerate(range(20, 35), start=1):
        robot.take_image("front", i * SECOND, lambda i=i: _image(i, 5.0, seed=i))
        sink.wait(15 + n)
    alone = sink.answers[-15:]
    again = drive(robot, sink, range(35, 50))
    robot.stop()
    assert all(answer.odom is None for answer in alone), "no odometry, no map -> odom"
    assert again[-1].verdict == "located"
    assert again[-1].odom.distance_to(Pose(20.0, -3.0)) < 1.5
    for answer in [*alone, *again]:
        if answer.base is not None:
            assert answer.base.distance_to(Pose(answer.estimate.frame.stamp / SECOND, 0.0)) < 2.0
