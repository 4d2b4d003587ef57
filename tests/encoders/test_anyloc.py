"""AnyLoc: facets and VLAD against recorded outputs, where its words come from, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.nn.functional import normalize

import placememory
from placememory import encoders
from placememory.encoders import Preprocess
from placememory.encoders.anyloc import FacetNet, cosine_vlad
from placememory.encoders.device import choose_device
from placememory.encoders.dinov2 import SIZES
from placememory.encoders.onnx import export_onnx
from placememory.errors import EncoderError, ImageError, WeightsError
from tests.conftest import run_command
from tests.encoders.pictures import smooth_images
from tests.encoders.recorded import Recorded, make_recorded, shapes_of, torch

SMALL = {"model": "vits14", "layer": 9, "words": 8}


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def made(golden, tmp_path_factory):
    """Record, and encoder with the recorded words."""
    record = "anyloc_facets_dinov2_vits14"
    recorded, encoder = make_recorded(golden, tmp_path_factory, record, "anyloc", "plain", SMALL)
    return recorded, encoder.with_fitted({"words": recorded.outputs["given/c_centers"]})


@pytest.mark.real
class TestRecorded:
    def test_facets(self, made) -> None:
        recorded, encoder = made
        network = encoder.module
        assert shapes_of(network) == recorded.shapes
        for kind in recorded.kinds:
            x = recorded.input(kind)
            for network.facet in ("query", "key", "token", "value"):
                found = network(x)[:, ::16]
                assert recorded.error(f"{kind}/{network.facet}", found) <= 1e-5
        x, network.facet = recorded.input("blocks"), "token"
        unnormalised = network.find(x)[:, 1::16]
        assert recorded.error("blocks/token_unnormalised", unnormalised) <= 1e-5
        network.facet, network.layer = "key", 11
        assert recorded.error("blocks/key_l11", network(x)[:, ::16]) <= 1e-5
        network.facet, network.layer = "value", 9
        with_class = normalize(network.find(x)[:, :2], dim=-1)
        assert recorded.error("blocks/value_with_cls", with_class) <= 1e-5

    def test_descriptors(self, made) -> None:
        recorded, encoder = made
        assert encoder.card.batch_invariant
        for kind in recorded.kinds:
            found = encoder.embed(recorded.input(kind))
            assert recorded.error(f"{kind}/vlad", found) <= 1e-5
            alone = encoder.describe(encoder.module(recorded.input(kind))[0].numpy(), encoder.words)
            np.testing.assert_allclose(alone, found[0].numpy(), atol=1e-6)

    def test_another_block_is_noticed(self, made, monkeypatch) -> None:
        recorded, encoder = made
        monkeypatch.setattr(encoder.module, "layer", 10)
        found = encoder.embed(recorded.input("blocks"))
        assert recorded.error("blocks/vlad", found) > 1e-1

    def test_vlad_alone(self, golden) -> None:
        recorded = Recorded(golden, "anyloc_vlad")
        features = normalize(torch.from_numpy(recorded.outputs["given/features"]), dim=-1)
        words = torch.from_numpy(recorded.outputs["given/vocabulary"])
        for kind, some in (("full", features), ("few", features[:, :3])):
            assert recorded.error(f"{kind}/hard", cosine_vlad(some, words)) <= 1e-5
        assert recorded.error("full/hard", cosine_vlad(features, normalize(words, dim=1))) > 1e-2

    def test_a_memory_is_built_with_words_of_its_own(self, made, tmp_path: Path) -> None:
        weights, folder = tmp_path / "vits.pth", _write_images(tmp_path / "run1")
        torch.save(made[0].state(), weights)
        encoder = encoders.create("anyloc", weights, **SMALL)
        with placememory.build(tmp_path / "a.memory", folder, encoder=encoder) as memory:
            again = encoders.from_card(memory.card, weights)
            assert "the memory's own images" in memory.card.origin
            found = memory.search(again.encode(smooth_images(3)), k=1)
        assert [best.place.name for [best] in found] == ["0.png", "1.png", "2.png"]


def test_an_export_has_the_words_inside(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    images = smooth_images(3)  # of 96x128 pixels, which become 84x126
    encoder = encoders.create("anyloc", "random", **SMALL).fit(images)
    report = export_onnx(encoder, tmp_path / "x.onnx", image_size=(96, 128))
    assert report.input_size == (84, 126)
    exported = encoders.from_card(encoder.card, tmp_path / "x.onnx")
    np.testing.assert_allclose(exported.encode(images), encoder.encode(images), atol=1e-5)


def _write_images(folder: Path) -> Path:
    folder.mkdir()
    for number, image in enumerate(smooth_images(3)):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_words_of_named_images(tmp_path: Path) -> None:
    folder, weights = _write_images(tmp_path / "yard"), tmp_path / "vits.pth"
    torch.save(encoders.create("anyloc", "random", **SMALL).module.state_dict(), weights)
    words = tmp_path / "words.safetensors"
    run_command(
        "encoders", "fit", "anyloc", folder, words, "--trunk", weights,
        "--set", "model=vits14", "--set", "layer=9", "--set", "words=8",
    )  # fmt: skip
    encoder = encoders.create("anyloc", weights, **SMALL, vocabulary=str(words))
    assert "words fitted on 3 images of yard" in encoder.card.origin
    assert encoder.words.shape == (8, 384)
    rows = encoder.encode(smooth_images(2))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    words.rename(tmp_path / "elsewhere.safetensors")  # the card holds them
    again = encoders.from_card(encoder.card, weights)
    assert again.card.hash == encoder.card.hash
    np.testing.assert_array_equal(again.encode(smooth_images(2)), rows)
    with pytest.raises(EncoderError, match=r"FILE\.safetensors"):
        encoder.save_words(tmp_path / "words.pt", "nothing")
    for arguments, message in (
        (("--words", 4), "--set words=32"),
        (("--set", "vocabulary=urban"), "leave out --set vocabulary"),
    ):
        shown = run_command("encoders", "fit", "anyloc", folder, words, *arguments, expect=2)
        assert message in shown.err


def test_files_of_words(tmp_path: Path) -> None:
    centres = np.random.default_rng(0).normal(size=(8, 384)).astype(np.float32)
    torch.save(torch.from_numpy(centres), tmp_path / "c_centers.pt")
    np.save(tmp_path / "c_centers.npy", centres)
    for name in ("c_centers.pt", "c_centers.npy"):
        encoder = encoders.create("anyloc", "random", **SMALL, vocabulary=str(tmp_path / name))
        np.testing.assert_array_equal(encoder.words, centres)
        assert name in encoder.card.origin
    np.save(tmp_path / "few.npy", centres[:3])
    with pytest.raises(EncoderError, match=r"wants a vocabulary 'words' \(8, 384\)"):
        encoders.create("anyloc", "random", **SMALL, vocabulary=str(tmp_path / "few.npy"))
    torch.save({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "table.pt")
    for name, message in (("table.pt", "no single tensor"), ("none.npy", "no such file")):
        # a memory has its words on its card, so that is an error where they are needed
        encoder = encoders.create("anyloc", "random", **SMALL, vocabulary=str(tmp_path / name))
        assert not encoder.is_fitted
        with pytest.raises(WeightsError, match=f"{message}.*or a file of words"):
            encoder.fit(smooth_images(1))
        with pytest.raises(WeightsError, match=message):
            encoder.encode(smooth_images(1))


def test_published_words_belong_to_one_model() -> None:
    with pytest.raises(EncoderError, match="model=vitg14, layer=31, facet=value, words=32 only"):
        encoders.create("anyloc", "random", **SMALL, vocabulary="urban")
    with pytest.raises(EncoderError, match="layer is a whole number from 0 to 11"):
        encoders.create("anyloc", "random", model="vits14")
    with pytest.raises(EncoderError, match="facet is one of token, query, key, value"):
        encoders.create("anyloc", "random", **SMALL, facet="attention")


def test_the_largest_model_has_the_published_layout(monkeypatch) -> None:
    with torch.device("meta"):  # 4.5 GB otherwise
        shapes = shapes_of(FacetNet("vitg14", 31, "value"))
    assert shapes["pos_embed"] == (1, 1370, 1536)
    assert shapes["blocks.39.mlp.w12.weight"] == (8192, 1536)
    assert shapes["blocks.39.mlp.w3.weight"] == (1536, 4096)
    assert "blocks.0.mlp.fc1.weight" not in shapes
    assert "blocks.40.norm1.weight" not in shapes
    gated = SIZES["vits14"]._replace(depth=1, gated=True)
    monkeypatch.setitem(SIZES, "vits14", gated)
    network = FacetNet("vits14", 0, "token")
    mlp, x = network.stages[0].mlp, torch.randn(1, 2, 384)
    gate, value = (
        x @ part.T + bias
        for part, bias in zip(mlp.w12.weight.chunk(2), mlp.w12.bias.chunk(2), strict=True)
    )
    expected = (gate * gate.sigmoid() * value) @ mlp.w3.weight.T + mlp.w3.bias
    torch.testing.assert_close(mlp(x), expected)
    assert network(torch.zeros(1, 3, 28, 28)).shape == (1, 4, 384)


def test_images_are_cut_and_never_enlarged() -> None:
    encoder = encoders.create("anyloc", "random", **SMALL)
    preprocess = encoder.card.preprocess
    assert preprocess.target(480, 640) == (476, 630)
    assert preprocess.scaled(1080, 1920) == (576, 1024)
    assert preprocess.target(1080, 1920) == (574, 1022)
    image = np.random.default_rng(0).integers(0, 255, (31, 45, 3), dtype=np.uint8)
    x = choose_device("cpu", "float32").normalise(image[None], preprocess)
    assert x.shape == (1, 3, 28, 42)
    np.testing.assert_allclose(preprocess.apply(image), x[0].numpy(), atol=1e-6)
    middle = encoders.Preprocess(native=True).apply(image)[:, 2:30, 2:44]  # 1.5 goes to the even 2
    np.testing.assert_allclose(x[0].numpy(), middle, atol=1e-6)
    large = np.zeros((1300, 40, 3), np.uint8)
    assert preprocess.apply(large).shape == (3, 1022, 28)
    with pytest.raises(ImageError, match=r"13x40 pixels is too small.*multiples of 14"):
        list(encoder.find_features([np.zeros((13, 40, 3), np.uint8)]))


def test_cards_from_before_crops_keep_their_hash() -> None:
    before = Preprocess(longest=320, multiple=16)
    assert "crop" not in before.model_dump()
    cut = Preprocess(longest=320, multiple=16, crop=True, resize_on="tensor")
    assert Preprocess(**cut.model_dump()) == cut
    with pytest.raises(ValueError, match="cropping works on tensors"):
        Preprocess(longest=320, crop=True)
