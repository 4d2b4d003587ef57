"""Facts in file names: vertex id, stamp, frame number, or a position.

These habits of the field are understood:

- ``vertex_<id>_<seq>_<ns>.png``: maplab exports and the place-memory tutorial;
- ``@utm_east@utm_north@...@.jpg``: the VPR benchmarks (field 9 is the heading, clockwise from
  north, in degrees), and the same with longitude and latitude in degrees;
- a stamp, with anything before and after it: seconds with any number of decimals
  (``1305031102.05``), seconds and nanoseconds (``1305031102_50000000``, padded or not), or a whole
  number of seconds, milli-, micro- or nanoseconds since 1970;
- one number: that of the frame.

What the numbers mean is decided over all names of a folder: :func:`parse_names`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import PurePosixPath

from placememory.frames.geographic import Origin, local_poses
from placememory.frames.pose import Pose
from placememory.frames.units import is_epoch, median_step

_VERTEX = re.compile(r"^vertex_(\d+)(?:_(\d+))?(?:_(\d+))?$", re.ASCII)
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_FRAME = re.compile(r"#(\d{6,})$", re.ASCII)
_SPLIT = re.compile(r"(?<!\d)(\d{9,10})([._-])(\d+)(?![\d.])", re.ASCII)
_WHOLE = re.compile(r"(?<![\d.])(\d{10}|\d{13}|\d{16}|\d{19})(?!\d)", re.ASCII)
_FROM_START = re.compile(r"^()(\d{1,8})\.(\d{1,9})$", re.ASCII)
_LONG = re.compile(r"^\d{16,19}$", re.ASCII)
_DIGITS = re.compile(r"(\d+)")
_DIGITS_ASCII = re.compile(r"\d+", re.ASCII)
_UTM_HEADING_FIELD = 9
_LARGEST = 2**63 - 1
_YEAR = 366 * 86_400 * 10**9
_DEGREE_DECIMALS = 4  # of a degree: 11 m; coarser positions of a run are not written
_DEGREES_SPAN, _METRES_SPAN = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class NameFacts:
    """Facts read from a file name; each may be ``None``."""

    vertex_id: int | None = None
    stamp: int | None = None
    number: int | None = None
    pose: Pose | None = None


@dataclass(frozen=True, slots=True)
class NamesRead:
    """Facts of all names of a folder.

    Attributes:
        facts: One for each name.
        warnings: Where numbers could mean something else: both readings.
    """

    facts: list[NameFacts]
    warnings: tuple[str, ...] = ()


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``img2`` comes before ``img10``, and ``b/`` after ``a/``.

    Example:
        >>> sorted(["img10.png", "img2.png", "a/z.png"], key=natural_key)
        ['a/z.png', 'img2.png', 'img10.png']
    """
    parts = _DIGITS.split(name)
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
    return (*key, (1, 0, name))


def order_names(names: Sequence[str]) -> list[str]:
    """Names in the order they were taken: by their stamps where all have one, else natural.

    Folders, and prefixes that several names share (``left_``, ``right_``), stay together.

    Example:
        >>> order_names(["1305031102.125.jpg", "1305031102.2.jpg", "1305031102.05.jpg"])
        ['1305031102.05.jpg', '1305031102.125.jpg', '1305031102.2.jpg']
        >>> order_names(["img10.png", "img2.png"])
        ['img2.png', 'img10.png']
    """
    names = sorted(names, key=natural_key)
    stamps = [facts.stamp for facts in parse_names(names).facts]
    if None in stamps:
        return names
    prefixes = [_prefix(name) for name in names]
    if len(set(prefixes)) * 2 > len(names):  # counters, not cameras
        prefixes = [name.rpartition("/")[0] for name in names]
    groups = {prefix: i for i, prefix in enumerate(dict.fromkeys(prefixes))}
    order = sorted(range(len(names)), key=lambda i: (groups[prefixes[i]], stamps[i], i))
    return [names[i] for i in order]


def parse_name(name: str) -> NameFacts:
    """Read the facts of one name, which stands alone; see :func:`parse_names`.

    Args:
        name: POSIX path; only the last part is looked at.

    Example:
        >>> parse_name("run/vertex_005_000034_1751340273862754844.png").vertex_id
        5
        >>> parse_name("@0543256.96@4178906.70@10@S@@@@@@@@@@.jpg").pose.x
        543256.96
    """
    return parse_names([name]).facts[0]


