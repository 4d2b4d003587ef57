"""Fitting NetVLAD on images of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.errors import EncoderError, WeightsError

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from placememory.encoders import netvlad as fit  # noqa: E402
from placememory.encoders import vlad  # noqa: E402
from placememory.encoders.device import choose_device  # noqa: E402
from placememory.encoders.layers import vgg16_trunk  # noqa: E402
from placememory.encoders.preprocessing import Preprocess  # noqa: E402
from placememory.encoders.vlad import NetVLADPool, vlad_descriptor  # noqa: E402


@pytest.mark.real
@pytest.mark.parametrize(
    ("record", "tokens"),
    [("casevpr_netvlad_v1", False), ("vg_netvlad", False), ("seqvlad_conv", False),
     ("seqvlad_tokens", True)],
)  # fmt: skip
def test_the_start_equals_the_reference(golden: Path, record: str, tokens: bool) -> None:
    arrays = np.load(golden / "models/netvlad_init.npz")
    pool = NetVLADPool(32, 16, tokens=tokens)
    centres, features = arrays["clusters"], arrays["descriptors"]
    alpha, _ = vlad.start_assignment(centres, features)
    assert alpha == pytest.approx(10.170043171197303, rel=1e-5)
    pool.start(centres, features)
    found = pool.conv.weight.detach().numpy()
    np.testing.assert_allclose(found, arrays[f"{record}/conv_weight"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(pool.centroids.detach(), arrays[f"{record}/centroids"])
    with torch.inference_mode():
        if tokens:
            sums = pool.sums(torch.from_numpy(arrays["tokens"]).transpose(1, 2))
        else:
            sums = pool.sums(torch.from_numpy(arrays["feature_maps"]))
        if record.startswith("seqvlad"):
            sums = sums.unflatten(0, (-1, 5)).sum(dim=1)
        found = vlad_descriptor(sums).numpy()
    expected = arrays[f"{record}/output"]
    assert np.linalg.norm(found - expected) <= 2e-5 * np.linalg.norm(expected)


def _images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 255, (count, 6, 8, 3), dtype=np.uint8)
    return [image.repeat(16, axis=0).repeat(16, axis=1) for image in blocks]


def test_whitened_descriptors_are_white(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images, seen = _images(24), []
    network = fit.fit_netvlad(
        vgg16_trunk(), images, choose_device("cpu", "float32"), Preprocess(size=(96, 128)),
        words=4, dim=6, progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen[-1] == (48, 48)
    with torch.inference_mode():
        x = torch.stack([torch.from_numpy(Preprocess(size=(96, 128)).apply(i)) for i in images])
        white = network.projection(network.vlad(x)[:, :, None, None]).flatten(1).numpy()
    np.testing.assert_allclose(white.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(np.cov(white.T), np.eye(6), atol=1e-2)
    path = tmp_path / "own.safetensors"
    fit.save_weights(network, path)
    encoder = encoders.create("netvlad-wpca", path, words=4, dim=6)
    assert encoder.encode(images[:2]).shape == (2, 6)


def test_the_trunk_comes_from_netvlad_or_from_vgg16(tmp_path: Path) -> None:
    trunk = vgg16_trunk()
    for prefix, more in (("features", "classifier.0.bias"), ("encoder", "pool.centroids")):
        state = {f"{prefix}.{key}": value for key, value in trunk.state_dict().items()}
        path = tmp_path / f"{prefix}.pth"
        torch.save({**state, more: torch.zeros(3)}, path)
        loaded = fit.load_trunk(path).state_dict()
        assert all(torch.equal(loaded[k], v) for k, v in trunk.state_dict().items())
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="26 missing keys"):
        fit.load_trunk(path)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(EncoderError, match="more than 24 images"):
        fit.fit_netvlad(
            vgg16_trunk(), _images(24), choose_device("cpu", "float32"),
            Preprocess(size=(96, 128)), words=4, dim=24,
        )  # fmt: skip
    with pytest.raises(EncoderError, match="cannot be distinguished"):
        vlad.start_assignment(np.ones((3, 4), np.float32), np.ones((5, 4), np.float32))
