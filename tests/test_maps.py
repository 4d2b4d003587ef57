"""The occupancy grid: where a pixel lies in the world, and what its grey means."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from placememory.errors import MapError
from placememory.maps import OccupancyGrid, read_map


def make_grid(origin=(0.0, 0.0, 0.0), resolution=1.0, size=(4, 6), **fields: object):
    return OccupancyGrid(np.ones(size), resolution, origin, **fields)


grids = st.builds(
    make_grid,
    origin=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-7, 7)),
    resolution=st.floats(1e-3, 10),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
points = st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))


@given(grids, points)
def test_to_pixel_and_to_world_are_inverse(grid: OccupancyGrid, point) -> None:
    close = {"atol": 1e-6, "rtol": 1e-9}
    np.testing.assert_allclose(grid.to_world(grid.to_pixel(point)), point, **close)
    np.testing.assert_allclose(
        grid.to_pixel(grid.to_world(point)), point, atol=1e-6 / grid.resolution, rtol=1e-9
    )


@given(grids, points, points)
def test_pixels_keep_distances(grid: OccupancyGrid, a, b) -> None:
    pixels = np.linalg.norm(grid.to_pixel(a) - grid.to_pixel(b))
    metres = np.linalg.norm(np.subtract(a, b))
    assert pixels * grid.resolution == pytest.approx(metres, abs=1e-6)


@given(grids, st.data())
def test_a_cells_centre_lies_in_the_cell(grid: OccupancyGrid, data: st.DataObject) -> None:
    cell = [data.draw(st.integers(0, n - 1)) for n in (grid.width, grid.height)]
    centre = grid.to_world(cell)
    assert grid.to_cell(centre).tolist() == cell
    assert grid.contains(centre)


@pytest.mark.parametrize(
    ("pixel", "world"),
    [
        ((0, 3), (10.25, -4.75)),  # lower left cell
        ((5, 3), (12.75, -4.75)),  # lower right
        ((0, 0), (10.25, -3.25)),  # upper left
        ((-0.5, 3.5), (10.0, -5.0)),  # the corner that is the origin
        ((5.5, -0.5), (13.0, -3.0)),  # the opposite corner
    ],
)
def test_half_pixels(pixel, world) -> None:
    grid = make_grid((10.0, -5.0, 0.0), resolution=0.5)
    assert grid.to_pixel(world).tolist() == list(pixel)
    assert grid.to_world(pixel).tolist() == list(world)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    grid = make_grid((10.0, 20.0, math.pi / 2), resolution=2.0)
    np.testing.assert_allclose(grid.to_world([0, 3]), [9, 21], atol=1e-12)
    np.testing.assert_allclose(grid.to_world([5, 3]), [9, 31], atol=1e-12)  # right in the image: +y
    np.testing.assert_allclose(grid.to_pixel([9, 21]), [0, 3], atol=1e-12)


def test_cells_and_borders() -> None:
    grid = make_grid()
    assert grid.to_cell([0, 0]).tolist() == [0, 3]
    assert grid.to_cell([1, 1]).tolist() == [1, 2]  # on the line: the one further along
    assert grid.to_cell([-0.1, 4.1]).tolist() == [-1, -1]
    inside = [[0, 0], [5.9, 3.9], [6, 0], [0, 4], [-1e-9, 0], [math.nan, 1]]
    assert grid.contains(inside).tolist() == [True, True, False, False, False, False]


def test_shapes() -> None:
    grid = make_grid()
    assert grid.to_pixel(np.zeros((3, 7, 2))).shape == (3, 7, 2)
    assert grid.to_world(np.zeros((0, 2))).shape == (0, 2)
    assert grid.to_cell([0, 0]).dtype == np.int64
    assert grid.contains(np.zeros((5, 2))).shape == (5,)
    assert (grid.height, grid.width) == (4, 6)


def occupancy(values, **fields: object) -> list[int]:
    return OccupancyGrid(np.array([values], float), 1.0, **fields).occupancy()[0].tolist()


def test_trinary_and_negate() -> None:
    lightness = [0.0, 0.2, 0.5, 0.9, 1.0]
    assert occupancy(lightness) == [100, 100, -1, 0, 0]
    assert occupancy(lightness, negate=True) == [0, 0, -1, 100, 100]


def test_thresholds_are_strict() -> None:
    options = {"occupied_thresh": 0.75, "free_thresh": 0.25}
    assert occupancy([0.25, 0.75], **options) == [-1, -1]
    assert occupancy([0.2499, 0.7501], **options) == [100, 0]


def test_scale() -> None:
    options = {"mode": "scale", "occupied_thresh": 0.75, "free_thresh": 0.25}
    assert occupancy([0.0, 0.25, 0.5, 0.75, 1.0], **options) == [100, 99, 50, 1, 0]
    alpha = np.array([[1.0, 0.99, 0.0, 1.0, 1.0]])
    assert occupancy([0.0, 0.25, 0.5, 0.75, 1.0], alpha=alpha, **options) == [100, -1, -1, 1, 0]
    assert occupancy([0.0, 0.5, 1.0], mode="scale", occupied_thresh=0.5, free_thresh=0.5) == [
        100,
        1,
        0,
    ]


def test_raw() -> None:
    grey = np.array([0, 1, 100, 101, 255]) / 255
    for negate in (False, True):
        assert occupancy(grey, mode="raw", negate=negate) == [0, 1, 100, -1, -1]


GREY = np.array([[0, 128, 255], [254, 205, 1]], np.uint8)


def write_map(folder: Path, image: str = "map.png", **changes: object) -> Path:
    values = {"image": image, "resolution": 0.05, "origin": "[1.0, -2.0, 0.5]", **changes}
    lines = [f"{key}: {value}" for key, value in values.items() if value is not None]
    (folder / "map.yaml").write_text("\n".join(lines) + "\n")
    return folder / "map.yaml"


def write_pnm(path: Path, magic: str, values: np.ndarray, most: int = 255) -> None:
    height, width = values.shape
    head = f"{magic}\n# by map_saver\n{width} {height}\n{most}\n".encode()
    if magic == "P2":
        body = " ".join(map(str, values.ravel().tolist())).encode()
    else:
        body = values.astype(">u2" if most > 255 else "u1").tobytes()
    path.write_bytes(head + body)


def test_a_map_with_all_keys(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "map.png")
    changes = {"negate": 1, "occupied_thresh": 0.7, "free_thresh": 0.196, "mode": "scale"}
    grid = read_map(str(write_map(tmp_path, **changes)))
    np.testing.assert_allclose(grid.image, GREY / 255)
    assert (grid.resolution, grid.origin) == (0.05, (1.0, -2.0, 0.5))
    assert (grid.negate, grid.occupied_thresh, grid.free_thresh) == (True, 0.7, 0.196)
    assert (grid.mode, grid.alpha) == ("scale", None)
    plain = read_map(write_map(tmp_path))
    assert (plain.negate, plain.occupied_thresh, plain.free_thresh) == (False, 0.65, 0.25)
    assert plain.mode == "trinary"


@pytest.mark.parametrize("text", ["5e-2", "0.05", "'0.05'", "5.0e-2"])
def test_numbers_as_they_are_written(tmp_path: Path, text: str) -> None:
    Image.fromarray(GREY).save(tmp_path / "map.png")
    assert read_map(write_map(tmp_path, resolution=text)).resolution == 0.05


@pytest.mark.parametrize("magic", ["P2", "P5"])
@pytest.mark.parametrize("most", [255, 100, 65535])
def test_pgm(tmp_path: Path, magic: str, most: int) -> None:
    values = np.array([[0, most // 2, most], [most // 5, 1, 7]])
    write_pnm(tmp_path / "map.pgm", magic, values, most)
    grid = read_map(write_map(tmp_path, image="map.pgm"))
    np.testing.assert_allclose(grid.image, values / most, atol=0.5 / 255 if most < 256 else 1e-5)


def test_16_bit_png(tmp_path: Path) -> None:
    values = np.array([[0, 1, 65535], [32768, 257, 40000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "map.png")
    np.testing.assert_allclose(read_map(write_map(tmp_path)).image, values / 65535)


def test_colours_are_averaged_and_alpha_only_where_trinary(tmp_path: Path) -> None:
    rgba = np.array([[[255, 0, 0, 255], [30, 60, 90, 128]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "map.png")
    trinary, scale = (read_map(write_map(tmp_path, mode=m)) for m in ("trinary", "scale"))
    np.testing.assert_allclose(trinary.image, [[510 / 4 / 255, 308 / 4 / 255]])
    np.testing.assert_allclose(scale.image, [[1 / 3, 60 / 255]])
    np.testing.assert_allclose(scale.alpha, [[1.0, 128 / 255]])
    assert scale.occupancy()[0, 1] == -1


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(GREY).convert("P")
    image.save(tmp_path / "map.png", transparency=bytes([0, 255] * 128))
    assert read_map(write_map(tmp_path, mode="scale")).alpha is not None


def test_the_image_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(GREY).save(tmp_path / "images" / "a b.png")
    for image in ("images/a b.png", tmp_path / "images" / "a b.png"):
        assert read_map(write_map(tmp_path, image=str(image))).width == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "'image' is missing"),
        ({"resolution": None}, "'resolution' is missing"),
        ({"origin": None}, "'origin' is missing"),
        ({"resolution": 0}, "resolution must be positive"),
        ({"resolution": -0.05}, "resolution must be positive"),
        ({"resolution": "fine"}, "resolution must be a finite number"),
        ({"resolution": ".nan"}, "resolution must be a finite number"),
        ({"resolution": "true"}, "resolution must be a finite number"),
        ({"origin": "[1, 2]"}, r"origin must be \[x, y, yaw\]"),
        ({"origin": "1 2 3"}, r"origin must be \[x, y, yaw\]"),
        ({"origin": "[1, 2, .inf]"}, "origin must be a finite number"),
        ({"occupied_thresh": 65}, r"occupied_thresh must lie in 0\.\.1"),
        ({"free_thresh": "low"}, "free_thresh must be a finite number"),
        ({"free_thresh": 0.7}, "free_thresh 0.7 is above occupied_thresh 0.65"),
        ({"mode": "Trinary"}, "mode must be trinary, scale or raw"),
        ({"mode": "[raw]"}, "mode must be trinary, scale or raw"),
        ({"negate": "'0'"}, "negate must be 0, 1, true or false"),
        ({"negate": "[1]"}, "negate must be 0, 1, true or false"),
        ({"saved": "2020-13-45"}, "cannot be read as YAML"),
        ({"x": "!!python/object:os.system {}"}, "cannot be read as YAML"),
        ({"x": "["}, "cannot be read as YAML"),
    ],
)
def test_bad_yaml(tmp_path: Path, changes: dict, message: str) -> None:
    Image.fromarray(GREY).save(tmp_path / "map.png")
    with pytest.raises(MapError, match=rf"map\.yaml: .*{message}"):
        read_map(write_map(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"", b"just text", b"- 1\n- 2\n", b"\xff\xfe\xfa"])
def test_files_that_are_no_map(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "map.yaml").write_bytes(content)
    for path in (tmp_path / "map.yaml", tmp_path / "none.yaml", tmp_path):
        with pytest.raises(MapError, match=str(path)):
            read_map(path)


@pytest.mark.parametrize("content", [None, b"", b"P5\n3 2\n255\n\0", b"P2\n3 2\n255\n1 x", b"P5"])
def test_bad_images_are_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "map.pgm").write_bytes(content)
    with pytest.raises(MapError, match=r"map\.yaml: its image cannot be used: .*map\.pgm: "):
        read_map(write_map(tmp_path, image="map.pgm"))


def put_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P5\n3 2\n255\n\xff\xff\xff\0\0\0")
    return path


@pytest.mark.parametrize("yaw", ["-nan", "nan", ".nan", "-.NaN", "+nan", "NaN"])
def test_a_yaw_that_is_not_a_number_is_0(
    tmp_path: Path, yaw: str, caplog: pytest.LogCaptureFixture
) -> None:
    put_image(tmp_path / "map.pgm")
    (tmp_path / "map.yaml").write_text(
        f"image: map.pgm\nresolution: 0.05\norigin: [-15.4, -30.9, {yaw}]\n"
    )
    assert read_map(tmp_path / "map.yaml").origin == (-15.4, -30.9, 0.0)
    assert "map.yaml: the yaw of the origin is not a number and counts as 0" in caplog.text


@pytest.mark.parametrize("origin", ["[.nan, 0, 0]", "[0, -nan, 0]", "[0, 0, .inf]", "[0, 0, x]"])
def test_other_numbers_of_the_origin_must_be_some(tmp_path: Path, origin: str) -> None:
    put_image(tmp_path / "map.pgm")
    (tmp_path / "map.yaml").write_text(f"image: map.pgm\nresolution: 0.05\norigin: {origin}\n")
    with pytest.raises(MapError, match=r"map\.yaml: origin must be a finite number"):
        read_map(tmp_path / "map.yaml")


def write_yaml(path: Path, image: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"image: {image}\nresolution: 0.05\norigin: [0, 0, 0]\n")
    return path


def test_the_image_may_be_of_the_home_or_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put_image(tmp_path / "home" / "maps" / "map.pgm")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for image in ("~/maps/map.pgm", f"file://{file}", str(file)):
        assert read_map(write_yaml(tmp_path / "here" / "map.yaml", image)).width == 3
    with pytest.raises(MapError, match=r"map\.yaml: its image .*home/none\.pgm: cannot be read"):
        read_map(write_yaml(tmp_path / "here" / "map.yaml", "~/none.pgm"))
    with pytest.raises(MapError, match=r"map\.yaml: image '~no-such-user"):
        read_map(write_yaml(tmp_path / "here" / "map.yaml", "~no-such-user/map.pgm"))


def test_the_image_may_be_of_a_ros_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMENT_PREFIX_PATH", "ROS_PACKAGE_PATH"):
        monkeypatch.delenv(name, raising=False)
    url = "package://nav/maps/map.pgm"
    around = write_yaml(tmp_path / "src" / "nav" / "config" / "map.yaml", url)
    with pytest.raises(MapError, match=r"map\.yaml: the image package://nav.*AMENT_PREFIX_PATH"):
        read_map(around)
    put_image(tmp_path / "src" / "nav" / "maps" / "map.pgm")
    assert read_map(around).height == 2
    far = write_yaml(tmp_path / "far" / "map.yaml", url)
    with pytest.raises(MapError, match="package://nav"):
        read_map(far)
    monkeypatch.setenv("ROS_PACKAGE_PATH", f"/none:{tmp_path / 'src'}")
    assert read_map(far).height == 2
    monkeypatch.delenv("ROS_PACKAGE_PATH")
    put_image(tmp_path / "install" / "share" / "nav" / "maps" / "map.pgm")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'install'}:/opt/ros/none")
    assert read_map(far).height == 2


def test_a_map_that_moved_with_its_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put_image(tmp_path / "map.pgm")
    assert read_map(write_yaml(tmp_path / "map.yaml", "/home/robot/map.pgm")).width == 3
    assert "/home/robot/map.pgm is not there; the map's image is" in caplog.text


@pytest.mark.parametrize("image", ["[a, b]", "", "{a: b}", "12", ".", "/"])
def test_an_image_that_is_no_name(tmp_path: Path, image: str) -> None:
    with pytest.raises(MapError, match=r"map\.yaml: image must be the name of a file"):
        read_map(write_yaml(tmp_path / "map.yaml", image))


@pytest.mark.parametrize("kind", ["%!PS", "GIF89a", "<svg", "%PDF"])
def test_an_image_of_another_kind_is_not_decoded(tmp_path: Path, kind: str) -> None:
    (tmp_path / "map.pgm").write_text(kind)
    with pytest.raises(MapError, match=r"map\.yaml: its image .*map\.pgm.*none of PNG"):
        read_map(write_yaml(tmp_path / "map.yaml", "map.pgm"))
