"""What a map knows of itself: what the same place looks like a step away, and its look-alikes."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass

import numpy as np

from placememory._types import Bools, Floats, Rows, Vectors
from placememory.fusion._places import PlaceTable
from placememory.likeness import Background, Centring

_LEAST_STEP = 0.35  # centred cosine distance: closer neighbours are the same view
_SAMPLE, _BLOCK = 500, 64
_APART = 5  # rows of a run that look-alikes are at least apart
_NEAR = 4.0  # metres
_FEWEST = 10
_LEAST_ALIKE = 2.0  # scales of the background


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """The places of a map that are in no table: those of a map too large to be at hand.

    Attributes:
        count: How many they are.
        sample: (S,) int64, rows of the table that stand for them: an even sample of the map.

    Example:
        >>> Rest(1_000_000 - 640, np.arange(0, 640, 2)).count
        999360
    """

    count: int
    sample: Rows


class MapProfile:
    """A map's own statistics, which the filter measures a run by.

    Args:
        descriptors: (N, D) float32 unit rows, in the order of the places; kept, not copied.
        places: Of the map.
        background: How alike the map and views of other places are; ``None`` where it is not
            known, so that likeness alone then says nothing of being on the map.
        rest: The places of the map that these are not, where they are only some of them.

    Attributes:
        centring: Takes off what all views have in common.
        step: Centred cosine distance of two places that follow each other, median, at least 0.35:
            the unit that a change of view is measured in. A denser map does not make it smaller.
        alike: Scale of the likeness that views of unmapped parts of the same environment have, in
            scales of the background: half the median of the best similarity that a place of the map
            has to those that are not its neighbours.
        key_rows: (K,) int64, rows of the chain (by session and order) that are at least half a
            ``step`` apart along their run.
        background: As given, for the number of all places.
        rest: As given.

    Example:
        >>> rows = np.eye(12, dtype=np.float32)
        >>> table = PlaceTable.from_arrays([[float(i), 0.0] for i in range(12)])
        >>> profile = MapProfile(rows, table)
        >>> round(profile.step, 2), len(profile.key_rows)
        (1.09, 12)
    """

    def __init__(
        self,
        descriptors: Vectors,
        places: PlaceTable,
        background: Background | None = None,
        rest: Rest | None = None,
    ) -> None:
        rows = np.ascontiguousarray(descriptors, np.float32)
        mean = None if rest is None else rows[rest.sample].mean(axis=0, dtype=np.float64)
        self.centring, self.rest = Centring(rows, mean), rest
        count = len(places) + (0 if rest is None else rest.count)
        self.background = None if background is None else background.grow_to(count)
        chain = places.chain()
        views = _Centred(self.centring, chain)
        next_one = np.flatnonzero(np.diff(places.session[chain]) == 0)
        distances = views.distances(next_one, next_one + 1)
        self.step = max(_LEAST_STEP, float(np.median(distances))) if len(distances) else 1.0
        self.key_rows = _key_rows(views, places.session[chain], 0.5 * self.step)
        self.alike = _LEAST_ALIKE
        if self.background is not None:
            best = _look_alikes(self.centring, places)
            if len(best):
                scale = self.background.scale  # the best of more places is better, as for the law
                grown = float(np.median(best)) + scale * math.log(count / len(places))
                likeness = grown - self.background.location
                self.alike = max(_LEAST_ALIKE, 0.5 * likeness / scale)

    def with_others(self, descriptors: Vectors, places: PlaceTable, rest: Rest) -> MapProfile:
        """Of the same map where other places are in the table: mean, step and alike stay."""
        other = copy(self)
        rows = np.ascontiguousarray(descriptors, np.float32)
        other.centring, other.rest = Centring(rows, self.centring.mean), rest
        chain = places.chain()
        views = _Centred(other.centring, chain)
        other.key_rows = _key_rows(views, places.session[chain], 0.5 * self.step)
        return other


class _Centred:
    """The centred unit descriptors of a map in the order of its chain, made as they are needed."""

    def __init__(self, centring: Centring, chain: Rows) -> None:
        self._centring, self._chain = centring, chain

    def __len__(self) -> int:
        return len(self._chain)

    def take(self, rows: Rows) -> Vectors:
        """(K, D) float32 centred unit rows."""
        at = self._chain[rows]
        centred = self._centring.descriptors[at] - self._centring.mean.astype(np.float32)
        return np.asarray(centred / self._centring.lengths[at, None], np.float32)

    def distances(self, first: Rows, second: Rows) -> Floats:
        """(K,) cosine distance of pairs of rows; a sample where there are very many."""
        every = max(1, len(first) // 5000)
        one, other = self.take(first[::every]), self.take(second[::every])
        products: Floats = (one * other).sum(axis=1, dtype=np.float64)
        return 1.0 - products


def _key_rows(views: _Centred, session: Rows, least: float) -> Rows:
    """Rows at least ``least`` away in looks from the one kept before, of each run."""
    kept: list[int] = []
    last, run = None, None
    for start in range(0, len(views), 1024):
        block = views.take(np.arange(start, min(start + 1024, len(views))))
        for i, view in enumerate(block, start=start):
            if last is None or session[i] != run or 1.0 - float(view @ last) >= least:
                kept.append(i)
                last, run = view, session[i]
    return np.array(kept, dtype=np.int64)


def _look_alikes(centring: Centring, places: PlaceTable) -> Floats:
    """(K,) best centred similarity above the median, to places that are not neighbours."""
    count = len(places)
    best: list[float] = []
    sample = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    mean = float(centring.mean @ centring.mean)
    for rows in np.array_split(sample, -(-len(sample) // _BLOCK)):
        cosines = (centring.descriptors[rows] @ centring.descriptors.T).astype(np.float64)
        own = centring.shared[rows, None]
        centred = centring.apply(cosines, centring.shared, own, mean)
        best += [
            float(found.max() - np.median(found))
            for row, alike in zip(rows.tolist(), centred, strict=True)
            if len(found := alike[_far_from(places, row)]) >= _FEWEST
        ]
    return np.array(best)


def _far_from(places: PlaceTable, row: int) -> Bools:
    """(N,) which places are not neighbours of one."""
    far = np.abs(places.order - places.order[row]) > _APART
    far |= places.session != places.session[row]
    metres = np.linalg.norm(places.positions[:, :2] - places.positions[row, :2], axis=1)
    result: Bools = far & ~(metres < _NEAR)  # unknown positions are not near
    return result
