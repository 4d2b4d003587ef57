"""Views of other places than anybody's map, which are shipped to say how alike those are."""

from __future__ import annotations

from importlib.resources import files

from placememory.frames import Frame, list_frames

_FOLDER = "data/background"


def list_background() -> list[Frame]:
    """The shipped views of other places, (192, 256, 3) each: rendered rooms and photographs.

    Their sources and licences are in the ``NOTICE`` beside them.

    Example:
        >>> len(list_background()) >= 40
        True
    """
    folder = files("placememory.memory").joinpath(_FOLDER)
    return list_frames(str(folder), session="background")
