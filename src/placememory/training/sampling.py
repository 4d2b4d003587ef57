"""Which windows a step sees: places with several views each, or triplets from a cache.

All that is drawn follows from the generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placememory._types import Rows
from placememory.errors import SettingError
from placememory.training.config import Data, Mining, Training
from placememory.training.data import TrainingSet

Draw = np.random.Generator
Descriptors = NDArray[np.float32]
Describe = Callable[[Rows], Descriptors]
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows of one step.

    Attributes:
        windows: (n, L) int64 rows of frames.
        labels: (n,) int64, equal for windows of one place. Of triplets: the number of the triplet,
            its first window the query, the second the positive, the others negatives.
    """

    windows: Rows
    labels: Rows


def place_batches(data: TrainingSet, settings: Data, mining: Mining, draw: Draw) -> Iterator[Batch]:
    """Batches of P places with K views each, every query window at most once.

    All windows of a place are farther from those of the batch's other places than the negative
    radius, so that windows with other labels show other places.

    Args:
        data: What to draw from.
        settings: Radii.
        mining: ``places`` and ``views``.
        draw: Of the epoch.

    Raises:
        SettingError: There is no batch: too few places have a positive.
    """
    waiting = list(draw.permutation(len(data.queries)))
    made = 0
    while waiting:
        batch, waiting = _one_batch(data, settings, mining, waiting, draw)
        if batch is None:
            break
        made += 1
        yield batch
    if not made:
        raise SettingError(
            f"there are no {mining.places} places farther apart than {settings.negative_radius:g} "
            f"with a positive within {settings.positive_radius:g}; make mining.places or "
            "data.negative_radius smaller, or data.positive_radius larger"
        )


def _one_batch(
    data: TrainingSet, settings: Data, mining: Mining, waiting: list[int], draw: Draw
) -> tuple[Batch | None, list[int]]:
    """A batch and the queries that wait for a later one; none where they are too near together."""
    windows: list[Rows] = []
    used: list[NDArray[np.float64]] = []
    later: list[int] = []
    for taken, number in enumerate(waiting):
        query = data.queries[number]
        if _too_near(data.positions[query], used, settings.negative_radius):
            later.append(number)
            continue
        found = data.positives(query[None], settings)[0]
        if not len(found):
            continue
        views = draw.choice(found, mining.views - 1, replace=len(found) < mining.views - 1)
        place = np.concatenate([query[None], data.database[views]])
        seen = data.positions[place.ravel()]
        if _too_near(seen, used, settings.negative_radius):
            later.append(number)
            continue
        windows.append(place)
        used.append(seen)
        if len(windows) == mining.places:
            labels = np.repeat(np.arange(mining.places), mining.views)
            return Batch(np.concatenate(windows), labels), later + waiting[taken + 1 :]
    return None, []


def _too_near(place: NDArray[np.float64], used: list[NDArray[np.float64]], radius: float) -> bool:
    """Whether a frame of a place is within a radius of a frame of the places of a batch."""
    if not used:
        return False
    others = np.concatenate(used)
    apart = np.linalg.norm(place[:, None] - others[None], axis=2)
    return bool((apart <= radius).any())


