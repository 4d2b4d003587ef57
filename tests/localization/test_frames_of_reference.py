"""Odometry and map of other bodies, axes and planes: transformed where said, found where not."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.errors import PoseError, SettingError
from placememory.frames import PoseTrack, Trajectory, list_frames, read_poses, read_transform
from placememory.frames.pose import compose, inverse
from placememory.fusion import Odometry
from placememory.geometry import OPTICAL_IN_BODY
from placememory.localization import (
    AxesCheck,
    MapPlane,
    Motions,
    OdometryCheck,
    follow,
    localize,
)
from placememory.localization.localizer import Step
from placememory.memory import Place
from placememory.samples import Building
from tests.conftest import make_card

SECOND = 1_000_000_000
OPTICAL = Pose.from_matrix(OPTICAL_IN_BODY)
DIM = 64
ROWS = np.random.default_rng(0).normal(size=(60, DIM)).astype(np.float32)


def _drive(count: int = 60) -> list[Pose]:
    """A robot that goes ahead and bends to the left and right, in robot axes."""
    x = y = yaw = 0.0
    poses = []
    for i in range(count):
        poses.append(Pose.from_yaw(x, y, yaw))
        x, y = x + 0.8 * math.cos(yaw), y + 0.8 * math.sin(yaw)
        yaw += 0.15 * math.sin(0.2 * i)
    return poses


def _in_camera_axes(pose: Pose) -> Pose:
    """The same body in KITTI's axes: world and body are x right, y down, z forward."""
    return compose(compose(inverse(OPTICAL), pose), OPTICAL)


def _track(poses: list[Pose]) -> PoseTrack:
    return PoseTrack([i * SECOND for i in range(len(poses))], poses, "odometry")


def _frames(count: int) -> list[Frame]:
    return [Frame(f"{i}.png", "query", i, stamp=i * SECOND) for i in range(count)]


def _motions(track: Trajectory, count: int = 60, **settings: object) -> list[Odometry | None]:
    motions = Motions(track, max_gap=2.0, **settings)  # type: ignore[arg-type]
    return [step.odometry for step in motions.steps(_frames(count))]


def _assert_same(found: list[Odometry | None], right: list[Odometry | None]) -> None:
    for one, other in zip(found[1:], right[1:], strict=True):
        assert one is not None
        assert other is not None
        assert (one.dx, one.dy, one.dyaw) == pytest.approx((other.dx, other.dy, other.dyaw))


def test_camera_axes_that_are_said_give_the_motion_in_robot_axes() -> None:
    right = _motions(_track(_drive()))
    camera = _track([_in_camera_axes(pose) for pose in _drive()])
    _assert_same(_motions(camera, axes="camera"), right)


def test_camera_axes_that_are_not_said_are_found_and_not_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera = _track([_in_camera_axes(pose) for pose in _drive()])
    motions = Motions(camera, max_gap=2.0)
    with caplog.at_level(logging.WARNING):
        steps = list(motions.steps(_frames(60)))
    assert [s.odometry is None for s in steps].index(True, 1) <= 4  # three metres
    assert all(s.odometry is None for s in steps[4:])
    assert steps[-1].note == "odometry moves along z: has it camera axes?"
    assert len([r for r in caplog.records if "--odometry-axes" in r.message]) == 1
    assert motions.counts.refused > 50
    assert "not followed" in str(motions.counts)


def test_robot_axes_that_are_said_are_followed_whatever_they_are() -> None:
    camera = _track([_in_camera_axes(pose) for pose in _drive()])
    assert all(o is not None for o in _motions(camera, axes="robot")[1:])
    with pytest.raises(SettingError, match="axes"):
        Motions(camera, axes="screen")  # type: ignore[arg-type]


def test_a_lift_before_the_drive_is_outweighed() -> None:
    check = AxesCheck()
    for _ in range(10):
        check.take(Pose(0.0, 0.0, 0.4))
    assert check.reason
    for _ in range(12):
        check.take(Pose(0.5, 0.0, 0.0))
    assert check.reason == ""


@pytest.mark.parametrize(
    "text", ["0.3 -0.1 0.6 0 0 90", "0.3,-0.1,0.6,0,0,0.70710678,0.70710678"], ids=["rpy", "quat"]
)
def test_an_extrinsic_gives_the_motion_of_the_memorys_body(text: str) -> None:
    camera_in_base = read_transform(text)
    base = _drive()
    camera = [compose(pose, camera_in_base) for pose in base]
    found = _motions(_track(base), extrinsic=camera_in_base)
    _assert_same(found, _motions(_track(camera)))
    assert found[1] is not None
    assert found[1].dy == pytest.approx(-0.8, abs=0.05)  # it looks to the left of the way


