"""``localize`` on streams: bags with odometry, cameras, and streams that end too early."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from placememory.errors import CameraError
from placememory.frames import Frame, list_frames, read_poses
from placememory.samples import Building
from tests.conftest import run_command

FILES = {
    "estimates.jsonl",
    "trajectory.tum",
    "estimates.csv",
    "test_to_vertex_matches.csv",
    "metrics.json",
}


@pytest.fixture(scope="module")
def walk(building: Building) -> list[Frame]:
    return read_poses(building.query_vertices).join(list_frames(building.query))[0]


@pytest.fixture(scope="module")
def bag(walk: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The query run with odometry that starts at zero, drifts, and is reset once."""
    return _bag(tmp_path_factory.mktemp("live") / "run2", walk)


def _bag(path: Path, walk: list[Frame], spoil: tuple[int, ...] = ()) -> Path:
    write = pytest.importorskip("tests.frames.bags.write", exc_type=ImportError)
    made, rows = write.Messages("mcap"), []
    start, reset = walk[0].pose, walk[25].pose
    for i, frame in enumerate(walk):
        zero = start if i < 25 else reset
        cosine, sine = np.cos(zero.yaw), np.sin(zero.yaw)
        east, north = 1.02 * (frame.pose.x - zero.x), 1.02 * (frame.pose.y - zero.y)
        x, y = cosine * east + sine * north, cosine * north - sine * east
        odometry = made.odometry(frame.stamp, float(x), float(y), frame.pose.yaw - zero.yaw)
        moved = made.transform(
            frame.stamp, "map", "base_link", frame.pose.x, frame.pose.y, frame.pose.yaw
        )
        rows.append(("/odom", frame.stamp, odometry))
        rows.append(("/tf", frame.stamp, made.tf(moved)))
        rows.append(("/cam", frame.stamp, made.rgb(frame.stamp, frame.image())))
    return write.write_bag(path, "mcap", rows, spoil=spoil)


def _lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "estimates.jsonl").read_text().splitlines()]


