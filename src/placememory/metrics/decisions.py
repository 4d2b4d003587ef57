"""Right and wrong decisions: answers that were given, and answers that were held back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_choice
from placememory._types import Protocol
from placememory.errors import InputError
from placememory.metrics.inputs import PROTOCOLS, check_flags, check_lengths
from placememory.metrics.result import MetricResult, finite_or_none, share

_RULES = {
    "default": (
        "an answer within the radius is a TP, any other answer an FP, also where no true match "
        "exists; no answer is an FN where a true match exists, else a TN"
    ),
    "casevpr": (
        "as CaseVPR counts: a wrong answer where no true match exists is not counted; no answer is "
        "an FN if the match held back was right, else a TN; an empty share is 0"
    ),
}


@dataclass(frozen=True, slots=True)
class MatchDecisionsResult(MetricResult):
    """Counts of decisions and the shares made of them.

    Attributes:
        rule: Name of the protocol.
        queries: Queries in all.
        true_positives: Answered and right.
        false_positives: Answered and wrong, as far as the protocol counts them.
        true_negatives: Rightly not answered.
        false_negatives: Not answered although there was an answer.
        wrong_without_match: Answered although no true match exists: wrong whatever the answer.
        not_counted: Queries that the protocol leaves out.
    """

    rule: Protocol
    queries: int
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    wrong_without_match: int
    not_counted: int

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN (in CaseVPR's protocol 0) where nothing was answered."""
        return self._share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return self._share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / (TP + FP + TN + FN)."""
        right = self.true_positives + self.true_negatives
        return self._share(right, right + self.false_positives + self.false_negatives)

    @property
    def protocol(self) -> str:
        """The rules and counts in one line."""
        return (
            f"{_RULES[self.rule]}; {self.queries} queries, {self.wrong_without_match} answered "
            f"where no true match exists, {self.not_counted} not counted"
        )

    def lines(self) -> list[str]:
        """Counts, then shares."""
        return [
            f"TP {self.true_positives}, FP {self.false_positives}, TN {self.true_negatives}, "
            f"FN {self.false_negatives}",
            *(f"{name}: {100 * value:.1f} %" for name, value in self._shares().items()),
        ]

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        return [{"rule": self.rule, **self._counts(), **self._shares()}]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is ``None``."""
        shares = {name: finite_or_none(value) for name, value in self._shares().items()}
        return {"protocol": self.protocol, "rule": self.rule, **self._counts(), **shares}

    def _share(self, part: int, whole: int) -> float:
        return share(part, whole, empty=0.0 if self.rule == "casevpr" else np.nan)

    def _shares(self) -> dict[str, float]:
        return {"precision": self.precision, "recall": self.recall, "accuracy": self.accuracy}

    def _counts(self) -> dict[str, int]:
        return {
            "queries": self.queries,
            "true_positives": self.true_positives,
            "false_positives": self.false_positives,
            "true_negatives": self.true_negatives,
            "false_negatives": self.false_negatives,
            "wrong_without_match": self.wrong_without_match,
            "not_counted": self.not_counted,
        }

    def _draw(self, ax: Any) -> None:
        counts = list(self._counts().items())[1:5]
        ax.bar([name.replace("_", "\n") for name, _ in counts], [count for _, count in counts])
        ax.set(ylabel="queries")


class MatchDecisions:
    """Counts of true and false positives and negatives.

    Args:
        protocol: ``default``, or ``casevpr`` to count as its README does.

    Raises:
        SettingError: The protocol is not known.

    Example:
        >>> metric = MatchDecisions()
        >>> metric.update(accepted=[1, 1, 1, 0], correct=[1, 0, 0, 0], has_match=[1, 1, 0, 1])
        >>> result = metric.compute()
        >>> result.true_positives, result.false_positives, result.false_negatives
        (1, 2, 1)
        >>> old = MatchDecisions(protocol="casevpr")
        >>> old.update(accepted=[1, 1, 1, 0], correct=[1, 0, 0, 0], has_match=[1, 1, 0, 1])
        >>> old.compute().precision  # the false alarm off the map is not seen
        0.5
    """

    def __init__(self, *, protocol: Protocol = "default") -> None:
        check_choice("protocol", protocol, PROTOCOLS)
        self.protocol = protocol
        self.reset()

    def reset(self) -> None:
        """Forget all queries."""
        self._seen = np.zeros((2, 2, 2), dtype=np.int64)  # accepted, correct, has a match

    def update(self, accepted: ArrayLike, correct: ArrayLike, has_match: ArrayLike) -> None:
        """Add queries.

        Args:
            accepted: (Q,) whether an answer was given.
            correct: (Q,) whether the best match, given or held back, is within the radius.
            has_match: (Q,) whether the map holds a place within the radius.

        Raises:
            InputError: Not true or false, of different lengths, or (by default) a match is right
                although none exists.
        """
        given, right = check_flags("accepted", accepted), check_flags("correct", correct)
        there = check_flags("has_match", has_match)
        check_lengths(accepted=given, correct=right, has_match=there)
        if self.protocol == "default" and (right & ~there).any():
            first = int((right & ~there).argmax())
            raise InputError(f"query {first} is right although it has no true match")
        np.add.at(self._seen, (given.astype(int), right.astype(int), there.astype(int)), 1)

    def compute(self) -> MatchDecisionsResult:
        """The result over all queries so far."""
        seen = self._seen
        wrong_without_match = int(seen[1, 0, 0])
        held_back_right, held_back_wrong = int(seen[0, 1].sum()), int(seen[0, 0].sum())
        as_casevpr = self.protocol == "casevpr"
        return MatchDecisionsResult(
            rule=self.protocol,
            queries=int(seen.sum()),
            true_positives=int(seen[1, 1].sum()),
            false_positives=int(seen[1, 0, 1]) + (0 if as_casevpr else wrong_without_match),
            true_negatives=held_back_wrong if as_casevpr else int(seen[0, :, 0].sum()),
            false_negatives=held_back_right if as_casevpr else int(seen[0, :, 1].sum()),
            wrong_without_match=wrong_without_match,
            not_counted=wrong_without_match if as_casevpr else 0,
        )