def parse_names(names: Sequence[str], origin: Origin | None = None) -> NamesRead:
    """Read vertex ids, stamps, numbers and positions off the names of a folder.

    Args:
        names: POSIX paths; only their last parts are looked at.
        origin: Of positions in degrees; by default their middle.

    Returns:
        Facts for each name. Stamps are nanoseconds.

    Example:
        >>> found = parse_names([f"cam_{t}.png" for t in ("1305031102.05", "1305031102.125")])
        >>> [facts.stamp for facts in found.facts]
        [1305031102050000000, 1305031102125000000]
    """
    stems = [_stem(name) for name in names]
    facts: list[NameFacts] = []
    for stem in stems:
        vertex = _VERTEX.match(stem)
        if vertex:
            identity, sequence, stamp = (_int64(part) if part else None for part in vertex.groups())
            facts.append(NameFacts(vertex_id=identity, stamp=stamp, number=sequence))
        else:
            facts.append(NameFacts(number=_number_of(stem)))
    plain = [i for i, stem in enumerate(stems) if not (_VERTEX.match(stem) or stem[:1] == "@")]
    stamps, doubt = _stamps([stems[i] for i in plain])
    for i, stamp in zip(plain, stamps, strict=True):
        if stamp is not None:
            facts[i] = NameFacts(stamp=stamp)
    placed = [i for i, stem in enumerate(stems) if stem[:1] == "@"]
    poses, doubts = _poses([PurePosixPath(names[i]).name for i in placed], origin)
    for i, pose in zip(placed, poses, strict=True):
        facts[i] = NameFacts(pose=pose)
    return NamesRead(facts, (*([doubt] if doubt else []), *doubts))


def _stem(name: str) -> str:
    """The last part of a path without the suffix of an image; of a video's frame, its number."""
    file = PurePosixPath(name).name
    inside = _FRAME.search(file)
    return inside[1] if inside else _SUFFIX.sub("", file)


def _prefix(name: str) -> str:
    """Folder and name as far as its stamp."""
    folder, _, _ = name.rpartition("/")
    stem = _stem(name)
    found = _SPLIT.search(stem) or _WHOLE.search(stem)
    return f"{folder}/{stem[: found.start()] if found else ''}"


def _int64(text: str) -> int | None:
    value = int(text)
    return value if value <= _LARGEST else None


def _number_of(stem: str) -> int | None:
    """The number of a frame, where a name has one."""
    runs = _DIGITS_ASCII.findall(stem)
    return int(runs[0]) if len(runs) == 1 else None


def _stamps(stems: list[str]) -> tuple[list[int | None], str]:
    """Stamps of names, nanoseconds, and both readings where there are two.

    A reading counts where all names have it; else each name is taken alone, and only where it is
    nothing but a stamp.
    """
    if not stems:
        return [], ""
    for read in (_read_split, _read_whole, _read_from_start):
        found, doubt = read(stems)
        if found is not None:
            return found, doubt
    alone: list[int | None] = []
    for stem in stems:
        split = _SPLIT.fullmatch(stem)
        stamp = int(stem) if _LONG.match(stem) else None
        if split and split[2] == ".":
            stamp = int(Decimal(f"{split[1]}.{split[3]}") * 10**9)
        alone.append(_epoch_of(stamp))
    return alone, ""


def _epoch_of(stamp: int | None) -> int | None:
    """Nanoseconds of a stamp in micro- or nanoseconds; those from another start stay."""
    if stamp is None or is_epoch(stamp) or not is_epoch(stamp * 1000):
        return stamp if stamp is None or stamp <= _LARGEST else None
    return stamp * 1000


def _read_whole(stems: list[str]) -> tuple[list[int | None] | None, str]:
    """Whole numbers of seconds to nanoseconds since 1970; the first of each name."""
    if all(map(_LONG.match, stems)):
        return [_epoch_of(int(stem)) for stem in stems], ""
    words = [match[1] for match in map(_WHOLE.search, stems) if match is not None]
    stamps = [int(word) * 10 ** (19 - len(word)) for word in words]
    if len(words) < len(stems) or not all(map(is_epoch, stamps)):
        return None, ""
    if min(map(len, words)) < 13 and max(stamps) - min(stamps) > _YEAR:
        return None, ""  # ten digits that jump over years are numbers of photographs
    return list(stamps), ""


def _read_split(stems: list[str]) -> tuple[list[int | None] | None, str]:
    """Seconds since 1970, and behind a point, dash or underscore their parts."""
    found = [_SPLIT.search(stem) for stem in stems]
    parts = [(int(m[1]), m[2], m[3]) for m in found if m is not None]
    if len(parts) < len(stems) or not all(is_epoch(s * 10**9) for s, _, _ in parts):
        return None, ""
    widths = {len(part) for _, _, part in parts}
    points = all(mark == "." for _, mark, _ in parts)
    if not points and not (widths in ({3}, {6}, {9}) or max(widths) == 9):
        return None, ""  # seconds and a counter
    return _read_parts([(second, part) for second, _, part in parts], points=points)


def _read_from_start(stems: list[str]) -> tuple[list[int | None] | None, str]:
    """Seconds from another start, with decimals, and nothing else."""
    found = [_FROM_START.match(stem) for stem in stems]
    parts = [(int(m[2]), m[3]) for m in found if m is not None]
    return _read_parts(parts, points=True) if len(parts) == len(stems) else (None, "")


