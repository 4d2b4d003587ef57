from __future__ import annotations

import json
from pathlib import Path

import pytest

from placememory.errors import SettingError
from placememory.geometry import Camera, read_camera

ROS = """
image_width: 640
image_height: 480
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [500.0, 0, 320.5, 0, 501.0, 240.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0.001, 0.002, 0.0]}
"""


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_ros_camera_info(tmp_path: Path) -> None:
    found = read_camera(written(tmp_path, "front.yaml", ROS))
    assert found == Camera(
        500.0, 501.0, 320.5, 240.5, (-0.3, 0.1, 0.001, 0.002, 0.0), 640, 480
    )  # fmt: skip
    flat = ROS.replace("[-0.3, 0.1, 0.001, 0.002, 0.0]", "[0, 0, 0, 0, 0]")
    assert read_camera(written(tmp_path, "flat.yml", flat)).distortion == ()


@pytest.mark.parametrize(
    ("line", "camera"),
    [
        ("SIMPLE_PINHOLE 640 480 500 320 240", Camera(500, 500, 319.5, 239.5)),
        ("PINHOLE 640 480 500 510 320 240", Camera(500, 510, 319.5, 239.5)),
        ("SIMPLE_RADIAL 640 480 500 320 240 .1", Camera(500, 500, 319.5, 239.5, (0.1, 0, 0, 0))),
        ("RADIAL 640 480 500 320 240 .1 .2", Camera(500, 500, 319.5, 239.5, (0.1, 0.2, 0, 0))),
        (
            "OPENCV 640 480 500 510 320 240 .1 .2 .3 .4",
            Camera(500, 510, 319.5, 239.5, (0.1, 0.2, 0.3, 0.4)),
        ),
    ],
)
def test_colmap_cameras(tmp_path: Path, line: str, camera: Camera) -> None:
    found = read_camera(written(tmp_path, "cameras.txt", f"# Camera list\n1 {line}\n"))
    assert (found.width, found.height) == (640, 480)
    assert (found.matrix == camera.matrix).all()
    assert found.distortion == camera.distortion


def test_json(tmp_path: Path) -> None:
    values = {"fx": 500, "fy": 501, "cx": 320, "cy": 240, "distortion": [0.1, 0, 0, 0]}
    found = read_camera(written(tmp_path, "camera.json", json.dumps(values)))
    assert found == Camera(500, 501, 320, 240, (0.1, 0, 0, 0))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", ROS.replace("plumb_bob", "equidistant"), "equidistant"),
        ("a.yaml", ROS.replace("image_width", "width"), "'image_width' is missing"),
        ("a.yaml", ROS.replace(", 0, 0, 1]", "]"), "9 numbers"),
        ("a.yaml", "[]", "no keys"),
        ("a.yaml", "a: [", "cannot be read as YAML"),
        ("a.json", '{"fx": 500}', "'fy' is missing"),
        ("a.json", '{"fx": 500, "fy": 1, "cx": 0, "cy": 0, "k1": 0}', "unknown keys"),
        ("a.json", '{"fx": null, "fy": 1, "cx": 0, "cy": 0}', "cannot read"),
        ("a.json", '{"fx": -1, "fy": 1, "cx": 0, "cy": 0}', "above 0"),
        ("a.txt", "1 FISHEYE 640 480 1 2 3", "FISHEYE is not supported"),
        ("a.txt", "1 PINHOLE 640 480 1 2 3", "4 parameters"),
        ("a.txt", "1 PINHOLE\n", "cannot read"),
        ("a.txt", "", "0 cameras"),
        ("a.png", "", "camera is read from"),
    ],
)
def test_what_is_no_camera_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(SettingError, match=says) as raised:
        read_camera(path)
    assert str(path) in str(raised.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"gone\.yaml: cannot be read \(No such file"):
        read_camera(tmp_path / "gone.yaml")


def test_a_camera_fits_images_of_its_aspect_only() -> None:
    camera = Camera(500.0, 510.0, 319.5, 239.5, (0.1, 0, 0, 0), 640, 480)
    half = camera.scale_to(320, 240)
    assert (half.fx, half.fy, half.cx, half.cy) == (250.0, 255.0, 159.5, 119.5)
    assert half.distortion == camera.distortion
    assert camera.scale_to(640, 480) is camera
    unknown = Camera(500.0, 510.0, 319.5, 239.5)
    assert unknown.scale_to(3, 2) is unknown
    with pytest.raises(SettingError, match="another aspect"):
        camera.scale_to(640, 400)
    with pytest.raises(SettingError, match="both, or neither"):
        Camera(1.0, 1.0, 0.0, 0.0, width=640)
