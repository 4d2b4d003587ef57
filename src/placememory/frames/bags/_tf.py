"""The tree of coordinate frames in a bag's transforms, and the pose of one frame in another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from placememory.errors import BagError
from placememory.frames._pose import Pose
from placememory.frames._rigid import compose
from placememory.frames.trajectory import DEFAULT_POSE_GAP, PoseTrack, Trajectory

_PARENTS = ("map", "odom")
_CHILDREN = ("base_link", "base_footprint")


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

    Args:
        links: From the top: a fixed pose, or poses over time.
        source: Where they were read, for messages.
    """

    def __init__(self, links: Sequence[Pose | PoseTrack], source: str) -> None:
        self.links = list(links)
        self.source = source

    def at(self, stamp: int, *, max_gap: float = DEFAULT_POSE_GAP) -> Pose | None:
        """The pose at a stamp, each link interpolated; see :meth:`Trajectory.at`."""
        result: Pose | None = None
        for link in self.links:
            pose = link if isinstance(link, Pose) else link.at(stamp, max_gap=max_gap)
            if pose is None:
                return None
            result = pose if result is None else compose(result, pose)
        return result

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
        path = above[parent]
        links = [self._links[link] for link in pairwise(path)]
        return TransformChain(links, f"{self._source}, {parent} to {child}")

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


def plain(frame_id: str) -> str:
    """Name of a frame without the slash that old bags put before it.

    Example:
        >>> plain("/base_link")
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


def with_static(topic: str, topics: Iterable[str]) -> list[str]:
    """A topic of transforms, and the static ones beside it.

    Example:
        >>> with_static("/robot/tf", ["/robot/tf", "/robot/tf_static", "/tf_static"])
        ['/robot/tf', '/robot/tf_static']
    """
    folder = topic.rsplit("/", 1)[0]
    return [t for t in topics if t == topic or (is_static(t) and t.rsplit("/", 1)[0] == folder)]
