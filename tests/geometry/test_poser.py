from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from placememory import PlaceMemory
from placememory.encoders import from_card
from placememory.errors import InputError, SettingError
from placememory.frames import list_frames, read_poses
from placememory.geometry import Camera, Features, PosedModel, Poser
from placememory.geometry.triangulation import View, place_points
from placememory.samples import Building
from tests.geometry._scene import CAMERA, NO_COLMAP, NO_XFEAT, REASON, Scene, write_model

ROOT = Path(__file__).resolve().parents[2]
BUILDING = Camera(160.0, 192.0, 159.5, 119.5, (), 320, 240)  # its pixels are 1.2 times as tall

needs_colmap = pytest.mark.skipif(bool(NO_COLMAP), reason=REASON)


def poser(scene: Scene, **settings: float) -> Poser:
    return Poser(scene.model(), CAMERA, extractor=scene, **settings)  # type: ignore[arg-type]


@needs_colmap
@pytest.mark.parametrize("at", [0.0, 5e5])
def test_exact_features_give_the_exact_pose(at: float) -> None:
    scene = Scene(at=at)
    found = poser(scene).pose(scene.image(5), ["0.png", "3.png"])
    assert found is not None
    assert np.abs(found.position - scene.positions[5]).max() < 1e-3
    assert np.abs(found.rotation - scene.rotations[5]).max() < 1e-4
    assert found.inliers == 80


@needs_colmap
def test_noisy_features_give_a_pose_within_its_covariance() -> None:
    sigmas = []
    for seed in range(12):
        scene = Scene(seed, noise=0.5)
        found = poser(scene).pose(scene.image(5), ["4.png", "2.png", "0.png"])
        assert found is not None
        off = found.position - scene.positions[5]
        sigmas.append(np.sqrt(off @ np.linalg.solve(found.covariance[:3, :3], off) / 3))
        assert np.linalg.norm(off) < 0.1
    assert 0.1 < np.median(sigmas) < 1.5


@needs_colmap
def test_wrong_matches_in_a_view_are_left_out_of_the_points() -> None:
    scene = Scene()
    views = [
        View(scene.features[i], CAMERA, scene.rotations[i], scene.positions[i]) for i in range(4)
    ]
    moved = scene.features[2].points.copy()
    moved[:20] += (0.0, 60.0)  # across the epipolar lines
    moved[20:40] += (60.0, 0.0)  # along them, nearly
    views[2] = View(
        Features(moved, scene.features[2].descriptors),
        CAMERA, scene.rotations[2], scene.positions[2],
    )  # fmt: skip
    found = place_points(views[0], views[1:], cosine=0.8, pixels=2.0, parallax=0.5)
    assert found.known.all()
    assert np.abs(found.points - scene.points).max() < 0.02
    alone = place_points(views[0], [views[2]], cosine=0.8, pixels=2.0, parallax=0.5)
    assert not alone.known[:20].any()
    assert alone.known[40:].all()
    none = place_points(views[0], [], cosine=0.8, pixels=2.0, parallax=0.5)
    assert not none.known.any()


@needs_colmap
def test_features_and_points_are_kept_and_bounded() -> None:
    scene = Scene()
    kept = poser(scene, neighbours=1)
    for _ in range(2):
        kept.pose(scene.image(5), ["0.png"])
    assert scene.asked == [5, 0, 1, 5]
    scene.asked.clear()
    bounded = poser(scene, neighbours=1, cache_size=1)
    bounded.pose(scene.image(5), ["0.png", "4.png"])
    bounded.pose(scene.image(5), ["0.png"])
    assert scene.asked == [5, 0, 1, 4, 3, 5, 0, 1]


@needs_colmap
def test_there_is_no_pose_without_matches_or_candidates() -> None:
    scene = Scene()
    assert poser(scene).pose(scene.image(5), []) is None
    assert poser(scene, parallax=80.0).pose(scene.image(5), ["0.png"]) is None
    scene.features[5] = Features(np.zeros((0, 2)), np.zeros((0, 80), np.float32))
    assert poser(scene).pose(scene.image(5), ["0.png"]) is None
    with pytest.raises(InputError, match="no image 'other'"):
        poser(scene).pose(scene.image(5), ["other"])


@needs_colmap
def test_an_image_of_another_size_is_scaled_and_of_another_aspect_refused() -> None:
    scene = Scene()
    half = Features((scene.features[5].points + 0.5) / 2 - 0.5, scene.features[5].descriptors)
    scene.features[5] = half
    found = poser(scene).pose(scene.image(5)[::2, ::2], ["0.png"])
    assert found is not None
    assert np.abs(found.position - scene.positions[5]).max() < 1e-3
    with pytest.raises(SettingError, match="another aspect"):
        poser(scene).pose(scene.image(5)[:300], ["0.png"])


@pytest.mark.parametrize(
    "setting",
    [
        {"places": 0},
        {"neighbours": 0},
        {"least": 3},
        {"cosine": 1.0},
        {"parallax": 0.0},
        {"spread": 0.0},
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        poser(Scene(count=1) if not NO_COLMAP else pytest.skip(REASON), **setting)


@needs_colmap
@pytest.mark.skipif(bool(NO_XFEAT), reason="the extra 'verify' is not installed")
def test_queries_of_the_building_are_posed(building: Building, tmp_path: Path) -> None:
    mapping = read_poses(building.mapping_vertices).join(list_frames(building.mapping))[0]
    queries = read_poses(building.query_vertices).join(list_frames(building.query))[0]
    model = PosedModel.open(write_model(tmp_path / "m", mapping, BUILDING), building.mapping)
    posing = Poser(model, BUILDING)
    errors, posed = [], 0
    for query in queries[1:6]:
        assert query.pose is not None
        near = sorted(mapping, key=lambda f: f.pose.distance_to(query.pose))[:3]
        found = posing.pose(query.image(), [frame.name for frame in near])
        if found is not None:
            posed += 1
            body = found.pose()
            errors.append((body.distance_to(query.pose), body.angle_to(query.pose)))
    metres, degrees = np.median(errors, axis=0)
    assert posed >= 4
    assert metres < 0.15
    assert degrees < 1.5


@needs_colmap
@pytest.mark.skipif(bool(NO_XFEAT), reason="the extra 'verify' is not installed")
def test_the_python_of_the_page_runs(
    building: Building, office: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs/concepts/verification.md").read_text(encoding="utf-8")
    block = next(b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Poser" in b)
    monkeypatch.chdir(tmp_path)
    mapping = read_poses(building.mapping_vertices).join(list_frames(building.mapping))[0]
    write_model(tmp_path / "colmap", mapping, BUILDING)
    (tmp_path / "images").symlink_to(building.mapping)
    camera = {"fx": 160, "fy": 192, "cx": 159.5, "cy": 119.5, "width": 320, "height": 240}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    query = read_poses(building.query_vertices).join(list_frames(building.query))[0][5]
    with PlaceMemory.open(office, readonly=True) as memory:
        encoder = from_card(memory.card)
        found = memory.search(encoder.encode([query.image()]), 3)[0]
        names = [candidate.place.name for candidate in found]
        values = {"image": query.image(), "frame": query, "names": names, "memory": memory}
        values["encoder"] = encoder
        exec(compile(block, "verification.md", "exec"), values)
    assert values["pose"].pose().distance_to(query.pose) < 0.3
