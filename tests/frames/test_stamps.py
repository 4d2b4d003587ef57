"""Order of stamps: late, restarted, and never late for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placememory.errors import SettingError
from placememory.frames.stamps import StampOrder


@pytest.mark.parametrize(
    ("stamps", "orders"),
    [
        ([1.0, 1.0, 2.0], ["next"] * 3),
        ([5.0, 4.5, 6.0], ["next", "late", "next"]),
        ([5.0, 4.49, 4.6], ["next", "restarted", "next"]),
        ([5.0, None, 4.0], ["next", "next", "restarted"]),
        ([0.0, 60.0, 121.0], ["next", "next", "next"]),  # a slow clock does not leap
        ([0.0, 1.0, 62.0, 63.0], ["next", "next", "restarted", "next"]),
        ([10.0, 11.0, 1e9, 12.0, 13.0], ["next", "next", "restarted", "restarted", "next"]),
    ],
)
def test_what_follows_what(stamps: list[float | None], orders: list[str]) -> None:
    order = StampOrder()
    assert [order.take(stamp) for stamp in stamps] == orders


@given(st.lists(st.floats(0.0, 1e10), min_size=1), st.floats(0.0, 1e10))
def test_no_stamp_makes_all_later_ones_late(before: list[float], start: float) -> None:
    order = StampOrder()
    for stamp in before:
        order.take(stamp)
    later = [order.take(start + 0.1 * i) for i in range(12)]
    assert "late" not in later[6:]


def test_judging_changes_nothing_and_the_reason_says_what_happened() -> None:
    order = StampOrder()
    order.take(100.0)
    assert order.judge(3.0) == order.judge(3.0) == "restarted"
    assert order.reason == ""
    order.take(3.0)
    assert order.reason == "clock went back 97.0 s: started again"
    order.take(3.1)
    assert order.reason == ""
    order.reset()
    assert order.take(1.0) == "next"


@pytest.mark.parametrize("settings", [{"reorder": 0.0}, {"leap": -1.0}])
def test_impossible_settings(settings: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        StampOrder(**settings)
