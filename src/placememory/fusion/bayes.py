"""Bayes filter: whether the robot is on the map at all, and where, if it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from placememory._checks import check_positive, check_share, check_whole
from placememory._types import Floats, Rows
from placememory.fusion._belief import Belief, Hypothesis, Verdict
from placememory.fusion._evidence import Evidence, Odometry, in_parts
from placememory.fusion._modes import Modes
from placememory.fusion._motion import Clock, OdometryMotion, OrderMotion, move_poses, pose_of
from placememory.fusion._observation import ObservationModel
from placememory.fusion._places import NearIndex, PlaceTable, spread_evenly
from placememory.fusion._profile import MapProfile
from placememory.fusion._state import (
    State,
    describe_places,
    read_array,
    read_masses,
    weigh_seed,
)
from placememory.fusion._views import Look, OnMap, RunViews

_STILL = Odometry(0.0, 0.0, 0.0, 0.0, 0.0)
_GEOMETRY = 0.15  # of their nats: rooms of one building share textures
_BESIDE = 0.19  # metres, standard deviation: a robot is rarely on the very line of the map
_DECISIVE = 100  # inliers that no foreign pair has
_INLIERS = (8, 14, 17, 20, 25, 30, 40, 60)
_INLIER_NATS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.2, 2.0, 3.0, 4.0)


class Bayes:
    """Recursive filter: belief <- likelihood x motion x belief (Thrun, Burgard, Fox 2005, ch. 8).

    There are two beliefs. *Where*, given that the robot is on the map: over the N places and five
    steps beyond each end of a run. With odometry, mass goes where the motion leads; without, along
    the order of the runs at a learned speed, and as far as the view has changed. A frame multiplies
    each place by its :class:`ObservationModel`. *Whether* it is on the map at all (:class:`OnMap`):
    by the order of its views, by their likeness, and by geometry. A probability is the product of
    both. See ``docs/concepts/fusion.md`` for what each part was measured on.

    Of a map too large to be at hand the table holds some places, and the profile names the
    :class:`Rest`: all others are one more place, *elsewhere*. A frame multiplies its belief by the
    mean likelihood of the sample that stands for them, and a place that comes into the table takes
    its share of it along, as one that goes gives its own back. So what the table does not hold
    makes nothing sure.

    Args:
        places: The map.
        profile: What the map knows of itself; ``None`` where its descriptors are not known, so that
            similarities are taken as they are and only the order of views says "on the map".
        observation: How normalised similarities become likelihoods.
        radius: Metres within which an answer is right: of a mode, and of its probability.
        reach: Steps of a run that stand for the radius where places have no position.
        leave: Probability of leaving the map in a step.
        enter: Probability of entering it again, anywhere.
        kidnap: Probability of being carried elsewhere on the map in a step.
        start_off_map: Probability of starting off the map.
        max_step: Rows that a step without odometry may go, forward or back.
        cross: Share of a step without odometry that goes over to places nearby.
        speed_memory: Frames over which the speed is learned.
        slack: Standard deviation of the robot's distance to a place, in spacings of the map.
        turn: Standard deviation of the robot's heading to the place's, degrees; ``None`` where it
            says nothing (panoramas).
        confident: Probability from which an answer is ``located``.
        ratio: The second probability over the first must not be above for it.
        warm_up: Views before there is an answer, unless geometry alone decides.
        window: Key views whose order is tested.
        contradiction: Spreads by which the newest view may be more like another place than like
            the answer.

    A frame without candidates, or equally like every place, only moves the mass.

    Raises:
        SettingError: A setting has an impossible value.

    Example:
        >>> table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(30)], yaw=[0.0] * 30)
        >>> fusion = Bayes(table)
        >>> for i in range(8):
        ...     column = np.random.default_rng(i).normal(0.1, 0.02, 30)
        ...     column[i + 7] = 0.3
        ...     belief = fusion.update(Evidence.from_column(column), Odometry(1.0, 0.0, 0.0))
        >>> belief.verdict, belief.best.row
        ('located', 14)
    """

    def __init__(
        self,
        places: PlaceTable,
        *,
        profile: MapProfile | None = None,
        observation: ObservationModel | None = None,
        radius: float = 2.0,
        reach: int = 2,
        leave: float = 0.02,
        enter: float = 0.05,
        kidnap: float = 0.01,
        start_off_map: float = 0.5,
        max_step: int = 8,
        cross: float = 0.1,
        speed_memory: float = 30.0,
        slack: float = 0.5,
        turn: float | None = 20.0,
        confident: float = 0.8,
        ratio: float = 0.5,
        warm_up: int = 2,
        window: int = 12,
        contradiction: float = 1.5,
    ) -> None:
        check_positive(radius=radius, slack=slack, turn=1.0 if turn is None else turn)
        check_positive(speed_memory=speed_memory - 1, contradiction=contradiction)
        check_whole(max_step=max_step, reach=reach + 1, warm_up=warm_up, window=window)
        check_share(leave=leave, enter=enter, kidnap=kidnap, start_off_map=start_off_map)
        check_share(confident=confident, ratio=ratio, cross=cross, leave_and_kidnap=leave + kidnap)
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
        rest = None if profile is None else profile.rest
        sample = None
        if rest is not None:
            row_of = np.empty(len(table), np.int64)
            row_of[self._chain] = np.arange(len(table))
            sample = row_of[rest.sample]
        self._sample, self._outside = sample, 0 if rest is None else rest.count
        share = len(table) / (len(table) + self._outside)
        self._anywhere, self._anywhere_else = share * spread_evenly(table, index), 1.0 - share
        starts = np.searchsorted(table.session, table.session, side="left")
        self._views = RunViews(
            profile, window=window, starts=starts, chain=self._chain, sample=sample
        )
        start = min(max(1.0 - start_off_map, 1e-3), 1.0 - 1e-3)
        alike = 2.0 if profile is None else profile.alike
        self._on_map = OnMap(alike, math.log(start / (1.0 - start)))
        self._rates = (leave, enter, kidnap)
        self._confident, self._ratio, self._warm_up = confident, ratio, warm_up
        self._contradiction = contradiction
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._clock = Clock()
        self._mass, self._elsewhere = self._anywhere.copy(), self._anywhere_else
        self._beyond = np.zeros(len(self._close))
        self._pending = _STILL
        self._moved = 0.0  # since the last key view, in parts of what makes a view a new one
        self._frames = 0
        self._z: Floats | None = None
        self._decisive = False
        self._expected = 0.0  # log of the mean likelihood of the newest frame
        self._order.reset()
        self._views.reset()
        self._on_map.reset()

    @property
    def probabilities(self) -> Floats:
        """(N + 1,) float64: of each row of the table, then of being off the map.

        Their sum is 1, less the probability of the :class:`Rest` where there is one.
        """
        result = np.empty(len(self._mass) + 1)
        mass, _, off = self._shares()
        result[self._chain], result[-1] = mass, off
        return result

    def propose(self, evidence: Evidence, count: int, *, always: bool = False) -> Rows:
        """Rows of the table whose images are worth comparing with this frame, best first.

        Of a key view, as two images are one piece of evidence however often they are compared;
        and, unless ``always`` is asked, where the belief is in doubt and it is not ruled out that
        the robot is on the map. Half are the most similar to the frame, half the most likely before
        it; rows of one half are two or more apart, as neighbours show the same.
        """
        none = np.zeros(0, np.int64)
        if evidence.is_empty or (not always and self._on_map.probability < 0.02):
            return none
        look = self._views.look(evidence)
        if not look.is_key or not look.z.any():
            return none
        if not always:
            first = self._modes.find(self._mass, 1)
            sure = first[0][1] * self._on_map.probability if first and self._frames else 0.0
            agrees = not first or look.z[first[0][2]].max() > look.z.max() - self._contradiction
            if sure >= self._confident and agrees:
                return none
        found: list[int] = []
        for values in (look.z, self._mass):
            chosen: list[int] = []
            for row in np.argsort(-values, kind="stable").tolist():
                if len(chosen) >= (count + 1) // 2:
                    break
                if all(abs(row - other) >= 2 for other in chosen):
                    chosen.append(row)
            found += [row for row in chosen if row not in found]
        rows: Rows = self._chain[np.array(found[:count], dtype=np.int64)]
        return rows

    def seed(self, position: ArrayLike, yaw: float | None, covariance: ArrayLike) -> None:
        """Begin anew with a robot that is about here; see :func:`weigh_seed`.

        Whether it is on the map stays as open as at the start, and a twentieth of the belief is
        anywhere: a seed may be wrong. Frames with evidence are counted from here, so nothing is
        located by it alone.
        """
        weights = weigh_seed(self._table, position, yaw, covariance)
        clock = self._clock
        self.reset()
        self._clock = clock
        if weights.any():
            meant = weights * self._anywhere
            self._mass = 0.95 * meant / meant.sum() + 0.05 * self._anywhere
            self._elsewhere = 0.05 * self._anywhere_else
        else:  # no place is there
            self._on_map.move(0.9, 0.0, 0.0)

    def state(self) -> State:
        """The belief as arrays, with the ids of its places, for :meth:`restore`."""
        pending = self._pending
        views, (total, count) = self._views.descriptors, self._views.mean_sum
        return {
            **describe_places(self._table),
            "mass": self._mass.copy(),
            "elsewhere": np.array([self._elsewhere, self._outside]),
            "beyond": self._beyond.copy(),
            "beyond_end": self._order.runs.end,
            "beyond_depth": self._order.runs.depth,
            "on_map": self._on_map.state,
            "views": np.stack(views) if views else np.zeros((0, 0)),
            "views_sum": np.zeros(0) if total is None else total,
            "views_count": np.array(count),
            "pending": np.array([pending.dx, pending.dy, pending.dyaw]),
            "pending_std": np.array([pending.std_xy, pending.std_yaw]),
            "moved": np.array(self._moved),
            "frames": np.array(self._frames),
            "steps": self._order.counts,
            "clock": self._clock.state,
        }

    def restore(self, state: State, *, paused: bool = False) -> None:
        """Go on from a :meth:`state`, of these places or of another revision of the map.

        The belief stays with its places, by their ids. That of a place that is gone goes to the
        nearest within two spacings, else off the map; new places take part from the next step on.

        Args:
            state: What was believed.
            paused: Whether an unknown time has passed since, after which any stamp goes on.

        Raises:
            InputError: It is no state of this filter. Nothing has changed then.
        """
        runs = self._order.runs
        mass, beyond, elsewhere, lost = read_masses(
            state, self._table, runs.end, runs.depth, self._outside
        )
        moved, frames, count = (
            float(read_array(state, name, ())) for name in ("moved", "frames", "views_count")
        )
        pending = Odometry(
            *read_array(state, "pending", (3,)).tolist(),
            *read_array(state, "pending_std", (2,)).tolist(),
        )
        counts, clock = read_array(state, "steps", (None,)), read_array(state, "clock", (None,))
        on_map = read_array(state, "on_map", (4,))
        views, total = (
            read_array(state, "views", (None, None)),
            read_array(state, "views_sum", (None,)),
        )
        self._views.restore(views, total if len(total) else None, count)
        self._mass, self._beyond = mass + lost * self._anywhere, beyond
        self._elsewhere = elsewhere + lost * self._anywhere_else
        self._pending, self._moved, self._frames = pending, moved, int(frames)
        self._on_map.restore(on_map)
        self._on_map.move(0.0, 0.0, lost)
        self._order.restore(counts)
        self._clock = Clock()
        self._clock.restore(clock, paused=paused)

    def update(self, evidence: Evidence, odometry: Odometry | None = None) -> Belief:
        """Take in the next frame; see :meth:`placememory.fusion.Fusion.update`."""
        evidence.check_rows(len(self.places))
        self._clock.check(evidence.stamp)
        if self._clock.restarts(evidence.stamp):
            self.reset()
        steps = self._clock.tick(evidence.stamp)
        look = None if evidence.is_empty else self._views.look(evidence)
        if look is not None and not look.z.any():
            look = None
        share, is_key = self._share(look, odometry)
        before = self._mass
        along = self._move(steps, odometry, share)
        self._z = None if look is None else look.z
        if look is not None and (share > 0.0 or is_key):
            self._weigh(evidence, look, share, before if along else None)
            if is_key:
                self._ask_whether(evidence, look)
            else:
                self._views.give(share)
        return self._belief()

    def _share(self, look: Look | None, odometry: Odometry | None) -> tuple[float, bool]:
        """How much of a new view a frame adds, and whether it is a key view.

        No more than the robot moved, where that is known.
        """
        if odometry is not None:
            self._moved += self._odometry.motion_share(odometry)
        if look is None:
            return 1.0, False
        if odometry is None or not self._frames:
            return look.share, look.is_key
        return min(look.share, self._moved), look.is_key and self._moved >= 1.0

    def _move(self, steps: int, odometry: Odometry | None, share: float) -> bool:
        """Predict; true if it was one whole step along the order, which the speed is learned from.

        Without odometry the change of view says how far the robot went.
        """
        lost = 0.0
        if odometry is None:
            for _ in range(steps if share > 0.0 else 0):
                mass, beyond = self._order.predict(self._mass, self._beyond)
                if share < 1.0:
                    mass = (1.0 - share) * self._mass + share * mass
                    beyond = (1.0 - share) * self._beyond + share * beyond
                self._mass, self._beyond = mass, beyond
                lost = 1.0 - (1.0 - lost) * self._spread_lost()
                self._pass(share)
            self._pending = _STILL
            self._on_map.move(0.0, 0.0, lost)
            return steps == 1 and share == 1.0
        if self._has_position.any():  # with odometry the steps beyond the ends are not needed
            self._mass, self._beyond = self._with_ends(), 0.0 * self._beyond
            self._spread_lost()
        self._pending = self._pending.compose(odometry)
        if self._odometry.is_enough(self._pending):
            posed = np.where(self._has_position, self._mass, 0.0)
            rest = self._mass - posed
            self._mass = self._odometry.predict(posed, self._pending)
            if rest.any() or self._beyond.any():
                rest, self._beyond = self._order.predict(rest, self._beyond)
                self._mass += rest
            lost = 1.0 - self._spread_lost()
            self._pending = _STILL
        self._pass(self._odometry.motion_share(odometry))
        self._on_map.move(0.0, 0.0, lost)
        return False

    def _spread_lost(self) -> float:
        """Mass that left the map may be anywhere when it is back; returns what stayed."""
        stayed = float(self._mass.sum()) + float(self._beyond.sum()) + self._elsewhere
        if stayed < 1.0:
            self._mass = self._mass + (1.0 - stayed) * self._anywhere
            self._elsewhere += (1.0 - stayed) * self._anywhere_else
        return min(1.0, stayed)

    def _pass(self, share: float) -> None:
        """Be carried elsewhere, leave the map or enter it, in a part of a step."""
        leave, enter, kidnap = self._rates
        anywhere = kidnap * share * (float(self._mass.sum()) + self._elsewhere)
        mass = np.empty_like(self._mass)
        for part in in_parts(len(mass)):
            np.multiply(self._mass[part], 1.0 - kidnap * share, out=mass[part])
            mass[part] += anywhere * self._anywhere[part]
        self._mass = mass
        self._elsewhere += anywhere * self._anywhere_else - kidnap * share * self._elsewhere
        self._on_map.move(leave * share, enter * share, 0.0)

    def _weigh(self, evidence: Evidence, look: Look, share: float, before: Floats | None) -> None:
        """Multiply by the likelihood of a frame.

        The speed is learned from the mass ``before`` one whole step, where it was one.
        """
        highest = float(look.z.max())
        support = evidence.support(self._chain) if evidence.has_support else None

        def find_nats(rows: Rows | slice) -> Floats:
            nats = self.observation.log_ratio(look.z[rows], highest)
            return nats if support is None else nats + support[rows]

        likelihood, mass, total = np.empty_like(self._mass), np.empty_like(self._mass), 0.0
        for part in in_parts(len(mass)):
            np.exp(share * find_nats(part), out=likelihood[part])
            np.multiply(self._mass[part], likelihood[part], out=mass[part])
            total += float(mass[part].sum())
        ends = self._order.runs.nats(find_nats(self._order.runs.end), 0.5 * self.observation.floor)
        self._beyond = self._beyond * np.exp(share * ends)
        total += float(self._beyond.sum())
        if self._sample is not None:
            self._elsewhere *= float(np.exp(share * find_nats(self._sample)).mean())
            total += self._elsewhere
            self._elsewhere /= total
        mass /= total
        self._mass, self._beyond = mass, self._beyond / total
        if before is not None:
            self._order.learn(before, likelihood)
        self._frames += 1
        self._expected = math.log(total)

    def _ask_whether(self, evidence: Evidence, look: Look) -> None:
        """Take a key view for whether the robot is on the map."""
        self._moved = 0.0
        self._views.remember(evidence)
        most = float(evidence.inliers.max(initial=0.0))
        self._decisive = most >= _DECISIVE
        geometry = 0.0
        if len(evidence.inliers):
            geometry = _GEOMETRY * _INLIER_NATS[int(np.searchsorted(_INLIERS, most, side="right"))]
        nats_of_likeness = self._on_map.weigh(
            self._views.order_gain(), look.likeness, self._expected, geometry
        )
        if look.likeness is not None and nats_of_likeness > -1.0 and self._on_map.probability > 0.9:
            first = self._modes.find(self._mass, 1)
            if first and first[0][1] > 0.8:
                self._on_map.learn(look.likeness)

    def _with_ends(self) -> Floats:
        """Mass of the places, each end with the mass close beyond it; the rest is lost."""
        mass: Floats = self._mass.copy()
        np.add.at(mass, self._order.runs.end, np.where(self._close, self._beyond, 0.0))
        return mass

    def _shares(self) -> tuple[Floats, float, float]:
        """Probability of each place, of being elsewhere on the map, and off it."""
        mass = self._with_ends()
        mass *= self._on_map.probability
        elsewhere = self._elsewhere * self._on_map.probability
        return mass, elsewhere, max(0.0, 1.0 - float(mass.sum()) - elsewhere)

    def _belief(self) -> Belief:
        mass, elsewhere, off_map = self._shares()
        modes = self._modes.find(mass, 5)
        probability = min(1.0, modes[0][1]) if modes else 0.0
        second = modes[1][1] if len(modes) > 1 else 0.0
        ambiguity = second / probability if probability > 0 else 0.0
        poses = [self._pose(mode[2], mass[mode[2]]) for mode in modes]
        verdict, reason = self._verdict(probability, ambiguity, modes, off_map)
        return Belief(
            verdict,
            tuple(
                Hypothesis(int(self._chain[row]), self._table.ids[row], min(1.0, p), at, yaw)
                for (row, p, _), (at, yaw, _) in zip(modes, poses, strict=True)
            ),
            probability,
            ambiguity,
            min(1.0, off_map),
            self._frames,
            poses[0][2] if poses else None,
            entropy=max(0.0, _information(mass) + self._information_outside(elsewhere, off_map)),
            reason=reason,
        )

    def _information_outside(self, elsewhere: float, off_map: float) -> float:
        """Sum of -p log p of being off the map, and at each of the places in no table."""
        evenly = elsewhere * math.log(self._outside) if self._outside else 0.0
        return evenly + _information(np.array([elsewhere, off_map]))

    def _verdict(
        self, probability: float, ambiguity: float, modes: list[tuple[int, float, Rows]], off: float
    ) -> tuple[Verdict, str]:
        """The verdict and its reason; what remains of several places is named by others."""
        if self._frames < self._warm_up and not self._decisive:
            return "warming-up", "one view only: move on"
        if probability >= self._confident and ambiguity <= self._ratio:
            if self._is_contradicted(modes[0][2]):
                return "ambiguous", "the newest view is more like another place"
            return "located", ""
        if off >= 0.5:
            few = self._views.count < 5
            return "unknown", "too few different views yet" if few else "no place is like this"
        if sum(mode[1] for mode in modes) < 0.5:
            return "unknown", "many places are alike"
        return "ambiguous", ""

    def _is_contradicted(self, members: Rows) -> bool:
        """Whether the newest view is clearly more like a place elsewhere than like the answer."""
        if self._z is None:
            return False
        around = np.concatenate([members - 1, members, members + 1])
        away = np.ones(len(self._z), dtype=np.bool_)
        away[around.clip(0, len(away) - 1)] = False
        if not away.any():
            return False
        here = self._z[around.clip(0, len(away) - 1)].max()
        return float(self._z.max(where=away, initial=-np.inf) - here) > self._contradiction

    def _pose(
        self, members: Rows, weight: Floats
    ) -> tuple[tuple[float, ...] | None, float | None, Floats | None]:
        """Mean pose of a mode, moved by the odometry since, and its covariance."""
        known = self._has_position[members]
        members, weight = members[known], weight[known]
        if not weight.any():
            return None, None, None
        spacing = float(np.nan_to_num(self._table.spacing))
        floor = math.hypot(_BESIDE, spacing / math.sqrt(48), self._pending.std_xy)
        mean, yaw, covariance = pose_of(
            self._table.positions[members], self._table.yaw[members], weight, least_xy=floor
        )
        there, heading = move_poses(mean[None], np.array([yaw]), self._pending)
        now = float(heading[0]) if math.isfinite(yaw) else None
        return tuple(there[0].tolist()), now, covariance


def _information(mass: Floats) -> float:
    """Sum of -p log p, nats."""
    found = 0.0
    for part in in_parts(len(mass)):
        found -= float(mass[part] @ np.log(np.maximum(mass[part], 1e-300)))
    return found


create = Bayes
