"""Poses of a bag: odometry, stamped poses, or a chain of transforms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from placememory.errors import BagError, PoseError, SettingError
from placememory.frames._pose import Pose, Quaternion
from placememory.frames.bags._images import OnDamage, stamp_of
from placememory.frames.bags._info import IMAGE_TYPES, BagInfo, BagTopic
from placememory.frames.bags._open import OpenBag, RawMessage, read_bag_info
from placememory.frames.bags._tf import Transform, TransformTree, is_static, plain, with_static
from placememory.frames.trajectory import PoseTrack, Trajectory

_TREES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
_TRANSFORM = "geometry_msgs/msg/TransformStamped"
_WITH_COVARIANCE = ("nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseWithCovarianceStamped")
_TRACKS = (*_WITH_COVARIANCE, "geometry_msgs/msg/PoseStamped", _TRANSFORM)
_TYPES = (*_TRACKS, *_TREES)


def pose_topics(info: BagInfo) -> list[BagTopic]:
    """The topics of a bag that poses can be read from; static transforms alone are none."""
    return [topic for topic in info.of_types(_TYPES) if not is_static(topic.name)]


def read_bag_poses(
    path: Path | str,
    topic: str | None = None,
    *,
    parent: str | None = None,
    child: str | None = None,
    on_damage: OnDamage | None = None,
) -> Trajectory:
    """Read the poses of a bag, to be asked for at the stamps of its images.

    Read are ``nav_msgs/Odometry``, ``geometry_msgs/PoseStamped``, ``PoseWithCovarianceStamped``
    and ``TransformStamped``, and ``tf2_msgs/TFMessage`` with the static transforms beside it. A
    quaternion of zeros, and a covariance of zeros, are unknown; a pose that is not finite is left
    out. A pose's ``frame_id`` is that of the message, or the parent frame.

    Args:
        path: ``.bag``, ``.mcap``, ``.db3``, or a rosbag2 folder.
        topic: Left out: the only topic with poses.
        parent: For transforms: the frame in which the pose is wanted; left out: ``map``, else
            ``odom``, else the top of the tree.
        child: For transforms: the frame whose pose is wanted; left out: ``base_link``, else
            ``base_footprint``, else that of the images.
        on_damage: Called where the bag is damaged, with what is wrong; the poses before the
            damage are then returned. Without it, damage raises.

    Raises:
        BagError: The bag is damaged, has no such topic or frame, or several topics to choose from.
        MissingExtraError: The package ``rosbags`` is not installed.
    """
    with OpenBag(path) as bag:
        chosen = _chosen(bag.info, topic)
        source = f"{bag.path} ({chosen.name})"
        if chosen.type in _TREES:
            names = with_static(chosen.name, [t.name for t in bag.info.topics if t.type in _TREES])
            others = [] if child else _image_frames(bag)
            tree = TransformTree(_transforms(bag, names, on_damage), source)
            return tree.chain(parent, child, others)
        stamps, poses = [], []
        for raw, message in _messages(bag, [chosen.name], on_damage):
            pose = _pose(message, chosen.type)
            if pose is not None:
                stamps.append(stamp_of(message, raw.received))
                poses.append(pose)
        return PoseTrack(stamps, poses, source)


def bag_to_join(
    path: Path | str,
    topic: str | None,
    frames: str | None = None,
    *,
    on_damage: OnDamage | None = None,
) -> Trajectory | None:
    """Poses of a bag as the command line asks for them.

    Args:
        path: The bag.
        topic: ``"none"``: no poses; ``"auto"``: of the only topic with poses, if there is one;
            else as :func:`read_bag_poses` takes it.
        frames: ``PARENT:CHILD``, for transforms; either may be empty.
        on_damage: As :func:`read_bag_poses` takes it.

    Raises:
        BagError: The bag is damaged, has no such topic or frame, or several topics to choose from.
        SettingError: ``frames`` has no colon.
    """
    parent, colon, child = (frames or ":").partition(":")
    if not colon:
        raise SettingError(f"the frames of a pose are PARENT:CHILD, not {frames!r}")
    if topic == "none":
        return None
    if topic == "auto":
        topics = pose_topics(read_bag_info(path))
        if not topics:
            return None
        if len(topics) > 1:
            raise _several(Path(path), topics, "one, or none,")
        topic = topics[0].name
    return read_bag_poses(
        path, topic, parent=parent or None, child=child or None, on_damage=on_damage
    )


def _transforms(bag: OpenBag, topics: list[str], on_damage: OnDamage | None) -> Iterator[Transform]:
    for raw, message in _messages(bag, topics, on_damage):
        for transform in message.transforms:
            pose = _transform(transform)
            if pose is not None:
                stamp = stamp_of(transform, raw.received)
                child = plain(transform.child_frame_id)
                yield Transform(stamp, child, pose, is_static(raw.topic))


def _chosen(info: BagInfo, topic: str | None) -> BagTopic:
    if topic is not None:
        return info.named(topic, _TYPES, "poses")
    topics = pose_topics(info)
    if not topics:
        raise BagError(
            f"{info.path}: there are no poses (Odometry, PoseStamped, TransformStamped or tf)"
        )
    if len(topics) > 1:
        raise _several(info.path, topics, "one")
    return topics[0]


def _several(path: Path, topics: list[BagTopic], what: str) -> BagError:
    return BagError(
        f"{path}: {len(topics)} topics with poses: {', '.join(map(str, topics))}; choose {what} "
        "with --pose-topic (topic=)"
    )


def _messages(
    bag: OpenBag, topics: list[str], on_damage: OnDamage | None
) -> Iterator[tuple[RawMessage, Any]]:
    told = False
    found = bag.messages(topics)
    while True:
        try:
            raw = next(found, None)
            if raw is None:
                return
            message = bag.decode(raw)
        except BagError as error:
            if on_damage is None:
                raise
            if not told:
                on_damage(error)
            told = True
            continue
        yield raw, message


def _image_frames(bag: OpenBag) -> list[str]:
    """The frame of the images, if they are of one topic."""
    topics = bag.info.of_types(IMAGE_TYPES)
    if len(topics) != 1:
        return []
    first = next(iter(bag.messages([topics[0].name])), None)
    return [] if first is None else [plain(bag.decode(first).header.frame_id)]


def _pose(message: Any, kind: str) -> Pose | None:
    """Pose of a message; ``None`` if it is not finite."""
    if kind == _TRANSFORM:
        return _transform(message)
    inner, covariance = message.pose, None
    if kind in _WITH_COVARIANCE:
        inner = message.pose.pose
        if any(message.pose.covariance):
            covariance = tuple(float(value) for value in message.pose.covariance)
    return _valid(inner.position, inner.orientation, message.header.frame_id, covariance)


def _transform(message: Any) -> Pose | None:
    inner = message.transform
    return _valid(inner.translation, inner.rotation, message.header.frame_id, None)


def _valid(
    place: Any, turned: Any, frame_id: str, covariance: tuple[float, ...] | None
) -> Pose | None:
    quaternion: Quaternion | None = (turned.x, turned.y, turned.z, turned.w)
    if quaternion == (0.0, 0.0, 0.0, 0.0):
        quaternion = None
    try:
        return Pose(place.x, place.y, place.z, quaternion, plain(frame_id), covariance)
    except PoseError:
        return None
