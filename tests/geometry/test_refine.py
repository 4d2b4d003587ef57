from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.errors import ImageError, InputError
from placememory.frames import Image
from placememory.fusion import Belief, Hypothesis
from placememory.fusion._belief import Verdict
from placememory.geometry import (
    OPTICAL_IN_BODY,
    SURE,
    CameraPose,
    Policy,
    PosedImage,
    PosedModel,
    Refinement,
    RelativePose,
    Verification,
    Verified,
)
from placememory.geometry.poser import mount
from placememory.memory import Candidate, Place
from tests.geometry._scene import CAMERA
from tests.localization.test_localizer import ToyEncoder, _frame, _image

COUNT = 40
IMAGE = np.zeros((4, 4, 3), np.uint8)
HIGH = OPTICAL_IN_BODY.copy()
HIGH[:3, 3] = [0.3, 0.0, 1.5]


def place(index: int, pose: Pose | None = None) -> Place:
    at = pose or Pose.from_yaw(float(index), 0.0, 0.3 * index)
    return Place("run", index, f"run/{index}.png", pose=at)


def model(places: Sequence[Place], mounted: np.ndarray = HIGH) -> PosedModel:
    images = []
    for one in places:
        assert one.pose is not None
        camera = one.pose.matrix() @ mounted
        images.append(PosedImage(one.name, CAMERA, camera[:3, :3], camera[:3, 3]))
    return PosedModel(images, lambda name: IMAGE)


class FakePoser:
    """Says that the camera is where the body at ``answer`` carries it; notes what it was asked."""

    def __init__(self, places: Sequence[Place], answer: Pose | None) -> None:
        self.model = model(places)
        self.answer, self.asked, self.inliers = answer, [""], SURE

    def pose(self, image: Image, names: Sequence[str]) -> CameraPose | None:
        self.asked = list(names)
        if self.answer is None:
            return None
        camera = self.answer.matrix() @ HIGH
        return CameraPose(camera[:3, :3], camera[:3, 3], np.eye(6), self.inliers, 1.0)


def belief(verdict: Verdict, row: int, position: tuple[float, ...] | None) -> Belief:
    best = Hypothesis(row, ("run", row), 0.9, position, 0.0)
    return Belief(verdict, (best,), 0.9, 0.0, 0.0, 5)


def test_the_mount_is_found_and_another_frame_refused() -> None:
    places = [place(i) for i in range(10)]
    assert np.allclose(mount(model(places), [*places, place(99)]), HIGH)
    unturned = [place(i, Pose(float(i), 0.0)) for i in range(10)]
    assert np.allclose(mount(model(unturned), unturned), OPTICAL_IN_BODY)
    elsewhere = [place(i, Pose.from_yaw(0.0, 3.0 * i, 0.0)) for i in range(10)]
    with pytest.raises(InputError, match="not in the memory's map frame"):
        mount(model(elsewhere), places)
    others = [Place("run", 0, "images/0.jpg", pose=Pose(0.0, 0.0))]
    with pytest.raises(InputError, match=r"'images/0\.jpg', images like 'run/0\.png'"):
        mount(model(places), others)


def test_where_the_belief_is_are_the_places_to_pose_at() -> None:
    places = [place(i) for i in range(COUNT)]
    poser = FakePoser(places, Pose.from_yaw(20.4, 0.1, 0.5))
    refinement = Refinement(poser, places)  # type: ignore[arg-type]
    candidates = [Candidate(place(i), 0.9, 1) for i in (3, 22, 19, 21, 99)]

    def asked(given: Belief | None) -> list[int]:
        poser.asked = []
        refinement.refine(IMAGE, candidates, given)
        return [int(name[4:-4]) for name in poser.asked]

    assert asked(belief("located", 20, (20.0, 0.0))) == [20, 22, 19, 21]
    assert asked(belief("located", 3, (3.0, 0.0))) == [3, 3]
    assert asked(belief("ambiguous", 20, (20.0, 0.0))) == [3, 22, 19, 21]
    assert asked(None) == [3, 22, 19, 21]
    assert asked(belief("unknown", 20, (20.0, 0.0))) == []
    assert asked(belief("warming-up", 20, None)) == []


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (belief("located", 20, (20.0, 0.0)), True),
        (belief("located", 20, (24.0, 0.0)), False),
        (belief("located", 20, None), True),
        (belief("ambiguous", 20, (20.0, 0.0)), False),
        (None, True),
    ],
)
def test_a_pose_is_the_bodys_only_where_the_belief_agrees(
    given: Belief | None, taken: bool
) -> None:
    places = [place(i) for i in range(COUNT)]
    true = Pose.from_yaw(20.4, 0.1, 0.5)
    refinement = Refinement(FakePoser(places, true), places)  # type: ignore[arg-type]
    found = refinement.refine(IMAGE, [Candidate(place(20), 0.9, 1)], given, "hall")
    assert found.camera is not None
    assert (found.body is not None) == taken
    if found.body is not None:
        assert found.body.distance_to(true) < 1e-9
        assert found.body.angle_to(true) < 1e-4
        assert found.body.frame_id == "hall"


