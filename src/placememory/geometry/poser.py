"""How the camera is mounted: from places whose poses are known in the memory and in the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from placememory._types import Floats
from placememory.errors import ImageError, InputError, SettingError
from placememory.frames import Image, Pose
from placememory.fusion import Belief
from placememory.geometry.camera_pose import LEAST, OPTICAL_IN_BODY, CameraPose, absolute_pose
from placememory.geometry.cameras import Camera
from placememory.geometry.colmap import PosedModel
from placememory.geometry.features import Extractor, XFeat, mutual
from placememory.geometry.triangulation import PlacePoints, View, place_points
from placememory.memory import Candidate, Place

APART = (0.5, 10.0)
"""Metres and degrees that half of the places may disagree before the frames are not one."""


def mount(model: PosedModel, places: Iterable[Place]) -> Floats:
    """(4, 4) T_body_camera: how the camera sits on the body that the memory's poses are of.

    It is the same for every place where the model's world frame is the memory's map frame; so it
    also detects where that is not so. Without any place whose rotation is known, the body is taken
    for the camera with REP-103 axes.

    Args:
        model: Of the places.
        places: Of the memory; those that are not in the model do not count.

    Raises:
        InputError: The model has none of the places, or is in another frame.
    """
    shared = _places_in_model(model, places)
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


def _places_in_model(model: PosedModel, places: Iterable[Place]) -> list[Place]:
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


class Poser:
    """The pose of a query's camera, from the places it may be at and a model with their poses.

    Features of a place and of its neighbours in the model are matched and triangulated there and
    then, with the model's poses; features of the query are matched to those of several places; and
    the pose follows from the pixels and the points. So any COLMAP model serves, whatever features
    it was built with, and a model without points as well. Features and points of places are cached,
    as the same ones come back frame after frame.

    Args:
        model: Images with cameras and poses; places are found in it by their names.
        camera: Of the query.
        extractor: Of local features; :class:`XFeat` by default.
        places: The most candidates to use.
        neighbours: Views that a place is triangulated with, at most.
        least: Inliers below which there is no pose, 4 or more.
        cosine: Matches of features less alike are left out.
        pixels: A pixel may be off by this many, of those the features were taken on.
        parallax: Degrees, the least angle between two rays of a point.
        spread: Standard deviations are this many times those of independent pixels: errors of
            features near each other, and of points from the same views, go together. Measured on
            the sample building.
        cache_size: Images whose features are cached, and places whose points are; 0.3 MB each
            at most.

    Raises:
        SettingError: A setting is impossible.
    """

    def __init__(
        self,
        model: PosedModel,
        camera: Camera,
        *,
        extractor: Extractor | None = None,
        places: int = 3,
        neighbours: int = 4,
        least: int = LEAST,
        cosine: float = 0.82,
        pixels: float = 3.0,
        parallax: float = 1.5,
        spread: float = 2.5,
        cache_size: int = 200,
    ) -> None:
        if min(places, neighbours, cache_size) < 1 or least < 4:
            raise SettingError(
                f"places is {places}, neighbours {neighbours}, cache_size {cache_size}, least "
                f"{least}; give 1 or more, and least 4 or more"
            )
        if not 0 <= cosine < 1 or not min(pixels, parallax, spread) > 0:
            raise SettingError(
                f"cosine is {cosine}, pixels {pixels}, parallax {parallax}, spread {spread}; give "
                "0 <= cosine < 1 and the others above 0"
            )
        self.model, self.camera = model, camera
        self.extractor = extractor or XFeat()
        self.places, self.neighbours, self.least = places, neighbours, least
        self.cosine, self.pixels, self.parallax, self.spread = cosine, pixels, parallax, spread
        self._views = lru_cache(cache_size)(self._read_view)
        self._points = lru_cache(cache_size)(self._triangulate)

    def pose(self, image: Image, names: Sequence[str]) -> CameraPose | None:
        """The pose of a query.

        Args:
            image: (H, W, 3) uint8 RGB.
            names: Image names of the places it may be at, best first.

        Returns:
            ``None`` where too few points fit one pose.

        Raises:
            InputError: The model has no image of such a name.
            ImageError: An image of the model cannot be read.
            SettingError: An image has another aspect than its camera.
            MissingExtraError: The extra ``colmap`` or ``verify`` is not installed.
        """
        camera = self.camera.scale_to(image.shape[1], image.shape[0])
        query = self.extractor.extract(image)
        rows, points = [np.zeros(0, np.int64)], [np.zeros((0, 3))]
        for name in list(dict.fromkeys(names))[: self.places]:
            place = self._points(name)
            pairs = mutual(query.descriptors, place.descriptors, self.cosine)
            pairs = pairs[place.known[pairs[:, 1]]]
            rows.append(pairs[:, 0])
            points.append(place.points[pairs[:, 1]])
        ids = np.concatenate(rows)
        found = absolute_pose(
            query.points[ids],
            np.concatenate(points),
            camera,
            threshold=self.pixels * query.pixel,
            least=self.least,
            ids=ids,
        )
        if found is None:
            return None
        return replace(found, covariance=self.spread**2 * found.covariance)

    def _read_view(self, name: str) -> View:
        image, pixels = self.model[name], self.model.pixels(name)
        camera = image.camera.scale_to(pixels.shape[1], pixels.shape[0])
        return View(self.extractor.extract(pixels), camera, image.rotation, image.position)

    def _triangulate(self, name: str) -> PlacePoints:
        return place_points(
            self._views(name),
            [self._views(other) for other in self.model.neighbours(name, self.neighbours)],
            cosine=self.cosine,
            pixels=self.pixels,
            parallax=self.parallax,
        )


REACH = 3.0
"""Metres from the best hypothesis within which places are used and poses are believed."""

SURE = 40
"""Inliers from which a pose is believed: on the sample building, wrong ones had at most 33."""


class Refined(NamedTuple):
    """Poses that the geometry adds to a belief.

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
