"""VLAD over learned local features, with words of the map's own images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders import FittableEncoder
from placememory.errors import EncoderError, WeightsError

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from placememory.encoders.catalogue import LITE_NET_WEIGHTS  # noqa: E402
from placememory.encoders.weights import find_weights  # noqa: E402

RNG = np.random.default_rng(5)
IMAGES = [
    np.kron(RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    for _ in range(6)
]


def made(weights: str | Path | None = None, name: str = "lite-vlad-learned") -> FittableEncoder:
    encoder = encoders.create(name, weights, words=8, precision="float32")
    assert isinstance(encoder, FittableEncoder)
    return encoder


def test_the_words_are_the_maps_own_and_the_features_are_learned() -> None:
    with pytest.raises(EncoderError, match="lite-vlad-learned has no vocabulary"):
        made().encode(IMAGES)
    learned, rows = made().fit_encode(IMAGES)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(learned.encode(IMAGES), rows, atol=1e-6)
    plain, others = made(name="lite-vlad").fit_encode(IMAGES)
    assert np.abs(rows - others).max() > 0.01
    again = encoders.from_card(learned.card, precision="float32")
    np.testing.assert_allclose(again.encode(IMAGES[:2]), rows[:2], atol=1e-6)
    with pytest.raises(EncoderError, match="lite-vlad-learned wants a vocabulary"):
        learned.with_fitted({"words": np.zeros((3, 112), np.float32)})
    assert plain.card.hash != learned.card.hash


def test_weights_as_training_leaves_them(tmp_path: Path) -> None:
    """A map that does nothing gives lite-vlad; another count of words in the file is no matter."""
    head = load_file(find_weights(LITE_NET_WEIGHTS))
    head["head.local.weight"], head["head.local.bias"] = torch.eye(112), torch.zeros(112)
    head["head.words"], head["head.assignment.weight"] = torch.zeros(5, 112), torch.zeros(5, 112)
    head["head.assignment.bias"] = torch.zeros(5)
    file = tmp_path / "trained.safetensors"
    save_file({key: value.float().contiguous() for key, value in head.items()}, file)
    _, rows = made(file).fit_encode(IMAGES)
    _, plain = made(name="lite-vlad").fit_encode(IMAGES)
    assert (rows * plain).sum(axis=1).min() > 0.98  # but for features between two words
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(WeightsError, match="no weights of lite-net"):
        made(other)


def test_the_graph_for_export_is_the_encoder() -> None:
    learned, rows = made().fit_encode(IMAGES[:3])
    preprocess = learned.card.preprocess
    assert preprocess is not None
    x = torch.from_numpy(preprocess.apply(IMAGES[0]))[None]
    with torch.inference_mode():
        found = learned.graph()(x).numpy()
    np.testing.assert_allclose(found[0], rows[0], atol=2e-4)