def test_an_extrinsic_with_camera_axes_is_in_robot_axes() -> None:
    mount = read_transform("0.3 -0.1 0.6 0 0 40")
    camera = _track([_in_camera_axes(pose) for pose in _drive()])
    right = _motions(_track([compose(pose, mount) for pose in _drive()]))
    _assert_same(_motions(camera, extrinsic=mount, axes="camera"), right)


@pytest.mark.parametrize("text", ["", "1 2 3", "a b c d e f", "0 0 0 nan 0 0", "0 0 0 0 0 0 0"])
def test_what_is_no_transform_is_refused(text: str) -> None:
    with pytest.raises(PoseError):
        read_transform(text)


def test_roll_pitch_yaw_are_about_fixed_axes() -> None:
    optical = read_transform("0 0 0 -90 0 -90")
    assert optical.matrix() == pytest.approx(OPTICAL_IN_BODY, abs=1e-12)


# --- odometry against images


def _check(
    turn: float, seed: int, *, wrong: float = 0.4, still: bool = False, count: int = 60
) -> tuple[str, float]:
    """What is found, and after how many metres, where some best places are anywhere."""
    rng, check, metres = np.random.default_rng(seed), OdometryCheck(), 0.0
    before: Pose | None = None
    cosine, sine = math.cos(turn), math.sin(turn)
    for pose in _drive(count):
        place = (pose.x + rng.normal(0, 0.3), pose.y + rng.normal(0, 0.3),
                 pose.yaw + rng.normal(0, 0.1))  # fmt: skip
        if rng.uniform() < wrong:
            place = (rng.uniform(-20, 20), rng.uniform(-20, 20), rng.uniform(-3, 3))
        odometry = None
        if before is not None:
            moved = compose(inverse(before), pose)
            metres += math.hypot(moved.x, moved.y)
            x, y = moved.x, moved.y
            odometry = Odometry(cosine * x - sine * y, sine * x + cosine * y, moved.yaw)
            odometry = Odometry(0.0, 0.0, 0.0) if still else odometry
        check.take(place, odometry)
        if check.reason:
            break
        before = pose
    return check.reason, metres


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_right_odometry_is_never_refused(seed: int) -> None:
    assert _check(0.0, seed)[0] == ""
    assert _check(0.0, seed, wrong=1.0)[0] == ""  # off the map


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([math.pi / 2, -math.pi / 2]))
def test_a_quarter_turn_is_found(seed: int, turn: float) -> None:
    reason, metres = _check(turn, seed, wrong=0.2)
    assert ("to the right" in reason) == (turn < 0)
    assert reason.startswith("odometry leads ")
    assert metres < 20.0


def test_odometry_that_stands_while_the_images_go_on_is_found() -> None:
    assert _check(0.0, 1, wrong=0.0, still=True)[0].startswith("odometry stands")


@pytest.mark.parametrize("seed", range(5))
def test_a_robot_that_stands_is_believed(seed: int) -> None:
    rng, check = np.random.default_rng(seed), OdometryCheck()
    alike = rng.uniform(-20, 20, (3, 3))
    for _ in range(80):
        check.take(tuple(alike[rng.integers(3)].tolist()), Odometry(0.0, 0.0, 0.0))
    assert check.reason == ""


@pytest.fixture(scope="module")
def seen(building: Building, office: Path) -> tuple[PlaceMemory, list[Frame], np.ndarray]:
    """Memory, frames and descriptors of the rendered building's query run."""
    memory = PlaceMemory.open(office, readonly=True)
    frames = read_poses(building.query_vertices).join(list_frames(building.query))[0]
    return memory, frames, memory.encoder().encode([frame.image() for frame in frames])


def _follow(seen: tuple[PlaceMemory, list[Frame], np.ndarray], motions: Motions) -> Localizer:
    memory, frames, rows = seen
    localizer = Localizer(memory)
    for step, row in zip(motions.steps(frames), rows, strict=True):
        localizer.observe(step.frame, step.odometry, descriptor=row, note=step.note)
    return localizer


