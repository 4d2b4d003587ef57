"""Two processes give what one gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from placememory.training import train
from placememory.training.run import LAST
from tests.training.made import losses, training

ROOT = Path(__file__).resolve().parents[2]
PLACES = {"optimization": {"micro_batch": 3, "epochs": 1, "steps_per_epoch": 3}}
CACHED = {
    "loss": {"kind": "triplet"},
    "mining": {"kind": "cached", "queries": 6, "negatives": 40, "per_query": 2, "refresh": 6},
    "optimization": {"batch": 3, "epochs": 1, "steps_per_epoch": 2},
}


@pytest.mark.parametrize("changes", [PLACES, CACHED], ids=["places", "cached"])
def test_two_processes_equal_one(tmp_path: Path, changes: dict[str, dict[str, object]]) -> None:
    config = training(tmp_path, **changes)
    alone = train(config)
    file = tmp_path / "two.yaml"
    file.write_text(
        yaml.safe_dump(config.model_dump(mode="json") | {"output": str(tmp_path / "two")})
    )
    _launch(file)
    (folder,) = (tmp_path / "two").glob("*-cosplace")
    pairs = list(zip(losses(folder), losses(alone.folder), strict=True))
    assert len(pairs) == 2 + config.optimization.steps_per_epoch
    for two, one in pairs:
        assert two["step"] == one["step"]
        if "loss" in one:
            assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        else:
            assert two["recall@1"] == pytest.approx(one["recall@1"], abs=0.05)
    ours, theirs = load_file(folder / LAST), load_file(alone.folder / LAST)
    for key in ours:
        assert torch.allclose(ours[key], theirs[key], rtol=1e-4, atol=2e-5), key


def _launch(file: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
        "--num_machines", "1", "--main_process_ip", "127.0.0.1", "--main_process_port", str(port),
        "--mixed_precision", "no", "--dynamo_backend", "no",
        "-m", "placememory", "train", str(file),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("weights:") == 1  # one of them prints
