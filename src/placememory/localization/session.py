"""A finished run becomes a session of the memory: poses of its frames, and the drift measured.

Located frames have the poses of their estimates. Those between get theirs from odometry, anchored
at the located frames around them: the motion is followed from both sides and blended, so what the
two disagree about is spread over the way (a pose graph whose only unknown is the drift).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from placememory._checks import check_positive
from placememory.errors import EncoderMismatchError, InputError
from placememory.frames import Frame, Pose, select_keyframes
from placememory.frames.pose import compose, interpolate, inverse
from placememory.localization.estimate import Estimate
from placememory.localization.run import LocalizedRun
from placememory.memory import PlaceMemory
from placememory.metrics.alignment import rigid_fit

_SLACK, _SHARE = 2.0, 0.1  # metres, and of the way, that located poses and odometry may disagree
_COMPARED = 4  # located frames on either side that a located frame must agree with
_STRAIGHT = 3.0  # metres between two located frames, where there is no odometry between
_LEAST, _MOST = 10.0, 50.0  # metres of a stretch over which drift is measured
_STEP, _TURN = 0.1, 5.0  # metres, degrees: frames nearer than both show nothing new
_FEWEST = 4  # located frames that say where a stretch starts
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Drift:
    """How far odometry goes astray between located frames, their own errors included.

    Attributes:
        metres: Per 100 m of way.
        degrees: Per 100 m of way.
        way: Metres over which it was measured.
        stretches: In how many stretches.
    """

    metres: float
    degrees: float
    way: float
    stretches: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"odometry drifts {self.metres:.1f} m and {self.degrees:.1f} degrees per 100 m "
            f"(stretches: {self.stretches}, {self.way:.0f} m in all)"
        )

    def to_dict(self) -> dict[str, float]:
        """Plain values, for JSON."""
        return {
            "metres_per_100_m": self.metres,
            "degrees_per_100_m": self.degrees,
            "way": self.way,
            "stretches": self.stretches,
        }


@dataclass(frozen=True, slots=True)
class AddedRun:
    """What became of the frames of a run that was added to a memory.

    Attributes:
        session: Its name there.
        located: Frames added with the pose of their estimate.
        between: Frames added with a pose from the located ones around them.
        nowhere: Names of frames left out because no located frame is near enough.
        contradicted: Names of located frames whose pose the odometry to their neighbours
            contradicts; they are treated as not located.
        still: Frames left out because the robot had hardly moved since the one before.
        unused: Frames left out because their image was no evidence.
        drift: Of the odometry; ``None`` without odometry, or where too little is located.
    """

    session: str
    located: int
    between: int
    nowhere: tuple[str, ...]
    contradicted: tuple[str, ...]
    still: int
    unused: int
    drift: Drift | None

    def __str__(self) -> str:
        """One line."""
        parts = [f"{self.located} located", f"{self.between} between located ones"]
        left = [
            (len(self.nowhere), f"with no located one near ({_few(self.nowhere)})"),
            (self.still, "at a standstill"),
            (self.unused, "without a usable image"),
        ]
        text = (
            f"added {self.located + self.between} frames as session {self.session!r}: "
            f"{', '.join(parts)}"
        )
        gone = [f"{count} {why}" for count, why in left if count]
        text += f"; left out: {', '.join(gone)}" if gone else ""
        if self.contradicted:
            text += f"; {len(self.contradicted)} located poses contradict the odometry"
        return text if self.drift is None else f"{text}; {self.drift}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "session": self.session,
            "located": self.located,
            "between": self.between,
            "nowhere": list(self.nowhere),
            "contradicted": list(self.contradicted),
            "still": self.still,
            "unused": self.unused,
            "drift": None if self.drift is None else self.drift.to_dict(),
        }


def add_run(
    memory: PlaceMemory,
    run: LocalizedRun,
    session: str,
    *,
    reach: float = 10.0,
    source: str | Path | None = None,
    topic: str | None = None,
) -> AddedRun:
    """Add a localised run to the memory it was localised in, as a session of its own.

    Frames with a true pose are treated like all others: the truth is not used. Frames less than
    0.1 m and 5 degrees from the one before are left out, and those whose image was no evidence.

    Args:
        memory: Open for writing.
        run: With estimates and descriptors, by a fusion.
        session: Name of the new session.
        reach: Metres of way to the nearest located frame, up to which a frame is taken. Without
            odometry, frames between two located ones at most 3 m apart are taken.
        source: Where the images are, for figures.
        topic: Of a bag, if it has several with images.

    Returns:
        What became of the frames. All are written at once, or none.

    Raises:
        InputError: The session is there already, the run holds frames of the memory itself, kept
            no estimates, was answered frame by frame, or located nothing.
        EncoderMismatchError: The run's descriptors are of another encoder.
        MemoryStoreError: The memory cannot be written to.

    Example:
        >>> from placememory.encoders import EncoderCard, Preprocess
        >>> from placememory.localization import Localizer, Step, follow
        >>> from placememory.memory import Place
        >>> card = EncoderCard(name="toy", dim=30, preprocess=Preprocess(longest=8))
        >>> memory = PlaceMemory.create(":memory:", encoder=card)
        >>> places = [Place("day", i, f"{i}", pose=Pose.from_yaw(i, 0.0, 0.0)) for i in range(30)]
        >>> views = np.eye(30, dtype=np.float32)
        >>> _ = memory.add(places, views)
        >>> walk = [Frame(f"{i}", "evening", i, stamp=i * 10**9) for i in range(5, 20)]
        >>> steps = [Step(frame, descriptor=views[frame.index] + 0.01) for frame in walk]
        >>> added = add_run(memory, follow(Localizer(memory), steps), "evening")
        >>> memory.sessions()["evening"] == added.located + added.between
        True
    """
    check_positive(reach=reach)
    check_session(memory, session)
    hashed = run.made_by.get("encoder_hash", memory.card.hash)
    if hashed != memory.card.hash:
        raise EncoderMismatchError(
            f"the run was described by {run.made_by.get('encoder')!r} ({hashed[:12]}), "
            f"{memory.uri} by {memory.card.name!r} ({memory.card.hash[:12]})"
        )
    if run.warning is not None:
        raise InputError(f"the run cannot be added: {run.warning}")
    if len(run) < run.summary.frames or not len(run):
        raise InputError("the run kept no estimates, so there is nothing to add")
    if all(estimate.belief is None for estimate in run):
        raise InputError("each frame was answered alone; a run to add needs a fusion")
    path = _Path(run.estimates)
    if not path.anchors:
        raise InputError("no frame of the run is located, so none has a pose; it is not added")
    poses = [path.pose(i, reach) for i in range(len(run))]
    floors = {place.id: place.floor for place in run.places}
    posed: list[Frame] = []
    numbers: dict[int, int] = {}
    for i, (estimate, pose) in enumerate(zip(run, poses, strict=True)):
        if pose is None or estimate.descriptor is None:
            continue
        nearest = run.estimates[path.nearest(i)].belief
        best = None if nearest is None else nearest.best
        numbers[estimate.frame.index] = i
        posed.append(
            replace(
                estimate.frame,
                session=session,
                pose=pose,
                floor=None if best is None else floors.get(best.place),
                read=None,
            )
        )
    chosen = select_keyframes(posed, _STEP, _TURN)
    rows = [run.estimates[numbers[frame.index]].descriptor for frame in chosen]
    memory.add(chosen, np.stack([row for row in rows if row is not None]))
    if source is not None:
        memory.set_sources({session: source})
    if topic is not None:
        memory.set_topics({session: topic})
    located = sum(numbers[frame.index] in path.anchors for frame in chosen)
    unused = sum(estimate.descriptor is None for estimate in run)
    return AddedRun(
        session,
        located,
        len(chosen) - located,
        tuple(
            estimate.frame.name
            for estimate, pose in zip(run, poses, strict=True)
            if pose is None and estimate.descriptor is not None
        ),
        tuple(run.estimates[i].frame.name for i in path.contradicted),
        len(posed) - len(chosen),
        unused,
        path.drift(),
    )


def check_session(memory: PlaceMemory, session: str) -> None:
    """Check, before there is a run, that it can be added under a name.

    Raises:
        InputError: There is such a session already.
        MemoryStoreError: The memory cannot be written to.
    """
    if session in memory.sessions():
        raise InputError(
            f"{memory.uri} has a session {session!r} already; give the run another name, or "
            "remove that one first"
        )
    memory.check_writable()


class _Path:
    """The way of a run: its odometry, and the located frames that it is anchored at.

    Attributes:
        anchors: Numbers of located frames, without those that the others contradict.
        contradicted: The latter.
    """

    def __init__(self, estimates: Sequence[Estimate]) -> None:
        self._estimates = estimates
        self._odometry, self._part, self._way = _follow_odometry(estimates)
        located = [i for i, e in enumerate(estimates) if e.verdict == "located" and e.pose]
        self.contradicted = [i for i in located if self._is_contradicted(i, located)]
        self.anchors = sorted(set(located) - set(self.contradicted))

    def pose(self, i: int, reach: float) -> Pose | None:
        """Where a frame was taken; ``None`` where that is not known."""
        at = int(np.searchsorted(self.anchors, i))
        if at < len(self.anchors) and self.anchors[at] == i:
            return self._at(i)
        before = self.anchors[at - 1] if at else None
        after = self.anchors[at] if at < len(self.anchors) else None
        sides = [
            (abs(self._way[i] - self._way[anchor]), pose)
            for anchor in (before, after)
            if anchor is not None and (pose := self._reckon(anchor, i)) is not None
        ]
        agree = before is not None and after is not None and self._agree(before, after)
        if len(sides) == 2 and agree:
            (behind, forward), (ahead, back) = sides
            whole = behind + ahead
            share = behind / whole if whole > 0 else 0.5
            return interpolate(forward, back, share) if min(behind, ahead) <= reach else None
        if sides:
            far, found = min(sides, key=lambda side: side[0])
            return found if far <= reach else None
        if before is None or after is None or not agree:
            return None
        first, second = self._at(before), self._at(after)
        near = first.distance_to(second) <= _STRAIGHT
        return interpolate(first, second, self._share(before, i, after)) if near else None

    def nearest(self, i: int) -> int:
        """The located frame that is nearest to a frame in the run."""
        at = int(np.searchsorted(self.anchors, i))
        return min(self.anchors[max(0, at - 1) : at + 1], key=lambda anchor: abs(anchor - i))

    def drift(self) -> Drift | None:
        """What odometry and located poses disagree about, over stretches of the way."""
        apart = turned = way = whole = 0.0
        stretches = 0
        for part in {self._part[anchor] for anchor in self.anchors}:
            anchors = [anchor for anchor in self.anchors if self._part[anchor] == part]
            length = self._way[anchors[-1]] - self._way[anchors[0]]
            wanted = min(max(length / 2, _LEAST), _MOST)
            start, count = 0, stretches
            for end, anchor in enumerate(anchors):
                gone = self._way[anchor] - self._way[anchors[start]]
                if gone >= wanted:
                    apart += self._miss(anchors[start : end + 1])
                    way, stretches, start = way + gone, stretches + 1, end
            if stretches > count:
                turned, whole = turned + length * self._turn_rate(anchors), whole + length
        if not stretches:
            return None
        return Drift(100 * apart / way, 100 * math.degrees(turned / whole), way, stretches)

    def _miss(self, anchors: Sequence[int]) -> float:
        """Metres by which odometry misses the end of a stretch.

        It starts where the located frames of the first third put it together: the heading of one
        located frame, some degrees off, would weigh more than all drift.
        """
        way = np.array([self._way[anchor] for anchor in anchors])
        first = way <= way[0] + (way[-1] - way[0]) / 3
        at = np.array([self._at(anchor).position[:2] for anchor in anchors])
        reckoned = np.array([self._odometry[anchor].position[:2] for anchor in anchors])
        if first.sum() < _FEWEST:
            end = self._reckon(anchors[0], anchors[-1])
            return 0.0 if end is None else end.distance_to(self._at(anchors[-1]))
        yaw, shift = rigid_fit(reckoned[first], at[first])
        x, y = reckoned[-1]
        found = Pose.from_yaw(float(shift[0]), float(shift[1]), yaw)
        end = compose(found, Pose(float(x), float(y)))
        return math.dist((end.x, end.y), at[-1].tolist())

    def _turn_rate(self, anchors: Sequence[int]) -> float:
        """Radians a metre by which odometry turns away: the slope over all located frames."""
        yaw = [self._odometry[anchor].yaw - self._at(anchor).yaw for anchor in anchors]
        way = [self._way[anchor] for anchor in anchors]
        return abs(float(np.polyfit(way, np.unwrap(yaw), 1)[0]))

    def _at(self, anchor: int) -> Pose:
        pose = self._estimates[anchor].pose
        assert pose is not None
        return replace(pose, covariance=None)

    def _reckon(self, anchor: int, i: int) -> Pose | None:
        """Where odometry leads from a located frame; ``None`` where it is not known all the way."""
        start = self._at(anchor)
        if self._part[anchor] != self._part[i] or start.quaternion is None:
            return None
        motion = compose(inverse(self._odometry[anchor]), self._odometry[i])
        return replace(compose(start, motion), frame_id=start.frame_id)

    def _agree(self, one: int, other: int) -> bool:
        """Whether two located frames can both be right, by the odometry where it is known."""
        reckoned = self._reckon(one, other)
        way = abs(self._way[other] - self._way[one])
        return reckoned is None or reckoned.distance_to(self._at(other)) <= _SLACK + _SHARE * way

    def _is_contradicted(self, i: int, located: Sequence[int]) -> bool:
        at = int(np.searchsorted(located, i))
        others = [*located[max(0, at - _COMPARED) : at], *located[at + 1 : at + 1 + _COMPARED]]
        against = sum(not self._agree(i, other) for other in others)
        return against > len(others) / 2

    def _share(self, before: int, i: int, after: int) -> float:
        """How far a frame is from one to another, by their stamps, else by their numbers."""
        stamps = [self._estimates[number].frame.stamp for number in (before, i, after)]
        known = [stamp for stamp in stamps if stamp is not None]
        timed = len(known) == len(stamps) and known[0] < known[-1]
        first, here, last = known if timed else (before, i, after)
        return min(max((here - first) / (last - first), 0.0), 1.0)


def _follow_odometry(
    estimates: Sequence[Estimate],
) -> tuple[list[Pose], list[int], list[float]]:
    """Pose of each frame in the odometry's own frame, the unbroken part it is in, metres gone."""
    at, part, way = Pose.from_yaw(0.0, 0.0, 0.0, frame_id="odom"), 0, 0.0
    poses, parts, ways = [], [], []
    for i, estimate in enumerate(estimates):
        motion = estimate.odometry
        if motion is not None:
            at = compose(at, Pose.from_yaw(motion.dx, motion.dy, motion.dyaw))
            way += motion.distance
        elif i:
            part += 1
        poses.append(at)
        parts.append(part)
        ways.append(way)
    return poses, parts, ways


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
