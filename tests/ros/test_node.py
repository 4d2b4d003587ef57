"""The node under the real rclpy, in two processes; see ``make ros``."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from placememory import PlaceMemory
from placememory.samples import render_building
from placememory.samples.building import Building

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("PLACEMEMORY_ROS_PYTHON", ROOT / ".venv-ros/bin/python"))
DRIVE = Path(__file__).with_name("drive.py")


def has_rclpy() -> bool:
    """Whether that Python has rclpy and placememory."""
    if not PYTHON.exists():
        return False
    check = [str(PYTHON), "-c", "import rclpy, placememory.ros.node"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not has_rclpy(), reason="no Python with rclpy (make ros, or PLACEMEMORY_ROS_PYTHON)"
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Building:
    pytest.importorskip("vizdoom", reason="the extra 'demo' is not installed")
    return render_building(tmp_path_factory.mktemp("ros") / "building")


@pytest.fixture(scope="module")
def mapped(sample: Building) -> Path:
    path = sample.folder / "office.memory"
    command = [sys.executable, "-m", "placememory", "build", str(path), str(sample.mapping)]
    command += ["--poses", str(sample.mapping_vertices)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """A domain of its own for every test, on this machine only."""
    number = 1 + (os.getpid() * 31 + hash(request.node.name)) % 100
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(number),
        "OMP_NUM_THREADS": "1",
    }


class Node:
    """``placememory ros`` as a process."""

    def __init__(self, environment: dict[str, str], *arguments: object) -> None:
        command = [str(PYTHON), "-m", "placememory", "ros", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.told: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.told += list(self.process.stdout)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def drive(environment: dict[str, str], sample: Building, *arguments: object) -> dict[str, Any]:
    folder = sample.query
    command = [str(PYTHON), str(DRIVE), str(folder), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_a_run_is_located(environment, sample: Building, mapped: Path) -> None:
    options = ("--set", "debug_image=true", "--set", "publish_initialpose=true")
    with Node(environment, mapped, *options):
        seen = drive(environment, sample, "run")
    assert len(seen["errors"]) > 0.6 * seen["frames"]
    assert statistics.median(seen["errors"]) < 1.0
    assert np.mean(np.array(seen["errors"]) < 2.0) > 0.97
    spread = np.array(seen["covariances"][0]).reshape(6, 6)
    assert np.linalg.eigvalsh(spread).min() > 0
    assert seen["frame_id"] == ["map"]
    assert seen["initial"] == 1
    assert {one["verdict"] for one in seen["status"]} >= {"warming-up", "located", "unknown"}
    assert seen["candidates"].count(5) == seen["frames"]
    assert seen["pictures"] == ["ffd8ff"]  # a JPEG
    assert seen["diagnostics"]["failed"] == "0"
    assert seen["diagnostics"]["map revision"]


@pytest.mark.slow
def test_services_answer_with_the_result(environment, sample: Building, mapped: Path) -> None:
    copied = sample.folder / "copied.memory"
    other = sample.folder / "other.memory"
    shutil.copy(mapped, copied)
    shutil.copy(mapped, other)
    options = ("--set", "record=true", "--set", "session=evening")
    options += ("--set", "relocalize_timeout=600.0")
    with Node(environment, copied, *options):
        seen = drive(environment, sample, "services", other)
    success, answer = seen["relocalized"]
    assert success
    assert answer["verdict"] == "located"
    assert len(answer["covariance"]) == 36
    assert seen["saved"][0], seen["saved"]
    with PlaceMemory.open(copied, readonly=True) as memory:
        assert memory.sessions()["evening"] >= 5
    assert not seen["no map"][0]
    assert "the map stays as it was" in seen["no map"][1]
    assert seen["map"][0], seen["map"]
    assert "other.memory" in seen["map"][1]
    assert seen["reset"] == [True, ""]
    assert seen["after"] >= 3  # located in the other map


@pytest.mark.slow
def test_in_shadow_nothing_is_steered(environment, sample: Building, mapped: Path) -> None:
    file = sample.folder / "shadow.jsonl"
    options = ("--set", "shadow=amcl_pose", "--set", f"shadow_file={file}")
    options += ("--set", "publish_initialpose=true", "--set", "sure_frames=1")
    with Node(environment, mapped, *options):
        seen = drive(environment, sample, "shadow")
    assert seen["initial"] == 0
    assert seen["status"][-1]["shadow"] is True
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    apart = [line["metres"] for line in lines if "metres" in line]
    assert len(apart) >= 5
    assert statistics.median(apart) == pytest.approx(2.0, abs=1.0)


@pytest.mark.slow
def test_a_manager_runs_it_and_compressed_images_are_read(
    environment, sample: Building, mapped: Path
) -> None:
    with Node(environment, mapped, "--managed"):
        seen = drive(environment, sample, "lifecycle")
    labels = ["inactive", "active", "inactive", "unconfigured", "inactive", "active"]
    assert seen["states"] == [[True, label] for label in labels]
    assert len(seen["errors"]) >= 5
    with Node(environment, mapped, "--set", "camera.compressed=true"):
        seen = drive(environment, sample, "compressed")
    assert len(seen["errors"]) > 0.6 * seen["frames"]


def test_what_cannot_be_opened_is_said(environment, tmp_path: Path) -> None:
    with Node(environment, tmp_path / "none.memory") as node:
        assert node.process.wait(timeout=600) == 2
    assert "none.memory: there is no such memory" in "".join(node.told)


def test_names_on_the_wire(environment, mapped: Path) -> None:
    """As a DDS participant that knows nothing of ROS sees them."""
    names = {
        "rt/placememory/pose": ["publishes", "geometry_msgs", "PoseWithCovarianceStamped_"],
        "rt/placememory/candidates": ["publishes", "geometry_msgs", "PoseArray_"],
        "rt/placememory/status": ["publishes", "std_msgs", "String_"],
        "rt/diagnostics": ["publishes", "diagnostic_msgs", "DiagnosticArray_"],
        "rt/image_raw": ["subscribes", "sensor_msgs", "Image_"],
        "rt/odom": ["subscribes", "nav_msgs", "Odometry_"],
        "rt/initialpose": ["subscribes", "geometry_msgs", "PoseWithCovarianceStamped_"],
    }
    everywhere = {**environment, "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    with Node(everywhere, mapped):
        command = [str(PYTHON), str(DRIVE.with_name("wire.py")), *names]
        done = subprocess.run(command, env=everywhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for topic, (what, package, kind) in names.items():
        assert found[topic] == [what, f"{package}::msg::dds_::{kind}"]
