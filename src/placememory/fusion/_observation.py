"""How much more likely a similarity is at the right place than at another one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from placememory._types import Floats
from placememory.errors import InputError, SettingError


@dataclass(frozen=True, slots=True)
class ObservationModel:
    """Log likelihood ratio of a normalised similarity z: right place over any other.

    log L(z) = max(floor, scale (z - offset)). A straight line is what logistic regression fits, see
    :meth:`fit`. One frame must not decide alone (a poster, a blank wall): where the highest value
    of a frame is above the ceiling, its positive values are scaled down until it is not, which
    keeps their order.

    Attributes:
        scale: Nats per unit of z: the inverse of a temperature, lower trusts the images less.
        offset: z at which the place is as likely right as not.
        floor: Nats, at most 0.
        ceiling: Nats, above 0.

    Raises:
        SettingError: A value is impossible.

    Example:
        >>> model = ObservationModel(scale=1.0, offset=3.0, floor=-2.0, ceiling=4.0)
        >>> model.log_ratio(np.array([0.0, 3.0, 5.0, 11.0])).tolist()
        [-2.0, 0.0, 1.0, 4.0]
    """

    scale: float = 1.5
    offset: float = 2.0
    floor: float = -2.0
    ceiling: float = 4.0

    def __post_init__(self) -> None:
        values = (self.scale, self.offset, self.floor, self.ceiling)
        if not all(math.isfinite(value) for value in values):
            raise SettingError(f"the observation model has a value that is not finite: {values}")
        if self.scale <= 0 or not -50 <= self.floor <= 0 < self.ceiling <= 50:
            raise SettingError(
                f"scale is {self.scale}, floor {self.floor}, ceiling {self.ceiling}; "
                "give scale > 0, -50 <= floor <= 0 < ceiling <= 50"
            )

    def log_ratio(self, z: Floats, highest: float | None = None) -> Floats:
        """Nats for the normalised similarities z (N,) of one frame.

        Args:
            z: Of all places, or of some.
            highest: The largest of all places, where z is that of some.
        """
        nats: Floats = self.scale * (z - self.offset)
        np.maximum(nats, self.floor, out=nats)
        peak = float(z.max(initial=self.offset)) if highest is None else highest
        top = self.scale * (peak - self.offset)
        return np.where(nats > 0, nats * (self.ceiling / top), nats) if top > self.ceiling else nats

    def fit(self, right: ArrayLike, wrong: ArrayLike) -> ObservationModel:
        """Scale and offset by logistic regression, both kinds weighing the same.

        Args:
            right: z of right places, see :meth:`Evidence.normalise`.
            wrong: z of wrong places.

        Raises:
            InputError: A kind is missing, or right ones are not the more similar.

        Example:
            >>> draw = np.random.default_rng(0).normal
            >>> model = ObservationModel().fit(draw(4, 1, 4000), draw(0, 1, 4000))
            >>> abs(model.scale - 4) < 0.4, abs(model.offset - 2) < 0.1
            (True, True)
        """
        good, bad = np.asarray(right, dtype=np.float64), np.asarray(wrong, dtype=np.float64)
        if not (good.size and bad.size and np.isfinite(good).all() and np.isfinite(bad).all()):
            raise InputError("give finite similarities of both right and wrong places")
        z = np.concatenate((good, bad))
        label = np.repeat((1.0, 0.0), (good.size, bad.size))
        weight = np.repeat((0.5 / good.size, 0.5 / bad.size), (good.size, bad.size))
        centre, spread = float(z.mean()), float(z.std()) or 1.0
        x = np.column_stack((np.ones(z.size), (z - centre) / spread))
        theta = np.zeros(2)
        ridge = np.diag([0.0, 1e-5])  # keeps perfectly separable cases finite
        for _ in range(100):
            p = 1.0 / (1.0 + np.exp(-np.clip(x @ theta, -50, 50)))
            slope = x.T @ (weight * (p - label)) + ridge @ theta
            curve = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge + 1e-12 * np.eye(2)
            step = np.linalg.solve(curve, slope)
            theta -= step * min(1.0, 2.0 / (float(np.abs(step).max()) + 1e-300))
            if float(np.abs(step).max()) < 1e-9:
                break
        if theta[1] <= 0:
            raise InputError("right places are not more similar than wrong ones; nothing to fit")
        scale = float(theta[1]) / spread
        return replace(self, scale=scale, offset=centre - float(theta[0]) / scale)
