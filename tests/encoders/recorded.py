"""Recorded models: their parameters, inputs and outputs, as the tests of equality need them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from placememory import encoders

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from safetensors.torch import save_file  # noqa: E402


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


def make_recorded(
    golden: Path,
    folder: pytest.TempPathFactory,
    record: str,
    name: str,
    container: str,
    options: dict[str, Any],
) -> tuple[Recorded, Any]:
    """A record, and its encoder made from a file in its published container.

    Args:
        golden: Folder of the recorded outputs.
        folder: Where the file is written for a moment.
        record: Name of the record.
        name: Of the encoder.
        container: ``safetensors``, ``plain``, or the key under which the tensors lie, with the
            prefix of parallel training.
        options: Of the encoder.
    """
    recorded = Recorded(golden, record)
    path = folder.mktemp(name) / ("w.safetensors" if container == "safetensors" else "w.pth")
    if container == "safetensors":
        save_file(recorded.state(), path)
    elif container == "plain":
        torch.save(recorded.state(), path)
    else:
        prefixed = {f"module.{key}": value for key, value in recorded.state().items()}
        torch.save({container: prefixed, "epoch": 3}, path)
    encoder = encoders.create(name, path, **options)
    path.unlink()
    return recorded, encoder


def resize_to_a_size(embedding: Any, rows: int, columns: int) -> Any:
    """The mistake of resampling position embeddings to a size instead of by a scale factor."""
    grid = embedding.unflatten(1, (37, 37)).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(grid, size=(rows, columns), mode="bicubic")
    return resized.flatten(2).transpose(1, 2)


def approximate_gelu(module: Any) -> None:
    """The mistake of another GELU, in a network."""
    for part in module.modules():
        if isinstance(part, torch.nn.GELU):
            part.approximate = "tanh"


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
