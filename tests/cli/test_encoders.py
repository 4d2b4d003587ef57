"""The commands about encoders: list, show, fetch, fit, export."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from tests.conftest import Building, run_command

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

FIELD = {
    "anyloc", "boq-dinov2", "boq-resnet50", "casenet-224", "casenet-322", "cliquemining",
    "cosplace", "cricavpr", "edtformer", "eigenplaces", "fol", "imagevpr", "jist", "lite-vlad",
    "megaloc", "mixvpr", "netvlad", "netvlad-wpca", "sage", "salad", "selavprpp-base",
    "selavprpp-large", "seqnet", "seqvlad", "svpr",
}  # fmt: skip


def test_every_encoder_of_the_field_is_listed() -> None:
    listed = {row["name"]: row for row in json.loads(run_command("encoders", "--json").out)}
    assert set(listed) >= FIELD
    for name in FIELD:
        row = listed[name]
        assert row["dim"] > 0, name
        assert all(row[key] for key in ("licence", "origin", "input", "summary")), name
        assert row["weights"]["url"] or row["weights"]["page"] or row["weights"]["package"], name
    assert listed["casenet-224"]["sequence"]
    assert not listed["salad"]["sequence"]
    assert "by hand" in listed["mixvpr"]["weights_present"]


def test_offline_is_honoured(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "0")
    shown = run_command("--offline", "encoders", "fetch", "salad", expect=1)
    assert "are missing, and offline" in shown.err
    assert str(tmp_path / "dino_salad.ckpt") in shown.err
    assert os.environ["PLACEMEMORY_OFFLINE"] == "1"


def test_a_memory_is_built_with_torch_and_asked_without(
    office: Path, building: Building, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    image = sorted(building.query.glob("*.png"))[3]
    from placememory.frames import read_image

    rows, columns = read_image(image).shape[:2]
    path = tmp_path / "encoder.onnx"
    shown = run_command("export", office, path, "--image-size", f"{rows}x{columns}")
    assert "differs from torch" in shown.err
    answers = [
        json.loads(run_command("query", office, image, "--json", *more).out)["answers"][0]
        for more in (("--precision", "float32"), ("--weights", path))
    ]
    first, second = ([c["name"] for c in answer["candidates"]] for answer in answers)
    assert first == second


def test_what_export_refuses(office: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((office, tmp_path / "x.txt"), "writes .onnx"),
        ((office, tmp_path / "x.onnx", "--image-size", "640"), "HEIGHTxWIDTH"),
        ((office, tmp_path / "x.onnx", "--set", "words=3"), "leave out --set"),
    ):
        assert message in run_command("export", *arguments, expect=2).err
    assert list(tmp_path.iterdir()) == []


def test_netvlad_is_fitted_on_a_run(building: Building, tmp_path: Path) -> None:
    from placememory.encoders.layers import vgg16_trunk

    torch.manual_seed(0)
    trunk, own = tmp_path / "vgg16.pth", tmp_path / "own.safetensors"
    state = {f"features.{key}": value for key, value in vgg16_trunk().state_dict().items()}
    torch.save(state, trunk)
    run_command(
        "encoders", "fit", "netvlad-wpca", building.mapping, own, "--trunk", trunk,
        "--words", 2, "--dim", 3, "--every", 8,
    )  # fmt: skip
    encoder = encoders.create("netvlad-wpca", own, words=2, dim=3)
    found = encoder.encode([np.full((50, 60, 3), 9, np.uint8)])
    assert found.shape == (1, 3)
    shown = run_command("encoders", "fit", "salad", building.mapping, own, expect=2)
    assert "netvlad-wpca, anyloc and pca are fitted this way" in shown.err


def test_encoders_that_depend_on_the_batch_are_named(building: Building, tmp_path: Path) -> None:
    memory = tmp_path / "crica.memory"
    shown = run_command(
        "build", memory, building.mapping, "--every", 20, "--encoder", "cricavpr",
        "--weights", "random", "--set", "together=2",
    )  # fmt: skip
    assert "batch_invariant: false" in shown.err
    assert json.loads(run_command("info", memory, "--json").out)["descriptors_depend_on_the_batch"]
