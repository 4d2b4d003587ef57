"""Belief: where the robot is, according to several frames; Fusion: a method that updates it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows
from placememory.frames import Pose
from placememory.fusion._evidence import Evidence, Odometry
from placememory.fusion._places import PlaceId

Verdict = Literal["located", "ambiguous", "unknown", "warming-up"]
"""``located``: trust the pose. ``ambiguous``: one of several hypotheses. ``unknown``: nothing here
matches, or the robot is off the map. ``warming-up``: too few frames yet."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One place the robot may be at.

    Attributes:
        row: Row of the place that stands for it.
        place: Its id.
        weight: 0 to 1; a probability in ``bayes``, a share of the votes elsewhere.
        position: x, y (and z) in metres, map frame, of the robot now; ``None`` if unknown.
        yaw: Radians; ``None`` if unknown.
    """

    row: int
    place: PlaceId
    weight: float
    position: tuple[float, ...] | None = None
    yaw: float | None = None

    def __repr__(self) -> str:
        return f"Hypothesis({self.place}, {self.weight:.3f}{_at(self.position)})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "row": self.row,
            "place": list(self.place),
            "weight": self.weight,
            "position": None if self.position is None else list(self.position),
            "yaw": self.yaw,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What several frames say together.

    Attributes:
        verdict: See :data:`Verdict`.
        hypotheses: Distinct ones, best first; may be empty.
        probability: That the first hypothesis is right within the method's radius, 0 to 1;
            ``None`` where the method has no probability, or the belief is out of date.
        ambiguity: Weight of the second hypothesis over that of the first, 0 to 1; 0 if there is
            only one.
        off_map: Probability of being off the map; ``None`` where the method has no such state.
        frames: Frames with evidence that went into it.
        covariance: (3, 3) float64 of x, y, yaw of the first hypothesis, metres and radians; rows
            of what is unknown are NaN. ``None`` without position.
        area_90: Square metres of the smallest region with 90 % of the weight, where defined.
        entropy: Of the normalised weights in nats, where defined.
        reason: Why it is not located, in words, where the method knows more than its verdict says.
    """

    verdict: Verdict
    hypotheses: tuple[Hypothesis, ...]
    probability: float | None
    ambiguity: float
    off_map: float | None
    frames: int
    covariance: NDArray[np.float64] | None = None
    area_90: float | None = None
    entropy: float | None = None
    reason: str = ""

    def __repr__(self) -> str:
        sure = "" if self.probability is None else f", p={self.probability:.3f}"
        return f"Belief({self.verdict}{sure}{_at(self.position)})"

    @property
    def best(self) -> Hypothesis | None:
        """The first hypothesis."""
        return self.hypotheses[0] if self.hypotheses else None

    @property
    def position(self) -> tuple[float, ...] | None:
        """Of the first hypothesis: mean of its mode, metres, map frame."""
        return self.best.position if self.best else None

    @property
    def yaw(self) -> float | None:
        """Of the first hypothesis, radians."""
        return self.best.yaw if self.best else None

    def pose(self, frame_id: str = "map") -> Pose | None:
        """Pose of the first hypothesis; ``None`` where no position is known."""
        if self.position is None:
            return None
        x, y, *rest = self.position
        turned = None if self.yaw is None else Pose.from_yaw(x, y, self.yaw).quaternion
        return Pose(x, y, rest[0] if rest else 0.0, turned, frame_id)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; unknown is ``None``."""
        covariance = None
        if self.covariance is not None:
            covariance = [[x if math.isfinite(x) else None for x in r] for r in self.covariance]
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "probability": self.probability,
            "ambiguity": self.ambiguity,
            "off_map": self.off_map,
            "frames": self.frames,
            "hypotheses": [hypothesis.to_dict() for hypothesis in self.hypotheses],
            "covariance": covariance,
            "area_90": self.area_90,
            "entropy": self.entropy,
        }


def _at(position: tuple[float, ...] | None) -> str:
    return "" if position is None else f" at ({', '.join(f'{value:.2f}' for value in position)})"


@runtime_checkable
class Fusion(Protocol):
    """Several frames' candidates -> one belief over the map. It keeps the state of one robot.

    Its first argument is the :class:`PlaceTable`; its settings are the others.
    """

    def update(self, evidence: Evidence, odometry: Odometry | None = None) -> Belief:
        """Take in the next frame.

        Args:
            evidence: Of the frame; without candidates only the motion is taken in.
            odometry: Motion since the frame before; ``None`` if unknown.

        Returns:
            The belief after this frame.

        Raises:
            InputError: Rows are not of this map, or the stamp is up to half a second before the
                last frame's. Nothing has changed then. A repeated stamp is no motion; one that is
                earlier still is of a clock that restarted, and its frame is like the first.
        """

    def reset(self) -> None:
        """Forget all frames."""


@runtime_checkable
class Proposing(Fusion, Protocol):
    """A fusion that says itself which images are worth comparing with a frame."""

    def propose(self, evidence: Evidence, count: int, *, always: bool = False) -> Rows:
        """Rows (K,) of the table, best first, K at most ``count``.

        None where the view is not new, or the belief is not in doubt and ``always`` is not asked.
        """
