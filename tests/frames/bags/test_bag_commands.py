"""Commands on bags, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from placememory.frames import FrameSelection
from placememory.memory import PlaceMemory, copy, images_of_memory, merge, recall_topics
from tests.conftest import run_command
from tests.frames.bags.write import SECOND, START, Messages, write_bag

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

COUNT = 16


def picture(i: int) -> np.ndarray:
    """(64, 96, 3) uint8: a wall of coloured blocks that moves by as the robot drives."""
    blocks = np.random.default_rng(5).integers(0, 256, (8, 12 + COUNT, 3), dtype=np.uint8)
    return blocks[:, i : i + 12].repeat(8, axis=0).repeat(8, axis=1)


def walk(path: Path, kind: str, *, ahead: int = 0) -> Path:
    """A robot that goes a quarter of a metre a frame, in the frame of its map."""
    made = Messages(kind)
    rows = []
    for i in range(COUNT):
        stamp = START + i * SECOND // 5
        rows.append(("/odom", stamp, made.odometry(stamp, 0.25 * i, 0.0, 0.1 * i)))
        moved = [
            made.transform(stamp, "map", "odom", 10.0, 0.0, 0.0),
            made.transform(stamp, "odom", "base_link", 0.25 * i, 0.0, 0.1 * i),
        ]
        rows.append(("/tf", stamp, made.tf(*moved)))
        rows.append(("/cam", stamp + ahead, made.rgb(stamp, picture(i))))
        rows.append(("/other", stamp + ahead, made.rgb(stamp, picture(0))))
    return write_bag(path, kind, rows)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walk(tmp_path_factory.mktemp("bags") / "run1", "mcap")


def test_build_localize_and_extract(bag: Path, tmp_path: Path) -> None:
    memory = tmp_path / "a.memory"
    shown = run_command(
        "build", memory, "--images", bag, "--topic", "/cam", "--pose-topic", "/tf",
        "--keyframe-distance", 0.5, "--keyframe-angle", 90,
    )  # fmt: skip
    assert "map to base_link" in shown.err
    assert "16 of 16 frames have a pose (16 by interpolation)" in shown.err
    assert "8 of 16 frames are key frames" in shown.err
    with PlaceMemory.open(memory, readonly=True) as opened:
        assert [p.name for p in opened.places] == [f"run1#{i:06d}" for i in range(0, 16, 2)]
        assert [p.index for p in opened.places] == list(range(0, 16, 2))
        assert [p.pose.x for p in opened.places] == [10.0 + 0.25 * i for i in range(0, 16, 2)]
        assert opened.places[1].pose.yaw == pytest.approx(0.2)
        assert opened.manifest.frame_id == "map"
    again = run_command("build", memory, "--images", bag, "--topic", "/cam", "--pose-topic", "/tf",
                        "--keyframe-distance", 0.5)  # fmt: skip
    assert "0 places added, 8 were there already" in again.err
    later = walk(tmp_path / "run2", "ros1", ahead=1_000_000)
    done = run_command(
        "localize", memory, later, "--out", tmp_path / "out", "--topic", "/cam",
        "--pose-topic", "/tf", "--radius", 0.3, "--json",
    )  # fmt: skip
    assert json.loads(done.out)["recall"]["recall@1"]["value"] >= 0.9
    described = run_command(
        "extract", later, "--out", tmp_path / "q.h5", "--topic", "/cam", "--like", memory
    )
    assert "16 images described" in described.err


def test_the_frame_of_odometry_is_kept(bag: Path, tmp_path: Path) -> None:
    memory = tmp_path / "odom.memory"
    run_command("build", memory, "--images", bag, "--topic", "cam", "--pose-topic", "odom",
                "--every", 4)  # fmt: skip
    with PlaceMemory.open(memory, readonly=True) as opened:
        assert opened.manifest.frame_id == "odom"
        assert {place.pose.frame_id for place in opened.places} == {"odom"}
        assert [place.pose.x for place in opened.places] == [0.0, 1.0, 2.0, 3.0]


def test_what_must_be_chosen_is_said(bag: Path, tmp_path: Path) -> None:
    memory = tmp_path / "a.memory"
    images = run_command("build", memory, "--images", bag, expect=2)
    assert "2 topics with images; topics with images: /cam (sensor" in images.err
    poses = run_command("build", memory, "--images", bag, "--topic", "/cam", expect=2)
    assert "2 topics with poses: /odom (nav" in poses.err
    none = run_command("build", memory, "--images", bag, "--topic", "/cam", "--pose-topic", "none",
                       "--keyframe-distance", 1, expect=2)  # fmt: skip
    assert "key frames are chosen by their poses, and no frame has one" in none.err
    frames = run_command("build", memory, "--images", bag, "--topic", "/cam", "--pose-topic", "/tf",
                         "--pose-frames", "earth:base_link", expect=2)  # fmt: skip
    assert "there is no frame 'earth'" in frames.err
    (tmp_path / "photos").mkdir()
    np.asarray(0)
    from PIL import Image

    Image.fromarray(picture(0)).save(tmp_path / "photos" / "a.png")
    folder = run_command("build", memory, "--images", tmp_path / "photos", "--pose-topic", "/odom",
                         expect=2)  # fmt: skip
    assert "--pose-topic /odom is a topic of a ROS bag; there is none" in folder.err
    assert not memory.exists()


def test_poses_of_a_bag_for_a_folder_of_images(bag: Path, tmp_path: Path) -> None:
    """Images that were taken out of a bag; their names are their stamps."""
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for i in range(4):
        name = f"{START + i * SECOND // 5 + SECOND // 10}.png"
        Image.fromarray(picture(i)).save(tmp_path / "photos" / name)
    memory = tmp_path / "a.memory"
    shown = run_command("build", memory, "--images", tmp_path / "photos", "--poses", bag,
                        "--pose-topic", "/odom")  # fmt: skip
    assert "4 of 4 frames have a pose (4 by interpolation)" in shown.err
    with PlaceMemory.open(memory, readonly=True) as opened:
        xs = [place.pose.x for place in opened.places]
    assert xs == pytest.approx([0.125, 0.375, 0.625, 0.875])
    how = (
        "build", memory, "--images", tmp_path / "photos", "--poses", bag,
        "--pose-topic", "/odom", "--max-gap", 0.1,
    )  # fmt: skip
    cause = "poses come every 0.2 s, and two around an image may be 0.1 s apart"
    assert cause in run_command(*how, expect=2).err
    assert f"warning: {bag} (/odom): {cause}" in run_command(*how, "--allow-no-poses").err


def test_a_cut_bag_stops_the_build_or_is_used_as_far_as_it_goes(bag: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mcap"
    data = (bag / "run1.mcap").read_bytes()
    path.write_bytes(data[: len(data) - 40])
    memory = tmp_path / "a.memory"
    how = ("--images", path, "--topic", "/cam", "--pose-topic", "/odom")
    assert "mcap recover" in run_command("build", memory, *how, expect=2).err
    shown = run_command("build", memory, *how, "--skip-bad")
    assert "warning: " in shown.err
    assert "places added" in shown.err


def test_a_stream_whose_truth_nothing_joins_is_written_and_refused(
    bag: Path, known: Path, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.tum"
    truth.write_text("".join(f"{900 + i} {i} 0 0 0 0 0 1\n" for i in range(5)))
    how = ("localize", known, bag, "--topic", "/cam", "--odom-topic", "none", "--poses", truth,
           "--out", tmp_path / "out")  # fmt: skip
    shown = run_command(*how, expect=2)
    assert "none of 16 frames finds a pose: the images are from 2023-11-14" in shown.err
    assert (tmp_path / "out/metrics.json").is_file()
    assert "one counts from 1970" in run_command(*how, "--allow-no-poses").err


@pytest.fixture(scope="module")
def known(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory of a bag with two cameras and two topics of poses."""
    memory = tmp_path_factory.mktemp("known") / "a.memory"
    run_command("build", memory, "--images", bag, "--topic", "cam", "--pose-topic", "/tf")
    return memory