def test_an_image_of_the_model_that_cannot_be_read_gives_no_pose() -> None:
    places = [place(i) for i in range(COUNT)]
    poser = FakePoser(places, None)

    def fail(image: Image, names: Sequence[str]) -> None:
        raise ImageError("damaged")

    poser.pose = fail  # type: ignore[method-assign]
    refinement = Refinement(poser, places)  # type: ignore[arg-type]
    assert refinement.refine(IMAGE, [Candidate(place(20), 0.9, 1)], None) == (None, None)


def test_a_pose_of_few_inliers_is_told_and_not_taken() -> None:
    places = [place(i) for i in range(COUNT)]
    poser = FakePoser(places, Pose.from_yaw(20.4, 0.1, 0.5))
    poser.inliers = SURE - 1
    refinement = Refinement(poser, places)  # type: ignore[arg-type]
    found = refinement.refine(IMAGE, [Candidate(place(20), 0.9, 1)], None)
    assert found.camera is not None
    assert found.body is None


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[PlaceMemory]:
    made = PlaceMemory.create(tmp_path / "m.memory", encoder=ToyEncoder.card, frame_id="hall")
    poses = [place(i).pose for i in range(COUNT)]
    frames = [Frame(f"run/{i}.png", "run", i, pose=poses[i]) for i in range(COUNT)]
    made.add(frames, ToyEncoder().encode([_image(i) for i in range(COUNT)]))
    yield made
    made.close()


def test_the_localizer_tells_the_refined_pose(memory: PlaceMemory) -> None:
    poser = FakePoser(memory.places, None)
    localizer = Localizer(memory, ToyEncoder(), poser=poser)  # type: ignore[arg-type]
    estimates = []
    for i in range(12):
        poser.answer = Pose.from_yaw(5.25 + i, 0.1, 0.3) if i != 10 else None
        estimates.append(localizer.observe(_frame(5 + i, i)))
    refined, without = estimates[11], estimates[10]
    assert refined.verdict == without.verdict == "located"
    assert refined.pose == refined.hypothesis == refined.refined
    assert refined.pose is not None
    assert refined.pose.distance_to(Pose(16.25, 0.1)) < 1e-9
    assert refined.pose.covariance is not None
    assert without.camera_pose is None
    assert without.pose is not None
    assert without.pose.distance_to(Pose(15.0, 0.0)) < 1.5
    assert "pose" in refined.milliseconds
    told = json.loads(json.dumps(refined.to_dict(), allow_nan=False))
    assert told["camera_pose"]["inliers"] == SURE
    assert told["pose"]["x"] == pytest.approx(16.25)
    assert told["relative"] is None


def test_a_model_of_other_names_is_refused(memory: PlaceMemory) -> None:
    other = FakePoser([Place("run", 0, "other.png", pose=Pose(0.0, 0.0))], None)
    with pytest.raises(InputError, match="no place of the memory"):
        Localizer(memory, ToyEncoder(), poser=other)  # type: ignore[arg-type]


class FakeVerifier:
    """Every pair fits, the true place best."""

    policy = Policy(ambiguous_only=False)

    def check(
        self, image: Image, candidates: Sequence[Candidate], due: int | None = None
    ) -> Verification:
        ahead = np.array([0.0, 0.0, 1.0])
        rows = [
            Verified(c, 90, 60 if c.place.index == 7 else 25, "essential", None, np.eye(3), ahead)
            for c in candidates
        ]
        return Verification(tuple(rows), len(rows), 1.0)


def test_the_localizer_tells_the_direction_to_the_best_verified_place(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, ToyEncoder(), verify=FakeVerifier())  # type: ignore[arg-type]
    found = localizer.observe(_frame(7, 0))
    assert found.relative is not None
    assert found.relative.place.index == 7
    assert found.to_dict()["relative"] == {
        "session": "run", "index": 7, "name": "run/7.png", "inliers": 60,
        "rotation": np.eye(3).tolist(), "direction": [0.0, 0.0, 1.0],
    }  # fmt: skip
    assert "pose" not in found.milliseconds


def test_a_direction_needs_inliers_and_an_essential_matrix() -> None:
    candidate = Candidate(place(1), 0.5, 1)
    full = (np.eye(3), np.eye(3), np.array([0.0, 0.0, 1.0]))
    assert RelativePose.of([Verified(candidate, 50, 19, "essential", *full)]) is None
    assert RelativePose.of([Verified(candidate, 50, 20, "essential", *full)]) is not None
    flat = Verified(candidate, 50, 40, "homography", np.eye(3))
    assert RelativePose.of([Verified(candidate, 50, 30, "essential", *full), flat]) is None
    assert RelativePose.of([]) is None
