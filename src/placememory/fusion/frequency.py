"""A: votes per place. The place that most frames name wins; works without poses."""

from __future__ import annotations

import math

import numpy as np

from placememory._checks import check_positive, check_share, check_whole
from placememory._types import Floats, Rows
from placememory.fusion._belief import Belief, Hypothesis
from placememory.fusion._evidence import Evidence, Odometry
from placememory.fusion._motion import pose_of
from placememory.fusion._places import NearIndex, PlaceTable
from placememory.fusion._window import Cluster, Rule, VoteWindow, believe, find_clusters


class Frequency:
    """Frequency clustering.

    A hypothesis is a place. A frame votes for it when one of its candidates is that place, or lies
    within ``reach`` rows of the same run, or within ``radius`` metres. The most votes win; ties go
    to the higher sum of weights, then to the higher single weight, then to session and order. With
    odometry an older vote goes to the place nearest to where the robot would be now.

    Args:
        places: The map.
        window: Frames.
        candidates: Votes of a frame.
        reach: Steps of the same run, in both directions; for places without pose.
        radius: Metres, for places with poses; ``None`` compares ids alone.
        warm_up: Frames before there is an answer.
        support: Share of the frames that must agree, and one frame more.
        ratio: The second score over the first must not be above.
        level: Mean normalised similarity that must be reached.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(9)])
        >>> fusion = Frequency(table, warm_up=1)
        >>> belief = fusion.update(Evidence([4, 8], [0.9, 0.2], level=(0.0, 0.1)))
        >>> belief.best.row, belief.verdict
        (4, 'located')
    """

    def __init__(
        self,
        places: PlaceTable,
        *,
        window: int = 5,
        candidates: int = 5,
        reach: int = 2,
        radius: float | None = 2.0,
        warm_up: int = 3,
        support: float = 0.5,
        ratio: float = 0.7,
        level: float = 2.5,
    ) -> None:
        check_whole(window=window, candidates=candidates, warm_up=warm_up)
        check_whole(reach=reach + 1)
        check_positive(radius=1.0 if radius is None else radius, level=level)
        check_share(support=support, ratio=ratio)
        self.reach, self.radius = reach, radius
        self._window = VoteWindow(places, window, candidates)
        self._rule = Rule(min(warm_up, window), support, ratio, level)
        self._find = radius or (2 * places.spacing if math.isfinite(places.spacing) else 1.0)
        self._index = NearIndex(places.positions)
        self._rank = np.argsort(places.chain())

    def reset(self) -> None:
        """Forget all frames."""
        self._window.reset()

    def update(self, evidence: Evidence, odometry: Odometry | None = None) -> Belief:
        """Take in the next frame; see :meth:`placememory.fusion.Fusion.update`."""
        self._window.push(evidence, odometry)
        votes, frame = self._window.flat()
        rows = self._rows_now(votes.rows, votes.positions)
        mask = rows >= 0
        rows, weights, frame = rows[mask], votes.weights[mask], frame[mask]
        table = self._window.places
        apart = np.abs(table.order[rows, None] - table.order[rows])
        same_run = table.session[rows, None] == table.session[rows]
        near, alike = same_run & (apart <= self.reach), same_run & (apart <= 2 * self.reach)
        if self.radius is not None:
            place = table.positions[rows]
            metres = np.sqrt(((place[:, None] - place) ** 2).sum(axis=-1))
            posed = np.isfinite(metres)
            near = np.where(posed, metres <= self.radius, near)
            alike = np.where(posed, metres <= 2 * self.radius, alike)
        found = find_clusters(near, alike, weights, frame, by_support=True, tie=self._rank[rows])
        hypotheses = [
            self._hypothesis(self._newest(c, rows, frame, votes.trust[mask]), c.support)
            for c in found
        ]
        return believe(
            self._rule,
            self._window,
            hypotheses,
            [c.score for c in found],
            [c.support for c in found],
            self._covariance(hypotheses),
        )

    def _rows_now(self, rows: Rows, positions: Floats) -> Rows:
        """The place nearest to each moved vote, -1 where the robot would be off the map."""
        table = self._window.places
        still = ~np.isfinite(positions[:, 0]) | (positions == table.positions[rows]).all(axis=1)
        if still.all():
            return rows
        vote, row, metres = self._index.pairs(positions, self._find)
        order = np.lexsort((self._rank[row], metres.round(9), vote))
        first = order[np.flatnonzero(np.diff(vote[order], prepend=-1))]
        result = np.where(still, rows, -1)
        result[vote[first]] = np.where(still[vote[first]], rows[vote[first]], row[first])
        return result

    def _newest(self, cluster: Cluster, rows: Rows, frame: Rows, trust: Floats) -> int:
        """The cluster's centre; without odometry since, its newest member."""
        if trust[cluster.centre] == 1.0:
            return int(rows[cluster.centre])
        members = np.flatnonzero(cluster.members > 0)
        best = members[np.lexsort((self._rank[rows[members]], -frame[members]))[0]]
        return int(rows[best])

    def _hypothesis(self, row: int, support: int) -> Hypothesis:
        table = self._window.places
        place, yaw = table.positions[row], float(table.yaw[row])
        return Hypothesis(
            row,
            table.ids[row],
            support / len(self._window.frames),
            tuple(place.tolist()) if np.isfinite(place[0]) else None,
            yaw if math.isfinite(yaw) else None,
        )

    def _covariance(self, hypotheses: list[Hypothesis]) -> Floats | None:
        table = self._window.places
        if not hypotheses or hypotheses[0].position is None:
            return None
        row = [hypotheses[0].row]
        floor = (self.radius or self._find) / math.sqrt(2)
        return pose_of(table.positions[row], table.yaw[row], np.ones(1), floor_xy=floor)[2]


create = Frequency
