"""How the camera is mounted: from places whose poses are known in the memory and in the model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from placememory._types import Floats
from placememory.errors import InputError
from placememory.memory import Place
from placememory.posing._camera_pose import OPTICAL_IN_BODY
from placememory.posing._model import PosedModel

APART = (0.5, 10.0)
"""Metres and degrees that half of the places may disagree before the frames are not one."""


def mount(model: PosedModel, places: Iterable[Place]) -> Floats:
    """(4, 4) T_body_camera: how the camera sits on the body that the memory's poses are of.

    It is the same for every place where the model's world frame is the memory's map frame; so it
    also tells where that is not so. Without any place whose rotation is known, the body is taken
    for the camera with REP-103 axes.

    Args:
        model: Of the places.
        places: Of the memory; those that are not in the model do not count.

    Raises:
        InputError: The model has none of the places, or is in another frame.
    """
    shared = _shared(model, places)
    found = [
        np.linalg.inv(place.pose.matrix()) @ _camera(model, place.name)
        for place in shared
        if place.pose is not None and place.pose.quaternion is not None
    ]
    if not found:
        return OPTICAL_IN_BODY.copy()
    mounts = np.array(found)
    result = np.eye(4)
    u, _, v = np.linalg.svd(np.median(mounts[:, :3, :3], axis=0))
    result[:3, :3] = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    result[:3, 3] = np.median(mounts[:, :3, 3], axis=0)
    cosines = (np.einsum("nij,ij->n", mounts[:, :3, :3], result[:3, :3]) - 1) / 2
    metres = float(np.median(np.linalg.norm(mounts[:, :3, 3] - result[:3, 3], axis=1)))
    degrees = float(np.degrees(np.arccos(np.clip(np.median(cosines), -1.0, 1.0))))
    if metres > APART[0] or degrees > APART[1]:
        raise InputError(
            f"the COLMAP model is not in the memory's map frame: camera and place poses differ by "
            f"another motion from place to place (half of them by over {metres:.2f} m or "
            f"{degrees:.1f} degrees); align the model to the map first"
        )
    return result


def _shared(model: PosedModel, places: Iterable[Place]) -> list[Place]:
    """The places of the memory that the model has.

    Raises:
        InputError: There are none.
    """
    listed = list(places)
    shared = [place for place in listed if place.name in model]
    if not shared:
        example = repr(listed[0].name) if listed else "none"
        raise InputError(
            f"no place of the memory is called as an image of the COLMAP model: places are like "
            f"{example}, images like {model.names[0]!r}; make the names equal"
        )
    return shared


def _camera(model: PosedModel, name: str) -> Floats:
    """(4, 4) T_world_camera."""
    image, result = model[name], np.eye(4)
    result[:3, :3], result[:3, 3] = image.rotation, image.position
    return result
