"""B: clusters of candidate poses, moved to where the robot is now."""

from __future__ import annotations

import math

import numpy as np

from placememory._checks import check_positive, check_share, check_whole
from placememory._types import Floats
from placememory.fusion._belief import Belief, Hypothesis
from placememory.fusion._evidence import Evidence, Odometry
from placememory.fusion._motion import pose_of, wrap_angle
from placememory.fusion._places import PlaceTable
from placememory.fusion._window import Cluster, Rule, Votes, VoteWindow, believe, find_clusters


class Spatial:
    """Spatial voting.

    The candidates of the last frames, moved by the odometry since, are clustered: the vote whose
    neighbourhood (``radius``, ``heading``) has the highest score makes a cluster, votes within two
    radii are dropped, and so on. Score = sum over the frames of the heaviest vote of each. The pose
    is the weighted mean of the cluster, yaw by the circular mean. Candidates without pose do not
    count.

    Args:
        places: The map.
        window: Frames.
        candidates: Votes of a frame.
        radius: Metres; 1 to 2 indoors.
        heading: Degrees that yaws in a cluster may differ; ``None`` for panoramas.
        warm_up: Frames before there is an answer.
        support: Share of the frames that must agree, and one frame more.
        ratio: The second score over the first must not be above.
        level: Mean normalised similarity that must be reached.
        pose_noise: Standard deviation of the map's positions, metres.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> table = PlaceTable.from_arrays([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]], yaw=[0, 0, 0])
        >>> fusion = Spatial(table, warm_up=2)
        >>> _ = fusion.update(Evidence([0, 2], [0.9, 0.5], level=(0.0, 0.1)))
        >>> belief = fusion.update(Evidence([1], [0.9], level=(0.0, 0.1)), Odometry(1, 0, 0))
        >>> belief.position, belief.verdict
        ((1.0, 0.0), 'located')
    """

    def __init__(
        self,
        places: PlaceTable,
        *,
        window: int = 5,
        candidates: int = 5,
        radius: float = 2.0,
        heading: float | None = 45.0,
        warm_up: int = 3,
        support: float = 0.5,
        ratio: float = 0.7,
        level: float = 2.5,
        pose_noise: float = 0.1,
    ) -> None:
        check_whole(window=window, candidates=candidates, warm_up=warm_up)
        check_positive(radius=radius, level=level, pose_noise=pose_noise)
        check_positive(heading=1.0 if heading is None else heading)
        check_share(support=support, ratio=ratio)
        self.radius, self.heading = radius, heading
        self._window = VoteWindow(places, window, candidates)
        self._rule = Rule(min(warm_up, window), support, ratio, level)
        self._rank = np.argsort(places.chain())
        spacing = places.spacing if math.isfinite(places.spacing) else 0.0
        self._floor = math.hypot(spacing / math.sqrt(12), pose_noise)

    def reset(self) -> None:
        """Forget all frames."""
        self._window.reset()

    def update(self, evidence: Evidence, odometry: Odometry | None = None) -> Belief:
        """Take in the next frame; see :meth:`placememory.fusion.Fusion.update`."""
        self._window.push(evidence, odometry)
        votes, frame = self._window.flat()
        posed = np.isfinite(votes.positions[:, 0])
        votes = votes.take(posed)
        place = votes.positions
        metres = np.sqrt(((place[:, None] - place) ** 2).sum(axis=-1)).round(9)
        facing = np.ones(metres.shape, dtype=np.bool_)
        if self.heading is not None:
            turn = np.abs(wrap_angle(votes.yaw[:, None] - votes.yaw))
            facing = ~(turn > math.radians(self.heading) + 1e-9)  # an unknown yaw fits any
        found = find_clusters(
            facing & (metres <= self.radius),
            facing & (metres <= 2 * self.radius),
            votes.weights,
            frame[posed],
            by_support=False,
            tie=self._rank[votes.rows],
        )
        made = [self._hypothesis(votes, cluster) for cluster in found]
        return believe(
            self._rule,
            self._window,
            [hypothesis for hypothesis, _ in made],
            [c.score for c in found],
            [c.support for c in found],
            made[0][1] if made else None,
        )

    def _hypothesis(self, votes: Votes, cluster: Cluster) -> tuple[Hypothesis, Floats]:
        mean, yaw, covariance = pose_of(
            votes.positions, votes.yaw, cluster.members * votes.trust, floor_xy=self._floor
        )
        row = int(votes.rows[cluster.centre])
        total = max(1e-300, float(sum(v.weights.max(initial=0.0) for v in self._window.frames)))
        return Hypothesis(
            row,
            self._window.places.ids[row],
            min(1.0, cluster.score / total),
            tuple(mean.tolist()),
            yaw if math.isfinite(yaw) else None,
        ), covariance


create = Spatial
