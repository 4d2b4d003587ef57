"""A belief made exact: the camera's pose where the belief is, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from placememory.errors import ImageError
from placememory.frames import Image, Pose
from placememory.fusion import Belief
from placememory.memory import Candidate, Place
from placememory.posing._camera_pose import CameraPose
from placememory.posing._mount import mount
from placememory.posing._poser import Poser

REACH = 3.0
"""Metres from the best hypothesis within which places are used and poses are believed."""

SURE = 40
"""Inliers from which a pose is believed: on the sample building, wrong ones had at most 33."""


class Refined(NamedTuple):
    """What the geometry adds to a belief.

    Attributes:
        camera: The camera's pose; ``None`` where there is none.
        body: The body's pose in the map frame, if it has :data:`SURE` inliers and the belief
            agrees with it; else ``None``.
    """

    camera: CameraPose | None = None
    body: Pose | None = None


class Refinement:
    """Poses a frame at the places that its belief allows.

    Where the belief is ``located``, those are the place of the best hypothesis and the candidates
    within :data:`REACH` of it; where it is ``ambiguous``, or each frame is answered alone, the best
    candidates. Otherwise the frame is not posed: off the map there is nothing to fit. Nor is it
    where an image of the model cannot be read.

    Args:
        poser: With a model in the map frame of the places.
        places: Of the memory, in its order.

    Raises:
        InputError: The model has none of the places, or is in another frame.
    """

    def __init__(self, poser: Poser, places: Sequence[Place]) -> None:
        self._poser, self._places = poser, places
        self._mount = mount(poser.model, places)

    def refine(
        self,
        image: Image,
        candidates: Sequence[Candidate],
        belief: Belief | None,
        frame_id: str = "map",
    ) -> Refined:
        """The pose of a frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            candidates: Of the frame, best first: by geometry where they were verified.
            belief: Of this frame and those before; ``None`` if each is answered alone.
            frame_id: Name of the map frame.
        """
        names = self._names(candidates, belief)
        try:
            camera = self._poser.pose(image, names) if names else None
        except ImageError:
            camera = None
        if camera is None:
            return Refined()
        body = camera.pose(self._mount, frame_id)
        sure = camera.inliers >= SURE and _agrees(body, belief)
        return Refined(camera, body if sure else None)

    def _names(self, candidates: Sequence[Candidate], belief: Belief | None) -> list[str]:
        """Places to pose at, best first; only those that the model has."""
        model = self._poser.model
        names = [c.place.name for c in candidates if c.place.name in model]
        if belief is None or belief.verdict == "ambiguous":
            return names
        if belief.verdict != "located" or belief.best is None:
            return []
        here = self._places[belief.best.row].name
        if here not in model:
            return []
        centre = model[here].position
        near = [n for n in names if np.linalg.norm(model[n].position - centre) <= REACH]
        return [here, *near]


def _agrees(body: Pose, belief: Belief | None) -> bool:
    """Whether a pose is where the belief is; a belief without position has nothing against it."""
    if belief is None:
        return True
    if belief.position is None:
        return belief.verdict == "located"
    away = np.array(belief.position[:2]) - body.position[:2]
    return bool(belief.verdict == "located" and np.linalg.norm(away) <= REACH)
