"""Similarities without what all views of a map, and all views of a run, have in common."""

from __future__ import annotations

import numpy as np

from placememory._types import Floats, Vectors


class Centring:
    """Descriptor standardisation for a map that stays and a run that comes frame by frame.

    The mean of the map is taken off its descriptors and the mean of the run off the run's (Schubert,
    Neubert and Protzel, "Unsupervised Learning Methods for Visual Place Recognition in Discretely
    and Continuously Changing Environments", ICRA 2020), so that light, weather or a lens that all
    views of a run share do not make all places alike. Only similarities are touched: with the
    cosines s of a view q to the places, the mean view m of the run, its similarities c to the
    places, and the mean M of the map,

        (s - c - (q - m) . M) / |place - M|

    is the product of the centred view with the unit centred place.

    Args:
        descriptors: (N, D) float32 unit rows of the map, kept and not copied.

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

    def __init__(self, descriptors: Vectors) -> None:
        self.descriptors = descriptors
        self.mean: Floats = descriptors.mean(axis=0, dtype=np.float64)
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
        """Centred similarities of one view or of several.

        Args:
            similarities: (N,) or (T, N) cosines to the places.
            shared: (N,) similarities of the run's mean to the places.
            along: Product of each view with the map's mean, a number or (T, 1).
            mean_along: Product of the run's mean with the map's mean.
        """
        found: Floats = (similarities - shared - (along - mean_along)) / self.lengths
        return found

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
