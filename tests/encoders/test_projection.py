"""A PCA behind any encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from placememory import PlaceMemory
from placememory.encoders import create, fit_projection, save_projection, with_projection
from placememory.errors import EncoderError
from tests.conftest import run_command
from tests.evaluation.made import manifest


class Random:
    """Descriptors of an image by a fixed random matrix."""

    def __init__(self, dim: int = 12) -> None:
        from placememory.encoders import EncoderCard, Preprocess

        self.card = EncoderCard(name="random", dim=dim, preprocess=Preprocess(longest=8))
        self._matrix = np.random.default_rng(0).normal(size=(dim, 48)).astype(np.float32)

    def encode(self, images):
        rows = np.stack([self._matrix @ (image.ravel()[:48] / 255.0) for image in images])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


IMAGES = list(np.random.default_rng(1).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8))


@pytest.mark.parametrize("whiten", [False, True])
def test_descriptors_are_projected(tmp_path: Path, whiten: bool) -> None:
    encoder = Random()
    mean, axes = fit_projection(encoder, IMAGES, 5, whiten=whiten)
    save_projection(tmp_path / "pca.safetensors", mean, axes, {})
    short = with_projection(encoder, tmp_path / "pca.safetensors")
    assert short.card.dim == 5
    rows = short.encode(IMAGES)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    projected = (encoder.encode(IMAGES) - mean) @ axes.T
    spread = projected.var(axis=0, ddof=1)
    if whiten:
        np.testing.assert_allclose(spread, 1.0, rtol=1e-3)
    else:
        assert (np.diff(spread) < 0).all()
        np.testing.assert_allclose(axes @ axes.T, np.eye(5), atol=1e-5)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    mean, axes = fit_projection(Random(), IMAGES, 5)
    save_projection(tmp_path / "pca.safetensors", mean, axes, {})
    with pytest.raises(EncoderError, match="projects 12 numbers, and random gives 9"):
        with_projection(Random(9), tmp_path / "pca.safetensors")
    with pytest.raises(EncoderError, match="placememory compress"):
        with_projection(create("lite-vlad"), tmp_path / "pca.safetensors")
    with pytest.raises(EncoderError, match="principal components"):
        fit_projection(Random(), IMAGES[:4], 5)


def test_the_commands(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    for name, count in (("other", 12), ("run", 6)):
        (tmp_path / name).mkdir()
        rng = np.random.default_rng(count)
        for i in range(count):
            pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((64, 64)).save(tmp_path / name / f"{i:03d}.png")
    options = ("--encoder", "cosplace", "--set", "backbone=resnet18", "--set", "dim=512")
    pca = tmp_path / "pca.safetensors"
    run_command(
        "encoders", "fit", "pca", tmp_path / "other", pca, *options, "--weights", "random",
        "--dim", 8, "--whiten",
    )  # fmt: skip
    memory = tmp_path / "m"
    run_command(
        "build", memory, tmp_path / "run", *options, "--weights", "random", "--pca", pca,
        "--allow-no-poses",
    )  # fmt: skip
    pca.unlink()
    shown = run_command("query", memory, tmp_path / "run/003.png", "--weights", "random", "--json")
    [best, *_] = json.loads(shown.out)["answers"][0]["candidates"]
    assert best["name"] == "003.png"
    assert best["similarity"] == pytest.approx(1.0, abs=1e-4)
    with PlaceMemory.open(memory, readonly=True) as opened:
        assert opened.card.dim == 8


def test_an_evaluation_takes_a_projection(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    manifest(tmp_path / "data", places=16, queries=8, first=10)
    resnet = {"encoder": "cosplace", "weights": "random",
              "options": {"backbone": "resnet18", "dim": 512}}  # fmt: skip
    encoder = create("cosplace", "random", backbone="resnet18", dim=512)
    mean, axes = fit_projection(encoder, IMAGES, 4)
    save_projection(tmp_path / "pca.safetensors", mean, axes, {})
    config = {
        "name": "pca",
        "output": "runs",
        "cache": "cache",
        "datasets": {
            "town": {
                "layout": "manifest",
                "root": "data/manifest.csv",
                "pairs": [{"reference": "map", "query": "run"}],
                "radius": 1.0,
            }
        },
        "encoders": {"whole": resnet, "short": {**resnet, "projection": "pca.safetensors"}},
        "systems": [{"encoder": "whole"}, {"encoder": "short"}],
    }
    (tmp_path / "pca.yaml").write_text(yaml.safe_dump(config))
    runs = json.loads(run_command("evaluate", tmp_path / "pca.yaml", "--json", "--no-figures").out)
    recalls = {run["title"].split(": ")[-1]: run["recall_at_1"]["value"] for run in runs}
    assert len(recalls) == 2
    assert recalls["whole"] == 1.0  # the run has the map's own images
    assert recalls["short"] > 0.5
