"""Why frames find no poses, in words, with what helps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import SequenceMatcher, get_close_matches
from pathlib import PurePosixPath

from placememory.frames.units import is_epoch

_SECOND = 10**9
_HOUR = 3600
_SHOWN = 200  # names that are compared


def show_stamp(stamp: int) -> str:
    """A stamp for people: a time of this century, else seconds.

    Example:
        >>> show_stamp(1403636579763555584), show_stamp(2500000000)
        ('2014-06-24 19:02:59.764 UTC', '2.500 s')
    """
    if not is_epoch(stamp):
        return f"{stamp / _SECOND:.3f} s"
    time = datetime.fromtimestamp(round(stamp / _SECOND, 3), UTC)
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d} UTC"


def explain_times(images: tuple[int, int], poses: tuple[int, int]) -> str:
    """How two spans of time miss each other; empty where they overlap."""
    if images[0] <= poses[1] and poses[0] <= images[1]:
        return ""
    said = (
        f"the images are from {show_stamp(images[0])} to {show_stamp(images[1])}, the poses from "
        f"{show_stamp(poses[0])} to {show_stamp(poses[1])}"
    )
    hours, rest = divmod(abs(images[0] - poses[0]) / _SECOND + _HOUR / 2, _HOUR)
    if is_epoch(images[0]) != is_epoch(poses[0]):
        said += ": one counts from 1970 and the other from its own start, or their units differ"
    elif 1 <= hours <= 14 and abs(rest - _HOUR / 2) < 60:
        said += f": {hours:.0f} hours apart, as local time and UTC are"
    else:
        said += ": was it the same clock, and the same run?"
    return said


def explain_gap(stamps: Sequence[int], at: Sequence[int], max_gap: float) -> str:
    """That poses are near images in time, but not near enough.

    Args:
        stamps: Of the images, nanoseconds.
        at: Of the poses, sorted.
        max_gap: Seconds.
    """
    apart = sorted(
        min(abs(other - stamp) for other in at[max(0, i - 1) : i + 1])
        for stamp in stamps
        for i in [bisect_left(at, stamp)]
    )
    middle, most = apart[len(apart) // 2] / _SECOND, apart[len(apart) * 9 // 10] / _SECOND
    return (
        f"images are {middle:.3g} s (median) from the nearest pose, more than the {max_gap:g} s "
        f"allowed; --max-gap {_round_up(most):g} takes the nearest for 9 of 10"
    )


def explain_names(images: Sequence[str], poses: Sequence[str]) -> str:
    """How the names of images and those of a pose file differ, with one of each."""
    image, pose = images[0], poses[0]
    for name in images[:_SHOWN]:
        close = get_close_matches(name, poses[:_SHOWN], n=1, cutoff=0.6)
        if close:
            image, pose = name, close[0]
            break
    return f"images are called like {image!r}, the poses like {pose!r}{_difference(image, pose)}"


def _difference(image: str, pose: str) -> str:
    first, second = PurePosixPath(image), PurePosixPath(pose)
    if first.name == second.name:
        return ": they differ by the folder; give the folder above as the images"
    same = SequenceMatcher(None, first.stem, second.stem).find_longest_match()
    if same.size < 2:
        return ""
    before = {first.stem[: same.a], second.stem[: same.b]} - {""}
    after = {first.stem[same.a + same.size :], second.stem[same.b + same.size :]} - {""}
    if before and not after and len(before) == 1:
        return f": they differ by the prefix {before.pop()!r}; rename one side"
    if after and not before and len(after) == 1:
        return f": they differ by the suffix {after.pop()!r}; rename one side"
    return ""


def _round_up(seconds: float) -> float:
    """Two digits, not below.

    Example:
        >>> _round_up(0.1234), _round_up(7.0)
        (0.13, 7.1)
    """
    size = 10.0 ** (len(f"{seconds:.0f}") - 2) if seconds >= 1 else 0.01
    return round((int(seconds / size) + 1) * size, 2)
