"""How alike views look beside a map: centred similarities, and the law of look-alikes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from placememory._types import Floats, Vectors

_EULER = 0.5772156649015329


class Centring:
    """Descriptor standardisation for a map that stays and a run that comes frame by frame.

    The mean of the map is taken off its descriptors and the mean of the run off the run's
    (Schubert, Neubert and Protzel, "Unsupervised Learning Methods for Visual Place Recognition in
    Discretely and Continuously Changing Environments", ICRA 2020), so that light, weather or a lens
    that all views of a run share do not make all places alike. Only similarities are touched: with
    the cosines s of a view q to the places, the mean view m of the run, its similarities c to the
    places, and the mean M of the map,

        (s - c - (q - m) . M) / |place - M|

    is the product of the centred view with the unit centred place.

    Args:
        descriptors: (N, D) float32 unit rows of the map, kept and not copied.
        mean: (D,) of the whole map, where these are only some of its rows.

    Attributes:
        descriptors: As given.
        mean: (D,) float64, M.
        shared: (N,) float64, similarity of each place to M.
        lengths: (N,) float64, length of each centred place, above zero.

    Example:
        >>> rows = np.float32([[1, 0], [0, 1]])
        >>> centring = Centring(rows)
        >>> view = np.array([0.8, 0.6])
        >>> centring.apply(rows @ view, centring.shared, view @ centring.mean,
        ...                centring.mean @ centring.mean).round(3).tolist()
        [0.141, -0.141]
    """

    def __init__(self, descriptors: Vectors, mean: Floats | None = None) -> None:
        self.descriptors = descriptors
        self.mean: Floats = descriptors.mean(axis=0, dtype=np.float64) if mean is None else mean
        self.shared: Floats = self.similarities(self.mean)
        squares = np.einsum("nd,nd->n", descriptors, descriptors, dtype=np.float64)
        left = squares - 2.0 * self.shared + self.mean @ self.mean
        self.lengths: Floats = np.sqrt(np.maximum(left, 1e-6))

    def __len__(self) -> int:
        """How many places there are."""
        return len(self.shared)

    def similarities(self, view: Floats) -> Floats:
        """(N,) float64 of a view (D,) or of a mean of views to the places."""
        found: Floats = (self.descriptors @ view.astype(np.float32)).astype(np.float64)
        return found

    def apply(
        self, similarities: Floats, shared: Floats, along: Floats | float, mean_along: float
    ) -> Floats:
        """Centred similarities to all places; see :func:`centre`."""
        return centre(similarities, shared, along, mean_along, self.lengths)

    def apply_to_run(self, views: Vectors, prior: float = 5.0) -> Floats:
        """(T, N) centred similarities of the views (T, D) of a run that is known as a whole.

        Args:
            views: Unit rows.
            prior: Views that the map's mean counts as in the mean of the run.
        """
        rows = views.astype(np.float64)
        mean = (prior * self.mean + rows.sum(axis=0)) / (prior + len(rows))
        cosines = (views.astype(np.float32) @ self.descriptors.T).astype(np.float64)
        along = (rows @ self.mean)[:, None]
        return self.apply(cosines, self.similarities(mean), along, float(mean @ self.mean))


def centre(
    similarities: Floats,
    shared: Floats,
    along: Floats | float,
    mean_along: float,
    lengths: Floats,
) -> Floats:
    """Centred similarities of one view or of several to places of a map; see :class:`Centring`.

    Args:
        similarities: (N,) or (T, N) cosines to the places.
        shared: (N,) similarities of the run's mean to them.
        along: Product of each view with the map's mean, a number or (T, 1).
        mean_along: Product of the run's mean with the map's mean.
        lengths: (N,) of the centred places.
    """
    found: Floats = similarities - shared
    found -= along - mean_along
    found /= lengths
    return found


@dataclass(frozen=True, slots=True)
class Background:
    """Law of the likeness of a view of another place to the most similar place of a map.

    The best of many wrong similarities follows a Gumbel law (extreme values; Gumbel 1958), here
    fitted by moments to views that are shipped for it. FAB-MAP (Cummins and Newman, IJRR 2008)
    samples its place off the map from such views, too.

    Attributes:
        location: Of the law, in centred similarity above the median of the map.
        scale: Of the law, likewise.
        places: Places of the map that it was measured on.
        views: Views that it was measured with.

    Example:
        >>> law = Background(location=0.05, scale=0.01, places=100, views=41)
        >>> round(law.grow_to(272).location, 3)
        0.06
        >>> Background.from_dict(law.to_dict()) == law
        True
    """

    location: float
    scale: float
    places: int
    views: int

    FEWEST: ClassVar[int] = 10
    """Places and views that it takes."""

    @classmethod
    def measure(cls, descriptors: Vectors, views: Vectors) -> Background | None:
        """Measure it on a map.

        Args:
            descriptors: (N, D) float32 unit rows of the map.
            views: (B, D) float32 unit rows of views of other places, from the same encoder.

        Returns:
            The law; ``None`` where there are fewer than ten places or views.
        """
        if len(descriptors) < cls.FEWEST or len(views) < cls.FEWEST:
            return None
        centred = Centring(descriptors).apply_to_run(views)
        best = centred.max(axis=1) - np.median(centred, axis=1)
        scale = max(1e-3, float(best.std()) * math.sqrt(6.0) / math.pi)
        return cls(float(best.mean()) - _EULER * scale, scale, len(descriptors), len(views))

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Background:
        """The inverse of :meth:`to_dict`."""
        return cls(values["location"], values["scale"], int(values["places"]), int(values["views"]))

    def grow_to(self, places: int) -> Background:
        """The law on a map of another size: the best of more places is better."""
        more = self.scale * math.log(max(1, places) / self.places)
        return Background(self.location + more, self.scale, max(1, places), self.views)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
