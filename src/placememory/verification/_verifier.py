"""Verifier: the geometric check of a frame's best candidates."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from placememory.errors import SettingError
from placememory.frames import Image
from placememory.memory import Candidate, Place
from placememory.memory._place import PlaceId
from placememory.verification._camera import Camera
from placememory.verification._features import Extractor, Features, mutual
from placememory.verification._geometry import relate
from placememory.verification._policy import Policy
from placememory.verification._verified import Verified, rerank
from placememory.verification.xfeat import XFeat

ImageOf = Callable[[Place], Image | None]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check found and what it cost.

    Attributes:
        candidates: Every candidate, best first, see :func:`rerank`.
        checked: How many were compared with the query.
        milliseconds: All of it, the query's features among them.
        stopped: Whether the budget ended it before all that were due were checked.
    """

    candidates: tuple[Verified, ...]
    checked: int
    milliseconds: float
    stopped: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "checked": self.checked,
            "milliseconds": self.milliseconds,
            "stopped": self.stopped,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }


class Verifier:
    """Compares a query with its candidates by local features, and re-ranks them.

    Mutual nearest neighbours of local features (XFeat, Potje et al., CVPR 2024), then the matches
    that one motion of the camera explains, by MAGSAC++ (Barath et al., CVPR 2020). The features of
    places are kept, as the same ones come back frame after frame.

    Args:
        image_of: The image of a place, (H, W, 3) uint8 RGB; ``None`` if there is none, which means
            "not checked".
        extractor: Of local features; :class:`XFeat` by default.
        camera: Of the query and of the places, which have one size; gives rotation and direction.
        policy: How many candidates, for how long, and from which inliers on.
        cosine: Matches of features less alike are left out.
        pixels: A point may be off by this many, of those the features were taken on.
        kept: Places whose features are kept: 0.3 MB each at most.

    Raises:
        SettingError: A setting is impossible.

    Example:
        >>> verifier = Verifier(lambda place: None)
        >>> verifier.policy.top
        20
    """

    def __init__(
        self,
        image_of: ImageOf,
        *,
        extractor: Extractor | None = None,
        camera: Camera | None = None,
        policy: Policy | None = None,
        cosine: float = 0.82,
        pixels: float = 1.5,
        kept: int = 500,
    ) -> None:
        if kept < 1 or not 0 <= cosine < 1 or not pixels > 0:
            raise SettingError(
                f"kept is {kept}, cosine {cosine}, pixels {pixels}; give kept >= 1, "
                "0 <= cosine < 1 and pixels > 0"
            )
        self.extractor = extractor or XFeat()
        self.camera, self.policy = camera, policy or Policy()
        self.cosine, self.pixels = cosine, pixels
        self._image_of, self._kept = image_of, kept
        self._features: OrderedDict[PlaceId, Features] = OrderedDict()

    def __len__(self) -> int:
        """Places whose features are kept."""
        return len(self._features)

    def verify(self, query: Image, candidates: Sequence[Candidate]) -> list[Verified]:
        """Candidates re-ranked by geometry, best first; see :func:`rerank`.

        Args:
            query: (H, W, 3) uint8 RGB.
            candidates: Of the memory, best first.

        Raises:
            MissingExtraError: The extra ``verify`` is not installed.
        """
        return list(self.check(query, candidates).candidates)

    def check(
        self, query: Image, candidates: Sequence[Candidate], count: int | None = None
    ) -> Verification:
        """The same, with what it cost.

        Args:
            query: (H, W, 3) uint8 RGB.
            candidates: Of the memory, best first.
            count: How many to check, as :meth:`Policy.count` says; the policy's ``top`` by default.

        Raises:
            MissingExtraError: The extra ``verify`` is not installed.
            SettingError: The query has another aspect than the camera's images.
        """
        started = time.perf_counter()
        due = min(self.policy.top if count is None else count, len(candidates))
        found: list[Verified] = []
        features = self.extractor.extract(query) if due > 0 else None
        height, width = query.shape[:2]
        camera = None if self.camera is None else self.camera.fitted(width, height)
        stopped = False
        for place, candidate in enumerate(candidates):
            if features is None or place >= due:
                found.append(Verified(candidate, unchecked="rank"))
                continue
            stopped = stopped or 1e3 * (time.perf_counter() - started) >= self.policy.max_ms
            if stopped:
                found.append(Verified(candidate, unchecked="budget"))
            else:
                found.append(self._compared(features, candidate, camera))
        return Verification(
            tuple(rerank(found, self.policy.min_inliers)),
            sum(row.checked for row in found),
            round(1e3 * (time.perf_counter() - started), 3),
            stopped,
        )

    def _compared(self, query: Features, candidate: Candidate, camera: Camera | None) -> Verified:
        there = self._of(candidate.place)
        if there is None:
            return Verified(candidate, unchecked="no image")
        pairs = mutual(query.descriptors, there.descriptors, self.cosine)
        geometry = relate(
            query.points[pairs[:, 0]],
            there.points[pairs[:, 1]],
            self.pixels * max(query.pixel, there.pixel),
            camera,
        )
        return Verified(
            candidate,
            len(pairs),
            geometry.inliers,
            geometry.kind,
            geometry.matrix,
            geometry.rotation,
            geometry.direction,
        )

    def _of(self, place: Place) -> Features | None:
        """Features of a place, from those kept where it is among them."""
        known = self._features.get(place.id)
        if known is not None:
            self._features.move_to_end(place.id)
            return known
        image = self._image_of(place)
        if image is None:
            return None
        found = self.extractor.extract(image)
        self._features[place.id] = found
        if len(self._features) > self._kept:
            self._features.popitem(last=False)
        return found
