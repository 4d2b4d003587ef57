"""SeqVLAD and sVPR against outputs recorded from the reference implementations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from placememory.encoders import seqvlad
from placememory.encoders.layers import SequenceNet
from placememory.encoders.seqvlad import SeqVLADNet, SVPRNet
from placememory.encoders.vlad import NetVLADPool, vlad_descriptor
from placememory.errors import EncoderError
from tests.encoders.recorded import Recorded, shapes_of, torch

BOUND = 2e-5
NETS: dict[str, Callable[[], SequenceNet]] = {
    "tvg_seqvlad_vgg16": lambda: SeqVLADNet("vgg16"),
    "tvg_seqvlad_cct384": lambda: SeqVLADNet("cct384"),
    "tvg_seqvlad_r18l3": lambda: SeqVLADNet("r18l3"),
    "svpr_stformer": SVPRNet,
}
RECORDED = [
    ("tvg_seqvlad_vgg16", "noise"),
    ("tvg_seqvlad_vgg16", "blocks"),
    ("tvg_seqvlad_vgg16", "blocks_b2"),
    ("tvg_seqvlad_cct384", "noise"),
    ("tvg_seqvlad_cct384", "blocks"),
    ("tvg_seqvlad_r18l3", "blocks"),
    ("svpr_stformer", "noise"),
    ("svpr_stformer", "blocks"),
]


class Recording(Recorded):
    """One recorded network, filled, with what its inputs become."""

    def __init__(self, golden: Path, name: str) -> None:
        super().__init__(golden, name)
        self.net: SequenceNet = self.fill.load_filled(NETS[name]())
        self._states: dict[str, torch.Tensor] = {}

    def states(self, kind: str) -> torch.Tensor:
        """(B, 5, ...), computed together, once."""
        if kind not in self._states:
            states = self.net.per_frame(self.input(kind))
            self._states[kind] = states.unflatten(0, (-1, 5))
        return self._states[kind]

    def errors(self, kind: str, found: torch.Tensor) -> float:
        """Largest relative L2 error of the windows' descriptors, of the first ones if few."""
        return self.error(f"{kind}/seq_desc", found, slice(len(found)))


@pytest.fixture(scope="module")
def recording(golden: Path) -> Callable[[str], Recording]:
    return cache(lambda name: Recording(golden, name))


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.mark.real
@pytest.mark.parametrize("name", NETS)
def test_keys_are_those_of_the_checkpoint(recording, name: str) -> None:
    found = recording(name)
    assert shapes_of(found.net) == found.shapes
    assert found.net.dim == found.facts["descriptor_dim"]


@pytest.mark.real
@pytest.mark.parametrize(("name", "kind"), RECORDED)
def test_windows_equal_the_reference(recording, name: str, kind: str) -> None:
    network = recording(name)
    frames, windows = network.net.window(network.states(kind))
    assert frames is None
    assert windows.shape == network.outputs[f"{kind}/seq_desc"].shape
    assert network.errors(kind, windows) <= BOUND


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "kind"), [(name, "blocks" if "r18" in name else "noise") for name in NETS]
)
def test_frames_one_by_one_equal_frames_together(recording, name: str, kind: str) -> None:
    network = recording(name)
    together = network.states(kind)[0]
    one_by_one = torch.cat([network.net.per_frame(x[None]) for x in network.input(kind)[:5]])
    error = (one_by_one - together).flatten(1).norm(dim=1) / together.flatten(1).norm(dim=1)
    assert error.max() <= 1e-6


@pytest.mark.real
def test_a_frame_alone_is_a_window_of_one(recording) -> None:
    network = recording("tvg_seqvlad_r18l3")
    frames = network.states("blocks")[0]
    alone = network.net.alone(frames)
    torch.testing.assert_close(alone, network.net.window(frames[:, None])[1])
    torch.testing.assert_close(alone.norm(dim=1), torch.ones(5))
    averaged = torch.nn.functional.normalize(alone.mean(dim=0, keepdim=True), dim=1)
    assert network.errors("blocks", averaged) > 100 * BOUND


@pytest.mark.real
def test_averaged_patches_would_be_noticed(recording, monkeypatch) -> None:
    def averaged(patches: torch.Tensor) -> torch.Tensor:
        return joined(patches) / joined(torch.ones_like(patches))

    joined = seqvlad.join_patches
    monkeypatch.setattr(seqvlad, "join_patches", averaged)
    assert _change_of_svpr(recording) == pytest.approx(0.4, abs=0.1)


@pytest.mark.real
def test_ignored_distances_in_time_would_be_noticed(recording, monkeypatch) -> None:
    by_distance = seqvlad._by_distance
    monkeypatch.setattr(
        seqvlad, "_by_distance", lambda table, size: by_distance(table, size) * (size != 5)
    )
    assert _change_of_svpr(recording) == pytest.approx(0.04, abs=0.01)