def _metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_a_bag_streams_with_the_odometry_it_has(office: Path, bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = run_command(
        "localize", office, bag, "--out", out, "--pose-topic", "/tf", "--radius", 3,
        "--max-gap", 5,
    )  # fmt: skip
    assert "odometry of" in shown.err
    assert "(/odom)" in shown.err
    assert "42 of 42 frames have a pose (42 by interpolation)" in shown.err
    assert {path.name for path in out.iterdir()} == FILES
    metrics = _metrics(out)
    assert metrics["frames"] == len(_lines(out)) == 42
    assert metrics["odometry"]["used"] + metrics["odometry"]["jumps"] == 41
    assert metrics["odometry"]["jumps"] >= 1
    assert metrics["verdict_counts"]["located"] > 21
    assert metrics["located"]["precision"]["value"] > 0.9
    assert metrics["ended"] is None


def test_odometry_can_be_left_out_and_the_truth_is_never_taken_for_it(
    office: Path, bag: Path, tmp_path: Path
) -> None:
    run_command("localize", office, bag, "--out", tmp_path / "a", "--odom-topic", "none")
    shown = run_command("localize", office, bag, "--out", tmp_path / "b", "--pose-topic", "odom",
                        expect=2)  # fmt: skip
    shown_too = run_command("localize", office, bag, "--out", tmp_path / "c", "--poses", bag,
                            "--pose-topic", "/odom", "--odom-topic", "odom", expect=2)  # fmt: skip
    assert "(/odom)" in shown_too.err  # asked for by name
    assert "its true pose is in the frame 'odom', the memory in 'map'" in shown.err
    assert _metrics(tmp_path / "a")["odometry"] is None
    assert _metrics(tmp_path / "b")["odometry"] is None
    assert "odometry of" not in shown.err


def test_odometry_of_a_turned_body_is_found_and_an_extrinsic_of_tf_mends_it(
    office: Path, walk: list[Frame], tmp_path: Path
) -> None:
    """The base is turned by 90 degrees to the camera, whose poses the memory holds."""
    write = pytest.importorskip("tests.frames.bags.write", exc_type=ImportError)
    made, rows = write.Messages("mcap"), []
    mount = made.transform(0, "base_link", "camera", 0.0, 0.0, np.pi / 2)
    rows.append(("/tf_static", walk[0].stamp, made.tf(mount)))
    for f in walk:
        odometry = made.odometry(f.stamp, f.pose.x, f.pose.y, f.pose.yaw - np.pi / 2)
        rows.append(("/odom", f.stamp, odometry))
        rows.append(("/cam", f.stamp, made.rgb(f.stamp, f.image(), frame="camera")))
    bag = write.write_bag(tmp_path / "turned", "mcap", rows)
    shown = run_command("localize", office, bag, "--out", tmp_path / "a", "--max-gap", 5)
    assert "warning: odometry leads left where the images go ahead" in shown.err
    assert any("of another body" in note for note in _metrics(tmp_path / "a")["notes"])
    for i, extrinsic in enumerate((":", "base_link:camera", "0 0 0 0 0 90")):
        out = tmp_path / str(i)
        shown = run_command("localize", office, bag, "--out", out, "--max-gap", 5,
                            "--extrinsic", extrinsic)  # fmt: skip
        assert "another body" not in shown.err
        assert _metrics(out)["odometry"]["used"] > 35
        assert not any("odometry" in note for note in _metrics(out)["notes"])


def test_a_folder_takes_odometry_of_a_file(
    office: Path, building: Building, walk: list[Frame], tmp_path: Path
) -> None:
    rows = [
        f"{f.name},{f.pose.x - 3},{f.pose.y + 8},{f.pose.yaw}" if i != 9 else f"{f.name},900,0,0"
        for i, f in enumerate(walk)
    ]
    file = tmp_path / "odometry.csv"
    file.write_text("\n".join(["name,x,y,yaw", *rows]))
    out = tmp_path / "out"
    shown = run_command(
        "localize", office, building.query, "--out", out, "--odometry", file,
        "--poses", building.query_vertices, "--radius", 3, "--max-speed", 20,
    )  # fmt: skip
    assert _metrics(out)["odometry"]["jumps"] >= 2  # there and back
    assert _metrics(out)["odometry"]["used"] > 30
    assert "jumps left out" in shown.err


def test_every_second_frame_of_a_bag_and_a_report_with_its_images(
    office: Path, bag: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")
    run_command(
        "localize", office, bag, "--out", tmp_path / "o", "--every", 2, "--report", tmp_path / "r"
    )
    names = [line["name"] for line in _lines(tmp_path / "o")]
    assert names == [f"run2#{i:06d}" for i in range(0, 42, 2)]
    assert (tmp_path / "r/index.html").read_text().count("data:image/jpeg") > 21


def test_a_bag_that_is_damaged_ends_with_what_came_before(
    office: Path, bag: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mcap"
    [whole] = bag.glob("*.mcap")
    cut.write_bytes(whole.read_bytes()[: int(0.8 * whole.stat().st_size)])
    failed = run_command("localize", office, cut, "--out", tmp_path / "a", expect=2)
    assert "mcap recover" in failed.err
    metrics = _metrics(tmp_path / "a")
    assert "mcap recover" in metrics["ended"]
    assert 10 < metrics["frames"] == len(_lines(tmp_path / "a")) < 42
    run_command("localize", office, cut, "--out", tmp_path / "b", "--skip-bad")
    assert _metrics(tmp_path / "b")["frames"] == metrics["frames"]


def test_an_unreadable_image_ends_the_stream_or_is_counted(
    office: Path, walk: list[Frame], tmp_path: Path
) -> None:
    bag = _bag(tmp_path / "spoilt", walk[:26], spoil=(3 * 5 + 2,))
    failed = run_command("localize", office, bag, "--out", tmp_path / "a", expect=2)
    assert "--skip-bad" in failed.err
    assert _metrics(tmp_path / "a")["frames"] == 5
    shown = run_command("localize", office, bag, "--out", tmp_path / "b", "--skip-bad")
    assert "1 images could not be read" in shown.err
    assert _metrics(tmp_path / "b")["notes"] == {"unreadable": 1}


def _converted(frame: Frame, taken: threading.Event, **_: object) -> np.ndarray:
    taken.set()
    return frame.image()


class Sending:
    """A camera that sends the images of a walk, each when the one before was taken."""

    def __init__(self, walk: list[Frame], then: object) -> None:
        self.walk, self.then, self.closed = walk, then, threading.Event()

    def decode(self, video: int):
        for frame in self.walk:
            taken = threading.Event()
            yield SimpleNamespace(to_ndarray=partial(_converted, frame, taken))
            while not taken.wait(0.01):
                if self.closed.is_set():
                    return
        if isinstance(self.then, Exception):
            raise self.then
        self.then()
        self.closed.wait(20)

    def close(self) -> None:
        self.closed.set()


def _camera(monkeypatch, sending: Sending) -> None:
    """Any camera sends this, an image every tenth of a second by its clock."""
    ticks = count(time.monotonic_ns(), 100_000_000)
    clock = SimpleNamespace(
        monotonic_ns=partial(next, ticks),
        time_ns=time.time_ns,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )
    monkeypatch.setattr("placememory.frames.camera.time", clock)
    monkeypatch.setattr("placememory.frames.camera.open_camera", lambda source: sending)
    monkeypatch.setattr("placememory.frames.camera._CLOSING", 0.1)


def test_a_camera_that_is_unplugged_leaves_its_results(
    office: Path, walk: list[Frame], tmp_path: Path, monkeypatch
) -> None:
    _camera(monkeypatch, Sending(walk, OSError("No such device")))
    failed = run_command("localize", office, "0", "--out", tmp_path / "out", expect=2)
    assert "camera 0: it stopped sending (No such device)" in failed.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    metrics = _metrics(tmp_path / "out")
    assert metrics["ended"] == "camera 0: it stopped sending (No such device)"
    assert metrics["frames"] == len(_lines(tmp_path / "out")) == len(walk)
    assert metrics["verdict_counts"]["located"] > 21
    assert metrics["dropped_images"] == 0
    assert set(metrics["similarity_per_rank"]) == {str(rank) for rank in range(1, 11)}
    lines = _lines(tmp_path / "out")
    assert [line["name"] for line in lines[:2]] == ["000000", "000001"]
    assert all(a["stamp"] < b["stamp"] for a, b in pairwise(lines))


def test_a_camera_that_is_not_there_leaves_earlier_results_alone(
    office: Path, tmp_path: Path, monkeypatch
) -> None:
    def refusing(source: str) -> None:
        raise CameraError(f"camera {source}: cannot be opened")

    monkeypatch.setattr("placememory.frames.camera.open_camera", refusing)
    (tmp_path / "estimates.csv").write_text("earlier")
    failed = run_command("localize", office, "7", "--out", tmp_path, expect=2)
    assert "camera 7: cannot be opened" in failed.err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [
        ("estimates.csv", "earlier")
    ]


def test_ctrl_c_ends_a_camera_with_its_results(
    office: Path, walk: list[Frame], tmp_path: Path, monkeypatch
) -> None:
    # Where the signal comes while the command does not listen, the tests live on.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    _camera(monkeypatch, Sending(walk[:8], lambda: os.kill(os.getpid(), signal.SIGINT)))
    shown = run_command("localize", office, "/dev/video0", "--out", tmp_path, "--fusion", "none")
    signal.signal(signal.SIGINT, before)
    assert "8 frames: 8 alone" in shown.err
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert _metrics(tmp_path)["frames"] == 8


def test_ctrl_c_ends_a_folder_early_and_the_exit_code_says_so(
    office: Path, building: Building, tmp_path: Path, monkeypatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    from placememory.localization import RunWriter

    write = RunWriter.write

    def interrupting(self, estimate) -> None:
        write(self, estimate)
        if estimate.frame.index == 4:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunWriter, "write", interrupting)
    shown = run_command("localize", office, building.query, "--out", tmp_path, expect=1)
    signal.signal(signal.SIGINT, before)
    assert "interrupted after 5 frames; their results are written" in shown.err
    assert _metrics(tmp_path)["frames"] == 5


def test_seconds_end_a_camera(office: Path, walk: list[Frame], tmp_path: Path, monkeypatch) -> None:
    _camera(monkeypatch, Sending(walk[:3], lambda: None))
    run_command("localize", office, "0", "--out", tmp_path, "--seconds", 0.5)
    assert _metrics(tmp_path)["frames"] <= 3
    assert _metrics(tmp_path)["ended"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}", "--colmap", "model"], "--colmap needs the query camera's --intrinsics"),
        (["{run}", "--intrinsics", "no.json"], "no.json"),
        (["0", "--poses", "truth.csv"], "--poses does not go with a camera"),
        (["0", "--odometry", "o.csv"], "--odometry does not go with a camera"),
        (["0", "--report", "r"], "record and localise a video"),
        (["{run}", "--seconds", "3"], "--seconds ends the stream of a camera"),
        (["{run}", "--odom-topic", "/odom"], "--odom-topic /odom is a topic of a ROS bag"),
        (["{run}", "--odometry", "no.csv"], "cannot be read"),
        (["{run}", "--odometry", "no.csv", "--fusion", "none"], "odometry needs the fusion"),
        (["{run}", "--max-speed", "0", "--odometry", "x"], "limits of motion are above zero"),
        (["{run}", "--odometry-axes", "screen"], "--odometry-axes is robot or camera, not screen"),
        (["{run}", "--odometry", "{poses}", "--extrinsic", "1 2"], "a transform is x y z"),
        (["{run}", "--odometry", "{poses}", "--extrinsic", "a:b"], "of a ROS bag's tf; there is"),
        (["{run}", "--plane", "zz"], "plane"),
        (["nowhere"], "there is no such folder, video, bag or image"),
    ],
)
def test_options_that_do_not_fit_are_explained(
    office: Path, building: Building, tmp_path: Path, arguments: list[str], message: str
) -> None:
    names = {"run": building.query, "poses": building.query_vertices}
    filled = [argument.format(**names) for argument in arguments]
    assert (
        message in run_command("localize", office, *filled, "--out", tmp_path / "o", expect=2).err
    )
    assert not (tmp_path / "o").exists()
