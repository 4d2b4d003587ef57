"""What numbers without a unit mean, decided over all of them: stamps and angles.

A stamp since 1970 shows its unit by its size. Stamps from another start show it by their steps:
poses that come less than once in a thousand seconds are not what anybody records. Angles beyond a
full turn in radians are degrees. What is decided against the first appearance comes with a note.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Literal

from placememory.errors import PoseError

__all__ = ["UNITS", "decimal_of", "is_epoch", "median_step", "radians_of", "stamps_of", "unit_of"]

UNITS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3, "nanoseconds": 1}
"""Nanoseconds in each unit."""

_EPOCH = (10**18, 42 * 10**17)  # September 2001 to February 2103, nanoseconds
_FINEST = {10**11: "seconds", 10**14: "milliseconds", 10**17: "microseconds"}
_SLOWEST = 1000.0  # seconds between two stamps
_USUAL = 0.1
_LONGEST = 40  # characters of a number
_LARGEST = 2**63 - 1


def decimal_of(text: str) -> Decimal:
    """A number as it is written, without the loss of a float.

    Raises:
        PoseError: It is none, is not finite, or is longer or larger than a stamp can be.

    Example:
        >>> decimal_of("1403636579.763555584"), decimal_of("1.4e18")
        (Decimal('1403636579.763555584'), Decimal('1.4E+18'))
    """
    shown = text if len(text) <= _LONGEST else f"{text[:20]}... ({len(text)} characters)"
    try:
        value = Decimal(text) if len(text) <= _LONGEST else Decimal("nan")
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or (value and abs(value.adjusted()) > _LONGEST):
        raise PoseError(f"{shown!r} is no stamp")
    return value


def unit_of(values: Sequence[Decimal]) -> tuple[str, str]:
    """The unit of stamps, and a note where another one would be possible.

    Args:
        values: Stamps as written, in any order.

    Returns:
        A key of :data:`UNITS`, and the note; empty where the unit is certain.

    Example:
        >>> unit_of([Decimal(1403636579763), Decimal(1403636579813)])
        ('milliseconds', '')
        >>> unit_of([Decimal(33000000 * i) for i in range(3)])[0]
        'nanoseconds'
    """
    sizes = sorted(abs(value) for value in values)
    middle = sizes[len(sizes) // 2] if sizes else Decimal(0)
    unit = next((name for limit, name in _FINEST.items() if middle < limit), "nanoseconds")
    step = median_step([int(value) for value in values])
    seconds = step * UNITS[unit] / 1e9
    if is_epoch(int(middle * UNITS[unit])) or seconds < _SLOWEST:
        return unit, ""
    steps = {name: step * size / 1e9 for name, size in UNITS.items()}
    best, other = sorted(steps, key=lambda name: abs(math.log10(steps[name] / _USUAL)))[:2]
    return best, (
        f"stamps are read as {best}, {steps[best]:g} s apart; as {other} they would be "
        f"{steps[other]:g} s apart"
    )


def stamps_of(values: Sequence[Decimal], unit: str = "") -> tuple[list[int], str]:
    """Stamps in nanoseconds, and a note where another unit would be possible.

    Args:
        values: As written.
        unit: A key of :data:`UNITS`; empty where it is to be found.

    Raises:
        PoseError: A stamp is beyond 292 years.
    """
    note = ""
    if not unit:
        unit, note = unit_of(values)
    stamps = [int(value * UNITS[unit]) for value in values]
    for value, stamp in zip(values, stamps, strict=True):
        if abs(stamp) > _LARGEST:
            raise PoseError(f"{value} is no stamp in {unit}, as the others are")
    return stamps, note


def is_epoch(stamp: int) -> bool:
    """Whether nanoseconds since 1970 are a time of this century.

    Example:
        >>> is_epoch(1403636579763555584), is_epoch(1403636579763555)
        (True, False)
    """
    return _EPOCH[0] <= stamp < _EPOCH[1]


def median_step(stamps: Sequence[int]) -> float:
    """Median of the steps between different stamps in order; 0 where there are not two.

    Example:
        >>> median_step([0, 30, 10, 20, 20])
        10.0
    """
    steps = sorted(after - before for before, after in pairwise(sorted(set(stamps))))
    return float(steps[len(steps) // 2]) if steps else 0.0


def radians_of(
    angles: Sequence[float], what: str, unit: Literal["", "deg", "rad"] = "", usual: str = "rad"
) -> tuple[list[float], str]:
    """Angles in radians, and a note where their unit is decided by their size.

    Args:
        angles: Finite, or NaN where unknown.
        what: Name of the column, for messages.
        unit: What the file says; empty where it says nothing.
        usual: ``rad`` or ``deg``, where it says nothing and the sizes allow both.

    Raises:
        PoseError: An angle is beyond a turn in degrees, or beyond one in radians that the file
            says it is in.

    Example:
        >>> angles, note = radians_of([0.0, 90.0], "yaw")
        >>> round(angles[1], 3), note
        (1.571, 'yaw reaches 90, more than a turn in radians: read as degrees')
    """
    largest = max((abs(angle) for angle in angles if not math.isnan(angle)), default=0.0)
    turn = 2 * math.pi + 1e-6
    if largest > 360 + 1e-6 or (unit == "rad" and largest > turn):
        given = "radians" if unit == "rad" else "degrees"
        raise PoseError(f"{what} reaches {largest:g}, which is more than a turn in {given}")
    note = ""
    if largest > turn and not unit and usual == "rad":
        note = f"{what} reaches {largest:g}, more than a turn in radians: read as degrees"
    elif largest <= turn and not unit and usual == "deg" and _spread(angles) > 1.0:
        note = (
            f"{what} is at most {largest:g}: read as degrees; if it is in radians, say so in the "
            f"header ({what}_rad)"
        )
    degrees = largest > turn or (unit or usual) == "deg"
    return [math.radians(angle) if degrees else angle for angle in angles], note


def _spread(angles: Sequence[float]) -> float:
    known = [angle for angle in angles if not math.isnan(angle)]
    return max(known, default=0.0) - min(known, default=0.0)
