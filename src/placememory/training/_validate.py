"""How good the network is on places it was not trained on, by the project's own metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import SettingError
from placememory.evaluation import SequenceRecall, SequenceRecallResult, SequenceWindows
from placememory.experiments._windows import retrieve
from placememory.training._config import Data
from placememory.training._data import TrainingSet
from placememory.training._sampling import Descriptors

KS = (1, 5, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Recall on the validation sets.

    Attributes:
        recall: Of windows, or of frames where a window is one; with protocol and intervals.
        hits: (Q,) float64, 1 where the first window that was found is right, for each query that
            has a right one.
    """

    recall: SequenceRecallResult
    hits: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Mean of recall@1 and recall@5, 0 to 1: what the best epoch is chosen by."""
        recalls = self.recall.at.recalls
        return 0.5 * (recalls[1].value + recalls[5].value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the log."""
        recalls = self.recall.at.recalls
        return {
            **{f"recall@{k}": recall.value for k, recall in recalls.items()},
            "score": self.score,
            "intervals": {f"recall@{k}": [r.low, r.high] for k, r in recalls.items()},
            "protocol": self.recall.protocol,
            "hits": "".join(str(int(hit)) for hit in self.hits),
        }


def validate(
    sets: Sequence[TrainingSet], described: Sequence[tuple[Descriptors, Descriptors]], data: Data
) -> Validation:
    """Search the windows of each set's queries among its database.

    Args:
        sets: To judge on.
        described: Descriptors of the queries (Q, D) and of the database (W, D) of each.
        data: Radius and strategy.

    Raises:
        SettingError: No query has a right window, so that nothing could be chosen by it.
    """
    metric = SequenceRecall(data.validation_radius, strategy=data.validation_strategy, ks=KS)
    hits: list[float] = []
    for part, (asked, known) in zip(sets, described, strict=True):
        queries = SequenceWindows(part.queries, part.queries)
        database = SequenceWindows(part.database, part.database)
        ranked = retrieve(queries, database, asked, known, KS[-1]).ranked
        metric.update(ranked, queries, database, part.positions, part.positions)
        right = part.near(part.queries, data.validation_radius, data.validation_strategy)
        hits += [
            float(r[0] in set(rows.tolist()))
            for r, rows in zip(ranked, right, strict=True)
            if len(rows)
        ]
    if not hits:
        raise SettingError(
            f"no query to validate on has a window within {data.validation_radius:g} of it; check "
            "the positions, data.validation_radius and what is searched"
        )
    return Validation(metric.compute(), np.array(hits))
