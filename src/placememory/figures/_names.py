"""Names of frames and places as they are written beside images."""

from __future__ import annotations

from placememory.memory import Place


def shorten(name: str, length: int) -> str:
    """Cut a long name in its middle; start and end tell most.

    Example:
        >>> shorten("vertex_005_000034_1751340273862754844.png", 24)
        'vertex_005_000…54844.png'
        >>> shorten("a.png", 24)
        'a.png'
    """
    if len(name) <= length:
        return name
    tail = max(1, (length - 1) * 2 // 5)
    return f"{name[: max(1, length - 1 - tail)]}\N{HORIZONTAL ELLIPSIS}{name[-tail:]}"


def place_label(place: Place, length: int = 26) -> str:
    """Vertex id where there is one, else the shortened name."""
    if place.vertex_id is not None:
        return f"vertex {place.vertex_id}"
    return shorten(place.name, length)


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> counted(1, "place"), counted(1200, "place")
        ('1 place', '1,200 places')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
