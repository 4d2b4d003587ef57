"""How alike a map and views of other places are: shipped views, and the law of the best of N."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from placememory._types import Vectors
from placememory.frames import Frame, list_frames
from placememory.memory.centring import Centring

_EULER = 0.5772156649015329
_LEAST = 10
_FOLDER = "data/background"


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

    @classmethod
    def measure(cls, descriptors: Vectors, views: Vectors) -> Background | None:
        """Measure it on a map.

        Args:
            descriptors: (N, D) float32 unit rows of the map.
            views: (B, D) float32 unit rows of views of other places, from the same encoder.

        Returns:
            The law; ``None`` where there are fewer than ten places or views.
        """
        if len(descriptors) < _LEAST or len(views) < _LEAST:
            return None
        centred = Centring(descriptors).apply_to_run(views)
        best = centred.max(axis=1) - np.median(centred, axis=1)
        scale = max(1e-3, float(best.std()) * math.sqrt(6.0) / math.pi)
        return cls(float(best.mean()) - _EULER * scale, scale, len(descriptors), len(views))

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Background:
        """The inverse of :meth:`to_dict`."""
        return cls(
            values["location"], values["scale"], int(values["places"]), int(values["views"])
        )

    def grow_to(self, places: int) -> Background:
        """The law on a map of another size: the best of more places is better."""
        more = self.scale * math.log(max(1, places) / self.places)
        return Background(self.location + more, self.scale, max(1, places), self.views)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def list_background() -> list[Frame]:
    """The shipped views of other places, (192, 256, 3) each: rendered rooms and photographs.

    Their sources and licences are in the ``NOTICE`` beside them.

    Example:
        >>> len(list_background()) >= 40
        True
    """
    folder = files("placememory.memory").joinpath(_FOLDER)
    return list_frames(str(folder), session="background")
