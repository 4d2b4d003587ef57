"""Poses of a bag: tracks of poses, and the tree of coordinate frames in its transforms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from placememory.errors import BagError, PoseError, SettingError
from placememory.frames.bags.images import OnDamage, stamp_of
from placememory.frames.bags.open import (
    IMAGE_TYPES,
    BagInfo,
    BagTopic,
    OpenBag,
    RawMessage,
    read_bag_info,
)
from placememory.frames.geographic import local_poses
from placememory.frames.pose import Pose, Quaternion, compose
from placememory.frames.trajectory import DEFAULT_POSE_GAP, PoseTrack, Trajectory

_PARENTS = ("map", "odom")
_CHILDREN = ("base_link", "base_footprint")
_SLOW = 3.0  # usual steps of a slow transform for which it holds


@dataclass(frozen=True, slots=True)
class Transform:
    """Pose of one frame in another.

    Attributes:
        stamp: Nanoseconds.
        child: Frame whose pose it is.
        pose: In the frame ``pose.frame_id``.
        static: It holds for all times.
    """

    stamp: int
    child: str
    pose: Pose
    static: bool


class TransformChain(Trajectory):
    """Transforms one after the other: map to odom, odom to base, base to camera.

    Each link is interpolated by itself. The one whose poses come most often carries the motion:
    two of its poses may be ``max_gap`` apart. Others are corrections that come when they come, and
    have bounds of their own: three times their usual step. Within it, the first and the last also
    hold before and after; one that never changes holds always.

    Args:
        links: From the top: a fixed pose, or poses over time.
        names: Of the links, ``map -> odom``.
        source: Where they were read, for messages.
    """

    def __init__(
        self, links: Sequence[Pose | PoseTrack], names: Sequence[str], source: str
    ) -> None:
        moving = [link for link in links if isinstance(link, PoseTrack)]
        self._fastest = max(moving, key=len, default=None)
        self.links: list[Pose | PoseTrack] = [
            link.poses[0]
            if isinstance(link, PoseTrack) and link is not self._fastest and link.is_fixed()
            else link
            for link in links
        ]
        self.names = list(names)
        self.source = source

    def at(self, stamp: int, *, max_gap: float = DEFAULT_POSE_GAP) -> Pose | None:
        """The pose at a stamp, each link interpolated; see :meth:`Trajectory.at`."""
        result: Pose | None = None
        for link in self.links:
            pose = self._pose(link, stamp, max_gap)
            if pose is None:
                return None
            result = pose if result is None else compose(result, pose)
        return result

    def _pose(self, link: Pose | PoseTrack, stamp: int, max_gap: float) -> Pose | None:
        if isinstance(link, Pose):
            return link
        if link is self._fastest:
            return link.at(stamp, max_gap=max_gap)
        bound = max(max_gap, _SLOW * link.step())
        held = min(max(stamp, link.stamps[0]), link.stamps[-1])
        if held != stamp and (link.step() <= max_gap or abs(held - stamp) > bound * 1e9):
            return None
        return link.at(held, max_gap=bound)

    def explain(self, stamps: Sequence[int], max_gap: float) -> str:
        """Why there is no pose at stamps, and which link breaks."""
        broken = {
            name: [stamp for stamp in stamps if self._pose(link, stamp, max_gap) is None]
            for name, link in zip(self.names, self.links, strict=True)
        }
        name = max(broken, key=lambda name: len(broken[name]))
        link = self.links[self.names.index(name)]
        assert isinstance(link, PoseTrack)  # a fixed one never breaks
        bound = max_gap if link is self._fastest else max(max_gap, _SLOW * link.step())
        return f"the chain breaks at {name}: {link.explain(broken[name], bound)}"

    @property
    def span(self) -> tuple[int, int] | None:
        """From the last start of a link to the first end; everything if all are fixed."""
        spans = [link.span for link in self.links if isinstance(link, PoseTrack)]
        known = [span for span in spans if span is not None]
        if not known:
            return (0, 2**63) if self.links else None
        return max(start for start, _ in known), min(end for _, end in known)


class TransformTree:
    """Frames and the transforms between them.

    Args:
        transforms: In the order they were received. A transform over time wins over a static one
            of the same two frames.
        source: Where they were read, for messages.
    """

    def __init__(self, transforms: Iterable[Transform], source: str) -> None:
        self._source = source
        fixed: dict[tuple[str, str], Pose] = {}
        moving: dict[tuple[str, str], list[Transform]] = {}
        for transform in transforms:
            link = (transform.pose.frame_id, transform.child)
            if transform.static:
                fixed[link] = transform.pose
            else:
                moving.setdefault(link, []).append(transform)
        tracks = {
            link: PoseTrack([t.stamp for t in found], [t.pose for t in found], source)
            for link, found in moving.items()
        }
        self._links: dict[tuple[str, str], Pose | PoseTrack] = {**fixed, **tracks}
        self._parents: dict[str, list[str]] = {}
        for parent, child in self._links:
            self._parents.setdefault(child, []).append(parent)

    @property
    def frames(self) -> list[str]:
        """All frames, by name."""
        return sorted({name for link in self._links for name in link})

    def chain(
        self, parent: str | None, child: str | None, others: Sequence[str] = ()
    ) -> TransformChain:
        """The pose of a frame in one above it.

        Args:
            parent: Left out: ``map``, else ``odom``, else the topmost frame above the child.
            child: Left out: ``base_link``, else ``base_footprint``, else the first of ``others``
                that is known.
            others: Frames to try, such as the camera's.

        Raises:
            BagError: A frame is not known, or the one is not above the other; lists the frames.
        """
        child = child or next((n for n in (*_CHILDREN, *others) if n in self._parents), None)
        if child is None:
            raise self._error("none of its frames is that of a base or of the camera")
        above = self._paths_up(child)
        if parent is None:
            parent = next((n for n in _PARENTS if n in above), list(above)[-1])
        if child == parent or parent not in above:
            known = set(self.frames)
            for name in (child, parent):
                if name not in known:
                    raise self._error(f"there is no frame {name!r}")
            raise self._error(f"the frame {parent!r} is not above {child!r}")
        path = list(pairwise(above[parent]))
        links = [self._links[link] for link in path]
        names = [f"{upper} -> {lower}" for upper, lower in path]
        return TransformChain(links, names, f"{self._source}, {parent} to {child}")

    def _paths_up(self, child: str) -> dict[str, list[str]]:
        """Frames above, nearest first, with the path from each down to the child."""
        paths = {child: [child]}
        waiting = [child]
        for name in waiting:
            for parent in self._parents.get(name, []):
                if parent not in paths:
                    paths[parent] = [parent, *paths[name]]
                    waiting.append(parent)
        return paths

    def _error(self, what: str) -> BagError:
        links = ", ".join(f"{parent} > {child}" for parent, child in sorted(self._links)) or "none"
        return BagError(
            f"{self._source}: {what}; its transforms: {links}. Choose two frames with "
            "--pose-frames PARENT:CHILD (parent=, child=)"
        )


def strip_slash(frame_id: str) -> str:
    """Name of a frame without the slash that old bags put before it.

    Example:
        >>> strip_slash("/base_link")
        'base_link'
    """
    return frame_id.lstrip("/")


def is_static(topic: str) -> bool:
    """Whether a topic carries transforms that hold for all times.

    Example:
        >>> is_static("/robot/tf_static"), is_static("/tf")
        (True, False)
    """
    return topic.rsplit("/", 1)[-1] == "tf_static"


def add_static(topic: str, topics: Iterable[str]) -> list[str]:
    """A topic of transforms, and the static ones beside it.

    Example:
        >>> add_static("/robot/tf", ["/robot/tf", "/robot/tf_static", "/tf_static"])
        ['/robot/tf', '/robot/tf_static']
    """
    folder = topic.rsplit("/", 1)[0]
    return [t for t in topics if t == topic or (is_static(t) and t.rsplit("/", 1)[0] == folder)]


_TREES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
_TRANSFORM = "geometry_msgs/msg/TransformStamped"
_WITH_COVARIANCE = ("nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseWithCovarianceStamped")
_STAMPED = "geometry_msgs/msg/PoseStamped"
_TRACKS = (*_WITH_COVARIANCE, _STAMPED, _TRANSFORM)
_PATH = "nav_msgs/msg/Path"
_ARRAY = "geometry_msgs/msg/PoseArray"
_POINT = "geometry_msgs/msg/PointStamped"
_FIX = "sensor_msgs/msg/NavSatFix"
_RARER = (_PATH, _ARRAY, _POINT, _FIX)
_TYPES = (*_TRACKS, *_TREES, *_RARER)


def pose_topics(info: BagInfo) -> list[BagTopic]:
    """The topics of a bag that poses can be read from; static transforms alone are none.

    Paths, arrays of poses and points are counted only where there is nothing else, for they may as
    well be a plan, particles, or a click.
    """
    found = [t for t in info.of_types((*_TRACKS, *_TREES)) if not is_static(t.name)]
    return found or info.of_types(_RARER)


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
    and ``TransformStamped``, and ``tf2_msgs/TFMessage`` with the static transforms beside it; of
    ``nav_msgs/Path`` the last message, ``geometry_msgs/PoseArray`` with one pose each, and the
    positions of ``PointStamped`` and ``sensor_msgs/NavSatFix``, these in metres east and north of
    an origin (:mod:`placememory.frames.geographic`). A quaternion of zeros, and a covariance of
    zeros or with NaN, are unknown; a pose that is not finite is left out. A pose's ``frame_id`` is
    that of the message, or the parent frame.

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
        chosen = _choose_topic(bag.info, topic)
        source = f"{bag.path} ({chosen.name})"
        if chosen.type in _TREES:
            names = add_static(chosen.name, [t.name for t in bag.info.topics if t.type in _TREES])
            others = [] if child else _image_frames(bag)
            tree = TransformTree(_transforms(bag, names, on_damage), source)
            return tree.chain(parent, child, others)
        found = _messages(bag, [chosen.name], on_damage)
        if chosen.type == _PATH:
            return _track_of_path(found, source)
        if chosen.type == _FIX:
            return _track_of_fixes(found, source)
        stamps, poses = [], []
        for raw, message in found:
            pose = _pose(message, chosen.type, source)
            if pose is not None:
                stamps.append(stamp_of(message, raw.received))
                poses.append(pose)
        return PoseTrack(stamps, poses, source)


def _track_of_fixes(found: Iterator[tuple[RawMessage, Any]], source: str) -> PoseTrack:
    """Positions in metres from an origin among them; fixes that are none are left out."""
    fixes = [(raw, message) for raw, message in found if message.status.status >= 0]
    poses = local_poses([m.latitude for _, m in fixes], [m.longitude for _, m in fixes])
    known = [
        (stamp_of(message, raw.received), pose)
        for (raw, message), pose in zip(fixes, poses, strict=True)
        if pose is not None
    ]
    return PoseTrack([stamp for stamp, _ in known], [pose for _, pose in known], source)


def _track_of_path(found: Iterator[tuple[RawMessage, Any]], source: str) -> PoseTrack:
    """The poses of the last path: it holds those of the paths before it.

    Raises:
        BagError: Its poses have no times of their own: it is a plan, no way that was driven.
    """
    path: Any = None
    for _, message in found:
        path = message
    listed = [] if path is None else list(path.poses)
    stamps = [stamp_of(pose, 0) for pose in listed]
    if len(listed) > 1 and len(set(stamps)) == 1:
        raise BagError(
            f"{source}: the {len(listed)} poses of the last path have one stamp, so it is a plan, "
            "not a way that was driven; choose another topic, or none, with --pose-topic"
        )
    poses = [_pose(pose, _STAMPED, source) for pose in listed]
    known = [(stamp, pose) for stamp, pose in zip(stamps, poses, strict=True) if pose is not None]
    return PoseTrack([stamp for stamp, _ in known], [pose for _, pose in known], source)


def read_bag_transform(
    path: Path | str, parent: str | None = None, child: str | None = None
) -> Pose:
    """Read the pose of one frame in another from a bag's transforms, such as a camera's mount.

    Args:
        path: The bag.
        parent: Left out: ``base_link``, else ``base_footprint``.
        child: Left out: that of the images.

    Returns:
        The pose at the first moment that it is known.

    Raises:
        BagError: The bag is damaged, or the one frame is not known above the other.
    """
    with OpenBag(path) as bag:
        names = [topic.name for topic in bag.info.topics if topic.type in _TREES]
        images = [] if child else _image_frames(bag)
        tree = TransformTree(_transforms(bag, names, None), str(bag.path))
        parent = parent or next((name for name in _CHILDREN if name in tree.frames), None)
        child = child or next(iter(images), None)
        if parent is None or child is None:
            raise BagError(
                f"{bag.path}: its transforms have no base, or its images no frame; name both: "
                "--extrinsic PARENT:CHILD"
            )
        chain = tree.chain(parent, child)
        span = chain.span
        pose = None if span is None else chain.at(span[0])
        if pose is None:
            raise BagError(f"{bag.path}: {parent} to {child} is never known as a whole")
        return pose


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
            raise _several_topics(Path(path), topics, "one, or none,")
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
                child = strip_slash(transform.child_frame_id)
                yield Transform(stamp, child, pose, is_static(raw.topic))


def _choose_topic(info: BagInfo, topic: str | None) -> BagTopic:
    if topic is not None:
        return info.find_topic(topic, _TYPES, "poses")
    topics = pose_topics(info)
    if not topics:
        raise BagError(
            f"{info.path}: there are no poses (Odometry, PoseStamped, TransformStamped or tf)"
        )
    if len(topics) > 1:
        raise _several_topics(info.path, topics, "one")
    return topics[0]


def _several_topics(path: Path, topics: list[BagTopic], what: str) -> BagError:
    return BagError(
        f"{path}: {len(topics)} topics with poses: {', '.join(map(str, topics))}; choose {what} "
        "with --pose-topic"
    )


def _messages(
    bag: OpenBag, topics: list[str], on_damage: OnDamage | None
) -> Iterator[tuple[RawMessage, Any]]:
    reported = False
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
            if not reported:
                on_damage(error)
            reported = True
            continue
        yield raw, message


def _image_frames(bag: OpenBag) -> list[str]:
    """The frame of the images, if they are of one topic."""
    topics = bag.info.of_types(IMAGE_TYPES)
    if len(topics) != 1:
        return []
    first = next(iter(bag.messages([topics[0].name])), None)
    return [] if first is None else [strip_slash(bag.decode(first).header.frame_id)]


def _pose(message: Any, kind: str, source: str) -> Pose | None:
    """Pose of a message; ``None`` if it is not finite.

    Raises:
        BagError: It is a set of poses.
    """
    if kind == _TRANSFORM:
        return _transform(message)
    if kind == _POINT:
        return pose_of(message.point, None, message.header.frame_id, None)
    if kind == _ARRAY:
        if len(message.poses) != 1:
            raise BagError(
                f"{source}: a message has {len(message.poses)} poses without times of their own "
                "(particles?), not one; choose another topic, or none, with --pose-topic"
            )
        inner = message.poses[0]
        return pose_of(inner.position, inner.orientation, message.header.frame_id, None)
    inner, covariance = message.pose, None
    if kind in _WITH_COVARIANCE:
        inner = message.pose.pose
        given = tuple(float(value) for value in message.pose.covariance)
        if any(given) and all(map(math.isfinite, given)):
            covariance = given
    return pose_of(inner.position, inner.orientation, message.header.frame_id, covariance)


def _transform(message: Any) -> Pose | None:
    inner = message.transform
    return pose_of(inner.translation, inner.rotation, message.header.frame_id, None)


def pose_of(
    place: Any, orientation: Any, frame_id: str, covariance: tuple[float, ...] | None
) -> Pose | None:
    """Pose of a message's position and orientation; ``None`` where it is none."""
    quaternion: Quaternion | None = None
    if orientation is not None:
        quaternion = (orientation.x, orientation.y, orientation.z, orientation.w)
    if quaternion == (0.0, 0.0, 0.0, 0.0):
        quaternion = None
    try:
        return Pose(place.x, place.y, place.z, quaternion, strip_slash(frame_id), covariance)
    except PoseError:
        return None