def _read_parts(parts: list[tuple[int, str]], *, points: bool) -> tuple[list[int | None], str]:
    """Decimals of a second, or whole nano-, micro- or milliseconds without leading zeros.

    Both look alike where digits vary. Decimals may begin with zeros, and whole numbers end with
    them; else the reading is taken in which the steps are even.
    """
    widths = [len(part) for _, part in parts]
    decimals = [int(Decimal(f"{second}.{part}") * 10**9) for second, part in parts]
    if len(set(widths)) == 1 or max(widths) > 9:
        return list(decimals), ""
    if any(part[0] == "0" and len(part) > 1 for _, part in parts):
        return list(decimals), ""
    digits = next(n for n in (3, 6, 9) if max(widths) <= n)
    whole = [second * 10**9 + int(part) * 10 ** (9 - digits) for second, part in parts]
    if any(part[-1] == "0" and len(part) > 1 for _, part in parts):
        return list(whole), ""
    rough, rough_whole = _roughness(decimals), _roughness(whole)
    if min(rough, rough_whole) < 0.5 * max(rough, rough_whole):
        return list(decimals if rough < rough_whole else whole), ""
    unit = {3: "milliseconds", 6: "microseconds", 9: "nanoseconds"}[digits]
    readings = [f"decimals of a second ({decimals[0]} ns)", f"whole {unit} ({whole[0]} ns)"]
    first, second = readings if points else readings[::-1]
    return list(decimals if points else whole), (
        f"the stamps in the names have {min(widths)} to {max(widths)} digits after the seconds: "
        f"read as {first}, and not as {second}; pad them with zeros to say which"
    )


def _roughness(stamps: list[int]) -> float:
    """How uneven the steps are: 0 where all are alike."""
    usual = median_step(stamps)
    steps = [after - before for before, after in pairwise(sorted(stamps))]
    return sum(abs(step - usual) for step in steps) / (usual * len(steps)) if usual else 0.0


def _poses(names: list[str], origin: Origin | None) -> tuple[list[Pose | None], list[str]]:
    """Positions between the @ of names, in metres, and both readings where there are two."""
    fields = [name.split("@") for name in names]
    pairs = [_pair(words) for words in fields]
    known = [(pair, words[1:3]) for pair, words in zip(pairs, fields, strict=True) if pair]
    headings = [
        _number(words[_UTM_HEADING_FIELD]) if len(words) > _UTM_HEADING_FIELD else None
        for words in fields
    ]
    if not known:
        return [None] * len(names), []
    order, doubts = _degrees_of([pair for pair, _ in known], [words for _, words in known])
    if order is None:
        found = [
            None if pair is None else _utm_pose(*pair, turn)
            for pair, turn in zip(pairs, headings, strict=True)
        ]
        return found, doubts
    both = [order(pair) if pair else (math.nan, math.nan) for pair in pairs]
    poses = local_poses([lat for lat, _ in both], [lon for _, lon in both], headings, origin)
    return poses, doubts


_Pair = tuple[float, float]


def _degrees_of(
    pairs: list[_Pair], words: list[list[str]]
) -> tuple[Callable[[_Pair], _Pair] | None, list[str]]:
    """How to make latitude and longitude of pairs; ``None`` where they are metres."""
    largest = [max(abs(pair[i]) for pair in pairs) for i in (0, 1)]
    if max(largest) > 180 or min(largest) > 90:
        return None, []
    fine = sum(all(_decimals(word) >= _DEGREE_DECIMALS for word in pair) for pair in words)
    span = max(max(p[i] for p in pairs) - min(p[i] for p in pairs) for i in (0, 1))
    if 2 * fine < len(pairs) or span > _METRES_SPAN:
        return None, []
    if span > _DEGREES_SPAN:
        return None, [
            f"the positions in the names span {span:g}: read as metres; as degrees they would span "
            f"{111 * span:.0f} km. Give a table with the columns latitude and longitude if they are"
        ]
    if largest[0] <= 90 < largest[1]:
        return (lambda pair: pair), []
    doubts = []
    if largest[0] <= 90:
        doubts = [
            "the positions in the names are read as longitude and latitude in degrees, and not as "
            "latitude and longitude; give a table with these columns if that is wrong"
        ]
    return (lambda pair: (pair[1], pair[0])), doubts


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _pair(words: list[str]) -> _Pair | None:
    first, second = (_number(word) for word in (*words, "", "", "")[1:3])
    return None if first is None or second is None else (first, second)


def _utm_pose(east: float, north: float, heading: float | None) -> Pose:
    if heading is None:
        return Pose(east, north, frame_id="utm")
    return Pose.from_yaw(east, north, math.radians(90.0 - heading), frame_id="utm")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