def mine_triplets(
    data: TrainingSet,
    settings: Data,
    mining: Mining,
    draw: Draw,
    describe: Describe,
) -> Rows:
    """Triplets with the hardest of cached windows (Arandjelović et al., CVPR 2016, section 4.2).

    Queries and database windows are sampled and described; a query's positive is the nearest of
    its positives, its negatives are the nearest of the sampled windows that are beyond the
    negative radius. The search is exact.

    Args:
        data: What to draw from.
        settings: Radii and strategies.
        mining: ``queries``, ``negatives``, ``per_query``.
        draw: Of the refresh.
        describe: Windows (n, L) to descriptors (n, D) of the network as it is now.

    Returns:
        (T, 2 + per_query, L) rows of frames: query, positive, negatives.

    Raises:
        SettingError: No sampled query has a positive, or there are too few negatives.
    """
    query_windows, positives = _sample_queries(data, settings, mining.queries, draw)
    count = min(mining.negatives, len(data.database))
    sampled = np.sort(draw.choice(len(data.database), count, replace=False))
    needed = np.unique(np.concatenate([sampled, *positives]))
    rows = describe(np.concatenate([query_windows, data.database[needed]]))
    queries, known = rows[: len(query_windows)], rows[len(query_windows) :]
    place = {int(row): i for i, row in enumerate(needed)}
    excluded = data.find_near(query_windows, settings.negative_radius, settings.negative_strategy)
    candidates = known[np.searchsorted(needed, sampled)]
    found = []
    for first in range(0, len(query_windows), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        costs = _distances(queries[part], candidates)
        for row, cost in zip(range(*part.indices(len(query_windows))), costs, strict=True):
            cost[np.isin(sampled, excluded[row])] = np.inf
            hardest = np.argsort(cost, kind="stable")[: mining.per_query]
            if not np.isfinite(cost[hardest]).all() or len(hardest) < mining.per_query:
                continue
            own = known[[place[int(p)] for p in positives[row]]]
            best = positives[row][int(_distances(queries[row][None], own)[0].argmin())]
            found.append(np.stack([query_windows[row], *data.database[[best, *sampled[hardest]]]]))
    if not found:
        raise SettingError(
            f"no sampled query has {mining.per_query} negatives beyond "
            f"{settings.negative_radius:g}; make mining.negatives larger"
        )
    return np.stack(found)


def _sample_queries(
    data: TrainingSet, settings: Data, count: int, draw: Draw
) -> tuple[Rows, list[Rows]]:
    """Query windows with a positive, as many as wanted where there are, and their positives."""
    windows: list[Rows] = []
    positives: list[Rows] = []
    order = draw.permutation(len(data.queries))
    for first in range(0, len(order), _AT_ONCE):
        part = data.queries[order[first : first + _AT_ONCE]]
        for window, found in zip(part, data.positives(part, settings), strict=True):
            if len(found) and len(windows) < count:
                windows.append(window)
                positives.append(found)
        if len(windows) == count:
            break
    if not windows:
        raise SettingError(
            f"no query has a positive within {settings.positive_radius:g} in another session; "
            "check positions and data.positive_radius"
        )
    return np.stack(windows), positives


def _distances(one: Descriptors, other: Descriptors) -> NDArray[np.float64]:
    """(n, m) squared Euclidean distances in float64."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None]
    found: NDArray[np.float64] = squares - 2.0 * (a @ b.T)
    return found


def change_speed(window: Rows, step: int, draw: Draw) -> Rows:
    """A window as if driven at another speed; first and last frame stay (CaseVPR's ``augseq``).

    Each frame between becomes one of the window's, from the one before it up to ``step`` on, and
    never goes backwards.

    Args:
        window: (L,) rows of frames, oldest first.
        step: Most frames that it jumps.
        draw: Of the window.

    Example:
        >>> change_speed(np.arange(5), 2, np.random.default_rng(0)).tolist()
        [0, 3, 4, 4, 4]
    """
    places = np.arange(len(window))
    for i in range(1, len(window) - 1):
        least, most = max(places[i - 1], i - 1), min(i + step, len(window) - 1)
        places[i] = draw.integers(least, most + 1)
    return np.asarray(window[places])


def shuffle_window(window: Rows, data: TrainingSet, step: float, draw: Draw) -> Rows | None:
    """A window in another order, as a negative; ``None`` where its frames are too near together.

    Args:
        window: (L,) rows of frames.
        data: The frames.
        step: Metres that consecutive frames must be apart at least.
        draw: Of the window.
    """
    apart = np.linalg.norm(np.diff(data.positions[window], axis=0), axis=1)
    if len(window) < 2 or (apart < step).any():
        return None
    order = draw.permutation(len(window))
    while (order == np.arange(len(window))).all():
        order = draw.permutation(len(window))
    return np.asarray(window[order])


_PLACES, _MINE, _CHANGE = 1, 2, 3  # what is drawn: separates the streams of numbers


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """Where an epoch is.

    Attributes:
        step: Steps done.
        refresh: Number of the cache in use.
        offset: Triplets of it that are used up.
        mined: (T, 2 + n, L) its triplets; ``None`` where none are mined.
    """

    step: int = 0
    refresh: int = 0
    offset: int = 0
    mined: Rows | None = None


class Sampler:
    """Gives an epoch's batches; all it draws follows from seed, epoch and step.

    Args:
        data: What to draw from.
        training: Settings.
        describe: Describes windows for mining.

    Attributes:
        position: After the last batch that was given; kept in checkpoints.
    """

    def __init__(self, data: TrainingSet, training: Training, describe: Describe) -> None:
        self.data, self.training, self._describe = data, training, describe
        self.position = Position()

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        given = self.training.optimization.steps_per_epoch
        size = self.training.mining.places
        if self.training.mining.kind == "cached":
            size = self.training.optimization.batch
        return given or max(1, len(self.data.queries) // size)

    def epoch(self, number: int, start: Position | None = None) -> Iterator[Batch]:
        """Batches of an epoch, from its beginning or from where a checkpoint was.

        Raises:
            SettingError: The data gives no batch.
        """
        self.position = start or Position()
        cached = self.training.mining.kind == "cached"
        batches = self._triplets(number) if cached else self._places(number)
        for _ in range(self.position.step, self.steps):
            yield next(batches)

    def _places(self, epoch: int) -> Iterator[Batch]:
        """Passes over all places, each in another order."""
        data, settings = self.training.data, self.training.mining
        step = 0
        for turn in range(1 << 30):
            draw = self._draw(_PLACES, epoch, turn)
            for batch in place_batches(self.data, data, settings, draw):
                step += 1
                if step > self.position.step:
                    self.position = Position(step)
                    yield self._change_speed(batch, epoch, step)

    def _triplets(self, epoch: int) -> Iterator[Batch]:
        size = self.training.optimization.batch
        settings = self.training.mining
        while True:
            here = self.position
            mined = here.mined
            if mined is None:
                draw = self._draw(_MINE, epoch, here.refresh)
                mined = mine_triplets(self.data, self.training.data, settings, draw, self._describe)
                mined = mined[: settings.refresh]
            if len(mined) < size:
                raise SettingError(
                    f"{len(mined)} triplets were mined, a batch is {size}; make mining.queries "
                    "larger or optimization.batch smaller"
                )
            for offset in range(here.offset, len(mined) - size + 1, size):
                step = self.position.step + 1
                self.position = Position(step, here.refresh, offset + size, mined)
                yield self._batch(mined[offset : offset + size], epoch, step)
            self.position = Position(self.position.step, here.refresh + 1)

    def _batch(self, rows: Rows, epoch: int, step: int) -> Batch:
        """Triplets (B, 2 + n, L) as a batch, some of their negatives shuffled positives."""
        rows, mining = rows.copy(), self.training.mining
        draw = self._draw(_CHANGE, epoch, step)
        for triplet in rows:
            if draw.random() < mining.shuffled:
                changed = shuffle_window(triplet[1], self.data, mining.shuffled_step, draw)
                triplet[-1] = triplet[-1] if changed is None else changed
        labels = np.repeat(np.arange(len(rows)), rows.shape[1])
        return self._change_speed(Batch(rows.reshape(-1, rows.shape[2]), labels), epoch, step)

    def _change_speed(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The first window of each label, the query, perhaps driven at another speed."""
        augment = self.training.augment
        if not augment.sequence:
            return batch
        draw, windows = self._draw(_CHANGE, epoch, step, 1), batch.windows.copy()
        for first in np.unique(batch.labels, return_index=True)[1]:
            if draw.random() < augment.sequence:
                windows[first] = change_speed(windows[first], augment.sequence_step, draw)
        return Batch(windows, batch.labels)

    def _draw(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng((self.training.seed, *numbers))
