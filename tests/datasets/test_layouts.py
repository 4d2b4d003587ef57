"""Each layout on a small data set of its kind: what is read, and what is said of mistakes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from placememory.datasets import Traverse, find_layout, layouts, open_dataset
from placememory.errors import DatasetError, SettingError
from placememory.frames import Frame
from placememory.metrics.sequences import build_windows
from tests.conftest import run_command


def picture(path: Path, grey: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (grey, grey, grey)).save(path)
    return path


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def robotcar(root: Path, sub: str, numbers=(0, 1, 2), folder: str = "sequence") -> None:
    for i in numbers:
        name = f"@62000{i}.5@573500{i}.25@2014-12-16@{i}@141870000{i}@.jpg"
        picture(root / sub / folder / name, grey=10 * i)


def nordland(root: Path, season: str, places=(4, 5.5, 7)) -> None:
    for i in range(len(places)):
        picture(root / f"test_{season}" / f"{i}.png")
    write(root / f"gt_test_{season}.json", json.dumps(list(places)))


def ros(root: Path, name: str, entries=({"pos": [1, 2, 3]}, {"pos": [2.5, 2]})) -> None:
    for i in range(len(entries)):
        picture(root / name / f"{i + 1}.png")
    write(root / f"{name}.json", json.dumps(list(entries)))


def utm(root: Path, folder: str) -> None:
    picture(root / folder / "@0543256.96@4178906.70@10@S@037@-122@pano1@@90@@@@@@.jpg")
    picture(root / folder / "@0543260.00@4178910.00@10@S@037@-122@pano2@@@@@@@@.jpg")


def msls(root: Path, side: str = "query", city: str = "train_val/cph") -> Path:
    folder = root / city / side
    for key in "abcd":
        picture(folder / "images" / f"{key}.jpg")
    write(
        folder / "postprocessed.csv",
        ",key,easting,northing,unique_cluster,night,control_panel,view_direction",
        "0,a,100.0,200.0,1,False,False,Forward",
        "1,b,105.0,200.0,1,False,False,Forward",
        "2,c,110.0,200.0,1,True,False,Sideways",
        "3,d,115.0,200.0,1,False,False,Forward",
    )
    write(
        folder / "seq_info.csv",
        ",key,sequence_key,frame_number",
        "0,a,s1,7",
        "1,b,s1,6",
        "2,c,s2,0",
        "3,d,s1,8",
    )
    write(
        folder / "raw.csv",
        ",key,lon,lat,ca,captured_at,pano",
        *(f"{i},{k},0,0,90,2018,{k == 'd'}" for i, k in enumerate("abcd")),
    )
    write(folder / "subtask_index.csv", ",key,all,n2d", "0,a,1,True", "1,b,1,False", "2,c,1,True")
    return folder


def pair(root: Path, count: int = 3) -> Path:
    for folder in ("reference", "query"):
        for i in range(count):
            picture(root / folder / f"{i:02d}.png")
    return root


def gsv(root: Path, city: str = "Bangkok") -> Path:
    for i, (place, pano) in enumerate([(7, "a_b-c"), (7, "d"), (9, "e")]):
        name = (
            f"{city}_{place:07d}_2015_{i + 1:02d}_{90 * i:03d}_{13.75 + i / 1e4:.6f}_100.5_{pano}"
        )
        picture(root / "Images" / city / f"{name}.jpg")
    return root


MAKERS = {
    "gsv-cities": gsv,
    "robotcar": lambda root: robotcar(root, "1/queries"),
    "nordland": lambda root: nordland(root, "fall"),
    "ros-images": lambda root: ros(root, "day"),
    "utm-folders": lambda root: utm(root, "images/test/queries"),
    "msls": msls,
    "folder-pair": pair,
    "manifest": lambda root: write(root / "manifest.csv", "image,traverse,x,y", "a.png,day,0,0"),
}


@pytest.mark.parametrize("layout", layouts())
def test_a_layout_is_found_by_its_folders(tmp_path: Path, layout: str) -> None:
    MAKERS[layout](tmp_path)
    assert find_layout(tmp_path) == layout


def test_robotcar(tmp_path: Path) -> None:
    robotcar(tmp_path, "1/queries")
    robotcar(tmp_path, "train/queries", folder=".")
    data = open_dataset("robotcar", tmp_path)
    assert data.splits() == ["1/queries", "train/queries"]
    run = data.traverse("1/queries")
    assert run.positions.tolist()[1] == [620001.5, 5735001.25]
    assert (run.unit, run.frame_numbers.tolist(), run.sessions[0]) == ("m", [0, 1, 2], "1/queries")
    assert run.frames[2].stamp == 1418700002 * 10**9
    assert run.frames[2].name.startswith("1/queries/sequence/@620002.5@")
    assert run.frames[2].pose is not None
    assert run.frames[2].image()[0, 0].tolist() == pytest.approx([20, 20, 20], abs=2)
    assert data.traverse("train_queries").name == "train/queries"
    with pytest.raises(DatasetError, match=r"no split is called '1/query'.*did you mean '1/queri"):
        data.traverse("1/query")


def test_robotcar_numbers_and_names(tmp_path: Path) -> None:
    robotcar(tmp_path, "1/database", numbers=(0, 1, 3))
    data = open_dataset(None, tmp_path)
    with pytest.raises(DatasetError, match=r"@3@.*frame number 3 where 2 is expected.*allow_gaps"):
        data.traverse("1/database")
    gaps = open_dataset("robotcar", tmp_path, allow_gaps=True)
    assert gaps.traverse("1/database").frame_numbers.tolist() == [0, 1, 3]
    folder = tmp_path / "1/database/sequence"
    again = picture(folder / "@1@2@2014-12-16@1@1418700009@.jpg")
    with pytest.raises(DatasetError, match="frame number 1 is also that of @"):
        gaps.traverse("1/database")
    again.unlink()
    for name, message in (
        ("frame12.jpg", "images here are called @northing"),
        ("@1@2@2014@x@3@.jpg", "invalid literal"),
        ("@nan@2@2014@9@3@.jpg", "must be finite"),
    ):
        wrong = picture(folder / name)
        with pytest.raises(DatasetError, match=f"{name}: .*{message}"):
            gaps.traverse("1/database")
        wrong.unlink()


def test_robotcar_with_several_sequences(tmp_path: Path) -> None:
    robotcar(tmp_path, "test/database", folder="seq1")
    robotcar(tmp_path, "test/database", folder="seq2", numbers=(0, 1))
    run = open_dataset("robotcar", tmp_path).traverse("test/database")
    assert list(dict.fromkeys(run.sessions)) == ["test/database/seq1", "test/database/seq2"]
    assert run.frame_numbers.tolist() == [0, 1, 2, 0, 1]


def test_nordland(tmp_path: Path) -> None:
    nordland(tmp_path, "fall", places=range(12))
    nordland(tmp_path, "winter")
    data = open_dataset("nordland", tmp_path)
    assert data.splits() == ["fall", "winter"]
    run = data.traverse("winter")
    assert run.positions.tolist() == [[4, 0], [5.5, 0], [7, 0]]
    assert (run.unit, run.frames[0].pose) == ("frames", None)
    assert data.traverse("fall").frames[10].name == "test_fall/10.png"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: (r / "gt_test_fall.json").unlink(), "ground truth of .*test_fall is missing"),
        (lambda r: write(r / "gt_test_fall.json", "[1, 2]"), "2 entries for the 3 images"),
        (lambda r: write(r / "gt_test_fall.json", "[1, 2"), "cannot read this as JSON"),
        (lambda r: write(r / "gt_test_fall.json", "{}"), "a list is expected, not dict"),
        (lambda r: write(r / "gt_test_fall.json", '[1, 2, "3"]'), "entry 2 is no number but '3'"),
        (lambda r: (r / "test_fall/1.png").unlink(), "number 2 is there where 1 is expected"),
        (lambda r: picture(r / "test_fall/01.png"), "number 1 occurs twice where 2 is expected"),
        (lambda r: picture(r / "test_fall/img9.png"), "images here are called 0.png"),
    ],
)
def test_nordland_mistakes(tmp_path: Path, spoil, message: str) -> None:
    nordland(tmp_path, "fall")
    spoil(tmp_path)
    with pytest.raises(DatasetError, match=message):
        open_dataset("nordland", tmp_path).traverse("fall")


def test_ros_images(tmp_path: Path) -> None:
    ros(tmp_path, "night1103")
    run = open_dataset("ros-images", tmp_path).traverse("night1103")
    assert run.positions.tolist() == [[1, 2], [2.5, 2]]
    assert run.frame_numbers.tolist() == [1, 2]
    assert run.frames[1].pose.x == 2.5
    (tmp_path / "night1103.json").unlink()
    with pytest.raises(DatasetError, match=r"night1103\.json: the ground truth of .* is missing"):
        open_dataset("ros-images", tmp_path).traverse("night1103")
    for entry in ({}, {"pos": [1]}, {"pos": ["1", 2]}, 7, {"pos": [math.inf, 0]}):
        ros(tmp_path, "night1103", entries=({"pos": [0, 0]}, entry))
        with pytest.raises(DatasetError, match="entry 1"):
            open_dataset("ros-images", tmp_path).traverse("night1103")
    (tmp_path / "night1103/2.png").rename(tmp_path / "night1103/3.png")
    with pytest.raises(DatasetError, match="number 3 is there where 2 is expected"):
        open_dataset("ros-images", tmp_path).traverse("night1103")


@pytest.mark.parametrize("base", ["images", "."])
def test_utm_folders(tmp_path: Path, base: str) -> None:
    utm(tmp_path, f"{base}/test/queries")
    utm(tmp_path, f"{base}/val/database")
    data = open_dataset(None, tmp_path)
    assert data.splits() == ["val/database", "test/queries"]
    run = data.traverse("test/queries")
    assert run.positions.tolist() == [[543256.96, 4178906.70], [543260, 4178910]]
    assert math.degrees(run.frames[0].pose.yaw) == pytest.approx(0)
    assert math.isnan(run.frames[1].pose.yaw)
    picture(tmp_path / base / "test/queries/@north@east@.jpg")
    with pytest.raises(
        DatasetError, match=r"@north@east@\.jpg: images here are called @<utm east>"
    ):
        data.traverse("test/queries")


def test_msls(tmp_path: Path) -> None:
    msls(tmp_path)
    msls(tmp_path, "database")
    data = open_dataset("msls", tmp_path)
    assert data.splits() == ["cph/database", "cph/query"]
    run = data.traverse("cph/query")
    assert [frame.name[-5:] for frame in run.frames] == ["b.jpg", "a.jpg", "c.jpg"]
    assert run.frame_numbers.tolist() == [6, 7, 0]
    assert run.sessions == ("cph/query/s1", "cph/query/s1", "cph/query/s2")
    assert run.positions[0].tolist() == [105.0, 200.0]
    assert math.degrees(run.frames[0].pose.yaw) == pytest.approx(0)
    for options, keys in (
        ({"panoramas": True}, "badc"),
        ({"night": True}, "c"),
        ({"night": False, "view_direction": "Forward"}, "ba"),
        ({"view_direction": "Sideways"}, "c"),
        ({"subtask": "n2d"}, "ac"),
    ):
        found = open_dataset("msls", tmp_path / "train_val", **options).traverse("cph/query")
        assert "".join(frame.name[-5] for frame in found.frames) == keys


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda f: (f / "seq_info.csv").unlink(), {}, r"seq_info\.csv: there is no such table"),
        (lambda f: (f / "images/b.jpg").unlink(), {}, r"1 of 3 images are missing, first b\.jpg"),
        (lambda f: write(f / "seq_info.csv", "key,frame_number", "a,1"), {}, "'sequence_id'"),
        (
            lambda f: write(f / "seq_info.csv", "key,sequence_id,frame_number", "a,s,1"),
            {},
            "3 keys have no row, first 'b'",
        ),
        (
            lambda f: write(f / "postprocessed.csv", "key,easting,northing", "a,1,2", "a,1,2"),
            {},
            r"postprocessed\.csv:3: the key 'a' is already on line 2",
        ),
        (
            lambda f: write(f / "postprocessed.csv", "key,easting,northing", "a,1,east"),
            {},
            r"postprocessed\.csv:2: .*'east'",
        ),
        (
            lambda f: write(f / "postprocessed.csv", "key,easting,northing", "a,1,nan"),
            {},
            "the position of 'a' is not finite",
        ),
        (
            lambda f: write(f / "postprocessed.csv", "key,easting", "a,1"),
            {},
            "no column 'northing'",
        ),
        (lambda f: write(f / "postprocessed.csv", "key"), {}, "the table is empty"),
        (
            lambda f: write(f / "postprocessed.csv", "key,easting,northing", "a,1,2"),
            {"night": True},
            "no column 'night'",
        ),
        (lambda f: None, {"subtask": "s2w"}, "no column 's2w'; it has: .*n2d"),
        (lambda f: None, {"night": True, "view_direction": "Forward"}, "no image is left.*night"),
        (
            lambda f: write(f / "subtask_index.csv", "key,n2d", "a,perhaps"),
            {"subtask": "n2d"},
            "'perhaps' is neither true nor false",
        ),
    ],
)
def test_msls_mistakes(tmp_path: Path, spoil, options, message: str) -> None:
    spoil(msls(tmp_path))
    with pytest.raises(DatasetError, match=message):
        open_dataset("msls", tmp_path, **options).traverse("cph/query")


def test_a_view_direction_is_one_of_three(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="Forward, Backward or Sideways, not 'forward'"):
        open_dataset("msls", tmp_path, view_direction="forward")


def test_a_pair_with_correspondences(tmp_path: Path) -> None:
    pair(tmp_path)
    write(
        tmp_path / "correspondences.csv",
        "query,reference,tolerance",
        "00.png,02.png,",
        "1,1,2",
        "02.png,,",
    )
    data = open_dataset("folder-pair", tmp_path)
    assert data.splits() == ["reference", "query"]
    reference, query = (data.traverse(name) for name in data.splits())
    assert reference.positions.tolist() == [[0, 0], [1, 0], [2, 0]]
    assert query.positions[:2].tolist() == [[2, 0], [1, 0]]
    assert np.isnan(query.positions[2, 0])
    assert query.tolerances.tolist()[1] == 2
    assert (query.unit, reference.tolerances) == ("frames", None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("query,reference", "0,0", "1,1"), "1 of 3 queries have no line, first 02.png"),
        (("query,reference", "0,0", "0,1"), r"csv:3: query '0' is already on line 2"),
        (("query,reference", "9.png,0"), "'9.png' is neither the name of an image"),
        (("query,reference", "0,3"), "nor an index from 0 to 2"),
        (("query,match", "0,3"), "no column 'reference'; it has: query, match"),
        (("query,reference,tolerance", "0,0,-1"), "a tolerance is 0 or more"),
        (("query,reference,tolerance", "0,0,few"), "csv:2: .*'few'"),
        (("query,reference", "0"), "csv:2: 1 values for 2 columns"),
    ],
)
def test_correspondence_mistakes(tmp_path: Path, lines, message: str) -> None:
    write(pair(tmp_path) / "truth.csv", *lines)
    data = open_dataset("folder-pair", tmp_path, correspondences="truth.csv")
    with pytest.raises(DatasetError, match=message):
        data.traverse("query")


def test_a_pair_with_poses(tmp_path: Path) -> None:
    pair(tmp_path)
    for name in ("reference", "query"):
        write(tmp_path / f"{name}.csv", "name,x,y", "00.png,1,2", "01.png,3,4", "02.png,5,6")
    run = open_dataset(None, tmp_path).traverse("query")
    assert run.positions.tolist() == [[1, 2, 0], [3, 4, 0], [5, 6, 0]]
    assert run.frames[0].name == "query/00.png"
    write(tmp_path / "query.csv", "name,x,y", "00.png,1,2", "02.png,5,6")
    with pytest.raises(DatasetError, match="1 of 3 images have no pose, first query/01"):
        open_dataset("folder-pair", tmp_path).traverse("query")
    dropped = open_dataset("folder-pair", tmp_path, without_pose="drop").traverse("query")
    assert dropped.frame_numbers.tolist() == [0, 2]
    write(tmp_path / "query.csv", "name,x,y", "00.png,1,north")
    with pytest.raises(DatasetError, match=r"query\.csv:2: .*'north'"):
        open_dataset("folder-pair", tmp_path).traverse("query")


def test_a_pair_without_ground_truth(tmp_path: Path) -> None:
    pair(tmp_path)
    with pytest.raises(
        DatasetError, match="no ground truth for 'reference'; set the option reference_poses"
    ):
        open_dataset("folder-pair", tmp_path)
    with pytest.raises(SettingError, match="not both"):
        open_dataset("folder-pair", tmp_path, correspondences="a", query_poses="b")
    with pytest.raises(SettingError, match="error or drop"):
        open_dataset("folder-pair", tmp_path, without_pose="keep")


def test_manifest(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"img/{name}.jpg")
    path = write(
        tmp_path / "manifest.csv",
        "image,traverse,x,y,yaw,stamp,frame,session",
        "img/a.jpg,day,0,1,1.5,12.5,4,first",
        "img/b.jpg,day,2,3,,,5,first",
        "img/c.jpg,day,,,,,6,",
        "img/a.jpg,night,0,1,,,,",
    )
    data = open_dataset(None, tmp_path)
    assert (data.splits(), data.name) == (["day", "night"], tmp_path.name)
    run = data.traverse("day")
    assert run.positions[:2].tolist() == [[0, 1], [2, 3]]
    assert np.isnan(run.positions[2]).all()
    assert (run.frames[0].stamp, run.frames[0].pose.yaw) == (12_500_000_000, pytest.approx(1.5))
    assert run.sessions == ("first", "first", "day")
    assert (run.frames[2].pose, run.frame_numbers.tolist()) == (None, [4, 5, 6])
    assert data.traverse("night").frame_numbers.tolist() == [0]
    timeline = open_dataset("manifest", path, unit="frames")
    assert (timeline.traverse("day").unit, timeline.traverse("day").frames[0].pose) == (
        "frames",
        None,
    )
    write(path, "image,traverse,x,y,z", "img/a.jpg,day,0,1,7", "img/b.jpg,day,0,1,")
    assert open_dataset("manifest", path).traverse("day").positions.tolist() == [
        [0, 1, 7],
        [0, 1, 0],
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("image,traverse,x", "a.jpg,day,0"), "no column 'y'; it has: image, traverse, x"),
        (("image,traverse,x,y,heading", "a.jpg,day,0,0,0"), "no column is called 'heading'"),
        (("a.jpg,day,0,0", "b.jpg,day,0,0"), "no column 'image'"),
        (("image,traverse,x,y", "a.jpg,day,0,zero"), r"manifest\.csv:2: .*'zero'"),
        (("image,traverse,x,y", "a.jpg,day,0,"), r"manifest\.csv:2: '' is no number"),
        (("image,traverse,x,y", "a.jpg,day,0,nan"), r"manifest\.csv:2: the position is not finite"),
        (("image,traverse,x,y", "z.jpg,day,0,0"), r"manifest\.csv:2: there is no image 'z\.jpg'"),
        (("image,traverse,x,y", ",day,0,0"), "csv:2: a row needs an image and a traverse"),
        (
            ("image,traverse,x,y", "a.jpg,day,0,0", "a.jpg,day,1,0"),
            r"csv:3: the image 'a\.jpg' of traverse 'day' is already on line 2",
        ),
        (
            ("image,traverse,x,y,frame", "a.jpg,day,0,0,1", "b.jpg,day,1,0,1"),
            "csv:3: frame 1 of session 'day' is already on line 2",
        ),
        (("image,traverse,x,y,frame", "a.jpg,day,0,0,1.5"), "csv:2: '1.5' is no whole number"),
        (("image,traverse,x,y,yaw", "a.jpg,day,0,0,nan"), "csv:2: a yaw must be finite"),
        (("image,traverse,x,y,stamp", "a.jpg,day,0,0,noon"), "csv:2: 'noon' is no stamp"),
    ],
)
def test_manifest_mistakes(tmp_path: Path, lines, message: str) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.jpg")
    write(tmp_path / "manifest.csv", *lines)
    with pytest.raises(DatasetError, match=message):
        open_dataset("manifest", tmp_path)


def test_opening(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"no layout is called 'robot-car'.*did you mean 'robotcar"
    ):
        open_dataset("robot-car", tmp_path)
    with pytest.raises(SettingError, match="nordland has no setting 'season'; it has: none"):
        open_dataset("nordland", tmp_path, season="fall")
    with pytest.raises(DatasetError, match="there is no such data set"):
        open_dataset("nordland", tmp_path / "nothing")
    with pytest.raises(DatasetError, match="there is no such folder"):
        find_layout(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="no known layout fits; give the layout"):
        find_layout(tmp_path)
    nordland(tmp_path, "fall")
    pair(tmp_path)
    with pytest.raises(DatasetError, match="folder-pair and nordland both fit"):
        open_dataset(None, tmp_path)


@pytest.mark.parametrize("layout", layouts())
def test_every_layout_says_which_splits_there_are(tmp_path: Path, layout: str) -> None:
    MAKERS[layout](tmp_path)
    picture(tmp_path / "a.png")
    options = {"correspondences": "x.csv"} if layout == "folder-pair" else {}
    data = open_dataset(layout, tmp_path, **options)
    assert data.splits()
    with pytest.raises(DatasetError, match="no split is called 'dusk'; there are: "):
        data.traverse("dusk")


def test_a_traverse_is_checked_and_read_only() -> None:
    frames = (Frame("a.png", "day", 0), Frame("b.png", "day", 1))
    run = Traverse("day", frames, np.zeros((2, 2)), "m", np.arange(2))
    with pytest.raises(ValueError, match="read-only"):
        run.positions[0] = 1
    for positions, numbers, message in (
        (np.zeros((1, 2)), np.arange(2), "do not agree"),
        (np.zeros((2, 4)), np.arange(2), "do not agree"),
        (np.zeros((2, 2)), np.arange(3), "do not agree"),
        (np.array([[0, 0], [np.inf, 0]]), np.arange(2), r"b\.png is infinite"),
    ):
        with pytest.raises(DatasetError, match=message):
            Traverse("day", frames, positions, "m", numbers)
    with pytest.raises(DatasetError, match=r"frame \('day', 0\) occurs 2 times"):
        Traverse("day", (frames[0], frames[0]), np.zeros((2, 2)), "m", np.arange(2))
    with pytest.raises(DatasetError, match="as many tolerances"):
        Traverse("day", frames, np.zeros((2, 2)), "m", np.arange(2), np.zeros(1))


@pytest.mark.real
def test_the_recorded_scene_as_files_gives_the_recorded_windows(
    golden: Path, tmp_path: Path
) -> None:
    """Names on disk -> traverse -> windows, equal to those of the reference."""
    given = np.load(golden / "seqeval/scene0_inputs.npz")
    wanted = np.load(golden / "seqeval/scene0_outputs.npz")
    for side, folder, name in zip(given["side"], given["sequence"], given["name"], strict=True):
        (tmp_path / "test" / side / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "test" / side / folder / name).touch()
    data = open_dataset(None, tmp_path, allow_gaps=True)
    for split, kind in (("test/database", "database"), ("test/queries", "query")):
        run = data.traverse(split)
        rows = np.flatnonzero(given["side"] == split.split("/")[1])
        assert run.positions.tolist() == given["xy"][rows].tolist()
        windows = build_windows(run.sessions, run.frame_numbers, 5, protocol="casevpr")
        recorded = wanted[f"L5_lax_cut0_rev0_thr10_test/{kind}_sequences"]
        assert (windows.frames + rows[0]).tolist() == recorded.tolist()


def test_gsv_cities(tmp_path: Path) -> None:
    gsv(tmp_path)
    gsv(tmp_path, "Sao_Paulo")
    data = open_dataset(None, tmp_path)
    assert data.splits() == ["Bangkok", "Sao_Paulo"]
    run = data.traverse("Bangkok")
    np.testing.assert_allclose(run.positions[:, 1], [-11.06, 0, 11.06], atol=0.01)
    assert run.sessions == ("Bangkok/0000007", "Bangkok/0000007", "Bangkok/0000009")
    assert run.frames[1].pose.yaw == pytest.approx(0, abs=1e-6)
    picture(tmp_path / "Images/Bangkok/Bangkok_0000007_x.jpg")
    with pytest.raises(DatasetError, match=r"_x\.jpg: images here are called <city>_<pla"):
        data.traverse("Bangkok")


@pytest.mark.parametrize("names", [("summer", "winter"), ("Spring", "fall", "winter_clean")])
def test_seasons_whose_images_have_the_number_of_their_frame(tmp_path: Path, names: tuple) -> None:
    """Of one season all frames, of the others every tenth, as the small set has them."""
    for i, name in enumerate(names):
        for number in range(0, 40, 10 if i else 1):
            picture(tmp_path / name / f"images-{number:05d}.png")
    data = open_dataset(None, tmp_path)
    assert data.splits() == sorted(names)
    queries = data.traverse(names[1])
    assert queries.positions[:, 0].tolist() == [0, 10, 20, 30]
    assert len(data.traverse(names[0])) == 40
    picture(tmp_path / names[1] / "images-00010.jpg")
    with pytest.raises(DatasetError, match="two images have the same frame number"):
        data.traverse(names[1])


def test_folders_of_coordinates_under_other_names(tmp_path: Path) -> None:
    """SVOX has a gallery and queries by weather; SF-XL folders below, and versions of queries."""
    names = ("gallery", "queries", "queries_night", "queries_v1")
    for side in names:
        below = "37.7/" if side == "gallery" else ""
        for i in range(2):
            picture(tmp_path / "processed/test" / side / f"{below}@{500 + i}@4100.5@.jpg")
    data = open_dataset(None, tmp_path)
    assert data.splits() == [f"test/{side}" for side in names]
    assert data.traverse("test/gallery").positions.tolist() == [[500, 4100.5], [501, 4100.5]]


def test_folders_of_degrees_have_one_origin(tmp_path: Path) -> None:
    for side, start in (("database", 0.0), ("queries", 0.005)):
        for i in range(3):
            lon, lat = 120.1 + start + i / 1e3, 30.2
            picture(tmp_path / f"test/{side}/@{lon:.6f}@{lat:.6f}@.jpg")
    data = open_dataset(None, tmp_path)
    database, queries = (data.traverse(f"test/{side}") for side in ("database", "queries"))
    apart = np.linalg.norm(queries.positions[0] - database.positions[0])
    assert apart == pytest.approx(481.4, abs=0.5)


def test_pose_files_in_degrees_have_one_origin(tmp_path: Path) -> None:
    pair(tmp_path)
    for side, start in (("reference", 0.0), ("query", 0.005)):
        rows = "".join(f"{i:02d}.png,{30.2 + start + i / 1e3},120.1\n" for i in range(3))
        (tmp_path / f"{side}.csv").write_text(f"name,lat,lon\n{rows}")
    data = open_dataset(None, tmp_path)
    reference, query = (data.traverse(side) for side in ("reference", "query"))
    apart = np.linalg.norm(query.positions[0] - reference.positions[0])
    assert apart == pytest.approx(554.3, abs=0.5)


@pytest.mark.parametrize("columns", ["easting,northing", ""])
def test_test_cities_of_msls(tmp_path: Path, columns: str) -> None:
    msls(tmp_path)
    for side, start in (("database", 0.0), ("query", 0.005)):
        folder = tmp_path / "test/miami" / side
        for key in "ab":
            picture(folder / "images" / f"{key}.jpg")
        given = [",1,2", ",1,3"] if columns else ["", ""]
        write(folder / "postprocessed.csv", f"key,{columns}".strip(","),
              *(f"{key}{values}" for key, values in zip("ab", given, strict=True)))  # fmt: skip
        write(folder / "seq_info.csv", "key,sequence_key,frame_number", "a,s,0", "b,s,1")
        write(folder / "raw.csv", "key,lon,lat,ca,pano", f"a,-80.2,{25.7 + start},90,False",
              f"b,-80.2,{25.701 + start},,False")  # fmt: skip
    data = open_dataset("msls", tmp_path)
    assert data.splits()[-2:] == ["miami/database", "miami/query"]
    database, query = (data.traverse(f"miami/{side}") for side in ("database", "query"))
    if columns:
        assert query.positions.tolist() == [[1, 2], [1, 3]]
        return
    assert np.linalg.norm(query.positions[0] - database.positions[0]) == pytest.approx(553.9, abs=1)
    assert query.frames[0].pose.yaw == pytest.approx(0, abs=1e-4)
    (tmp_path / "test/miami/query/raw.csv").unlink()
    with pytest.raises(DatasetError, match=r"no column 'easting', and .*raw\.csv has no lon"):
        data.traverse("miami/query")


LISTS = [[0, 1], [1], [], [2, 0, 2]]


def as_array(kind: str) -> np.ndarray:
    if kind == "pairs with lists":
        rows = np.empty((4, 2), object)
        for i, places in enumerate(LISTS):
            rows[i] = [i, places]
        return rows
    rows = np.empty(4, object)
    for i, places in enumerate(LISTS):
        rows[i] = np.array(places, np.int64) if kind == "arrays" else places
    return rows


@pytest.mark.parametrize("kind", ["pairs with lists", "arrays", "lists", "csv"])
@pytest.mark.parametrize("names", [("ref", "query"), ("reference", "queries")])
def test_lists_of_correct_references(tmp_path: Path, kind: str, names: tuple) -> None:
    for name, count in zip(names, (3, 4), strict=True):
        for i in range(count):
            picture(tmp_path / name / f"{i:07d}.jpg")
    if kind == "csv":
        rows = [f"{i},{' '.join(map(str, places))}" for i, places in enumerate(LISTS)]
        write(tmp_path / "correspondences.csv", "query,reference", *rows)
    else:
        np.save(tmp_path / "ground_truth_new.npy", as_array(kind), allow_pickle=True)
    data = open_dataset(None, tmp_path)
    query, reference = data.traverse(names[1]), data.traverse(names[0])
    assert [rows.tolist() for rows in query.positives] == [sorted(set(rows)) for rows in LISTS]
    assert query.positives_of == reference.name == "reference"
    assert np.isnan(query.positions[2, 0])


@pytest.mark.parametrize("rows", [[[0, 2], [1, 0], [2, 1]], [2, 0, 1]])
def test_one_correct_reference_in_a_numpy_file(tmp_path: Path, rows: list) -> None:
    pair(tmp_path)
    np.save(tmp_path / "ground_truth_new.npy", np.array(rows))
    query = open_dataset(None, tmp_path).traverse("query")
    assert [found.tolist() for found in query.positives] == [[2], [0], [1]]


class Harmful:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("harmed"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.array([Harmful(), None], object), "cannot read the lists .*not only lists of numbers"),
        (
            np.array([[0, 9], [1, 1], [2, 2]]),
            "query 0 has the references .*9.*there are 3",
        ),
        (np.array([[0, 1], [1, 1]]), "2 queries where there are 3 images; number 2 is missing"),
        (np.array([0.5, 1.5, 2.5]), "lists of whole numbers are expected, not float64"),
        (b"no array", "cannot read the lists .*write them as correspondences.csv"),
    ],
)
def test_numpy_files_that_are_no_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pair(tmp_path)
    path = tmp_path / "ground_truth_new.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(DatasetError, match=rf"ground_truth_new\.npy: {message}"):
        open_dataset(None, tmp_path).traverse("query")
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("layout", layouts())
def test_a_layout_says_what_it_is_for(layout: str) -> None:
    shown = run_command("datasets", layout).out
    assert "<root>" in shown or layout in ("folder-pair", "manifest")
    (info,) = json.loads(run_command("datasets", layout, "--json").out)
    assert bool(info["licence"]) == bool(info["address"]) == bool(info["data_sets"])
    assert layout in run_command("datasets").out


def test_a_manifest_in_degrees(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    path = write(tmp_path / "manifest.csv", "image,traverse,latitude,longitude",
                 "a.png,day,46.5,6.5", "b.png,night,46.501,6.5", "c.png,night,,")  # fmt: skip
    data = open_dataset(None, tmp_path)
    day, night = data.traverse("day"), data.traverse("night")
    assert np.linalg.norm(night.positions[0] - day.positions[0]) == pytest.approx(111.15, abs=0.1)
    assert np.isnan(night.positions[1]).all()
    write(path, "image,traverse,latitude,longitude", "a.png,day,146.5,6.5")
    with pytest.raises(DatasetError, match=r"manifest\.csv:2: 146\.5, 6\.5 is no latitude"):
        open_dataset(None, tmp_path)
