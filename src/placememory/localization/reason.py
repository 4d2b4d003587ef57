"""The reason of a verdict, in words."""

from __future__ import annotations

from collections.abc import Sequence

from placememory.fusion import Belief
from placememory.memory import Place

_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
_SHOWN = 3
_RIVAL = 0.2  # of the weight of the first hypothesis


def explain(belief: Belief, places: Sequence[Place]) -> str:
    """Why a belief is not located; empty where it is.

    Args:
        belief: Its own reason comes first, but where several places are alike: they are named.
        places: Of the map, by row.

    Example:
        >>> from placememory.fusion import Hypothesis
        >>> places = [Place(f"floor-{i}", 0, f"{i}.png", floor=str(i)) for i in range(2, 5)]
        >>> two = tuple(Hypothesis(row, places[row].id, 0.4) for row in (1, 2))
        >>> explain(Belief("ambiguous", two, 0.4, 1.0, 0.2, 5), places)
        'two places alike: 3rd floor and 4th floor'
    """
    if belief.verdict == "located":
        return ""
    if belief.verdict == "ambiguous":
        return "; ".join(part for part in (_alike(belief, places), belief.reason) if part)
    if belief.reason:
        return belief.reason
    return "too few frames yet" if belief.verdict == "warming-up" else "no place is like this"


def _alike(belief: Belief, places: Sequence[Place]) -> str:
    """What the robot may be at: floors where they differ, else places."""
    rivals = [h for h in belief.hypotheses if h.weight >= _RIVAL * belief.hypotheses[0].weight]
    rows = [places[hypothesis.row] for hypothesis in rivals]
    floors = list(dict.fromkeys(place.floor for place in rows))
    names = [_floor(floor) for floor in floors if floor is not None]
    if len(names) < 2 or None in floors:
        names = [f"{place.session}/{place.index}" for place in rows]
    if len(names) < 2:
        return f"not sure of {names[0]}" if names else "on the map, at no one place"
    shown, more = names[:_SHOWN], len(names) - _SHOWN
    last = shown.pop() if more <= 0 else f"{more} more"
    return f"{_COUNTS.get(len(names), len(names))} places alike: {', '.join(shown)} and {last}"


def _floor(name: str) -> str:
    """A floor's name in a sentence.

    Example:
        >>> _floor("3"), _floor("11"), _floor("ground"), _floor("2nd floor")
        ('3rd floor', '11th floor', 'floor ground', '2nd floor')
    """
    if "floor" in name.lower():
        return name
    if not name.isdecimal():
        return f"floor {name}"
    number = int(name)
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 // 10 != 1 else 0, "th")
    return f"{number}{ending} floor"
