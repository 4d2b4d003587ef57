"""Settings that are refused."""

from __future__ import annotations

import math

from placememory.errors import SettingError


def positive(**settings: float) -> None:
    """Refuse settings that are not finite numbers above 0.

    Raises:
        SettingError: One is not; the message names it.
    """
    for name, value in settings.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 < value < math.inf
        ):
            raise SettingError(f"{name} is {value!r}; give a number above 0")


def whole(**settings: int) -> None:
    """Refuse settings that are not whole numbers of at least 1.

    Raises:
        SettingError: One is not; the message names it.
    """
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SettingError(f"{name} is {value!r}; give a whole number of at least 1")


def shares(**settings: float) -> None:
    """Refuse settings that are not in 0..1.

    Raises:
        SettingError: One is not; the message names it.
    """
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise SettingError(f"{name} is {value!r}; give a number from 0 to 1")
