"""Poser: the full pose of a camera at known places."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np

from placememory.errors import SettingError
from placememory.frames import Image
from placememory.posing._absolute import LEAST, absolute_pose
from placememory.posing._camera_pose import CameraPose
from placememory.posing._model import PosedModel
from placememory.posing._place_points import PlacePoints, View, place_points
from placememory.verification import Camera, Extractor, XFeat, mutual

T = TypeVar("T")


class Poser:
    """The pose of a query's camera, from the places it may be at and a model with their poses.

    Features of a place and of its neighbours in the model are matched and triangulated there and
    then, with the model's poses; features of the query are matched to those of several places; and
    the pose follows from the pixels and the points. So any COLMAP model serves, whatever features
    it was built with, and a model without points as well. Features and points of places are kept,
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
        kept: Images whose features are kept, and places whose points are: 0.3 MB each at most.

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
        kept: int = 200,
    ) -> None:
        if min(places, neighbours, kept) < 1 or least < 4:
            raise SettingError(
                f"places is {places}, neighbours {neighbours}, kept {kept}, least {least}; give "
                "1 or more, and least 4 or more"
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
        self._views: _Kept[View] = _Kept(self._view, kept)
        self._points: _Kept[PlacePoints] = _Kept(self._triangulated, kept)

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
        camera = self.camera.fitted(image.shape[1], image.shape[0])
        query = self.extractor.extract(image)
        rows, points = [np.zeros(0, np.int64)], [np.zeros((0, 3))]
        for name in list(dict.fromkeys(names))[: self.places]:
            place = self._points[name]
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

    def _view(self, name: str) -> View:
        image, pixels = self.model[name], self.model.pixels(name)
        camera = image.camera.fitted(pixels.shape[1], pixels.shape[0])
        return View(self.extractor.extract(pixels), camera, image.rotation, image.position)

    def _triangulated(self, name: str) -> PlacePoints:
        return place_points(
            self._views[name],
            [self._views[other] for other in self.model.neighbours(name, self.neighbours)],
            cosine=self.cosine,
            pixels=self.pixels,
            parallax=self.parallax,
        )


class _Kept(Generic[T]):
    """What a function makes of names; those used last are kept."""

    def __init__(self, make: Callable[[str], T], most: int) -> None:
        self._make, self._most = make, most
        self._found: OrderedDict[str, T] = OrderedDict()

    def __getitem__(self, name: str) -> T:
        if name not in self._found:
            self._found[name] = self._make(name)
        self._found.move_to_end(name)
        found = self._found[name]
        if len(self._found) > self._most:
            self._found.popitem(last=False)
        return found
