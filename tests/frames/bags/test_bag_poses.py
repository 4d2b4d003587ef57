"""Poses of bags: every type, transforms by frame, and the pose at an image's stamp."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from placememory.errors import BagError, SettingError
from placememory.frames import list_bag, read_bag_info, read_bag_poses, read_bag_transform
from placememory.frames.bags import bag_to_join, pose_topics
from tests.conftest import run_command
from tests.frames.bags.write import KINDS, SECOND, START, Messages, drive, pixels, write_bag

TENTH = SECOND // 10


@pytest.mark.parametrize("kind", KINDS)
def test_odometry_at_the_stamps_of_the_images(tmp_path: Path, kind: str) -> None:
    driven = drive(tmp_path / "run", kind)
    track = read_bag_poses(driven.path, "/odom")
    frames, report = track.join(list_bag(driven.path))
    assert str(report) == "12 of 12 frames have a pose (12 by interpolation)"
    for i, frame in enumerate(frames):
        assert frame.pose.x == pytest.approx(0.1 * (i + 0.2), abs=1e-12)
        assert frame.pose.yaw == pytest.approx(0.05 * (i + 0.2), abs=1e-12)
        assert frame.pose.frame_id == "odom"
        assert frame.pose.covariance is None  # all zeros: unknown


@pytest.mark.parametrize("kind", KINDS)
def test_transforms_at_the_stamps_of_the_images(tmp_path: Path, kind: str) -> None:
    driven = drive(tmp_path / "run", kind)
    frames = list_bag(driven.path)
    base, _ = read_bag_poses(driven.path, "/tf").join(frames)
    camera, _ = read_bag_poses(driven.path, "/tf", parent="odom", child="camera").join(frames)
    for i, (at_base, at_camera) in enumerate(zip(base, camera, strict=True)):
        x, yaw = 0.1 * (i + 0.2), 0.05 * (i + 0.2)
        assert at_base.pose.frame_id == at_camera.pose.frame_id == "odom"
        assert (at_base.pose.x, at_base.pose.yaw) == pytest.approx((x, yaw), abs=1e-12)
        assert at_camera.pose.x == pytest.approx(x + 0.2 * math.cos(yaw), abs=1e-12)
        assert at_camera.pose.y == pytest.approx(0.2 * math.sin(yaw), abs=1e-12)
        assert at_camera.pose.yaw == pytest.approx(yaw, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_stamped_poses_of_every_type(tmp_path: Path, kind: str) -> None:
    made = Messages(kind)
    rows = []
    for i in (0, 1):
        stamp = START + i * TENTH
        header = made.header(stamp, "/map")
        x = 2.0 * i
        rows += [
            ("/plain", stamp, made.make(
                "geometry_msgs/PoseStamped", header=header, pose=made.pose(x, 1.0, 0.5))),
            ("/spread", stamp, made.make(
                "geometry_msgs/PoseWithCovarianceStamped", header=header,
                pose=made.with_covariance(x, 1.0, 0.5, 1.0 + i))),
            ("/transform", stamp, made.transform(stamp, "/map", "/base", x, 1.0, 0.5)),
        ]  # fmt: skip
    path = write_bag(tmp_path / "poses", kind, rows)
    for topic in ("/plain", "/spread", "transform"):
        pose = read_bag_poses(path, topic).at(START + TENTH // 4)
        assert (pose.x, pose.y) == (0.5, 1.0)
        assert pose.yaw == pytest.approx(0.5, abs=1e-12)
        assert pose.frame_id == "map"
        assert pose.covariance == ((1.25,) * 36 if topic == "/spread" else None)


def tree_bag(folder: Path, *, static: bool = True) -> Path:
    """map > odom (1 Hz) > base_footprint (10 Hz) > base_link (fixed) > camera (fixed)."""
    made = Messages("mcap")
    rows = []
    for i in range(3):
        stamp = START + i * SECOND
        rows.append((stamp, made.tf(made.transform(stamp, "map", "odom", 10.0, float(i), 0.0))))
    for i in range(21):
        stamp = START + i * TENTH
        moved = made.transform(stamp, "odom", "base_footprint", 0.1 * i, 0.0, math.pi / 2)
        rows.append((stamp, made.tf(moved)))
    rows.sort(key=lambda row: row[0])
    tagged = [("/robot/tf", *row) for row in rows]
    if static:
        both = made.tf(
            made.transform(0, "base_footprint", "base_link", 0.0, 0.0, 0.0),
            made.transform(0, "base_link", "camera", 0.5, 0.0, 0.0),
        )
        tagged.insert(0, ("/robot/tf_static", START, both))
        other = made.tf(made.transform(0, "world", "map", 0.0, 0.0, 0.0))
        tagged.insert(0, ("/tf_static", START, other))
    return write_bag(folder / "tree", "mcap", tagged)


def test_a_chain_of_transforms(tmp_path: Path) -> None:
    path = tree_bag(tmp_path)
    stamp = START + 55 * SECOND // 100
    whole = read_bag_poses(path, "/robot/tf", child="camera")
    pose = whole.at(stamp, max_gap=1.0)
    assert (pose.x, pose.y) == pytest.approx((10.0 + 0.55, 0.55 + 0.5), abs=1e-12)
    assert pose.yaw == pytest.approx(math.pi / 2, abs=1e-12)
    assert pose.frame_id == "map"
    assert whole.at(stamp, max_gap=0.2) == pose  # map > odom comes once a second, and may
    assert whole.at(stamp, max_gap=0.05) is None  # but odom > base_footprint carries the motion
    assert whole.span == (START, START + 2 * SECOND)
    assert "map to camera" in whole.source
    base = read_bag_poses(path, "/robot/tf").at(START + SECOND)
    assert (base.x, base.y) == pytest.approx((11.0, 1.0), abs=1e-12)
    local = read_bag_poses(path, "/robot/tf", parent="odom").at(stamp)
    assert (local.x, local.frame_id) == (pytest.approx(0.55), "odom")
    fixed = read_bag_poses(path, "/robot/tf_static", parent="base_link", child="camera")
    assert fixed.at(0).x == 0.5


def chain_bag(folder: Path, corrections: list[float], moves: list[float]) -> Path:
    """map > odom at some seconds, odom > base_link at others; an image every tenth of a second."""
    made = Messages("mcap")
    rows = [("/cam", START + i * TENTH, made.rgb(START + i * TENTH, pixels(i))) for i in range(40)]
    for second, frames in [*((c, ("map", "odom")) for c in corrections),
                           *((m, ("odom", "base_link")) for m in moves)]:  # fmt: skip
        stamp = START + round(second * SECOND)
        x = 5.0 + second / 1000 if frames[0] == "map" else second
        rows.append(("/tf", stamp, made.tf(made.transform(stamp, *frames, x, 0.0, 0.0))))
    return write_bag(folder / "chain", "mcap", sorted(rows, key=lambda row: row[1]))


@pytest.mark.parametrize(
    ("corrections", "found"),
    [
        ([0.0, 1.0, 2.0, 3.0], 40),  # once a second, and the last holds
        ([1.5], 40),  # once: it holds
        ([0.5, 3.0], 40),  # seldom: within its bound
        ([0.02 * i for i in range(100)], 20),  # often, and ends: holds no longer
    ],
)
def test_a_slow_link_of_a_chain_is_no_gap(tmp_path: Path, corrections: list, found: int) -> None:
    path = chain_bag(tmp_path, corrections, [0.025 * i for i in range(161)])
    frames, report = read_bag_poses(path).join(list_bag(path))
    assert report.joined == found
    assert [f.pose.x for f in frames[:found]] == pytest.approx(
        [5 + i / 10 for i in range(found)], abs=0.01
    )


@pytest.mark.parametrize(
    ("corrections", "moves", "cause"),
    [
        ([900.0 + i for i in range(9)], [0.1 * i for i in range(41)],
         r"breaks at map -> odom: the images are from 2023-.*, the poses from 2023-11-14 22:28"),
        ([1.0 * i for i in range(5)], [2.0 * i for i in range(40)],
         r"breaks at odom -> base_link: poses come every 2 s, and two around .* --max-gap"),
        ([1.0 * i for i in range(5)], [8.0, 8.5, 9.0],
         r"breaks at odom -> base_link: the images are from"),
    ],
)  # fmt: skip
def test_the_link_that_breaks_is_named(
    tmp_path: Path, corrections: list, moves: list, cause: str
) -> None:
    path = chain_bag(tmp_path, corrections, moves)
    shown = run_command("build", tmp_path / "m", "--images", path, "--pose-topic", "/tf", expect=2)
    assert re.search(rf"of 40 frames finds? a pose: the chain {cause}", shown.err), shown.err
    assert "--allow-no-poses goes on without" in shown.err
    assert not (tmp_path / "m").exists()


def test_a_mount_is_read_from_the_transforms(tmp_path: Path) -> None:
    path = tree_bag(tmp_path)
    mount = read_bag_transform(path, child="camera")
    assert (mount.x, mount.y, mount.yaw) == (0.5, 0.0, 0.0)
    assert read_bag_transform(path, "base_footprint", "camera") == replace(
        mount, frame_id="base_footprint"
    )
    with pytest.raises(BagError, match="there is no frame 'lidar'"):
        read_bag_transform(path, "base_link", "lidar")
    with pytest.raises(BagError, match="name both"):
        read_bag_transform(path)  # there are no images


@pytest.mark.parametrize(
    ("parent", "child", "message"),
    [
        ("earth", None, "there is no frame 'earth'; its transforms: base_footprint > base_link"),
        (None, "lidar", "there is no frame 'lidar'"),
        ("camera", "base_link", "the frame 'camera' is not above 'base_link'"),
        ("base_link", "base_link", "the frame 'base_link' is not above"),
    ],
)
def test_frames_that_are_not_there(tmp_path: Path, parent, child, message: str) -> None:
    with pytest.raises(BagError, match=rf"\(/robot/tf\): {message}"):
        read_bag_poses(tree_bag(tmp_path), "/robot/tf", parent=parent, child=child)


def test_without_a_base_the_frame_of_the_images_is_taken(tmp_path: Path) -> None:
    made = Messages("mcap")
    moved = made.tf(made.transform(START, "start", "rig", 1.0, 2.0, 0.0))
    path = write_bag(tmp_path / "a", "mcap", [("/tf", START, moved)])
    with pytest.raises(BagError, match=r"none of its frames .*: start > rig\. Choose two frames"):
        read_bag_poses(path)
    image = made.rgb(START, pixels(0), frame="rig")
    path = write_bag(tmp_path / "b", "mcap", [("/tf", START, moved), ("/c", START, image)])
    pose = read_bag_poses(path).at(START)
    assert (pose.x, pose.frame_id) == (1.0, "start")


def test_the_topic_of_poses_is_chosen_if_there_is_one(tmp_path: Path) -> None:
    driven = drive(tmp_path / "run", "sqlite")
    assert [t.name for t in pose_topics(read_bag_info(driven.path))] == ["/odom", "/tf"]
    with pytest.raises(BagError, match=r"2 topics with poses: /odom \(.*\), /tf .*choose one with"):
        read_bag_poses(driven.path)
    with pytest.raises(BagError, match=r"choose one, or none, with --pose-topic"):
        bag_to_join(driven.path, "auto")
    with pytest.raises(BagError, match=r"no topic /amcl_pose; topics with poses: /odom"):
        read_bag_poses(driven.path, "/amcl_pose")
    with pytest.raises(BagError, match=r"holds sensor_msgs/msg/Image, no poses"):
        read_bag_poses(driven.path, "/camera/image_raw")
    assert bag_to_join(driven.path, "none") is None
    camera = bag_to_join(driven.path, "/tf", ":camera")
    assert camera.at(START).x == pytest.approx(0.2)
    with pytest.raises(SettingError, match=r"PARENT:CHILD, not 'camera'"):
        bag_to_join(driven.path, "/tf", "camera")
    made = Messages("mcap")
    images = write_bag(tmp_path / "i", "mcap", [("/c", START, made.rgb(START, pixels(0)))])
    assert bag_to_join(images, "auto") is None
    with pytest.raises(BagError, match=r"there are no poses \(Odometry"):
        read_bag_poses(images)
    single = write_bag(
        tmp_path / "s", "mcap", [("/odom", START, made.odometry(START, 1.0, 0.0, 0.0))]
    )
    assert bag_to_join(single, "auto").at(START).x == 1.0


def test_poses_out_of_order_twice_without_rotation_or_not_finite(tmp_path: Path) -> None:
    made = Messages("mcap")

    def moved(stamp: int, x: float) -> object:
        return made.odometry(stamp, x, 0.0, 0.0)

    bare = made.odometry(START + 3 * TENTH, 3.0, 0.0, 0.0)
    object.__setattr__(
        bare.pose.pose, "orientation",
        made.make("geometry_msgs/Quaternion", x=0.0, y=0.0, z=0.0, w=0.0),
    )  # fmt: skip
    rows = [
        ("/odom", START + 5, moved(START + 2 * TENTH, 2.0)),
        ("/odom", START + 6, moved(START, 0.0)),
        ("/odom", START + 7, moved(START + TENTH, 9.0)),
        ("/odom", START + 8, moved(START + TENTH, 1.0)),
        ("/odom", START + 9, moved(START + TENTH // 2, math.nan)),
        ("/odom", START + 10, bare),
    ]
    track = read_bag_poses(write_bag(tmp_path / "a", "mcap", rows))
    assert [pose.x for pose in track.poses] == [0.0, 1.0, 2.0, 3.0]
    assert track.at(START + TENTH // 2).x == 0.5
    late = track.at(START + 25 * TENTH // 10)
    assert (late.x, late.quaternion) == (2.5, None)


def test_motions_between_images(tmp_path: Path) -> None:
    driven = drive(tmp_path / "run", "ros1")
    frames = list_bag(driven.path)
    motions = read_bag_poses(driven.path, "/odom").motions([f.stamp for f in frames])
    assert motions[0] is None
    for i, motion in enumerate(motions[1:]):
        heading = 0.05 * (i + 0.2)
        assert motion.dx == pytest.approx(0.1 * math.cos(heading), abs=1e-12)
        assert motion.dy == pytest.approx(-0.1 * math.sin(heading), abs=1e-12)
        assert motion.dyaw == pytest.approx(0.05, abs=1e-12)
        assert motion.seconds == pytest.approx(0.1)
