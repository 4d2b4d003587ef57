"""The views of a run: which of them are new, how they look beside the map, and in what order."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from placememory._types import Bools, Floats, Rows, Vectors
from placememory.fusion._evidence import Evidence, in_parts, measure_rows, normalise_rows
from placememory.fusion._profile import MapProfile
from placememory.likeness import centre

_REPEAT = 0.05  # of a step: the same view again
_NEW = 0.3  # of a step: a key view
_PRIOR = 5.0  # views that the map's mean counts as
_LAG = 5  # newest key views that are not in the mean a view is compared with
_MEMORY = 200  # key views over which the mean forgets
_FEWEST = 5  # key views that have an order
_BAND = 3  # key rows that a view may move on
_STRETCH = 64  # key rows whose paths are walked together
_SPARSE = 1000  # places that centre and spread are taken from, about
_MOST = 6.0  # log odds
_KNOWN = 5  # located views from which the run's own likeness is known
_FORGOTTEN = 30  # located views over which it is
_LIKELY = 15.0  # scale of likeness on a map, before it is known
_CHANGED, _CHANGES = 0.5, 0.2  # share of runs in another light; of runs whose light changes


class Look(NamedTuple):
    """How a view looks beside the map.

    Attributes:
        z: (N,) normalised similarity to each place: spreads above the centre.
        share: 0 to 1, how much of a new view it adds to what was given since the last key view.
        is_key: Whether it is a key view.
        likeness: Of the most similar place, in scales of the background; ``None`` if not known.
    """

    z: Floats
    share: float
    is_key: bool
    likeness: float | None


@dataclass(slots=True)
class _View:
    descriptor: Floats | None
    column: Floats


class RunViews:
    """The key views of one run beside one map.

    A view is compared with the key views at hand: its centred distance to the nearest, in steps of
    the map (:class:`MapProfile`), says how new it is. Under 0.05 it is the same view again, from
    0.3 on it is a key view, and between it is its part of one. What the views since the last key
    view have added is taken off, so what repeated views say together is bounded by what one view
    says, whatever the frame rate.

    Args:
        profile: Of the map; ``None`` where its descriptors are not known. Then similarities are
            not centred, and every view that is not exactly repeated is a new one.
        window: Key views whose order is tested.
        starts: (N,) first row of the run of each row.
        chain: (N,) rows of the map by session and order: the order in which columns are kept here.
        sample: (S,) rows of the chain that centre and spread are taken from; all by default.
    """

    def __init__(
        self,
        profile: MapProfile | None,
        *,
        window: int,
        starts: Rows,
        chain: Rows,
        sample: Rows | None = None,
    ) -> None:
        self._profile, self._chain, self._sample = profile, chain, sample
        self._in_order = bool((np.diff(chain) == 1).all())
        if profile is not None:
            self._shared = self._ordered(profile.centring.shared)
            self._lengths = self._ordered(profile.centring.lengths)
            self._key_scales = np.asarray(1.0 / self._lengths[profile.key_rows], np.float32)
        self._views: deque[_View] = deque(maxlen=window)
        keys = np.arange(len(chain)) if profile is None else profile.key_rows
        self._keys = keys
        self._paths = Paths(starts[keys])
        self.reset()

    def _ordered(self, values: Floats) -> Floats:
        """Values of the map's rows in the order of the chain."""
        return values if self._in_order else values[self._chain]

    def reset(self) -> None:
        """Forget all views."""
        self._views.clear()
        self._recent: deque[_View] = deque()
        self._count = 0.0
        self._sum: Floats | None = None
        self._columns: Floats | None = None
        self._given = 0.0

    def look(self, evidence: Evidence) -> Look:
        """How the next view looks; nothing is remembered of it."""
        view = self._view(evidence)
        if view.descriptor is None or self._profile is None:
            last = self._views[-1].column if self._views else None
            new = last is None or not np.array_equal(last, view.column)
            return Look(evidence.normalise(view.column), float(new), new, None)
        centred = np.empty((1, len(self._chain)))
        shifts = self._shifts([view], recent=False)
        for part in in_parts(len(self._chain)):
            centred[:, part] = self._centre([view], part, shifts, recent=False)
        z, middle, spread = normalise_rows(centred, self._sample)
        likeness = None
        background = self._profile.background
        if background is not None and spread[0] > 0:
            best = float(centred.max()) - float(middle[0])
            likeness = (best - background.location) / background.scale
        newness = self._newness(view)
        share = max(0.0, newness - self._given)
        return Look(z[0], share, newness >= 1.0, likeness)

    def give(self, share: float) -> None:
        """A view that is no key view has added its share."""
        self._given += share

    def remember(self, evidence: Evidence) -> None:
        """Take a view as a key view."""
        view = self._view(evidence)
        self._views.append(view)
        self._given = 0.0
        if view.descriptor is None or self._profile is None:
            return
        self._recent.append(view)
        if len(self._recent) > _LAG:
            self._forget_into_mean(self._recent.popleft())

    def order_gain(self) -> float | None:
        """How much better the views fit in their order than in the reverse one.

        The best path through the map of all key views at hand, newest included, each moving on by
        0 to 3 key rows (dynamic time warping in a band: Sakoe and Chiba 1978; over maps of places
        Naseer et al. 2014), as the mean z along it; and the same with the views in the reverse
        order. Reversing keeps the views, their light and their likeness to each other and to the
        map, and takes away the order alone: it is the null of a randomisation test, as decoys are
        in the target-decoy search (Elias and Gygi, Nature Methods 2007). A drive back through the
        map fits in reverse, so the difference counts without its sign.

        Returns:
            Spreads, at least 0; ``None`` with fewer than five key views.
        """
        if len(self._views) < _FEWEST or not len(self._keys):
            return None
        views = list(self._views)
        if self._profile is None or any(view.descriptor is None for view in views):
            whole = normalise_rows(np.stack([view.column for view in views]), self._sample)[0]
            z = np.asarray(whole[:, self._keys], np.float32)
        else:
            z = self._keyed_z(views)
        forward, backward = self._paths.best(z)
        return abs(forward - backward)

    @property
    def count(self) -> int:
        """How many key views are at hand."""
        return len(self._views)

    @property
    def descriptors(self) -> list[Floats]:
        """(D,) of the key views at hand, oldest first; empty where they are not known."""
        return [view.descriptor for view in self._views if view.descriptor is not None]

    @property
    def mean_sum(self) -> tuple[Floats | None, float]:
        """Sum (D,) of the views that the mean holds, and how many they are."""
        return self._sum, self._count

    def restore(self, descriptors: Floats, total: Floats | None, count: float) -> None:
        """Go on from :attr:`descriptors` (T, D) and :attr:`mean_sum`, on this map."""
        self.reset()
        if self._profile is None:
            return
        centring = self._profile.centring
        for row in descriptors:
            view = _View(row, self._ordered(centring.similarities(row)))
            self._views.append(view)
            self._recent.append(view)
        while len(self._recent) > _LAG:
            self._recent.popleft()
        if total is not None:
            self._sum, self._count = total.copy(), count
            self._columns = self._ordered(centring.similarities(total))

    def _view(self, evidence: Evidence) -> _View:
        column = self._ordered(evidence.full_column(len(self._chain)))
        row = evidence.descriptor
        return _View(None if row is None else row.astype(np.float64), column)

    def _forget_into_mean(self, view: _View) -> None:
        assert view.descriptor is not None
        keep = 1.0 - 1.0 / _MEMORY if self._count >= _MEMORY else 1.0
        if self._sum is None or self._columns is None:
            self._sum, self._columns = view.descriptor.copy(), view.column.copy()
        else:
            self._sum = keep * self._sum + view.descriptor
            self._columns = keep * self._columns + view.column
        self._count = keep * self._count + 1.0

    def _mean(self, *, recent: bool) -> Floats:
        """The run's mean (D,)."""
        assert self._profile is not None
        total, count = _PRIOR * self._profile.centring.mean, _PRIOR + self._count
        if self._sum is not None:
            total = total + self._sum
        for view in self._recent if recent else ():
            assert view.descriptor is not None
            total, count = total + view.descriptor, count + 1.0
        result: Floats = total / count
        return result

    def _shared_with_mean(self, rows: Rows | slice, *, recent: bool) -> Floats:
        """Similarities (K,) of rows of the chain to the run's mean."""
        columns, count = _PRIOR * self._shared[rows], _PRIOR + self._count
        if self._columns is not None:
            columns += self._columns[rows]
        for view in self._recent if recent else ():
            columns += view.column[rows]
            count += 1.0
        columns /= count
        return columns

    def _shifts(self, views: list[_View], *, recent: bool) -> Floats:
        """(T,) products of views, less the run's mean, with the map's mean."""
        assert self._profile is not None
        mean = self._profile.centring.mean
        along: Floats = np.stack([v.descriptor for v in views if v.descriptor is not None]) @ mean
        along -= float(self._mean(recent=recent) @ mean)
        return along

    def _centre(
        self, views: list[_View], rows: Rows | slice, shifts: Floats, *, recent: bool
    ) -> Floats:
        """(T, K) centred similarities to rows of the chain, with the views' :meth:`_shifts`."""
        shared = self._shared_with_mean(rows, recent=recent)
        columns = np.stack([view.column[rows] for view in views])
        return centre(columns, shared, shifts[:, None], 0.0, self._lengths[rows])

    def _newness(self, view: _View) -> float:
        """0 to 1, how new a view is beside the nearest key view at hand; 1 is a key view."""
        known = self.descriptors
        if not known or view.descriptor is None:
            return 1.0
        assert self._profile is not None
        mean = self._mean(recent=False)
        others, one = np.stack(known) - mean, view.descriptor - mean
        lengths = np.linalg.norm(others, axis=1) * float(np.linalg.norm(one))
        alike = (others @ one) / np.maximum(lengths, 1e-12)
        change = (1.0 - float(alike.max())) / self._profile.step
        return 0.0 if change < _REPEAT else min(1.0, change / _NEW)

    def _keyed_z(self, views: list[_View]) -> Vectors:
        """(T, K) z of the views at the key rows, all centred with the newest mean."""
        shifts = self._shifts(views, recent=True)
        rows = np.arange(len(self._chain)) if self._sample is None else self._sample
        sample = rows[:: max(1, len(rows) // _SPARSE)]
        middle, spread = measure_rows(self._centre(views, sample, shifts, recent=True))
        scales = 1.0 / np.maximum(spread, 1e-9)
        found = np.empty((len(views), len(self._keys)), np.float32)
        for part in in_parts(len(self._keys)):
            rows = self._keys[part]
            shared = self._shared_with_mean(rows, recent=True)
            for view, z, shift, centre_, scale in zip(
                views, found[:, part], shifts, middle, scales, strict=True
            ):
                z[:] = view.column[rows] - (shared + shift)
                z *= self._key_scales[part]
                z -= centre_
                z *= scale
        return found


class Paths:
    """Best paths of views through the key rows of a map, each moving on by 0 to 3 of them.

    Only stretches of the map that could hold the best path are walked: the mean over the views of
    their largest z within reach of a stretch is no less than that of any path that begins there.

    Args:
        runs: (K,) the run that each key row is of; no path leads from one to another.

    Example:
        >>> z = np.float32([[0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 3]])
        >>> Paths(np.zeros(4, np.int64)).best(z)  # forward, and with the views in reverse
        (3.0, 1.0)
    """

    def __init__(self, runs: Rows) -> None:
        self._runs = runs

    def best(self, z: Vectors) -> tuple[float, float]:
        """Largest mean of z (T, K) along a path, and that of z with the views in reverse order."""
        count, keys = z.shape
        if keys <= _STRETCH * 8:
            return self._walk(z, np.arange(keys)[None])
        reach = _BAND * (count - 1)
        stretches = -(-keys // _STRETCH)
        padded = np.full((count, stretches * _STRETCH), -np.inf, z.dtype)
        padded[:, :keys] = z
        highest = padded.reshape(count, stretches, _STRETCH).max(axis=2)
        bound = highest.copy()
        for ahead in range(1, -(-reach // _STRETCH) + 1):
            np.maximum(bound[:, :-ahead], highest[:, ahead:], out=bound[:, :-ahead])
        bounds = bound.mean(axis=0, dtype=np.float64) + 1e-5  # more than float32 rounds
        order = np.argsort(-bounds, kind="stable")
        forward = backward = -math.inf
        start, size = 0, 8
        while start < stretches and bounds[order[start]] > min(forward, backward):
            chosen = order[start : start + size]
            chosen = chosen[bounds[chosen] > min(forward, backward)]
            rows = chosen[:, None] * _STRETCH + np.arange(_STRETCH + reach)
            found = self._walk(z, rows)
            forward, backward = max(forward, found[0]), max(backward, found[1])
            start, size = start + size, min(2 * size, 256)
        return forward, backward

    def _walk(self, z: Vectors, rows: Rows) -> tuple[float, float]:
        """The best paths within stretches (S, L) of key rows; those past the end hold nothing."""
        inside = rows < z.shape[1]
        at = np.minimum(rows, z.shape[1] - 1)
        values = np.where(inside, z[:, at], -np.inf)
        runs = self._runs[at]
        same = [runs[:, step:] == runs[:, :-step] for step in range(1, _BAND + 1)]
        best = [_best_end(views, same) / len(z) for views in (values, values[::-1])]
        return best[0], best[1]


def _best_end(values: Vectors, same: list[Bools]) -> float:
    """Largest sum of values (T, S, L) along a path that moves on by 0 to 3 columns a view."""
    best = values[0]
    for row in values[1:]:
        reached = best.copy()
        for step, allowed in enumerate(same, start=1):
            if allowed.shape[1]:
                moved = np.where(allowed, best[:, :-step], -np.inf)
                np.maximum(reached[:, step:], moved, out=reached[:, step:])
        best = row + reached
    return float(best.max())


class OnMap:
    """Log odds of being on the map at all, from views; where on the map is not asked.

    Each key view adds, in nats and halved because views overlap:

    - for the order of the views (:meth:`RunViews.order_gain` g): 9 (g - 0.4), from -3.5 to 5;
    - for the likeness u of the most similar place: the log ratio of its law on the map to its law
      elsewhere. Elsewhere is exponential, with the scale that views of other parts of the same
      environment have (:attr:`MapProfile.alike`). On the map it is, before the run has located
      anything, exponential with a scale of 15, in one half of all runs (in the other half light or
      season have changed and it is as elsewhere); later it is what the run itself has seen while it
      was on the map. So a run by day that suddenly sees nothing alike has left the map, and one by
      night, of which nothing looks alike, is not judged by it;
    - for a view that the belief did not expect: the log of its mean likelihood, where below zero.

    While likeness is below the run's own, what else speaks for the map counts less: older views are
    those of before the map ended, and geometry finds the same door frames in the next room.

    Args:
        alike: See :attr:`MapProfile.alike`.
        start: Log odds at the start.
    """

    def __init__(self, alike: float, start: float) -> None:
        self._alike, self._begin = alike, start
        self.reset()

    def reset(self) -> None:
        """Forget all views."""
        self.odds = self._begin
        self._seen, self._mean, self._variance = 0, 0.0, 0.0

    @property
    def probability(self) -> float:
        """Of being on the map."""
        return 1.0 / (1.0 + math.exp(-self.odds))

    @property
    def state(self) -> Floats:
        """(4,) odds, views that the run's own likeness is known from, its mean and variance."""
        return np.array([self.odds, self._seen, self._mean, self._variance])

    def restore(self, state: Floats) -> None:
        """Go on from a :attr:`state`."""
        odds, seen, self._mean, self._variance = state.tolist()
        self.odds, self._seen = _clip(odds, _MOST), int(seen)

    def move(self, leave: float, enter: float, lost: float) -> None:
        """Leave the map, or enter it; a share ``lost`` of the belief moved off it."""
        on = self.probability * (1.0 - lost)
        on = (1.0 - leave) * on + enter * (1.0 - on)
        on = min(max(on, 1e-9), 1.0 - 1e-9)
        self.odds = _clip(math.log(on / (1.0 - on)), _MOST)

    def weigh(
        self, gain: float | None, likeness: float | None, expected: float, extra: float
    ) -> float:
        """Take in a key view.

        Args:
            gain: Of the order, where there is one.
            likeness: Of the view, where it is known.
            expected: Log of its mean likelihood under the belief.
            extra: Nats that are known otherwise (geometry), taken as they are.

        Returns:
            The nats of the likeness.
        """
        order = 0.0 if gain is None else min(5.0, max(-3.5, 9.0 * (gain - 0.4)))
        looks = 0.0 if likeness is None else self._nats_of(likeness)
        if looks < 0.0:
            doubt = max(0.0, 1.0 + 0.5 * looks)
            order, extra = min(order, doubt * order), min(extra, doubt * extra)
        surprise = max(-2.0, min(0.0, expected))
        self.odds = _clip(self.odds + 0.5 * (order + looks + surprise) + extra, _MOST)
        return looks

    def learn(self, likeness: float) -> None:
        """Take in the likeness of a view that was surely on the map."""
        self._seen += 1
        weight = 1.0 / min(self._seen, _FORGOTTEN)
        off = likeness - self._mean
        self._mean += weight * off
        self._variance = (1.0 - weight) * (self._variance + weight * off * off)

    def _nats_of(self, likeness: float) -> float:
        above = max(0.0, likeness)
        elsewhere = -above / self._alike - math.log(self._alike)
        if self._seen >= _KNOWN:
            spread = max(0.35 * self._mean, math.sqrt(self._variance), 1.0)
            below = min(0.0, likeness - self._mean) / spread
            here = -0.5 * below * below - math.log(spread * math.sqrt(2.0 * math.pi))
            other = _CHANGES
        else:
            here = -above / _LIKELY - math.log(_LIKELY)
            other = _CHANGED
        ratio = math.exp(min(20.0, here - elsewhere))
        return min(2.5, math.log(other + (1.0 - other) * ratio))


def _clip(value: float, most: float) -> float:
    return min(most, max(-most, value))
