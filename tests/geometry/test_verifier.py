from __future__ import annotations

import numpy as np
import pytest

from placememory.errors import SettingError
from placememory.frames import Image
from placememory.geometry import Policy, Verified, Verifier, XFeat, rerank
from placememory.memory import Place
from tests.geometry._images import MISSING, REASON, TURN, candidates, rimmed, textured, warped

needs_xfeat = pytest.mark.skipif(bool(MISSING), reason=REASON)
SCENES = [textured(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def xfeat() -> XFeat:
    return XFeat()


def scene_of(place: Place) -> Image | None:
    return SCENES[place.index // 10]


@needs_xfeat
def test_the_same_place_wins_over_distractors_by_inliers(xfeat: XFeat) -> None:
    query = warped(SCENES[2])
    found = Verifier(scene_of, extractor=xfeat).verify(query, candidates([0.6, 0.5, 0.4, 0.3]))
    best = found[0]
    assert best.candidate.place.index == 20
    assert best.inliers >= 50
    assert best.share > 0.5
    assert all(5 * row.inliers < best.inliers for row in found[1:])


@needs_xfeat
def test_the_homography_of_a_plane_is_found(xfeat: XFeat) -> None:
    found = Verifier(scene_of, extractor=xfeat).verify(warped(SCENES[0]), candidates([0.5]))[0]
    assert found.kind == "homography"
    assert found.direction is None
    assert found.matrix is not None
    back = np.linalg.inv(TURN)  # query to place
    corners = np.array([[60.0, 260.0, 260.0], [60.0, 60.0, 200.0], [1.0, 1.0, 1.0]])
    there, true = found.matrix @ corners, back @ corners
    assert np.abs(there[:2] / there[2] - true[:2] / true[2]).max() < 2.0


@needs_xfeat
@pytest.mark.parametrize("level", [0, 127, 255])
def test_blank_images_match_nothing(xfeat: XFeat, level: int) -> None:
    blank = np.full((96, 128, 3), level, np.uint8)
    verifier = Verifier(lambda place: blank, extractor=xfeat)
    for query in (blank, SCENES[0]):
        found = verifier.verify(query, candidates([0.9, 0.8]))
        assert [row.inliers for row in found] == [0, 0]
        assert [row.candidate.rank for row in found] == [1, 2]


@needs_xfeat
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (17, 33), (2000, 64)])
def test_odd_sizes_are_taken(xfeat: XFeat, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    features = xfeat.extract(image)
    assert len(features) <= xfeat.keypoints
    if len(features):
        assert features.points.min() >= -1
        assert (features.points.max(axis=0) <= (shape[1], shape[0])).all()


@needs_xfeat
def test_points_are_in_pixels_of_the_image_given(xfeat: XFeat) -> None:
    small = textured(7, 160, 120)
    large = np.kron(small, np.ones((8, 8, 1), np.uint8))
    assert xfeat.extract(large).points.max() > 700
    assert xfeat.extract(small).points.max() < 160
    assert xfeat.extract(large).pixel == 2.0
    assert xfeat.extract(small).pixel == 0.5


@needs_xfeat
def test_a_fisheyes_border_gives_inliers_to_no_one(xfeat: XFeat) -> None:
    masked = xfeat.extract(rimmed(SCENES[0])).points
    bare = XFeat(mask_border=False).extract(rimmed(SCENES[0])).points
    away = np.hypot(masked[:, 0] - 160, masked[:, 1] - 128)
    assert away.max() < 0.48 * 256 - 4
    assert np.hypot(bare[:, 0] - 160, bare[:, 1] - 128).max() > 0.48 * 256 - 4


@needs_xfeat
def test_a_missing_image_is_not_checked_and_keeps_its_order(xfeat: XFeat) -> None:
    verifier = Verifier(
        lambda place: None if place.index == 0 else scene_of(place),
        extractor=xfeat,
        policy=Policy(min_inliers=100),
    )
    result = verifier.check(warped(SCENES[1]), candidates([0.9, 0.8, 0.7]))
    assert [row.candidate.rank for row in result.candidates] == [2, 1, 3]
    assert result.checked == 2
    assert result.candidates[1].unchecked == "no image"
    assert not result.candidates[1].checked
    nothing = Verifier(lambda place: None, extractor=xfeat)
    assert [row.candidate.rank for row in nothing.verify(SCENES[0], candidates([0.9, 0.8]))] == [
        1, 2,
    ]  # fmt: skip


@needs_xfeat
def test_features_of_places_are_kept_and_bounded() -> None:
    asked: list[int] = []

    def image_of(place: Place) -> Image:
        asked.append(place.index // 10)
        return SCENES[place.index // 10]

    verifier = Verifier(image_of, cache_size=2)
    rows = candidates([0.9, 0.8, 0.7])
    verifier.verify(SCENES[0], rows[:2])
    verifier.verify(SCENES[0], rows[:2])
    assert asked == [0, 1]
    verifier.verify(SCENES[0], rows[2:])
    assert len(verifier) == 2
    verifier.verify(SCENES[0], rows[1:2])
    assert asked == [0, 1, 2]
    verifier.verify(SCENES[0], rows[:1])
    assert asked == [0, 1, 2, 0]


@needs_xfeat
def test_the_budget_stops_and_says_so(xfeat: XFeat) -> None:
    verifier = Verifier(scene_of, extractor=xfeat, policy=Policy(max_ms=1e-6))
    result = verifier.check(SCENES[3], candidates([0.9, 0.8, 0.7, 0.6]))
    assert result.stopped
    assert result.checked == 0
    assert [row.unchecked for row in result.candidates] == ["budget"] * 4
    assert [row.candidate.rank for row in result.candidates] == [1, 2, 3, 4]
    assert result.milliseconds > 0
    free = Verifier(scene_of, extractor=xfeat).check(SCENES[3], candidates([0.9, 0.8]), 1)
    assert (free.stopped, free.checked, free.candidates[1].unchecked) == (False, 1, "rank")
    assert free.to_dict()["candidates"][0]["matches"] > 100


def test_nothing_due_needs_nothing_installed() -> None:
    verifier = Verifier(scene_of)
    assert verifier.verify(SCENES[0], []) == []
    result = verifier.check(SCENES[0], candidates([0.9]), 0)
    assert (result.checked, result.candidates[0].unchecked) == (0, "rank")


def test_weak_evidence_moves_nothing_and_ties_go_to_the_more_similar() -> None:
    def order(*inliers: int) -> list[int]:
        rows = [
            Verified(candidate, 100, n)
            for candidate, n in zip(candidates([0.9, 0.8, 0.7]), inliers, strict=True)
        ]
        return [row.candidate.rank for row in rerank(rows, 20)]

    assert order(0, 12, 19) == [1, 2, 3]
    assert order(0, 12, 20) == [3, 1, 2]
    assert order(26, 40, 40) == [2, 3, 1]
    assert order(27, 40, 40) == [1, 2, 3]
    assert order(90, 30, 40) == [1, 2, 3]
    assert order(50, 50, 50) == [1, 2, 3]
    assert rerank([]) == []


@pytest.mark.parametrize("setting", [{"cache_size": 0}, {"cosine": 1.0}, {"pixels": 0.0}])
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        Verifier(scene_of, **setting)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [{"least": 8}, {"longest": 100}, {"keypoints": 0}])
def test_impossible_settings_of_xfeat_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(SettingError):
        XFeat(**setting)  # type: ignore[arg-type]
