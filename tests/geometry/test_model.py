from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory.errors import ImageError, InputError, SettingError
from placememory.geometry import OPTICAL_IN_BODY, Camera, PosedImage, PosedModel
from tests.conftest import make_frames
from tests.geometry._scene import CAMERA, NO_COLMAP, REASON, write_model

needs_colmap = pytest.mark.skipif(bool(NO_COLMAP), reason=REASON)
PINHOLE = Camera(300.0, 310.0, 159.5, 119.5, (), 320, 240)


def touch(folder: Path, *names: str) -> None:
    """Files that are there, and no images."""
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()


@needs_colmap
@pytest.mark.parametrize("text", [False, True])
def test_cameras_and_poses_of_a_colmap_model(tmp_path: Path, text: bool) -> None:
    frames = make_frames(6)
    touch(tmp_path, *(frame.name for frame in frames))
    model = PosedModel.open(write_model(tmp_path / "m", frames, PINHOLE, text=text), tmp_path)
    assert len(model) == 6
    for frame in frames:
        image = model[frame.name]
        assert frame.pose is not None
        true = frame.pose.matrix() @ OPTICAL_IN_BODY
        assert np.allclose(image.rotation, true[:3, :3])
        assert np.allclose(image.position, true[:3, 3])
        assert image.camera == PINHOLE
    with pytest.raises(ImageError, match="cannot read the image"):
        model.pixels(frames[0].name)


@needs_colmap
def test_text_as_older_versions_write_it(tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text("1 SIMPLE_PINHOLE 640 480 500 320 240\n")
    (tmp_path / "images.txt").write_text("7 1 0 0 0 1 2 3 1 a.png\n\n")
    (tmp_path / "points3D.txt").write_text("# none\n")
    with pytest.raises(InputError, match=r"1 of the 1 images .* such as 'a\.png'"):
        PosedModel.open(tmp_path, tmp_path)
    touch(tmp_path, "a.png")
    image = PosedModel.open(tmp_path, tmp_path)["a.png"]
    assert image.position.tolist() == [-1, -2, -3]
    assert image.camera == Camera(500, 500, 319.5, 239.5, (), 640, 480)


@needs_colmap
def test_a_camera_that_is_not_supported_is_named(tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text("1 OPENCV_FISHEYE 640 480 500 500 320 240 0 0 0 0\n")
    (tmp_path / "images.txt").write_text("7 1 0 0 0 1 2 3 1 a.png\n\n")
    (tmp_path / "points3D.txt").write_text("# none\n")
    with pytest.raises(SettingError, match="OPENCV_FISHEYE is not supported"):
        PosedModel.open(tmp_path, tmp_path)


@needs_colmap
@pytest.mark.parametrize("content", [None, "", "1 1 0 0"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        for name in ("cameras.txt", "images.txt", "points3D.txt"):
            (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="COLMAP model"):
        PosedModel.open(tmp_path, tmp_path)


@needs_colmap
def test_neighbours_share_the_most_points(tmp_path: Path) -> None:
    import pycolmap

    model = pycolmap.Reconstruction(write_model(tmp_path / "m", make_frames(5), PINHOLE))
    for image in model.images.values():
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D([i, i]) for i in range(6)])
    for point, images in enumerate([(1, 4), (1, 4), (1, 4), (1, 2), (1, 2), (2, 3)]):
        track = pycolmap.Track([pycolmap.TrackElement(image, point) for image in images])
        model.add_point3D(np.zeros(3), track)
    (tmp_path / "full").mkdir()
    touch(tmp_path, *(image.name for image in model.images.values()))
    model.write(tmp_path / "full")
    found = PosedModel.open(tmp_path / "full", tmp_path)
    name = "run1/{:04d}.png".format
    assert found.neighbours(name(0), 4) == [name(3), name(1)]
    assert found.neighbours(name(0), 1) == [name(3)]
    assert found.neighbours(name(4), 4) == []


def posed(name: str, position: list[float], degrees: float = 0.0) -> PosedImage:
    angle = np.radians(degrees)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    return PosedImage(name, CAMERA, turn, np.array(position))


def test_neighbours_by_pose_are_near_look_the_same_way_and_stand_apart() -> None:
    model = PosedModel(
        [
            posed("here", [0, 0, 0]),
            posed("same spot", [0.01, 0, 0]),
            posed("far", [5, 0, 0]),
            posed("near", [1, 0, 0], 30),
            posed("beside near", [1.05, 0, 0]),
            posed("back", [0.5, 0, 0], 180),
        ],
        lambda name: np.zeros((4, 4, 3), np.uint8),
    )
    assert model.neighbours("here", 5) == ["near", "far"]
    assert model.neighbours("here", 1) == ["near"]
    assert model.neighbours("back", 3) == []
    with pytest.raises(InputError, match=r"no image 'gone'.*like 'here'"):
        model.neighbours("gone", 1)
    with pytest.raises(InputError, match="at least one image"):
        PosedModel([], model.pixels)
