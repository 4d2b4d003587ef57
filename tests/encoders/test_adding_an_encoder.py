"""The page on adding an encoder is true: its example is installed, listed, loaded and run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders.registry import ENCODERS
from placememory.errors import WeightsError
from tests.conftest import run_command

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
PAGE = Path(__file__).resolve().parents[2] / "docs/adding-an-encoder.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch) -> Path:
    """The example as an installed package of somebody else."""
    _, code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [entry] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my_robot").mkdir()
    (tmp_path / "my_robot/gem_mobile.py").write_text(code)
    facts = tmp_path / "my_robot-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my_robot\nVersion: 1.0\n")
    name, target = re.findall(r'^([\w-]+) = "([\w.:]+)"$', entry, re.MULTILINE)[0]
    (facts / "entry_points.txt").write_text(f"[placememory.encoders]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    ENCODERS.refresh()
    yield tmp_path
    ENCODERS.refresh()


def test_the_example_is_an_encoder(installed: Path, monkeypatch) -> None:
    assert "gem-mobile" in encoders.names()
    assert "MobileNetV3" in run_command("encoders", "show", "gem-mobile").out
    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(installed / "weights"))
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"gem_mobile\.safetensors are missing"):
        encoders.create("gem-mobile")
    torch.manual_seed(0)
    encoder = encoders.create("gem-mobile", "random", exponent=2)
    path = installed / "own.pth"
    torch.save({"state_dict": encoder.module.state_dict()}, path)
    loaded = encoders.create("gem-mobile", path, exponent=2)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    found = loaded.encode([image])
    np.testing.assert_allclose(found, encoder.encode([image]), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found), 1.0, atol=1e-4)
    assert loaded.card.options == {"exponent": 2}


def test_the_class_is_an_encoder(monkeypatch) -> None:
    monkeypatch.setattr(ENCODERS, "_registered", {})
    code, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(code, {})
    encoder = encoders.create("mean-colour", cells=2)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    rows = encoder.encode([image])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    again = encoders.from_card(encoders.EncoderCard.from_bytes(encoder.card.to_bytes()))
    np.testing.assert_array_equal(again.encode([image]), rows)
    assert encoder.encode([]).shape == (0, 12)
