"""Encoders on DINOv2 against recorded outputs; and that a mistake in one would be noticed.

Filling and running a ViT-B takes seconds, so each network is made once, from a file in its
published container, and serves all the tests of its class.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from torch.nn.functional import normalize

from placememory import encoders
from placememory.encoders import dinov2
from tests.encoders.recorded import (
    Recorded,
    approximate_gelu,
    make_recorded,
    resize_to_a_size,
    shapes_of,
    torch,
)

pytestmark = pytest.mark.real
BOUND = 2e-5


@pytest.fixture(scope="class")
def made(request, golden, tmp_path_factory):
    """Record and encoder of a class of tests."""
    return make_recorded(golden, tmp_path_factory, *request.cls.MADE)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def test_the_backbone(golden) -> None:
    recorded = Recorded(golden, "dinov2_vitb14")
    network = dinov2.DinoV2().eval()
    assert shapes_of(network) == recorded.shapes
    network.load_state_dict(recorded.state())
    for kind in recorded.kinds:
        x = recorded.input(kind)
        tokens = network(x)
        assert recorded.error(f"{kind}/cls", tokens[:, 0]) <= BOUND
        assert recorded.error(f"{kind}/patch_mean", tokens[:, 1:].mean(dim=1)) <= BOUND
        assert recorded.error(f"{kind}/patch_first_last", tokens[:, [1, -1]]) <= BOUND
        prenorm = network.tokens(x, norm=False)[:, 0]
        assert recorded.error(f"{kind}/prenorm_cls", prenorm) <= BOUND
    approximate_gelu(network)
    tokens = network(recorded.input("blocks"))
    assert recorded.error("blocks/cls", tokens[:, 0]) > 2 * BOUND


class TestSalad:
    MADE = ("salad_dinov2_vitb14", "salad", "plain", {})

    def test_equals_the_reference(self, made) -> None:
        recorded, encoder = made
        assert shapes_of(encoder.module) == recorded.shapes
        for kind in recorded.kinds:
            found = encoder.embed(recorded.input(kind))
            assert recorded.error(f"{kind}/descriptor", found) <= BOUND

    def test_more_iterations_are_noticed(self, made, monkeypatch) -> None:
        recorded, encoder = made
        monkeypatch.setattr(encoder.module.aggregator, "iterations", 10)
        assert recorded.error("blocks_rect/descriptor", _rect(made)) > 5e-3

    def test_positions_resized_to_a_size_are_noticed(self, made, monkeypatch) -> None:
        monkeypatch.setattr(dinov2, "grid_positions", resize_to_a_size)
        assert made[0].error("blocks_rect/descriptor", _rect(made)) > 1e-2

    def test_another_gelu_is_noticed(self, made) -> None:
        # last in this class: it changes the network
        approximate_gelu(made[1].module)
        assert made[0].error("blocks_rect/descriptor", _rect(made)) > 2 * BOUND


def _rect(made):
    recorded, encoder = made
    return encoder.embed(recorded.input("blocks_rect"))


def test_cliquemining_is_salad_in_a_wrapper(golden, tmp_path) -> None:
    state = encoders.create("salad", "random").module.state_dict()
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state, "callbacks": {"a": torch.zeros(1)}, "epoch": 9}, path)
    loaded = encoders.create("cliquemining", path).module.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


class TestMegaLoc:
    MADE = ("megaloc", "megaloc", "safetensors", {})

    def test_equals_the_reference(self, made) -> None:
        recorded, encoder = made
        assert shapes_of(encoder.module) == recorded.shapes
        for kind in ("noise", "blocks"):
            found = encoder.embed(recorded.input(kind))
            assert recorded.error(f"{kind}/descriptor", found) <= BOUND

    def test_sides_become_multiples_of_14(self, made) -> None:
        recorded, encoder = made
        x = recorded.input("blocks_resized")
        preprocess = encoder.card.preprocess
        resized = encoder._device._resize(x, preprocess)
        assert tuple(resized.shape[-2:]) == (238, 322)
        assert recorded.error("blocks_resized/descriptor", encoder.embed(resized)) <= BOUND
        image = np.full((240, 320, 3), 90, np.uint8)
        assert encoder.encode([image]).shape == (1, 8448)

    def test_positions_resized_to_a_size_are_noticed(self, made, monkeypatch) -> None:
        recorded, encoder = made
        monkeypatch.setattr(dinov2, "grid_positions", resize_to_a_size)
        found = encoder.embed(recorded.input("blocks")[:1])
        assert recorded.error("blocks/descriptor", found, slice(1)) > 1e-2


class TestBoQ:
    MADE = ("boq_dinov2_12288", "boq-dinov2", "plain", {})

    def test_equals_the_reference(self, made) -> None:
        recorded, encoder = made
        assert shapes_of(encoder.module) == recorded.shapes
        for kind in recorded.kinds:
            found = encoder.embed(recorded.input(kind))
            assert recorded.error(f"{kind}/descriptor", found) <= BOUND

    def test_attention_maps(self, made) -> None:
        image = np.full((40, 60, 3), 90, np.uint8)
        image[10:20] = 200
        maps = made[1].attention(image)
        assert maps.shape == (2, 64, 23, 23)
        np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1.0, atol=1e-4)

    def test_queries_that_do_not_meet_are_noticed(self, made, monkeypatch) -> None:
        recorded, encoder = made
        kind = type(encoder.module.aggregator.boqs[0])
        monkeypatch.setattr(kind, "look", lambda self: self.norm_q(self.queries))
        found = encoder.embed(recorded.input("blocks")[:1])
        assert recorded.error("blocks/descriptor", found, slice(1)) > 5e-3


class TestCricaVPR:
    MADE = ("cricavpr", "cricavpr", "model_state_dict", {"together": 2})

    def test_equals_the_reference(self, made) -> None:
        recorded, encoder = made
        assert shapes_of(encoder.module) == recorded.shapes
        network = encoder.module
        for kind in recorded.kinds:
            regions = network.regions(*network.backbone.maps(recorded.input(kind)))
            for output, context in (
                ("batch", network.correlate(regions)),
                ("single", network.correlate_each(regions)),
                ("first_two", network.correlate(regions[:2])),
            ):
                found = normalize(context.flatten(1), dim=-1)
                assert recorded.error(f"{kind}/{output}", found) <= BOUND
        found = encoder.embed(recorded.input("blocks"))
        assert recorded.error("blocks/batch", found) <= BOUND

    def test_groups_and_the_card(self, made) -> None:
        encoder = made[1]
        assert not encoder.card.batch_invariant
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 255, (50, 60, 3), dtype=np.uint8) for _ in range(3)]
        all_at_once, last_alone = encoder.encode(images), encoder.encode(images[2:])
        np.testing.assert_allclose(all_at_once[2:], last_alone, atol=1e-5)
        assert np.abs(all_at_once[0] - encoder.encode(images[:1])[0]).max() > 1e-3

    def test_mistakes_are_noticed(self, made) -> None:
        # last in this class: it changes the network
        recorded, encoder = made
        x, network = recorded.input("blocks")[:1], encoder.module
        norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        assert all(norm.eps == 1e-3 for norm in norms)
        for norm in norms:
            norm.eps = 1e-5
        assert recorded.error("blocks/single", encoder.embed(x), slice(1)) > BOUND
        for norm in norms:
            norm.eps = 1e-3
        assert recorded.error("blocks/single", encoder.embed(x), slice(1)) <= BOUND
        network.aggregation[1].p.fill_(3.0)
        assert recorded.error("blocks/single", encoder.embed(x), slice(1)) > 1e-2


class TestCaseVPRsCrica:
    """CaseVPR's re-keyed ``crica.pth``: as image encoder, and as CaseNet's weights."""

    def test_equals_the_reference(self, golden, tmp_path_factory) -> None:
        record = "casevpr_crica"
        recorded, encoder = make_recorded(
            golden, tmp_path_factory, record, "cricavpr", "state_dict", {}
        )
        assert encoder.card.batch_invariant
        x = recorded.input("blocks")
        assert recorded.error("blocks/single", encoder.embed(x)) <= BOUND
        encoder.module.together = True
        assert recorded.error("blocks/batch", encoder.embed(x)) <= BOUND


class TestCaseNet:
    MADE = ("casevpr_casenet_224", "casenet-224", "model_state_dict", {})

    def test_equals_the_reference(self, made) -> None:
        recorded, encoder = made
        network = encoder.module
        assert shapes_of(network) == recorded.shapes
        for kind in recorded.kinds:
            states = network.per_frame(recorded.input(kind))
            _check_windows(recorded, network, kind, states)
        network.encoder_type = "bs_d_c"

    def test_a_window_is_a_stream_is_a_window(self, made) -> None:
        encoder = made[1]
        rng = np.random.default_rng(1)
        images = [rng.integers(0, 255, (40, 50, 3), dtype=np.uint8) for _ in range(6)]
        calls, per_frame = [], encoder.module.per_frame
        encoder.module.per_frame = lambda x: calls.append(len(x)) or per_frame(x)
        streamed = list(encoder.encode_stream(images))
        del encoder.module.per_frame
        assert calls == [1] * 6
        window = encoder.encode_window(images[1:])
        np.testing.assert_allclose(streamed[-1].sequence, window.sequence, atol=1e-6)
        np.testing.assert_allclose(streamed[-1].frame, window.frames[-1], atol=1e-6)
        alone = encoder.encode(images[:1])[0]
        np.testing.assert_allclose(streamed[0].frame, alone, atol=1e-6)
        assert [s.sequence is None for s in streamed] == [True] * 4 + [False] * 2

    def test_other_layouts_are_loaded(self, made, tmp_path) -> None:
        encoder = made[1]
        state = encoder.module.state_dict()
        release = {
            key.replace("encoder.", "backbone.", 1)
            if key.startswith("encoder.")
            else key.removeprefix("pooling."): value
            for key, value in state.items()
        }
        path = tmp_path / "CricaVPR.pth"
        torch.save({"model_state_dict": {f"module.{k}": v for k, v in release.items()}}, path)
        loaded = encoders.create("casenet-224", path, resize_on="tensor").module.state_dict()
        assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_casenet_at_322(golden, tmp_path_factory) -> None:
    recorded, encoder = make_recorded(
        golden, tmp_path_factory, "casevpr_casenet_322", "casenet-322", "model_state_dict", {}
    )
    assert shapes_of(encoder.module) == recorded.shapes
    states = encoder.module.per_frame(recorded.input("blocks"))
    _check_windows(recorded, encoder.module, "blocks", states)


def _check_windows(recorded: Recorded, network, kind: str, states) -> None:
    """All outputs of one input, from the states of its frames."""
    for name in ("bs_d_c", "b_sd_c", "sd_b_c"):
        network.encoder_type = name
        frames, sequence = network.window(states[None, :5])
        assert recorded.error(f"{kind}/{name}_img_desc", frames[0]) <= BOUND
        assert recorded.error(f"{kind}/{name}_seq_desc", sequence) <= BOUND
        if len(states) == 10:  # the published training lets sequences of a batch mix
            network.mixes_sequences = True
            mixed = network.window(states.unflatten(0, (2, 5)))[1]
            network.mixes_sequences = False
            assert recorded.error(f"{kind}/{name}_seq_desc_b2", mixed) <= BOUND
    assert recorded.error(f"{kind}/single_img_desc", network.alone(states[:2])) <= BOUND
    pair = normalize(network.pooling.correlate(states[:2]).flatten(1), dim=-1)
    assert recorded.error(f"{kind}/single_img_desc_batch2", pair) <= BOUND
