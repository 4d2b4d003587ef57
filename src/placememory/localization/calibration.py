"""The calibration of a memory: what the filter's evidence and covariance are worth on its map."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.fusion import ObservationModel
from placememory.memory import PlaceMemory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration, as stored in a memory; see :func:`placememory.localization.calibrate`.

    Attributes:
        radius: Metres within which an answer counts as right.
        scale: Of :class:`placememory.fusion.ObservationModel`.
        offset: Of the same.
        confident: Probability from which an answer is located.
        frames: Frames it was fitted on.
        covariance_scale: Factor of the filter's covariance of x and y, by which its 95 % ellipse
            held 95 % of the true positions.
        yaw_scale: The same for the yaw.
    """

    radius: float
    scale: float
    offset: float
    confident: float
    frames: int
    covariance_scale: float = 1.0
    yaw_scale: float = 1.0

    @classmethod
    def of(cls, memory: PlaceMemory) -> Calibration | None:
        """Read the calibration of a memory; ``None`` if it has none."""
        stored = memory.manifest.calibration
        if stored is None:
            return None
        if set(stored) - {field.name for field in fields(cls)}:
            _log.warning(
                "%s: the calibration was made by an older version and is not used; run "
                "`placememory calibrate` again, or remove it with --reset",
                memory.uri,
            )
            return None
        values: dict[str, Any] = {**stored, "frames": int(stored["frames"])}
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        """Settings of the filter."""
        model = ObservationModel(scale=self.scale, offset=self.offset)
        return {"observation": model, "radius": self.radius, "confident": self.confident}

    def widen(self, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        """A covariance (3, 3) of x, y and yaw, as wide as it was found to be.

        Example:
            >>> found = Calibration(2.0, 1.5, 2.0, 0.8, 100, covariance_scale=4.0, yaw_scale=1.0)
            >>> found.widen(np.ones((3, 3))).tolist()
            [[4.0, 4.0, 2.0], [4.0, 4.0, 2.0], [2.0, 2.0, 1.0]]
        """
        root = np.sqrt([self.covariance_scale, self.covariance_scale, self.yaw_scale])
        widened: NDArray[np.float64] = covariance * np.outer(root, root)
        return widened

    def store(self, memory: PlaceMemory) -> None:
        """Store the calibration in a memory."""
        memory.set_calibration({name: float(value) for name, value in asdict(self).items()})
