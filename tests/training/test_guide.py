"""The commands of docs/training.md run as they stand, on a tiny set."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import save_file

from placememory.encoders import create
from tests.conftest import run_command
from tests.training.made import world

GUIDE = Path(__file__).resolve().parents[2] / "docs/training.md"
QUICK = ("optimization.epochs=1", "optimization.steps_per_epoch=1", "mining.places=2")
SMALL = {"words": 4, "dim": 8}


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The files that the guide names, small; gives its text."""
    monkeypatch.chdir(tmp_path)
    text = GUIDE.read_text(encoding="utf-8")
    table = world(tmp_path / "office", places=20, traverses=2)
    for number, name in enumerate(("monday", "friday")):
        (tmp_path / "office" / name).mkdir()
        for image in sorted((tmp_path / "office").glob(f"{number}_*.png")):
            moved = f"{name}/{int(image.stem[2:]):04d}.png"
            shutil.move(image, tmp_path / "office" / moved)
            old = f"{image.name},t{number}"
            table.write_text(table.read_text().replace(old, f"{moved},{name}"))
    state = create("lite-net", "random", precision="float32", **SMALL).module.state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, "start.safetensors")
    training, windows = (_block(text, name) for name in ("office", "windows"))
    training["encoder"]["options"] = SMALL
    for model in windows["models"].values():
        model["options"] = SMALL
    Path("office.yaml").write_text(yaml.safe_dump(training))
    Path("windows.yaml").write_text(yaml.safe_dump(windows))
    return text


def _block(text: str, name: str) -> dict:
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (found,) = (b for b in map(yaml.safe_load, blocks) if b.get("name") == name)
    return found


def test_the_commands_of_the_guide_run(office: str) -> None:
    commands = re.findall(r"^ {4}placememory (.*)$", office, re.MULTILINE)
    done = []
    for command in commands:
        if "casevpr" in command:  # has tests of its own
            continue
        words = command.split()
        runs = sorted(Path("output/train_logs").glob("*-office-lite-seq"))
        if runs:
            words = [word.replace("RUN", runs[-1].name) for word in words]
            file = Path("windows.yaml")
            file.write_text(
                file.read_text().replace("train_logs/RUN/", f"train_logs/{runs[-1].name}/")
            )
        if words[0] == "train" and "--resume" not in words:
            words += QUICK
        if words[0] == "build":
            words += [f"--set={name}={value}" for name, value in SMALL.items()]
        run_command(*words)
        done.append(words[0])
    assert done == ["train"] * 4 + ["evaluate-sequences", "build", "query"]
    (run,) = Path("output/train_logs").glob("*-office-lite-seq")
    for name in ("config.yaml", "environment.json", "log.jsonl", "training.png", "tensorboard",
                 "best.safetensors", "last.safetensors", "checkpoints"):  # fmt: skip
        assert (run / name).exists(), name
