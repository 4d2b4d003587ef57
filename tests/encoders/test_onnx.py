"""Exported encoders: the same descriptors, the same card, no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders import Preprocess
from placememory.errors import (
    EncoderError,
    EncoderMismatchError,
    SettingError,
    WeightsError,
)

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")

from placememory.encoders import onnx as exporting  # noqa: E402
from placememory.encoders.device import choose_device  # noqa: E402

RNG = np.random.default_rng(5)
IMAGES = [
    RNG.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    for _ in range(6)
]


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """The default encoder, fitted, and its export."""
    encoder = encoders.create("lite-vlad", device="torch", precision="float32").fit(IMAGES)
    path = tmp_path_factory.mktemp("onnx") / "lite.onnx"
    report = exporting.export_onnx(encoder, path, image_size=IMAGES[0].shape[:2])
    assert report.input_size == (240, 320)
    assert report.difference <= 1e-5
    return encoder, path


def test_the_default_encoder_with_its_vocabulary(lite) -> None:
    encoder, path = lite
    exported = encoders.from_card(encoder.card, path)
    assert exported.card.hash == encoder.card.hash
    np.testing.assert_allclose(exported.encode(IMAGES), encoder.encode(IMAGES), atol=1e-5)
    assert exported.encode([]).shape == (0, encoder.card.dim)


def test_no_torch_is_needed(lite, tmp_path: Path) -> None:
    encoder, path = lite
    np.save(tmp_path / "image.npy", IMAGES[0])
    program = (
        "import sys; sys.modules['torch'] = sys.modules['timm'] = None\n"
        "import numpy as np; from placememory import encoders\n"
        f"encoder = encoders.create('lite-vlad', {str(path)!r})\n"
        f"np.save('row.npy', encoder.encode([np.load('image.npy')]))\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    found = np.load(tmp_path / "row.npy")
    np.testing.assert_allclose(found, encoder.encode(IMAGES[:1]), atol=1e-5)


def test_a_network_with_fixed_input(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = encoders.create("cosplace", "random", dim=32, size=64)
    path = tmp_path / "net.onnx"
    report = exporting.export_onnx(encoder, path)
    assert report.input_size == (64, 64)
    exported = encoders.create("cosplace", path, dim=32, size=64)
    assert exported.card == encoder.card
    images = [IMAGES[0], IMAGES[1][:50, :90]]  # of any size
    np.testing.assert_allclose(exported.encode(images), encoder.encode(images), atol=1e-5)
    with pytest.raises(EncoderError, match="exported with dim=32, not 64"):
        encoders.create("cosplace", path, dim=64)
    with pytest.raises(EncoderError, match="exported from 'cosplace'"):
        encoders.create("mixvpr", path)
    with pytest.raises(SettingError, match="float32"):
        encoders.create("cosplace", path, precision="bfloat16")
    with pytest.raises(SettingError, match="run on cpu"):
        encoders.create("cosplace", path, device="mps")
    other = encoders.create("cosplace", "random", dim=32, size=96)
    with pytest.raises((EncoderError, EncoderMismatchError), match="size"):
        encoders.from_card(other.card, path)


def test_other_shapes_than_exported_are_refused(lite) -> None:
    encoder, path = lite
    exported = encoders.from_card(encoder.card, path)
    with pytest.raises(EncoderError, match="exported for an input of 240x320"):
        exported.encode([IMAGES[0][:60]])
    with pytest.raises(EncoderError, match="--image-size"):
        exporting.export_onnx(encoder, path.with_name("again.onnx"))
    assert not path.with_name("again.onnx").exists()
    with pytest.raises(EncoderError, match="no torch network"):
        exporting.export_onnx(exported, path.with_name("again.onnx"))


def test_files_that_are_not_ours_are_refused(lite, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "x.onnx"
    with pytest.raises(WeightsError, match="no such file"):
        encoders.create("lite-vlad", path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot read it"):
        encoders.create("lite-vlad", path)
    model = onnx.load(lite[1])
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(WeightsError, match="no encoder card"):
        encoders.create("lite-vlad", path)


def test_what_computes_something_else_is_not_kept(lite, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "PARITY", 0.0)
    path = tmp_path / "x.onnx"
    with pytest.raises(EncoderError, match="was not kept"):
        exporting.export_onnx(lite[0], path, image_size=(120, 160))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported() -> None:
    with pytest.raises(EncoderError, match="jist cannot be exported"):
        exporting.export_onnx(encoders.create("jist", "random"), "x.onnx")


@pytest.mark.parametrize("resize_on", ["image", "tensor", "normalised"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(50, 60), (130, 200)])
def test_preprocessing_without_torch_is_the_same(resize_on, interpolation, size) -> None:
    preprocess = Preprocess(size=size, resize_on=resize_on, interpolation=interpolation)
    device = choose_device("cpu", "float32")
    image = RNG.integers(0, 255, (97, 121, 3), dtype=np.uint8)
    with_torch = device.normalise(preprocess.resize(image)[None], preprocess)[0].numpy()
    np.testing.assert_allclose(preprocess.apply(image), with_torch, atol=2e-5)
