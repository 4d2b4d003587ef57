"""Encoders through torch.hub."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
ROOT = Path(__file__).resolve().parents[2]


def test_an_encoder_is_loaded_from_a_checkout() -> None:
    entries = runpy.run_path(str(ROOT / "hubconf.py"))
    assert {"salad", "cosplace", "megaloc", "edtformer"} <= entries.keys()
    assert "placememory.encoders.create" in entries["cosplace"].__doc__
    encoder = torch.hub.load(
        str(ROOT), "cosplace", source="local", weights="random", backbone="resnet18", dim=512
    )
    [row] = encoder.encode([np.full((64, 64, 3), 90, np.uint8)])
    assert row.shape == (512,)
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)