def _odometry(frames: list[Frame], body: Pose | None = None, camera: bool = False) -> PoseTrack:
    """The way of a body, from zero."""
    poses = [frame.pose for frame in frames]
    assert poses[0] is not None
    way = [compose(inverse(poses[0]), pose) for pose in poses if pose is not None]
    way = way if body is None else [compose(pose, body) for pose in way]
    way = [_in_camera_axes(pose) for pose in way] if camera else way
    return PoseTrack([frame.stamp or 0 for frame in frames], way, "odometry")


def test_on_rendered_images_right_odometry_is_followed_and_wrong_one_is_not(
    seen: tuple[PlaceMemory, list[Frame], np.ndarray],
) -> None:
    frames = seen[1]
    right = Motions(_odometry(frames), max_gap=9.0)
    assert _follow(seen, right).latest.note == ""
    base = inverse(Pose.from_yaw(0.0, 0.0, math.pi / 2))
    yawed = _follow(seen, Motions(_odometry(frames, base), max_gap=9.0))
    assert "is it of another body?" in yawed.latest.note
    said = Motions(_odometry(frames, base), max_gap=9.0, extrinsic=inverse(base))
    assert _follow(seen, said).latest.note == ""
    camera = Motions(_odometry(frames, camera=True), max_gap=9.0)
    assert "has it camera axes?" in _follow(seen, camera).latest.note
    axes = Motions(_odometry(frames, camera=True), max_gap=9.0, axes="camera")
    best, same = _follow(seen, axes).latest, _follow(seen, right).latest
    assert best.note == ""
    assert best.probability == pytest.approx(same.probability, abs=1e-6)


# --- the plane of the map


