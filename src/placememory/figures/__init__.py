"""Every picture that placememory draws, and the page that gathers them.

Nothing is imported before a figure is drawn; matplotlib comes with
``pip install 'placememory[figures]'``. No display is needed.

Example:
    >>> from placememory.figures import draw_vertices
    >>> from placememory.frames import Pose
    >>> from placememory.memory import Place
    >>> figure = draw_vertices([Place("run1", 0, "a.png", pose=Pose(1.0, 2.0))])
    >>> figure.axes[0].get_xlabel()
    'x [m]'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from placememory._registry import require

if TYPE_CHECKING:
    from placememory.figures.beliefs import draw_beliefs, draw_reliability, draw_timeline
    from placememory.figures.images import ImageOf, images_of, no_images
    from placememory.figures.matches import draw_matches
    from placememory.figures.page import ShownWindow, write_page, write_sequence_page
    from placememory.figures.scores import draw_scores
    from placememory.figures.sequence import draw_precision_recall, draw_sequence
    from placememory.figures.similarity import draw_similarity
    from placememory.figures.strips import draw_strip, draw_strips, strip_pages
    from placememory.figures.style import save, to_png
    from placememory.figures.training import draw_training
    from placememory.figures.trajectory import draw_trajectory
    from placememory.figures.verdict import Verdict, judge, summary_rows
    from placememory.figures.vertices import draw_vertices

_PLAIN = {
    "ImageOf": "images",
    "Verdict": "verdict",
    "images_of": "images",
    "judge": "verdict",
    "no_images": "images",
    "summary_rows": "verdict",
}
_DRAWN = {
    "draw_beliefs": "beliefs",
    "draw_matches": "matches",
    "draw_precision_recall": "sequence",
    "draw_reliability": "beliefs",
    "draw_scores": "scores",
    "draw_sequence": "sequence",
    "draw_similarity": "similarity",
    "draw_timeline": "beliefs",
    "draw_strip": "strips",
    "draw_strips": "strips",
    "draw_training": "training",
    "draw_trajectory": "trajectory",
    "draw_vertices": "vertices",
    "save": "style",
    "strip_pages": "strips",
    "to_png": "style",
    "write_page": "page",
    "write_sequence_page": "page",
    "ShownWindow": "page",
}

__all__ = [
    "ImageOf",
    "ShownWindow",
    "Verdict",
    "draw_beliefs",
    "draw_matches",
    "draw_precision_recall",
    "draw_reliability",
    "draw_scores",
    "draw_sequence",
    "draw_similarity",
    "draw_strip",
    "draw_strips",
    "draw_timeline",
    "draw_training",
    "draw_trajectory",
    "draw_vertices",
    "images_of",
    "judge",
    "no_images",
    "save",
    "strip_pages",
    "summary_rows",
    "to_png",
    "write_page",
    "write_sequence_page",
]


def __getattr__(name: str) -> Any:
    """Import a figure when it is first used.

    Raises:
        MissingExtraError: It needs matplotlib, which is not installed.
    """
    home = _PLAIN.get(name) or _DRAWN.get(name)
    if home is None:
        raise AttributeError(f"module 'placememory.figures' has no attribute {name!r}")
    if name in _DRAWN:
        require("matplotlib", extra="figures", purpose="Figures")
    return getattr(importlib.import_module(f"placememory.figures.{home}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
