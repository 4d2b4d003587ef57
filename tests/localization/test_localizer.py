"""The online localizer: located, unknown, bad input, bounded state."""

from __future__ import annotations

import gc
import json
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from placememory import Frame, Localizer, PlaceMemory, Pose
from placememory.encoders import Encoder
from placememory.errors import EncoderMismatchError, ImageError, InputError, SettingError
from placememory.fusion import Odometry
from placememory.geometry import Policy, Verification, Verified
from placememory.localization.localizer import Step
from tests.conftest import make_card

SIDE = 4
DIM = SIDE * SIDE * 3


class ToyEncoder(Encoder):
    """Pixels as descriptor; NaN where the first pixel is (1, 2, 3)."""

    card = make_card(DIM)

    @property
    def module(self):
        raise NotImplementedError

    def embed(self, x):
        raise NotImplementedError

    def encode(self, images):
        rows = np.stack([np.ravel(image).astype(np.float32) - 127.0 for image in images])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows[[image[0, 0].tolist() == [1, 2, 3] for image in images]] = np.nan
        return rows


def _image(place: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    view = np.random.default_rng(1000 + place).integers(0, 255, (SIDE, SIDE, 3)).astype(float)
    view += noise * np.random.default_rng(seed).normal(size=view.shape)
    return view.clip(0, 255).astype(np.uint8)


def _frame(place: int, index: int, noise: float = 40.0, stamp: int | str | None = "even") -> Frame:
    image = _image(place, noise, seed=index)
    stamp = index * 500_000_000 if stamp == "even" else stamp
    pose = Pose.from_yaw(float(place), 0.0, 0.0)
    return Frame(f"{index}.png", "query", index, stamp=stamp, pose=pose, read=lambda: image)


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> PlaceMemory:
    """Sixty places along a line, a metre apart, driven twice."""
    path = tmp_path_factory.mktemp("localizer") / "line.memory"
    made = PlaceMemory.create(path, encoder=ToyEncoder.card, frame_id="hall")
    for session, noise in (("first", 0.0), ("second", 20.0)):
        frames = [
            Frame(f"{session}/{i}.png", session, i, pose=Pose.from_yaw(float(i), 0.0, 0.0))
            for i in range(60)
        ]
        images = [_image(i, noise, seed=i) for i in range(60)]
        made.add(frames, ToyEncoder().encode(images))
    yield made
    made.close()


@pytest.mark.parametrize("fusion", ["bayes", "spatial", "heatmap", "frequency"])
def test_a_walk_is_located(memory: PlaceMemory, fusion: str) -> None:
    localizer = Localizer(memory, ToyEncoder(), fusion=fusion, matcher="band-dp")
    step = Odometry(1.0, 0.0, 0.0)
    estimates = [localizer.observe(_frame(5 + i, i), step) for i in range(20)]
    last = estimates[-1]
    assert last.verdict == "located"
    assert last.pose.distance_to(Pose(24.0, 0.0)) < 1.5
    assert last.pose.frame_id == "hall"
    if fusion == "bayes":
        assert 0.0 <= last.probability <= 1.0
    else:
        assert last.probability is None  # a share of votes is no probability
    assert last.reason == ""
    assert last.covariance.shape == (6, 6)
    assert np.linalg.eigvalsh(last.covariance).min() > 0
    assert last.candidates[0].place.index == 24
    assert [place.index for place in last.match.places] == [20, 21, 22, 23, 24]
    assert last.match.frames == tuple(f"{i}.png" for i in range(15, 20))
    assert estimates[0].verdict in ("warming-up", "ambiguous", "unknown")
    assert set(last.milliseconds) == {"read", "encode", "search", "match", "verify", "fuse"}
    text = json.dumps(last.to_dict(), allow_nan=False)
    assert '"verdict": "located"' in text


def test_off_the_map_is_unknown_and_a_kidnapped_robot_is_found_again(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, ToyEncoder())
    walk = [(5 + i) for i in range(12)] + [500 + i for i in range(15)] + [40 + i for i in range(12)]
    verdicts = [localizer.observe(_frame(place, i)).verdict for i, place in enumerate(walk)]
    assert verdicts[11] == "located"
    assert "located" not in verdicts[17:27]
    assert "unknown" in verdicts[20:27]
    assert verdicts[-1] == "located"
    assert localizer.latest.pose.distance_to(Pose(51.0, 0.0)) < 1.5


def test_without_fusion_each_frame_is_answered_alone(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, ToyEncoder(), fusion=None, k=3)
    estimate = localizer.observe(_frame(7, 0))
    assert (estimate.verdict, estimate.belief, estimate.match) == (None, None, None)
    assert estimate.pose is None
    assert estimate.hypothesis == estimate.candidates[0].place.pose
    assert estimate.judged == estimate.hypothesis
    assert np.linalg.eigvalsh(estimate.covariance).min() > 0
    assert len(estimate.candidates) == 3
    direct = memory.search(ToyEncoder().encode([_frame(7, 0).image()]), 3)[0]
    assert [c.place.id for c in estimate.candidates] == [c.place.id for c in direct]


class _Checks:
    """Stands for the local features: says that the right place alone fits, and counts its work."""

    policy = Policy(top=5, min_inliers=20)

    def __init__(self, right: int) -> None:
        self.right, self.calls = right, 0

    def check(self, image, candidates):
        self.calls += 1
        verified = [
            Verified(c, matches=80, inliers=60 if c.place.index == self.right else 2)
            for c in candidates
        ]
        return Verification(tuple(verified), len(verified), 1.0)


def test_candidates_are_checked_only_while_it_is_not_clear(memory: PlaceMemory) -> None:
    checks = _Checks(right=5)
    localizer = Localizer(memory, ToyEncoder(), verify=checks)
    first = localizer.observe(_frame(500, 0))  # nowhere on the map, so nothing stands out
    assert first.checked == 5
    for i in range(1, 12):
        checks.right = 5 + i
        last = localizer.observe(_frame(5 + i, i))
    assert last.verdict == "located"
    assert last.checked == 0
    assert checks.calls < 12
    assert json.loads(json.dumps(first.to_dict()))["checked"] == 5


def _unreadable() -> np.ndarray:
    raise ImageError("gone")


def test_bad_images_are_no_evidence(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, ToyEncoder())
    for i in range(8):
        localizer.observe(_frame(5 + i, i))
    before = localizer.latest
    broken = _image(13)
    broken[0, 0] = (1, 2, 3)
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    for i, (read, note) in enumerate(
        [
            (_unreadable, "unreadable"),
            (lambda: black, "featureless"),
            (lambda: broken, "no descriptor"),
        ]
    ):
        found = localizer.observe(Frame("x", "query", 8 + i, stamp=(8 + i) * 10**9, read=read))
        assert found.note == note
        assert found.candidates == ()
        assert found.belief is not None
    again = [localizer.observe(_frame(16 + i, 30 + i)) for i in range(3)]
    assert {estimate.note for estimate in again} == {""}
    assert again[-1].verdict == before.verdict == "located"


def test_stamps_out_of_order_change_nothing(memory: PlaceMemory) -> None:
    straight, disturbed = Localizer(memory, ToyEncoder()), Localizer(memory, ToyEncoder())
    for i in range(10):
        straight.observe(_frame(5 + i, i))
        disturbed.observe(_frame(5 + i, i))
        late = disturbed.observe(_frame(33, i, stamp=(i - 1) * 500_000_000 + 1))
        assert late.note == "out of order"
    assert straight.latest.belief.probability == pytest.approx(
        disturbed.latest.belief.probability, abs=1e-12
    )


def test_frames_without_stamps_and_repeated_ones(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, ToyEncoder())
    for i in range(10):
        localizer.observe(_frame(5 + i, i, stamp=None))
    assert localizer.latest.verdict == "located"
    localizer.reset()
    assert localizer.latest is None
    for i in range(10):
        found = localizer.observe(_frame(5, i, stamp=7))
        assert found.note == ""


def test_odometry_that_jumps_is_survived(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, ToyEncoder())
    for i in range(25):
        jump = Odometry(1e6, 0.0, 0.0) if i == 10 else Odometry(1.0, 0.0, 0.0)
        localizer.observe(_frame(5 + i, i), jump)
    assert localizer.latest.verdict == "located"
    assert localizer.latest.pose.distance_to(Pose(29.0, 0.0)) < 1.5


def test_the_memory_stays_as_it_is_and_nothing_grows(memory: PlaceMemory) -> None:
    content = Path(memory.uri).read_bytes()
    localizer = Localizer(memory, ToyEncoder(), matcher="band-dp")
    frames = [_frame(i % 60, i % 97, stamp=None) for i in range(97)]
    for frame in frames:
        localizer.observe(frame)
    tracemalloc.start()
    for i in range(300):
        localizer.observe(frames[i % 97])
    gc.collect()
    first = tracemalloc.get_traced_memory()[0]
    for i in range(1000):
        localizer.observe(frames[i % 97])
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert grown < 50_000  # 50 bytes a frame
    assert Path(memory.uri).read_bytes() == content


def test_a_viewer_reads_whole_estimates_while_frames_stream(memory: PlaceMemory) -> None:
    localizer, seen, stop = Localizer(memory, ToyEncoder()), [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            if (estimate := localizer.latest) is not None:
                seen.append((estimate.frame.name, estimate.belief.frames))

    viewer = threading.Thread(target=look)
    viewer.start()
    names = {localizer.observe(_frame(5 + i % 50, i)).frame.name for i in range(200)}
    stop.set()
    viewer.join()
    assert {name for name, _ in seen} <= names


def test_steps_and_frames_run(memory: PlaceMemory) -> None:
    localizer = Localizer(memory, ToyEncoder())
    steps = [_frame(5, 0), *(Step(_frame(5 + i, i), Odometry(1.0, 0.0, 0.0)) for i in range(1, 9))]
    assert [e.frame.name for e in localizer.run(steps)] == [f"{i}.png" for i in range(9)]


def test_what_does_not_fit_is_refused(memory: PlaceMemory, tmp_path: Path) -> None:
    other = ToyEncoder()
    other.card = make_card(DIM, options={"a": 1})
    with pytest.raises(EncoderMismatchError):
        Localizer(memory, other)
    with pytest.raises(SettingError, match="no fusion is called"):
        Localizer(memory, ToyEncoder(), fusion="x")
    with pytest.raises(SettingError, match="no matcher is called"):
        Localizer(memory, ToyEncoder(), matcher="x")
    with (
        PlaceMemory.create(tmp_path / "a", encoder=ToyEncoder.card) as empty,
        pytest.raises(InputError, match="holds no places"),
    ):
        Localizer(empty, ToyEncoder())
