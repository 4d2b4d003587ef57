"""Encoders that add tokens, side branches or attention to DINOv2, against recorded outputs.

As in the tests of DINOv2, each network is made once, from a file in its published container, and
serves all the tests of its class; those that change it are last.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

import placememory
from placememory import encoders
from placememory.encoders import dinov2
from placememory.errors import EncoderError, WeightsError
from tests.encoders.pictures import smooth_images
from tests.encoders.recorded import (
    approximate_gelu,
    make_recorded,
    resize_to_a_size,
    shapes_of,
    torch,
)

pytestmark = pytest.mark.real


@pytest.fixture(scope="class")
def made(request, golden, tmp_path_factory):
    """Record and encoder of a class of tests."""
    return make_recorded(golden, tmp_path_factory, *request.cls.MADE)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def _check(made, bound: float) -> None:
    """Keys as published, and all recorded descriptors."""
    recorded, encoder = made
    assert shapes_of(encoder.module) == recorded.shapes
    assert encoder.card.batch_invariant
    for kind in recorded.kinds:
        if "shape" in recorded.facts["inputs"][kind]:
            found = encoder.embed(recorded.input(kind))
            assert recorded.error(f"{kind}/descriptor", found) <= bound


def _error(made, kind: str) -> float:
    recorded, encoder = made
    return recorded.error(f"{kind}/descriptor", encoder.embed(recorded.input(kind)))


def _check_build(made, folder) -> None:
    """A memory of its descriptors opens again and finds its own images."""
    encoder = made[1]
    images = smooth_images(3)
    (folder / "run").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"run/{number}.png")
    with placememory.build(folder / "x.memory", folder / "run", encoder=encoder) as memory:
        assert memory.card == encoder.card
        found = memory.search(encoder.encode(images), k=1)
        assert [best.place.name for [best] in found] == ["0.png", "1.png", "2.png"]


class TestImAge:
    MADE = ("image_dinov2_vitb14_reg_6144", "imagevpr", "model_state_dict", {})

    def test_equals_the_reference(self, made) -> None:
        _check(made, 1e-5)

    def test_a_memory_is_built(self, made, tmp_path) -> None:
        _check_build(made, tmp_path)

    def test_positions_resized_to_a_size_are_noticed(self, made, monkeypatch) -> None:
        monkeypatch.setattr(dinov2, "grid_positions", resize_to_a_size)
        assert _error(made, "blocks_rect") > 1e-3

    def test_other_files_are_refused(self, made, tmp_path) -> None:
        state = made[1].module.state_dict()
        without = {k: v for k, v in state.items() if k != "backbone.register_tokens"}
        torch.save({"model_state_dict": without}, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=r"1 missing keys: backbone.register_tokens"):
            encoders.create("imagevpr", tmp_path / "w.pth")
        torch.save({**state, "backbone.more": torch.zeros(1)}, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=r"1 unexpected keys: backbone.more"):
            encoders.create("imagevpr", tmp_path / "w.pth")

    def test_mistakes_are_noticed(self, made, monkeypatch) -> None:
        # last in this class: it changes the network
        for block in (7, 9):
            monkeypatch.setattr(made[1].module, "join", block)
            assert _error(made, "blocks_rect") > 1e-1
        monkeypatch.undo()
        approximate_gelu(made[1].module)
        assert _error(made, "blocks_rect") > 5e-5


class TestEDTformer:
    MADE = ("edtformer_4096", "edtformer", "model_state_dict", {})

    def test_equals_the_reference(self, made) -> None:
        _check(made, 1e-5)

    def test_a_memory_is_built(self, made, tmp_path) -> None:
        _check_build(made, tmp_path)

    def test_positions_resized_to_a_size_are_noticed(self, made, monkeypatch) -> None:
        monkeypatch.setattr(dinov2, "grid_positions", resize_to_a_size)
        assert _error(made, "blocks_rect") > 1e-3

    def test_mistakes_are_noticed(self, made) -> None:
        # last in this class: it changes the network
        network = made[1].module
        for adapter in network.backbone.adapters:
            adapter.share = 1.0
        assert _error(made, "blocks_rect") > 1e-1
        for adapter in network.backbone.adapters:
            adapter.share = 0.5
        for layer in network.decoder.layers:
            layer.self_attn.num_heads = layer.multihead_attn.num_heads = 8
            layer.self_attn.head_dim = layer.multihead_attn.head_dim = 96
        assert _error(made, "blocks_rect") > 5e-2


def _tune(recorded, network) -> None:
    """Change the parameters as the recorded input ``blocks_tuned`` says."""
    changes = recorded.facts["inputs"]["blocks_tuned"]["parameters"]
    for key, factor in changes["multiply_after_fill"].items():
        network.get_parameter(key).mul_(factor)
    for key, value in changes["set_after_fill"].items():
        network.get_parameter(key).fill_(value)


def _check_bits(made, kind: str) -> None:
    """Descriptor, hash and bits of an input, and the rows in which they come together."""
    recorded, encoder = made
    network, x = encoder.module, recorded.input(kind)
    descriptors, hashes = network.describe_and_hash(x)
    assert recorded.error(f"{kind}/descriptor", descriptors) <= 5e-6
    assert recorded.error(f"{kind}/hash", hashes) <= 5e-6
    expected = np.unpackbits(recorded.outputs[f"{kind}/bits"], axis=1)
    sure = np.abs(recorded.outputs[f"{kind}/hash"]) > 1e-6
    rows = encoder.embed(x).numpy()
    bits = np.unpackbits(encoders.read_bits(rows, 512), axis=1)
    np.testing.assert_array_equal(bits[sure], expected[sure])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    before = rows[:, :-512] / np.linalg.norm(rows[:, :-512], axis=1, keepdims=True)
    assert recorded.error(f"{kind}/descriptor", torch.from_numpy(before)) <= 5e-6


class TestSelaVPRBase:
    MADE = ("selavprpp_base_2048", "selavprpp-base", "model_state_dict", {"prefilter_bits": 512})

    def test_equals_the_reference(self, made) -> None:
        recorded, encoder = made
        assert shapes_of(encoder.module) == recorded.shapes
        assert encoder.card.dim == 2048 + 512
        assert encoder.card.batch_invariant
        for kind in ("noise", "blocks"):
            _check_bits(made, kind)

    def test_a_memory_is_built(self, made, tmp_path) -> None:
        _check_build(made, tmp_path)

    def test_files_of_one_branch_and_of_two(self, made, tmp_path) -> None:
        recorded, encoder = made
        state, x = encoder.module.state_dict(), recorded.input("noise")[:1]
        torch.save(state, tmp_path / "two.pth")
        hashing = ("backbone.adapters_hashing", "aggregation_hashing", "linear3", "linear4")
        one = {key: value for key, value in state.items() if not key.startswith(hashing)}
        assert len(one) == 648
        torch.save(one, tmp_path / "one.pth")
        for name in ("one.pth", "two.pth"):
            plain = encoders.create("selavprpp-base", tmp_path / name)
            assert recorded.error("noise/descriptor", plain.embed(x), slice(1)) <= 5e-6
        with pytest.raises(WeightsError, match=r"no hash branch.*base_rerank\.pth"):
            encoders.create("selavprpp-base", tmp_path / "one.pth", prefilter_bits=512)
        with pytest.raises(WeightsError, match="weights of another network"):
            encoders.create("selavprpp-large", tmp_path / "one.pth")
        with pytest.raises(EncoderError, match="or 512, not 64"):
            encoders.create("selavprpp-base", tmp_path / "one.pth", prefilter_bits=64)

    def test_other_shapes_are_refused(self, made) -> None:
        with pytest.raises(EncoderError, match="square input, not 224x308"):
            made[1].embed(torch.zeros(1, 3, 224, 308))

    def test_positions_resized_to_a_size_are_noticed(self, made, monkeypatch) -> None:
        monkeypatch.setattr(dinov2, "grid_positions", resize_to_a_size)
        recorded, encoder = made
        found = encoder.module.describe(recorded.input("blocks"))
        assert recorded.error("blocks/descriptor", found) > 1e-4

    def test_tuned_and_mistakes(self, made) -> None:
        # last in this class: it changes the network
        recorded, encoder = made
        network, x = encoder.module, recorded.input("blocks")
        norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.eps = 1e-5
        assert recorded.error("blocks/descriptor", network.describe(x)) > 5e-5
        for norm in norms:
            norm.eps = 1e-3
        _tune(recorded, network)
        _check_bits(made, "blocks_tuned")
        network.aggregation[1].p.fill_(2.0)
        assert recorded.error("blocks_tuned/descriptor", network.describe(x)) > 1e-3


class TestSelaVPRLarge:
    MADE = ("selavprpp_large_4096", "selavprpp-large", "model_state_dict", {"prefilter_bits": 512})

    def test_equals_the_reference(self, made) -> None:
        recorded, encoder = made
        assert shapes_of(encoder.module) == recorded.shapes
        assert encoder.card.dim == 4096 + 512
        _check_bits(made, "blocks")

    def test_a_memory_is_built(self, made, tmp_path) -> None:
        _check_build(made, tmp_path)

    def test_tuned(self, made) -> None:
        # last in this class: it changes the network
        _tune(made[0], made[1].module)
        _check_bits(made, "blocks_tuned")


class TestFoL:
    MADE = ("fol_dinov2_vitb14_8448", "fol", "model_state_dict", {})

    def test_equals_the_reference(self, made) -> None:
        _check(made, 2e-5)
        recorded, encoder = made
        attention = encoder.module.backbone(recorded.input("blocks"))[2]
        assert recorded.error("blocks/attention_mask", attention) <= 1e-5

    def test_the_aggregator_alone(self, made) -> None:
        recorded, encoder = made
        assert recorded.error("given/descriptor", encoder.module.aggregator(*_given(made))) <= 2e-5

    def test_a_memory_is_built(self, made, tmp_path) -> None:
        _check_build(made, tmp_path)

    def test_sizes(self, made) -> None:
        assert made[1].embed(torch.zeros(1, 3, 126, 140)).shape == (1, 8448)
        with pytest.raises(EncoderError, match="more than 64 patches"):
            made[1].embed(torch.zeros(1, 3, 112, 112))
        with pytest.raises(EncoderError, match="multiple of 14, not 320"):
            encoders.create("fol", "random", size=320)
        assert encoders.create("fol", "random", size=504).card.preprocess.size == (504, 504)

    def test_the_file_of_salad_is_refused(self, tmp_path) -> None:
        path = tmp_path / "salad.pth"
        torch.save(encoders.create("salad", "random").module.state_dict(), path)
        with pytest.raises(WeightsError, match=r"upconv.*1 unexpected keys: aggregator.dust_bin"):
            encoders.create("fol", path)

    def test_mistakes_are_noticed(self, made) -> None:
        recorded, encoder = made
        aggregator = encoder.module.aggregator
        token, maps, attention = _given(made)
        turned = attention.unflatten(1, (23, 23)).transpose(1, 2).flatten(1)
        for mistake in (torch.zeros_like(attention), turned):
            found = aggregator(token, maps, mistake)
            assert recorded.error("given/descriptor", found) > 5e-2
        token, maps, attention = encoder.module.backbone(recorded.input("blocks"))
        for mistake in (torch.zeros_like(attention), attention / 12):
            found = aggregator(token, maps, mistake)
            assert recorded.error("blocks/descriptor", found) > 5e-4


def _given(made):
    """Token, map and attention that were recorded with the aggregator alone."""
    fill = made[0].fill
    token = fill.noise_images(17, (2, 768, 1, 1))[:, :, 0, 0]
    maps = fill.noise_images(16, (2, 768, 23, 23))
    mask = 2 * fill.unit_range(fill.noise_images(18, (2, 1, 23, 23)))
    return torch.from_numpy(token), torch.from_numpy(maps), torch.from_numpy(mask).flatten(1)


class TestSage:
    MADE = ("sage_dinov2_vitb14_8448", "sage", "model_state_dict", {})

    def test_equals_the_reference(self, made) -> None:
        _check(made, 1e-4)  # a power below one has an infinite slope at zero

    def test_a_memory_is_built(self, made, tmp_path) -> None:
        _check_build(made, tmp_path)

    def test_positions_resized_to_a_size_are_noticed(self, made, monkeypatch) -> None:
        monkeypatch.setattr(dinov2, "grid_positions", resize_to_a_size)
        assert _error(made, "blocks_rect") > 5e-2

    def test_mistakes_are_noticed(self, made, monkeypatch) -> None:
        weighting = made[1].module.aggregator.soft_weighting
        monkeypatch.setattr(weighting, "forward", lambda maps: maps)
        assert _error(made, "blocks_rect") > 5e-2
