"""Names of array types and callbacks that every room shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""float64 numbers: positions in metres, angles in radians, scores."""

Vectors = NDArray[np.float32]
"""float32 numbers, mostly descriptors: (N, D), or one (D,)."""

Rows = NDArray[np.int64]
"""int64 row numbers of a table, such as the places of a map."""

Bools = NDArray[np.bool_]
"""Flags."""

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is in all."""

TitledProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and how much there is in all."""

Protocol = Literal["default", "casevpr"]
"""``default``: the rules of this project. ``casevpr``: those of the published code, to compare."""