def _memory(poses: list[Pose], frame_id: str = "map") -> PlaceMemory:
    made = PlaceMemory.create(":memory:", encoder=make_card(DIM), frame_id=frame_id)
    places = [Place("run", i, f"{i}.png", pose=pose) for i, pose in enumerate(poses)]
    rows = ROWS[: len(poses)]
    made.add(places, rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return made


def _steps(motions: Motions, start: int = 5, count: int = 30) -> list[Step]:
    frames = [Frame(f"{i}.png", "query", i, stamp=i * SECOND) for i in range(start, start + count)]
    rng = np.random.default_rng(1)
    return [
        Step(step.frame, step.odometry, ROWS[step.frame.index] + 0.3 * rng.normal(size=DIM).astype(
            np.float32), note=step.note)
        for step in motions.steps(frames)
    ]  # fmt: skip


def test_a_map_in_camera_axes_is_followed_in_its_own_plane() -> None:
    drive = _drive()
    robot, camera = _memory(drive), _memory([_in_camera_axes(pose) for pose in drive])
    plain, turned = Localizer(robot), Localizer(camera)
    assert plain.plane.is_plain
    assert turned.plane.axes == "camera"
    one = list(plain.run(_steps(Motions(_track(drive), max_gap=2.0))))
    motions = Motions(
        _track([_in_camera_axes(pose) for pose in drive]), max_gap=2.0, plane=turned.plane
    )
    for a, b in zip(one, turned.run(_steps(motions)), strict=True):
        assert b.note == ""
        assert a.verdict == b.verdict
        assert a.probability == pytest.approx(b.probability, abs=1e-6)
        right = _in_camera_axes(a.hypothesis)
        assert b.hypothesis.distance_to(right) < 1e-6
        assert b.hypothesis.angle_to(right) < 1e-3
        assert (b.pose is None) == (a.pose is None)
        # x of the map is to the right, y down, z ahead
        assert b.covariance[0, 0] == pytest.approx(a.covariance[1, 1])
        assert b.covariance[2, 2] == pytest.approx(a.covariance[0, 0])
        assert b.covariance[4, 4] == pytest.approx(a.covariance[5, 5])
    assert one[-1].verdict == "located"


def test_a_seed_is_in_the_frame_of_a_map_in_camera_axes() -> None:
    drive = [_in_camera_axes(pose) for pose in _drive()]
    localizer = Localizer(_memory(drive))
    spread = np.diag([0.2, 9.0, 0.3, 9.0, 0.02, 9.0])  # y is down, yaw about y
    localizer.seed(replace(drive[20], frame_id="map"), spread)
    seen = np.ones(DIM, np.float32)
    estimate = localizer.observe(odometry=Odometry(0.0, 0.0, 0.0), descriptor=seen)
    assert estimate.hypothesis.distance_to(drive[20]) < 1.0
    assert estimate.hypothesis.angle_to(drive[20]) < 20.0
    assert estimate.verdict != "located"


def test_camera_axes_that_are_said_are_those_of_a_map_with_camera_axes() -> None:
    drive = [_in_camera_axes(pose) for pose in _drive()]
    plane = Localizer(_memory(drive)).plane
    both = [_motions(_track(drive), axes=axes, plane=plane) for axes in (None, "camera")]
    _assert_same(both[0], both[1])
    robot = _motions(_track(_drive()), axes="robot", plane=plane)  # of the same body
    _assert_same(robot, both[0])


def test_optical_frames_in_a_level_map_are_followed() -> None:
    """Poses of the camera's optical frame, as from tf, in a map whose z is up."""
    drive = _drive()
    optical = [compose(pose, OPTICAL) for pose in drive]
    localizer = Localizer(_memory(optical))
    assert localizer.plane.axes == "camera"
    assert localizer.plane.rotation == pytest.approx(np.eye(3))
    motions = Motions(_track(optical), max_gap=2.0, plane=localizer.plane)
    last = list(localizer.run(_steps(motions)))[-1]
    assert last.verdict == "located"
    assert last.pose.distance_to(optical[34]) < 0.8
    assert last.pose.angle_to(optical[34]) < 15.0


@pytest.mark.parametrize(
    ("poses", "plane", "normal"),
    [
        (_drive(), None, (0, 0, 1)),
        ([_in_camera_axes(p) for p in _drive()], None, (0, -1, 0)),
        ([_in_camera_axes(Pose.from_yaw(0.5 * i, 0, 0)) for i in range(20)], None, (0, -1, 0)),
        ([Pose(0.1 * i, 0.0, 0.5 * i) for i in range(20)], None, (0, -1, 0)),  # no rotations
        ([Pose.from_yaw(0.3 * i, 0, 0, z=0.28 * i) for i in range(20)], None, (0, 0, 1)),  # stairs
        ([Pose.from_yaw(i % 20, 0, 0, z=3.0 * (i // 20)) for i in range(60)], None, (0, 0, 1)),
        ([Pose(float(i), 0.0) for i in range(9)], "xz", (0, -1, 0)),
        ([_in_camera_axes(p) for p in _drive()], "xy", (0, 0, 1)),
        ([Pose(0.0, 0.0)], None, (0, 0, 1)),
    ],
)
def test_the_plane_is_found_or_said(
    poses: list[Pose], plane: str | None, normal: tuple[int, int, int]
) -> None:
    places = [Place("run", i, f"{i}.png", pose=pose) for i, pose in enumerate(poses)]
    found = MapPlane.of(places, plane)
    assert np.abs(found.rotation[2]) == pytest.approx(np.abs(normal), abs=1e-9)
    if plane != "xy":
        assert found.rotation[2] == pytest.approx(normal, abs=1e-9)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)
    assert np.linalg.det(found.level) == pytest.approx(1.0)


def test_there_is_no_other_plane() -> None:
    with pytest.raises(SettingError, match="plane"):
        MapPlane.of([], "zz")


def test_a_lowered_place_comes_back() -> None:
    drive = [_in_camera_axes(pose) for pose in _drive()]
    places = [Place("run", i, f"{i}.png", pose=pose) for i, pose in enumerate(drive)]
    plane = MapPlane.of(places)
    for place, level in zip(places, _drive(), strict=True):
        low = plane.lower_place(place).pose
        assert abs(low.z) < 1e-9
        assert math.dist((low.x, low.y), (-level.y, level.x)) < 1e-9  # x to the right, y ahead


# --- frames with names


def test_true_poses_of_another_frame_are_refused() -> None:
    memory = _memory(_drive(), frame_id="hall")
    truth = Pose(1.0, 2.0, frame_id="odom")
    run = follow(Localizer(memory), [Step(Frame("a.png", "q", 0, pose=truth), None, ROWS[0])])
    assert isinstance(run.ended, PoseError)
    assert "'odom'" in str(run.ended)
    assert "'hall'" in str(run.ended)
    for frame_id in ("hall", "map"):  # files that name no frame say map
        known = Frame("a.png", "q", 0, pose=Pose(1.0, 2.0, frame_id=frame_id))
        assert follow(Localizer(memory), [Step(known, None, ROWS[0])]).ended is None
    with pytest.raises(PoseError, match="odom"):
        localize(memory, [Frame("a.png", "q", 0, pose=truth)])
