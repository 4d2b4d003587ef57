"""Bayes filter over the places and a state off the map."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_positive, check_share, check_whole
from placememory._types import Floats, Rows
from placememory.fusion._belief import Belief, Hypothesis, Verdict
from placememory.fusion._evidence import Evidence, Odometry
from placememory.fusion._modes import Modes
from placememory.fusion._motion import Clock, OdometryMotion, OrderMotion, move_poses, pose_of
from placememory.fusion._observation import ObservationModel
from placememory.fusion._places import NearIndex, PlaceTable, spread_evenly
from placememory.fusion._state import (
    State,
    describe_places,
    read_array,
    read_masses,
    weigh_seed,
)

_STILL = Odometry(0.0, 0.0, 0.0, 0.0, 0.0)


class Bayes:
    """Recursive filter: belief <- likelihood x motion x belief (Thrun, Burgard, Fox 2005, ch. 8).

    The states are the N places, five steps beyond each end of a run, and one off the map. With
    odometry, mass goes where the motion leads, or off the map where no place is; without, along
    the order of the runs and beyond their ends at a learned speed. Then a share leaves the map,
    enters it anywhere, or is kidnapped. A frame multiplies each state by its
    :class:`ObservationModel`. Being off the map is a state as in FAB-MAP (Cummins and Newman 2008)
    and in Xu et al. (2020), who filter over a map's images likewise.

    Args:
        places: The map.
        observation: How similarities become likelihoods.
        radius: Metres within which an answer is right: of a mode, and of its probability.
        reach: Steps of a run that stand for the radius where places have no position.
        leave: Probability of leaving the map in a step.
        enter: Probability of entering it again, anywhere.
        kidnap: Probability of being carried elsewhere on the map.
        start_off_map: Probability of starting off the map.
        max_step: Rows that a step without odometry may go, forward or back.
        cross: Share of a step without odometry that goes over to places nearby.
        speed_memory: Frames over which the speed is learned.
        slack: Standard deviation of the robot's distance to a place, in spacings of the map.
        turn: Standard deviation of the robot's heading to the place's, degrees; ``None`` where it
            says nothing (panoramas).
        still: Share of its evidence that a frame has when the robot did not move.
        confident: Probability from which an answer is ``located``.
        ratio: The second probability over the first must not be above for it.
        warm_up: Frames with evidence before there is an answer.

    A frame without candidates, or equally like every place, only moves the mass.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(30)], yaw=[0.0] * 30)
        >>> fusion = Bayes(table)
        >>> for i in range(4):
        ...     column = np.random.default_rng(i).normal(0.1, 0.02, 30)
        ...     column[i + 7] = 0.3
        ...     belief = fusion.update(Evidence.from_column(column), Odometry(1.0, 0.0, 0.0))
        >>> belief.verdict, belief.best.row
        ('located', 10)
    """

    def __init__(
        self,
        places: PlaceTable,
        *,
        observation: ObservationModel | None = None,
        radius: float = 2.0,
        reach: int = 2,
        leave: float = 0.02,
        enter: float = 0.05,
        kidnap: float = 0.002,
        start_off_map: float = 0.2,
        max_step: int = 8,
        cross: float = 0.1,
        speed_memory: float = 30.0,
        slack: float = 0.5,
        turn: float | None = 20.0,
        still: float = 0.1,
        confident: float = 0.9,
        ratio: float = 0.5,
        warm_up: int = 2,
    ) -> None:
        check_positive(radius=radius, slack=slack, turn=1.0 if turn is None else turn)
        check_positive(speed_memory=speed_memory - 1)
        check_whole(max_step=max_step, reach=reach + 1, warm_up=warm_up)
        check_share(leave=leave, enter=enter, kidnap=kidnap, start_off_map=start_off_map)
        check_share(cross=cross, still=still, confident=confident, ratio=ratio)
        check_share(leave_and_kidnap=leave + kidnap)
        self.places = places
        self.observation = observation or ObservationModel()
        self._chain = places.chain()
        table = places.take(self._chain)
        index = NearIndex(table.positions)
        self._table = table
        self._has_position = table.has_position
        self._modes = Modes(table, index, radius, reach)
        self._order = OrderMotion(table, index, max_step=max_step, cross=cross, memory=speed_memory)
        self._odometry = OdometryMotion(table, index, slack=slack, turn=turn)
        steps = int(radius / table.spacing) if math.isfinite(table.spacing) else reach
        self._close = self._order.runs.depth <= steps
        self._anywhere = spread_evenly(table, index)
        self._rates = (leave, enter, kidnap)
        self._start, self._still = start_off_map, still
        self._confident, self._ratio, self._warm_up = confident, ratio, warm_up
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._clock = Clock()
        self._mass = (1.0 - self._start) * self._anywhere
        self._beyond = np.zeros(len(self._close))
        self._off = self._start
        self._pending = _STILL
        self._motion = 1.0  # since the last evidence, in parts of what makes a view a new one
        self._frames = 0
        self._order.reset()

    @property
    def probabilities(self) -> Floats:
        """(N + 1,) float64: of each row of the table, then of being off the map. Their sum is 1."""
        result = np.empty(len(self._mass) + 1)
        result[self._chain], result[-1] = self._shares()
        return result

    def seed(self, position: ArrayLike, yaw: float | None, covariance: ArrayLike) -> None:
        """Begin anew with a robot that is about here; see :func:`weigh_seed`.

        The state off the map keeps its share, and a twentieth of the rest is anywhere: a seed may
        be wrong. Frames with evidence are counted from here, so nothing is located by it alone.
        """
        weights = weigh_seed(self._table, position, yaw, covariance)
        stamp = self._clock
        self.reset()
        self._clock = stamp
        if weights.any():
            meant = weights * self._anywhere
            meant /= meant.sum()
            self._mass = (1.0 - self._start) * (0.95 * meant + 0.05 * self._anywhere)
        else:  # no place is there
            self._mass, self._off = 0.05 * self._anywhere, 0.95

    def state(self) -> State:
        """The belief as arrays, with the ids of its places, for :meth:`restore`."""
        pending = self._pending
        return {
            **describe_places(self._table),
            "mass": self._mass.copy(),
            "beyond": self._beyond.copy(),
            "beyond_end": self._order.runs.end,
            "beyond_depth": self._order.runs.depth,
            "off": np.array(self._off),
            "pending": np.array([pending.dx, pending.dy, pending.dyaw]),
            "pending_std": np.array([pending.std_xy, pending.std_yaw]),
            "motion": np.array(self._motion),
            "frames": np.array(self._frames),
            "steps": self._order.counts,
            "clock": self._clock.state,
        }

    def restore(self, state: State) -> None:
        """Go on from a :meth:`state`, of these places or of another revision of the map.

        The belief stays with its places, by their ids. That of a place that is gone goes to the
        nearest within two spacings, else off the map; new places take part from the next step on.

        Raises:
            InputError: It is no state of this filter. Nothing has changed then.
        """
        runs = self._order.runs
        mass, beyond, off = read_masses(state, self._table, runs.end, runs.depth)
        motion, frames = (float(read_array(state, name, ())) for name in ("motion", "frames"))
        pending = Odometry(
            *read_array(state, "pending", (3,)).tolist(),
            *read_array(state, "pending_std", (2,)).tolist(),
        )
        counts, clock = read_array(state, "steps", (None,)), read_array(state, "clock", (None,))
        self._mass, self._beyond, self._off = mass, beyond, off
        self._pending, self._motion, self._frames = pending, motion, int(frames)
        self._order.restore(counts)
        self._clock = Clock()
        self._clock.restore(clock)

    def update(self, evidence: Evidence, odometry: Odometry | None = None) -> Belief:
        """Take in the next frame; see :meth:`placememory.fusion.Fusion.update`."""
        evidence.check_rows(len(self.places))
        self._clock.check(evidence.stamp)
        steps = self._clock.tick(evidence.stamp)
        before = self._mass
        along = self._move(steps, odometry)
        nats = self.observation.of_frame(evidence, len(self.places))[self._chain]
        if nats.any():
            trust = max(self._still, min(1.0, self._motion))
            level = self.observation.off_map_level
            likelihood = np.exp(trust * nats)
            self._mass = self._mass * likelihood
            self._beyond = self._beyond * np.exp(trust * self._order.runs.nats(nats, level))
            self._off *= math.exp(trust * level)
            if along:
                self._order.learn(before, likelihood)
            self._motion, self._frames = 0.0, self._frames + 1
        total = self._on() + self._off
        self._mass, self._beyond = self._mass / total, self._beyond / total
        self._off /= total
        return self._belief()

    def _move(self, steps: int, odometry: Odometry | None) -> bool:
        """Predict; true if it was one step along the order, from which the speed is learned."""
        if odometry is None:
            for _ in range(steps):
                total = self._on()
                self._mass, self._beyond = self._order.predict(self._mass, self._beyond)
                self._off += max(0.0, total - self._on())
                self._pass(1.0)
            self._motion += float(steps)
            self._pending = _STILL
            return steps == 1
        if self._has_position.any():  # with odometry the steps beyond the ends are not needed
            (self._mass, self._off), self._beyond = self._shares(), 0.0 * self._beyond
        self._pending = self._pending.compose(odometry)
        share = self._odometry.motion_share(odometry)
        self._motion += share
        if self._odometry.is_enough(self._pending):
            total = self._on()
            posed = np.where(self._has_position, self._mass, 0.0)
            rest = self._mass - posed
            self._mass = self._odometry.predict(posed, self._pending)
            if rest.any() or self._beyond.any():
                rest, self._beyond = self._order.predict(rest, self._beyond)
                self._mass += rest
            self._off += max(0.0, total - self._on())
            self._pending = _STILL
        self._pass(share)
        return False

    def _pass(self, share: float) -> None:
        """Leave the map, enter it (in a part of a step, by that part), be kidnapped."""
        leave, enter, kidnap = self._rates
        leave, enter = leave * share, enter * share  # a robot that stands can be carried still
        on = float(self._mass.sum())
        new = kidnap * on + enter * (self._off + float(self._beyond.sum()))
        self._mass = (1.0 - leave - kidnap) * self._mass + new * self._anywhere
        self._beyond = (1.0 - enter) * self._beyond
        self._off = (1.0 - enter) * self._off + leave * on

    def _on(self) -> float:
        return float(self._mass.sum()) + float(self._beyond.sum())

    def _shares(self) -> tuple[Floats, float]:
        """Mass of the places, each end with the mass close beyond it; and the mass off the map."""
        close = np.where(self._close, self._beyond, 0.0)
        mass = self._mass + np.bincount(self._order.runs.end, close, len(self._mass))
        return mass, self._off + float((self._beyond - close).sum())

    def _belief(self) -> Belief:
        mass, off_map = self._shares()
        modes = self._modes.find(mass, 5)
        probability = min(1.0, modes[0][1]) if modes else 0.0
        second = modes[1][1] if len(modes) > 1 else 0.0
        ambiguity = second / probability if probability > 0 else 0.0
        poses = [self._pose(mode[2], mass[mode[2]]) for mode in modes]
        states = np.maximum(np.append(mass, off_map), 1e-300)
        return Belief(
            self._verdict(probability, ambiguity, sum(m[1] for m in modes), off_map),
            tuple(
                Hypothesis(int(self._chain[row]), self._table.ids[row], min(1.0, p), at, yaw)
                for (row, p, _), (at, yaw, _) in zip(modes, poses, strict=True)
            ),
            probability,
            ambiguity,
            min(1.0, off_map),
            self._frames,
            poses[0][2] if poses else None,
            entropy=max(0.0, float(-(states @ np.log(states)))),
        )

    def _verdict(
        self, probability: float, ambiguity: float, mode_mass: float, off: float
    ) -> Verdict:
        if self._frames < self._warm_up:
            return "warming-up"
        if probability >= self._confident and ambiguity <= self._ratio:
            return "located"
        return "unknown" if off >= 0.5 or mode_mass < 0.5 else "ambiguous"

    def _pose(
        self, members: Rows, weight: Floats
    ) -> tuple[tuple[float, ...] | None, float | None, Floats | None]:
        """Mean pose of a mode, moved by the odometry since, and its covariance."""
        known = self._has_position[members]
        members, weight = members[known], weight[known]
        if not weight.any():
            return None, None, None
        spacing = float(np.nan_to_num(self._table.spacing))
        floor = math.hypot(0.1, spacing / math.sqrt(12), self._pending.std_xy)
        mean, yaw, covariance = pose_of(
            self._table.positions[members], self._table.yaw[members], weight, floor_xy=floor
        )
        there, heading = move_poses(mean[None], np.array([yaw]), self._pending)
        now = float(heading[0]) if math.isfinite(yaw) else None
        return tuple(there[0].tolist()), now, covariance


create = Bayes