@pytest.mark.real
def test_reversed_distances_would_be_noticed(recording, monkeypatch) -> None:
    by_distance = seqvlad._by_distance
    monkeypatch.setattr(
        seqvlad, "_by_distance", lambda table, size: by_distance(table, size).transpose(0, 1)
    )
    assert _change_of_svpr(recording) > 100 * BOUND


def _change_of_svpr(recording) -> float:
    network = recording("svpr_stformer")
    _, window = network.net.window(network.states("blocks")[:1])
    return network.errors("blocks", window)


@pytest.mark.real
def test_missing_position_embeddings_would_be_noticed(recording, monkeypatch) -> None:
    network = recording("tvg_seqvlad_cct384")
    encoder = network.net.encoder
    monkeypatch.setattr(seqvlad.CCT, "forward", lambda self, x: self.classifier(self.tokenizer(x)))
    states = network.net.per_frame(network.input("noise"))
    _, window = network.net.window(states[None])
    assert encoder.classifier.positional_emb.abs().max() > 0
    assert network.errors("noise", window) > 100 * BOUND


@pytest.mark.parametrize("tokens", [False, True])
def test_sums_are_those_of_all_residuals(tokens: bool) -> None:
    torch.manual_seed(0)
    pool = NetVLADPool(channels=6, words=4, tokens=tokens)
    pool.centroids.copy_(torch.randn(4, 6))
    features = torch.randn(3, 6, 5, 7)
    units = torch.nn.functional.normalize(features, dim=1).flatten(2)
    shares = torch.einsum("kc,ncl->nkl", pool.conv.weight.flatten(1), units).softmax(dim=1)
    residuals = units[:, None] - pool.centroids[None, :, :, None]
    expected = (residuals * shares[:, :, None]).sum(dim=-1)
    torch.testing.assert_close(pool.sums(features), expected)
    torch.testing.assert_close(pool.sums(features.flatten(2)), expected)
    torch.testing.assert_close(pool(features), vlad_descriptor(expected))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_nothing_to_normalise_gives_zeros(dtype: str) -> None:
    sums = torch.zeros(2, 3, 4, dtype=getattr(torch, dtype))
    sums[0, 0, 1] = 2.0
    found = vlad_descriptor(sums)
    assert found.dtype == sums.dtype
    assert found.sum(dim=1).tolist() == [1.0, 0.0]
    pool = NetVLADPool(channels=4, words=3).to(sums.dtype)
    assert pool(torch.zeros(1, 4, 2, 2, dtype=sums.dtype)).abs().max() == 0


def test_relative_positions_are_added_to_the_scores() -> None:
    torch.manual_seed(0)
    attention = seqvlad.RelativeAttention((2, 3, 4))
    tables = [attention.rel_pos_t, attention.rel_pos_h, attention.rel_pos_w]
    for table in tables:
        table.normal_()
    queries, keys, values = torch.randn(3, 1, 6, 24, 64)
    scores = queries @ keys.transpose(-1, -2) / 8
    places = [np.unravel_index(i, (2, 3, 4)) for i in range(24)]
    for i, own in enumerate(places):
        for j, other in enumerate(places):
            for table, a, b in zip(tables, own, other, strict=True):
                scores[:, :, i, j] += queries[:, :, i] @ table[a - b + len(table) // 2]
    expected = scores.softmax(dim=-1) @ values
    torch.testing.assert_close(attention.attend(queries, keys, values), expected)


def test_patches_are_cut_in_order_and_added_up() -> None:
    tokens = torch.arange(2 * 5 * 576, dtype=torch.float32).view(2, 2880, 1)
    patches = seqvlad.cut_patches(tokens)
    assert patches.shape == (98, 180, 1)
    maps = tokens.view(2, 5, 24, 24)
    torch.testing.assert_close(patches[49 + 8].view(5, 6, 6), maps[1, :, 3:9, 3:9])
    counts = seqvlad.join_patches(torch.ones_like(patches))
    along = torch.tensor([1.0] * 3 + [2.0] * 18 + [1.0] * 3)
    torch.testing.assert_close(counts[0].view(5, 24, 24)[2], along[:, None] * along)
    torch.testing.assert_close(seqvlad.join_patches(patches), tokens * counts)


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(EncoderError, match="no backbone 'vgg19'"):
        SeqVLADNet("vgg19")
    small = torch.zeros(1, 3, 64, 64)
    with pytest.raises(EncoderError, match="384 x 384 pixels, not 64 x 64"):
        SeqVLADNet("cct384").per_frame(small)
    net = SVPRNet(words=2)
    with pytest.raises(EncoderError, match="384 x 384 pixels, not 64 x 64"):
        net.per_frame(small)
    with pytest.raises(EncoderError, match="windows of 5 frames, not 4"):
        net.window(torch.zeros(1, 4, 576, 384))
    assert net.alone(torch.zeros(1, 576, 384)) is None
