"""Numbers of a localised run that need no list of its frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from placememory._estimate import Estimate


@dataclass(slots=True)
class _Rank:
    """Similarities of one rank."""

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: float) -> None:
        self.count, self.total = self.count + 1, self.total + value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def to_dict(self) -> dict[str, float]:
        return {"mean": self.total / self.count, "min": self.least, "max": self.most}


@dataclass(slots=True)
class Tally:
    """Counts that grow with each estimate, in memory that does not.

    Attributes:
        frames: Estimates.
        posed: Those with a pose.
        verdicts: How often each verdict was given; ``alone`` where frames are answered alone.
        notes: How often each note was.
        milliseconds: Time spent on answers, all frames together.

    Example:
        >>> Tally().words()
        'no frames'
    """

    frames: int = 0
    posed: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    milliseconds: float = 0.0
    _ranks: dict[int, _Rank] = field(default_factory=dict)

    @classmethod
    def of(cls, estimates: Iterable[Estimate]) -> Tally:
        """Count estimates that are there already."""
        tally = cls()
        for estimate in estimates:
            tally.add(estimate)
        return tally

    def add(self, estimate: Estimate) -> None:
        """Count one more."""
        self.frames += 1
        self.posed += estimate.pose is not None
        self.verdicts[estimate.verdict or "alone"] += 1
        if estimate.note:
            self.notes[estimate.note] += 1
        self.milliseconds += sum(estimate.milliseconds.values())
        for candidate in estimate.candidates:
            self._ranks.setdefault(candidate.rank, _Rank()).add(candidate.similarity)

    def words(self) -> str:
        """Verdicts and notes, most frequent first, such as ``90 located, 30 unknown``."""
        both = [*self.verdicts.most_common(), *self.notes.most_common()]
        return ", ".join(f"{count} {name}" for name, count in both) or "no frames"

    def similarity_per_rank(self) -> dict[str, dict[str, float]]:
        """Mean, least and largest similarity of each rank over all frames."""
        return {str(rank): self._ranks[rank].to_dict() for rank in sorted(self._ranks)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "frames": self.frames,
            "frames_with_a_pose_found": self.posed,
            "ms_per_answer": self.milliseconds / self.frames if self.milliseconds else None,
            "verdict_counts": dict(self.verdicts),
            "notes": dict(self.notes),
        }
