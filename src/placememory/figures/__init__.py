"""Every picture that placememory draws, and the page that gathers them.

Nothing is imported before a figure is drawn; matplotlib and Jinja2 come with
``pip install 'placememory[figures]'``. The page of a run needs neither. No display is needed.

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
    from placememory.figures.beliefs import draw_beliefs
    from placememory.figures.evidence import draw_evidence
    from placememory.figures.gallery import draw_gallery
    from placememory.figures.matches import draw_matches
    from placememory.figures.outcomes import judge
    from placememory.figures.page import ShownWindow, write_sequence_page
    from placememory.figures.recordings import write_foxglove, write_rerun
    from placememory.figures.reliability import draw_reliability
    from placememory.figures.report import map_of, write_report
    from placememory.figures.result import draw_result
    from placememory.figures.scores import draw_scores
    from placememory.figures.sequence import draw_sequence
    from placememory.figures.similarity import draw_similarity
    from placememory.figures.strips import draw_strips, strip_pages
    from placememory.figures.style import save, to_png
    from placememory.figures.timeline import draw_timeline
    from placememory.figures.training import draw_training
    from placememory.figures.trajectory import draw_trajectory
    from placememory.figures.vertices import draw_vertices

_PLAIN = ("outcomes", "report")  # which draw nothing, or only where matplotlib is
_HOMES = {
    "ShownWindow": "page",
    "draw_beliefs": "beliefs",
    "draw_evidence": "evidence",
    "draw_gallery": "gallery",
    "draw_matches": "matches",
    "draw_reliability": "reliability",
    "draw_result": "result",
    "draw_scores": "scores",
    "draw_sequence": "sequence",
    "draw_similarity": "similarity",
    "draw_strips": "strips",
    "draw_timeline": "timeline",
    "draw_training": "training",
    "draw_trajectory": "trajectory",
    "draw_vertices": "vertices",
    "judge": "outcomes",
    "map_of": "report",
    "save": "style",
    "strip_pages": "strips",
    "to_png": "style",
    "write_foxglove": "recordings",
    "write_report": "report",
    "write_rerun": "recordings",
    "write_sequence_page": "page",
}

__all__ = [
    "ShownWindow",
    "draw_beliefs",
    "draw_evidence",
    "draw_gallery",
    "draw_matches",
    "draw_reliability",
    "draw_result",
    "draw_scores",
    "draw_sequence",
    "draw_similarity",
    "draw_strips",
    "draw_timeline",
    "draw_training",
    "draw_trajectory",
    "draw_vertices",
    "judge",
    "map_of",
    "save",
    "strip_pages",
    "to_png",
    "write_foxglove",
    "write_report",
    "write_rerun",
    "write_sequence_page",
]


def __getattr__(name: str) -> Any:
    """Import a figure when it is first used.

    Raises:
        MissingExtraError: It needs matplotlib, which is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'placememory.figures' has no attribute {name!r}")
    if _HOMES[name] not in _PLAIN:
        require("matplotlib", extra="figures", purpose="Figures")
    return getattr(importlib.import_module(f"placememory.figures.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
