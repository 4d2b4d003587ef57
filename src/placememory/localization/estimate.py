"""Estimate: the answer for one frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._types import Vectors
from placememory.frames import Frame, Pose
from placememory.fusion import Belief, Odometry, Verdict
from placememory.geometry import CameraPose, RelativePose
from placememory.memory import Candidate, Place
from placememory.metrics import is_correct


@dataclass(frozen=True, slots=True)
class FrameMatch:
    """The frames of the window, each with the place it was matched to.

    Attributes:
        frames: Names of the window's frames, oldest first.
        places: The place of each.
        distances: Cosine distance of each, 0 to 2.
        score: Of the matcher, lowest is best.
        score_kind: What the score is; see :data:`placememory.matching.ScoreKind`.
    """

    frames: tuple[str, ...]
    places: tuple[Place, ...]
    distances: tuple[float, ...]
    score: float
    score_kind: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "score": self.score,
            "score_kind": self.score_kind,
            "frames": [
                {"frame": frame, "session": place.session, "index": place.index,
                 "name": place.name, "distance": distance}
                for frame, place, distance in zip(
                    self.frames, self.places, self.distances, strict=True
                )
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer for one frame.

    One rule holds everywhere, in Python, JSON, CSV and figures: ``pose`` is there only if the
    verdict is ``located``. What is guessed otherwise is the ``hypothesis``.

    Attributes:
        frame: The query; its pose, where known, is the truth and was not used.
        candidates: Most similar places, best first.
        belief: What this frame and those before say together; ``None`` where each frame is
            answered alone.
        match: The sequence matched frame by frame, where a matcher runs and its window is full.
        frame_id: Name of the map frame that poses are in.
        reason: Why it is not located, in words: "no place is like this", "two places alike: 3rd
            floor and 4th floor", "out of date: 6.2 s without evidence", "covered". Empty where it
            is, and where each frame is answered alone.
        age: Seconds from the newest evidence to this frame; ``None`` without stamps. A belief
            that is too old is ``unknown``; see :class:`placememory.localization.Timing`.
        note: Why the image was not used (``unreadable``, ``featureless``, ``covered``, ``frozen``,
            ``out of order``, ``no descriptor``), what is wrong with it (``blurred``), or with the
            clock (``clock went back 12.3 s: started again``); several are joined by ``; ``.
        checked: Candidates that were checked by local features.
        relative: Rotation and direction to the place with the most inliers, where candidates were
            checked by a verifier with a camera.
        camera_pose: Pose of the query's camera, where there is a poser and enough points fit.
        refined: Pose of the body that follows from it, if it is sure and the belief agrees; see
            :attr:`hypothesis`.
        placed: Pose of the best hypothesis in the map, where the map's plane is not x-y.
        spread: (6, 6) of the best hypothesis without :attr:`refined`; see :attr:`covariance`.
        milliseconds: What the parts of the answer took.
        descriptor: (D,) float32 of the frame; ``None`` where the image was not used.
        in_memory: The place that is this frame itself (the same content), where the memory holds
            it: the answer then says nothing about another run.
        odometry: Motion since the frame before, as it was given; ``None`` if unknown.
        revision: Of the memory that answered; see :attr:`placememory.PlaceMemory.revision`.
    """

    frame: Frame
    candidates: tuple[Candidate, ...]
    belief: Belief | None = None
    match: FrameMatch | None = None
    frame_id: str = "map"
    note: str = ""
    reason: str = ""
    age: float | None = None
    checked: int = 0
    relative: RelativePose | None = None
    camera_pose: CameraPose | None = None
    refined: Pose | None = None
    placed: Pose | None = None
    spread: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    descriptor: Vectors | None = field(default=None, repr=False, compare=False)
    in_memory: Place | None = None
    odometry: Odometry | None = None
    revision: str = ""

    def __repr__(self) -> str:
        answer = f"best {self.best!r}" if self.belief is None else repr(self.belief)
        note = f", {self.note}" if self.note else ""
        return f"Estimate({self.frame.name!r}, {answer}{note})"

    @property
    def best(self) -> Candidate | None:
        """The most similar place; ``None`` in an empty memory."""
        return self.candidates[0] if self.candidates else None

    @property
    def verdict(self) -> Verdict | None:
        """Whether to trust the pose; ``None`` where each frame is answered alone."""
        return None if self.belief is None else self.belief.verdict

    @property
    def probability(self) -> float | None:
        """That the hypothesis is right within the radius of the fusion, 0 to 1.

        ``None`` where each frame is answered alone, where the method has no probability, and
        where the belief is out of date.
        """
        return None if self.belief is None else self.belief.probability

    @property
    def pose(self) -> Pose | None:
        """Where the robot is, in the map frame: the :attr:`hypothesis`, if it is ``located``.

        ``None`` with every other verdict, where each frame is answered alone, and where the map
        has no poses.
        """
        return self.hypothesis if self.verdict == "located" else None

    @property
    def hypothesis(self) -> Pose | None:
        """Where the robot is likeliest, trusted or not, in the map frame.

        Of a belief, its best hypothesis; of a frame alone, the pose of the best candidate. Where
        the camera's pose is known from 40 inliers and, of a belief, within 3 m of its best
        hypothesis (``SURE`` and ``REACH`` of :mod:`placememory.geometry`), it is that of the body,
        with its covariance.
        """
        known = self.refined or self.placed
        if known is not None:
            return known
        if self.belief is not None:
            return self.belief.pose(self.frame_id)
        return self.best.place.pose if self.best is not None else None

    @property
    def judged(self) -> Pose | None:
        """What an error is measured of: the pose; of a frame answered alone, the hypothesis."""
        return self.hypothesis if self.belief is None else self.pose

    @property
    def covariance(self) -> NDArray[np.float64] | None:
        """(6, 6) of the hypothesis in ROS order: x, y, z, then roll, pitch, yaw; metres, radians.

        Always finite where the hypothesis has a pose, else ``None``. What is not known of it is
        said in :class:`placememory.localization.MapSpread`.
        """
        if self.refined is not None and self.refined.covariance is not None:
            return np.array(self.refined.covariance).reshape(6, 6)
        return self.spread

    def without_image(self) -> Estimate:
        """The same where the frame holds no image, to be kept."""
        return replace(self, frame=replace(self.frame, read=None))

    def judge_candidates(self, radius: float, heading: float | None = None) -> list[bool | None]:
        """Whether each candidate is correct; ``None`` where a pose is missing on either side."""
        true = self.frame.pose
        return [is_correct(true, c.place.pose, radius, heading) for c in self.candidates]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        pose, hypothesis, spread = self.pose, self.hypothesis, self.covariance
        return {
            "name": self.frame.name,
            "stamp": self.frame.stamp,
            "verdict": self.verdict,
            "reason": self.reason,
            "frame_id": self.frame_id,
            "pose": None if pose is None else pose.to_dict(),
            "hypothesis": None if hypothesis is None else hypothesis.to_dict(),
            "covariance": None if spread is None else spread.ravel().tolist(),
            "probability": self.probability,
            "belief": None if self.belief is None else self.belief.to_dict(),
            "match": None if self.match is None else self.match.to_dict(),
            "age": self.age,
            "note": self.note,
            "revision": self.revision,
            "in_memory": None if self.in_memory is None else list(self.in_memory.id),
            "checked": self.checked,
            "relative": None if self.relative is None else self.relative.to_dict(),
            "camera_pose": None if self.camera_pose is None else self.camera_pose.to_dict(),
            "milliseconds": dict(self.milliseconds),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }
