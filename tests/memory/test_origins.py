"""Memories whose map frame is called by an origin: runs from other origins are brought to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placememory.encoders import EncoderCard, Preprocess
from placememory.errors import InputError, PoseError, SettingError
from placememory.frames import Frame, Origin, Pose, local_poses
from placememory.localization import localize
from placememory.memory import PlaceMemory, copy, merge, prune
from placememory.memory.build import build
from tests.conftest import make_card, make_descriptors

HOME, AWAY, FAR = "geo:46.5,6.6", "geo:46.52,6.63", "geo:-33.9,151.2"


class Mean:
    """Describes an image by its colour."""

    card = EncoderCard(name="mean", dim=3, preprocess=Preprocess(longest=8))

    def encode(self, images: list) -> np.ndarray:
        means = np.float32([image.mean((0, 1)) for image in images])
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def drive(session: str, origin: str, start: float = 0.0, count: int = 4) -> list[Frame]:
    """A run to the north from 46.51 degrees, 11 m a frame, in the frame of an origin."""
    lat = [46.51 + start + 1e-4 * i for i in range(count)]
    poses = local_poses(lat, [6.61] * count, [0.0] * count, Origin.of_frame(origin))
    colours = np.random.default_rng(len(session)).integers(1, 255, (count, 1, 1, 3), np.uint8)
    return [
        Frame(f"{session}/{i}.png", session, i, pose=pose, read=lambda i=i: colours[i])
        for i, pose in enumerate(poses)
    ]


def degrees(memory: PlaceMemory) -> np.ndarray:
    """Latitudes of the places."""
    origin = Origin.of_frame(memory.manifest.frame_id)
    return origin.to_degrees(*np.transpose([(p.pose.x, p.pose.y) for p in memory.places]))[0]


def test_a_run_from_another_origin_is_brought_to_the_memory(tmp_path: Path) -> None:
    with build(tmp_path / "m", drive("a", HOME), encoder=Mean()) as memory:
        assert memory.manifest.frame_id == HOME
    for _ in range(2):  # given again, nothing moves
        with build(tmp_path / "m", drive("b", AWAY, 0.001), encoder=Mean()) as memory:
            assert {place.pose.frame_id for place in memory.places} == {HOME}
            expected = 46.51 + np.array([0, 1, 2, 3, 10, 11, 12, 13]) * 1e-4
            np.testing.assert_allclose(degrees(memory), expected, atol=1e-8)
    assert (memory.report.added, memory.report.moved, memory.report.present) == (0, 0, 4)


@pytest.mark.parametrize(
    ("frame_id", "error", "message"),
    [("map", SettingError, "called by its origin, such as geo:46.5,6.6, not 'map'"),
     (FAR, PoseError, "over 1000 km apart")],
)  # fmt: skip
def test_names_that_poses_with_an_origin_cannot_have(
    tmp_path: Path, frame_id: str, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        build(tmp_path / "m", drive("a", HOME), encoder=Mean(), frame_id=frame_id)
    with build(tmp_path / "m", drive("a", HOME), encoder=Mean(), frame_id=AWAY) as memory:
        assert memory.manifest.frame_id == AWAY
        assert degrees(memory)[0] == pytest.approx(46.51, abs=1e-8)


def test_a_map_without_an_origin_takes_no_degrees(tmp_path: Path) -> None:
    frames = [Frame("a.png", "a", 0, pose=Pose(1, 2), read=drive("a", HOME)[0].read)]
    build(tmp_path / "m", frames, encoder=Mean()).close()
    with pytest.raises(InputError, match="frame 'map', which has no origin"):
        build(tmp_path / "m", drive("b", HOME), encoder=Mean())


@pytest.mark.parametrize("first", [None, Pose(1, 2), Pose(1, 2, frame_id="odom")])
def test_poses_that_are_all_given_anew_bring_their_frame(tmp_path: Path, first: object) -> None:
    """A memory that was built without poses, or with poses in another frame."""
    frames = drive("a", HOME)
    before = [replace(frame, pose=first) for frame in frames]
    build(tmp_path / "m", before, encoder=Mean()).close()
    with build(tmp_path / "m", frames, encoder=Mean()) as memory:
        assert memory.manifest.frame_id == HOME
        assert memory.report.moved == 4
        assert degrees(memory)[0] == pytest.approx(46.51, abs=1e-8)
    odom = [replace(frame, pose=Pose(i, 0, frame_id="odom")) for i, frame in enumerate(frames)]
    with pytest.raises(InputError, match=r"keeps poses in the frame 'geo:46\.5,6\.6', and that"):
        build(tmp_path / "m", odom[:2], encoder=Mean())


def store(path: Path, session: str, origin: str, start: float = 0.0) -> Path:
    memory = PlaceMemory.create(path, encoder=make_card(), frame_id=origin)
    memory.add(drive(session, origin, start), make_descriptors(4))
    memory.close()
    return path


def test_the_origin_survives_copies_and_merges(tmp_path: Path) -> None:
    first = store(tmp_path / "a", "a", HOME)
    second = store(tmp_path / "b", "bb", AWAY, 0.001)
    with copy(second, tmp_path / "c") as copied:
        assert copied.manifest.frame_id == AWAY
    for _ in range(2):  # merged again, nothing is added
        with merge([first, second], tmp_path / "m") as merged:
            assert merged.manifest.frame_id == HOME
            assert {place.pose.frame_id for place in merged.places} == {HOME}
            expected = 46.51 + np.array([0, 1, 2, 3, 10, 11, 12, 13]) * 1e-4
            np.testing.assert_allclose(degrees(merged), expected, atol=1e-8)
    prune(tmp_path / "m", tmp_path / "p", places=5)
    with PlaceMemory.open(tmp_path / "p") as pruned:
        assert pruned.manifest.frame_id == HOME
    with PlaceMemory.create(tmp_path / "far", encoder=make_card(), frame_id=FAR) as far:
        far.add([Frame("a.png", "far", 0, pose=Pose(0, 0, frame_id=FAR))], make_descriptors(1))
    with pytest.raises(PoseError, match="over 1000 km apart"):
        merge([first, tmp_path / "far"], tmp_path / "n")
    PlaceMemory.create(tmp_path / "x", encoder=make_card(), frame_id="utm").close()
    with pytest.raises(SettingError, match="differ in their map frame"):
        merge([first, tmp_path / "x"], tmp_path / "n2")


def test_a_frame_that_is_added_is_brought_to_the_memory(tmp_path: Path) -> None:
    with PlaceMemory.create(tmp_path / "m", encoder=make_card(), frame_id=HOME) as memory:
        memory.add(drive("a", AWAY), make_descriptors(4))
        assert memory.places[0].pose.frame_id == HOME
        assert degrees(memory)[3] == pytest.approx(46.5103, abs=1e-8)


def test_the_truth_of_a_run_may_be_from_another_origin(tmp_path: Path) -> None:
    with build(tmp_path / "m", drive("a", HOME, count=12), encoder=Mean()) as memory:
        run = localize(memory, drive("q", AWAY, count=12), encoder=Mean(), fusion=None)
        true = [estimate.frame.pose for estimate in run]
    assert {pose.frame_id for pose in true} == {HOME}
    assert true[5].distance_to(memory.places[5].pose) < 1e-4
