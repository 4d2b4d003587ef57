"""Views of other places than anybody's map, which are shipped to say how alike those are."""

from __future__ import annotations

import logging
from importlib.resources import files

import numpy as np

from placememory.encoders import BATCH, Encoder
from placememory.frames import Frame, list_frames
from placememory.likeness import Background
from placememory.memory.place_memory import PlaceMemory

_log = logging.getLogger(__name__)
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


def measure_background(memory: PlaceMemory, encoder: Encoder) -> None:
    """Store how alike the map and the shipped views of other places are."""
    if len(memory) < Background.FEWEST:
        return
    views = [frame.image() for frame in list_background()]
    described = np.concatenate(
        [encoder.encode(views[i : i + BATCH]) for i in range(0, len(views), BATCH)]
    )
    if described.shape[1] != memory.card.dim or not np.isfinite(described).all():
        _log.warning(
            "%s gives no descriptors of the shipped views, so that it is not known how alike other "
            "places and this map are; is it made for images of one size?",
            encoder.card.name,
        )
        return
    memory.set_background(Background.measure(memory.descriptors, described))
