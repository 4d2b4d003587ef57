"""Recorded models: their parameters, inputs and outputs, as the tests of equality need them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")


class Recorded:
    """One recorded model.

    Args:
        golden: Folder of the recorded outputs.
        name: Of the record.
    """

    def __init__(self, golden: Path, name: str) -> None:
        self.name = name
        self.fill = _fill_rule(golden)
        self.facts = json.loads((golden / f"models/{name}.json").read_text())
        self.outputs = np.load(golden / f"models/{name}.npz")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Keys and shapes of the published checkpoint."""
        return {key: tuple(shape) for key, shape, _ in self.facts["state_dict"]}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(self.facts["inputs"])

    def state(self) -> dict[str, Any]:
        """The checkpoint's tensors."""
        return {
            key: torch.from_numpy(self.fill.fill_array(key, shape))
            if kind.startswith("float")
            else torch.zeros(shape, dtype=getattr(torch, kind))
            for key, shape, kind in self.facts["state_dict"]
        }

    def input(self, kind: str) -> Any:
        """One of the inputs, (N, 3, H, W) float32."""
        given = self.facts["inputs"][kind]
        images = self.fill.block_images if "blocks" in kind else self.fill.noise_images
        return torch.from_numpy(images(given["seed"], given["shape"]))

    def error(self, output: str, found: Any, rows: slice = slice(None)) -> float:
        """Largest relative L2 error of the rows of an output (or of some of them)."""
        expected = self.outputs[output][rows]
        values = found.detach().numpy()
        assert values.shape == expected.shape
        flat, wanted = values.reshape(len(values), -1), expected.reshape(len(expected), -1)
        errors = np.linalg.norm(flat - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        return float(errors.max())


def _fill_rule(golden: Path) -> ModuleType:
    """The rule by which the references' parameters were made."""
    spec = importlib.util.spec_from_file_location("golden_fill", golden / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes_of(module: Any) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a network."""
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}
