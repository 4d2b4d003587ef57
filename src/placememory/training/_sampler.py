"""The batches of an epoch, which can be taken up in its middle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from placememory._types import Rows
from placememory.errors import SettingError
from placememory.training._augmentation import changed_speed, shuffled
from placememory.training._config import Training
from placememory.training._data import TrainingSet
from placememory.training._sampling import Batch, Describe, place_batches, triplets

_PLACES, _MINE, _CHANGE = 1, 2, 3  # what is drawn: keeps the streams of numbers apart


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
        descriptors_of: Describes windows for mining.

    Attributes:
        position: After the last batch that was given; kept in checkpoints.
    """

    def __init__(self, data: TrainingSet, training: Training, descriptors_of: Describe) -> None:
        self.data, self.training, self._describe = data, training, descriptors_of
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
                    yield self._sped(batch, epoch, step)

    def _triplets(self, epoch: int) -> Iterator[Batch]:
        size = self.training.optimization.batch
        settings = self.training.mining
        while True:
            here = self.position
            mined = here.mined
            if mined is None:
                draw = self._draw(_MINE, epoch, here.refresh)
                mined = triplets(self.data, self.training.data, settings, draw, self._describe)
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
                changed = shuffled(triplet[1], self.data, mining.shuffled_step, draw)
                triplet[-1] = triplet[-1] if changed is None else changed
        labels = np.repeat(np.arange(len(rows)), rows.shape[1])
        return self._sped(Batch(rows.reshape(-1, rows.shape[2]), labels), epoch, step)

    def _sped(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The first window of each label, the query, perhaps driven at another speed."""
        augment = self.training.augment
        if not augment.sequence:
            return batch
        draw, windows = self._draw(_CHANGE, epoch, step, 1), batch.windows.copy()
        for first in np.unique(batch.labels, return_index=True)[1]:
            if draw.random() < augment.sequence:
                windows[first] = changed_speed(windows[first], augment.sequence_step, draw)
        return Batch(windows, batch.labels)

    def _draw(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng((self.training.seed, *numbers))
