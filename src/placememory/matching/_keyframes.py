"""Key frames: a robot that stands still should not fill its map or its window with one place."""

from __future__ import annotations

import numpy as np

from placememory._types import Vectors
from placememory.errors import SettingError


class KeyFrames:
    """A frame is a key frame if its cosine to the last key frame is at most the threshold.

    Args:
        threshold: -1 ... 1; 1 keeps all frames.

    Raises:
        SettingError: The threshold is outside of its range.

    Example:
        >>> keys = KeyFrames(0.5)
        >>> for frame in ([1.0, 0.0], [0.9, 0.1], [0.0, 1.0]):
        ...     vector = np.array(frame, np.float32)
        ...     found = keys.is_key(vector)
        ...     print(found)
        ...     if found:
        ...         keys.set_reference(vector)
        True
        False
        True
    """

    def __init__(self, threshold: float = 1.0) -> None:
        if not -1.0 <= threshold <= 1.0:  # NaN is refused too
            raise SettingError(f"keyframe_threshold is {threshold!r}; give a cosine, 1 for all")
        self.threshold = threshold
        self._last: Vectors | None = None

    def is_key(self, frame: Vectors) -> bool:
        """Whether a frame (D,) is a key frame; the first one is."""
        if self.threshold >= 1.0 or self._last is None:
            return True
        return bool(float(self._last @ _unit(frame)) <= self.threshold)

    def set_reference(self, frame: Vectors) -> None:
        """Set the key frame that later frames are compared to."""
        if self.threshold < 1.0:
            self._last = _unit(frame)


def _unit(frame: Vectors) -> Vectors:
    return frame / np.float32(np.sqrt(np.einsum("i,i->", frame, frame, dtype=np.float64)))