def test_the_topics_are_remembered_with_the_session(bag: Path, known: Path, tmp_path: Path) -> None:
    with PlaceMemory.open(known, readonly=True) as memory:
        assert memory.manifest.topics == {"run1": "/cam"}
        assert memory.manifest.pose_topics == {"run1": "/tf"}
        image = images_of_memory(memory)(memory.places[3])
        np.testing.assert_array_equal(image, picture(3))
    with copy(known, tmp_path / "copy") as copied, merge([known], tmp_path / "merged") as merged:
        for other in (copied, merged):
            assert other.manifest.topics == {"run1": "/cam"}
            assert other.manifest.pose_topics == {"run1": "/tf"}
            assert images_of_memory(other)(other.places[3]) is not None


def test_a_run_is_localised_and_drawn_without_naming_its_topic(known: Path, tmp_path: Path) -> None:
    later = walk(tmp_path / "run2", "ros1", ahead=1_000_000)
    shown = run_command(
        "localize", known, later, "--out", tmp_path / "o", "--report", tmp_path / "r",
        "--no-verify",
    )  # fmt: skip
    assert "index.html" in shown.err
    assert "cannot be shown" not in shown.err
    assert (tmp_path / "r" / "index.html").is_file()


@pytest.mark.parametrize("kind", ["mcap", "sqlite", "ros1"])
def test_topics_that_are_not_named_are_those_of_the_memory(
    known: Path, tmp_path: Path, kind: str
) -> None:
    later = walk(tmp_path / "run2", kind)
    nothing = FrameSelection()
    found = recall_topics(nothing, str(known), later)
    assert ((found.topic or "").strip("/"), found.pose_topic) == ("cam", None)
    found = recall_topics(nothing, str(known), later, truth=True)
    assert ((found.topic or "").strip("/"), found.pose_topic) == ("cam", "/tf")
    named = FrameSelection(topic="/other", pose_topic="/odom")
    assert recall_topics(named, str(known), later, truth=True) == named
    assert recall_topics(nothing, str(known), tmp_path / "no.bag", truth=True) == nothing


def test_the_images_of_a_memory_without_topics_are_missed_with_a_warning(
    bag: Path, known: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with copy(known, tmp_path / "a.memory") as memory:
        memory.set_facts(topics={})
        assert images_of_memory(memory)(memory.places[3]) is None
    assert "the images of session 'run1' cannot be shown: " in caplog.text
    assert "choose one with --topic" in caplog.text
