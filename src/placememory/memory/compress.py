"""A memory with shorter descriptors: their principal components, and what that costs in recall."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from placememory._checks import check_choice, check_positive, check_whole
from placememory._types import Progress, Vectors
from placememory.encoders import components_of, compress_card, fit_components, shorten
from placememory.errors import SettingError
from placememory.frames import sample_evenly
from placememory.memory.background import measure_background
from placememory.memory.place_memory import PlaceMemory
from placememory.memory.rows import PlaceRows
from placememory.memory.search import top_k
from placememory.memory.transfer import BATCH, fill_like

_SAMPLE = 20_000
_ASKED = 500


@dataclass(frozen=True, slots=True)
class CompressReport:
    """What was compressed, and what it cost.

    Attributes:
        places: In the memory.
        before: Numbers of a descriptor before.
        after: Numbers of a descriptor now.
        energy: Share of the variance that the components keep, 0 to 1.
        radius: Metres within which an answer is right.
        recall_before: Share of places for which another one within the radius is found first.
        recall_after: The same with the compressed descriptors.
        queries: Places asked for that have another one within the radius, evenly spaced.
    """

    places: int
    before: int
    after: int
    energy: float
    radius: float
    recall_before: float
    recall_after: float
    queries: int

    def __str__(self) -> str:
        """A line."""
        return (
            f"{self.places} places: {self.after} instead of {self.before} numbers, "
            f"{100 * self.energy:.1f} % of the variance; for {self.queries} places another one "
            f"within {self.radius:g} m is found first in {100 * self.recall_before:.1f} % before, "
            f"in {100 * self.recall_after:.1f} % after"
        )


def compress(
    source: str | Path,
    target: str | Path,
    dim: int,
    *,
    dtype: str = "float32",
    radius: float = 2.0,
    progress: Progress | None = None,
) -> CompressReport:
    """Write a memory whose descriptors are shorter into a new one; the source stays as it is.

    The components are fitted on at most 20,000 places and become part of the encoder's card, so
    images are encoded, and later sessions added, as before. Sequence descriptors stay as they are.
    How alike other places are is measured anew. A calibration is left out. An interrupted
    compression goes on where it stopped.

    Args:
        source: Address of the memory.
        target: Address of the new memory.
        dim: Numbers of a descriptor.
        dtype: ``float32`` or ``float16``.
        radius: Metres within which an answer is right, for the report.
        progress: Called with places done and places in all.

    Raises:
        EncoderError: There are too few places for so many components, or the descriptors are
            compressed already.
        MemoryUnfinishedError: The target is another command's unfinished memory.
        SettingError: ``dim`` is not below the length there is, or the target is another memory.
    """
    check_whole(dim=dim)
    check_positive(radius=radius)
    check_choice("dtype", dtype, ("float32", "float16"))
    with PlaceMemory.open(source, readonly=True) as memory:
        if dim >= memory.card.dim:
            raise SettingError(f"descriptors have {memory.card.dim} numbers; give a smaller dim")
        task = f"the compression of {memory.uri} to {dim} numbers"
        rows = memory.rows
        sample = rows.gather(sample_evenly(len(rows), _SAMPLE))
        mean, axes = fit_components(sample, dim)
        card = compress_card(memory.card, mean, axes)
        with fill_like(target, memory, task, card=card, dtype=dtype) as made:
            known = components_of(made.card)  # of a run that was cut off, on another machine say
            if known is not None:
                _, mean, axes = known
            there = {place.id for place in made.places}
            missing = [i for i, place in enumerate(rows.places) if place.id not in there]
            for start in range(0, len(missing), BATCH):
                part = rows.take(missing[start : start + BATCH])
                short = shorten(part.descriptors, mean, axes)
                made.add(part.places, short, part.sequences)
                if progress is not None:
                    progress(len(rows) - len(missing) + start + len(part), len(rows))
            if memory.manifest.background is not None:
                measure_background(made, made.encoder())
        with made:
            return _report(memory.rows, made.rows, sample, mean, axes, radius)


def _report(
    before: PlaceRows,
    after: PlaceRows,
    sample: Vectors,
    mean: Vectors,
    axes: Vectors,
    radius: float,
) -> CompressReport:
    asked = sample_evenly(len(before), _ASKED)
    positions = before.positions
    centred = sample - mean
    energy = float(np.square(centred @ axes.T).sum() / max(np.square(centred).sum(), 1e-30))
    queries, right = 0, [0, 0]
    matrices = (before.descriptors, after.descriptors)
    for row in asked.tolist():
        near = np.linalg.norm(positions - positions[row], axis=1) <= radius
        near[row] = False
        if not near.any():
            continue
        queries += 1
        for i, matrix in enumerate(matrices):
            found = top_k(matrix, matrix[row : row + 1], 2)[0][0]
            right[i] += int(near[next((int(r) for r in found if r != row), row)])
    first, then = (count / max(1, queries) for count in right)
    return CompressReport(
        len(after), axes.shape[1], len(axes), energy, radius, first, then, queries
    )
