"""The learned head: laws of frames and windows, its start, its files, its export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.errors import EncoderError, WeightsError

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from placememory.encoders import lite, vlad  # noqa: E402
from placememory.encoders.catalogue import LITE_NET_WEIGHTS, LITE_WORDS  # noqa: E402
from placememory.encoders.weights import find_weights  # noqa: E402

OPTIONS = {"words": 8, "dim": 16}
RNG = np.random.default_rng(3)
IMAGES = [
    np.kron(RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    for _ in range(6)
]


def _maps(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((count, 112, 7, 9), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def head() -> lite.LiteHead:
    torch.manual_seed(1)
    return lite.LiteHead(8, 16)


@pytest.mark.parametrize("dim", [0, 16])
def test_descriptors_have_their_length_and_unit_norm(dim: int) -> None:
    encoder = encoders.create("lite-net", "random", words=4, dim=dim)
    rows = encoder.encode(IMAGES[:3])
    assert rows.shape == (3, dim or 4 * 112) == (3, encoder.card.dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert np.abs(rows[0] - rows[1]).max() > 1e-4
    assert encoder.encode([]).shape == (0, encoder.card.dim)


def test_head_and_trunk_are_the_split_and_the_folded_trunk_computes_the_same() -> None:
    encoder = encoders.create("lite-net", "random", **OPTIONS)
    x = torch.randn((2, 3, 96, 128), generator=torch.Generator().manual_seed(0))
    net = encoder.module
    with torch.inference_mode():
        apart = net.head(net.trunk(x))
        alone = net.alone(net.per_frame(x))
    torch.testing.assert_close(apart, alone)
    torch.testing.assert_close(encoder.embed(x), apart, atol=1e-4, rtol=1e-3)
    trained = {name.split(".")[0] for name, _ in net.named_parameters()}
    assert trained == {"trunk", "head"}


def test_a_window_of_one_frame_is_the_frame_alone_and_sums_add(head) -> None:
    net = lite.LiteNet(torch.nn.Identity(), head)
    states = head.states(_maps(3))
    frames, window = net.window(states[:1][None])
    assert frames is None
    torch.testing.assert_close(window, net.alone(states[:1]))
    _, both = net.window(states[None])
    torch.testing.assert_close(both[0], head.describe(states.sum(dim=0)[None])[0])
    _, turned = net.window(states.flip(0)[None])
    torch.testing.assert_close(both, turned)


def test_a_sharp_head_without_projection_is_the_plain_vlad() -> None:
    head = lite.LiteHead(6)
    maps = _maps(12)
    head.initialise(maps)
    with torch.no_grad():
        head.assignment.weight.mul_(1e4)
        head.assignment.bias.mul_(1e4)
    plain = vlad.vlad(lite.local_features(maps), head.words.detach())
    torch.testing.assert_close(head(maps), plain, atol=1e-4, rtol=1e-3)


def test_a_start_is_repeatable_and_spreads_descriptors(head) -> None:
    maps = _maps(40)
    before = head(maps) @ head(maps).T
    head.initialise(maps)
    after = head(maps) @ head(maps).T
    assert (after.sum() - after.trace()).abs() < (before.sum() - before.trace()).abs()
    torch.manual_seed(5)
    again = lite.LiteHead(8, 16)
    again.initialise(maps)
    for key, value in head.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value)
    with pytest.raises(EncoderError, match="16 principal components"):
        head.initialise(_maps(10))
    with pytest.raises(EncoderError, match="give more images"):
        lite.LiteHead(30).initialise(_maps(1)[:, :, :3, :3])


def test_every_parameter_of_the_head_gets_a_gradient(head) -> None:
    loss = (head(_maps(2)) * torch.randn((2, 16))).sum()
    loss.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_stream_gives_what_its_windows_give() -> None:
    encoder = encoders.create("lite-seq", "random", length=3, **OPTIONS)
    streamed = list(encoder.encode_stream(IMAGES))
    assert [s.sequence is None for s in streamed] == [True] * 2 + [False] * 4
    for end in range(3, len(IMAGES) + 1):
        window = encoder.encode_window(IMAGES[end - 3 : end])
        np.testing.assert_allclose(streamed[end - 1].sequence, window.sequence, atol=1e-6)
        assert np.linalg.norm(window.sequence) == pytest.approx(1.0, abs=1e-5)
    rows = encoders.create("lite-net", "random", **OPTIONS).encode(IMAGES)
    np.testing.assert_allclose(encoder.encode(IMAGES), rows, atol=1e-6)
    for one, row in zip(streamed, rows, strict=True):
        np.testing.assert_allclose(one.frame, row, atol=1e-6)


def test_files_of_the_whole_network_and_of_the_head(tmp_path: Path) -> None:
    first = encoders.create("lite-net", "random", **OPTIONS)
    again = encoders.create("lite-net", "random", **OPTIONS)
    assert first.card.hash == again.card.hash
    np.testing.assert_array_equal(first.encode(IMAGES[:1]), again.encode(IMAGES[:1]))
    state = {key: value.contiguous() for key, value in first.module.state_dict().items()}
    save_file(state, tmp_path / "whole.safetensors")
    loaded = encoders.create("lite-net", tmp_path / "whole.safetensors", **OPTIONS)
    assert loaded.card.hash != first.card.hash
    np.testing.assert_array_equal(loaded.encode(IMAGES[:1]), first.encode(IMAGES[:1]))
    head = {key: value for key, value in state.items() if key.startswith("head.")}
    save_file(head, tmp_path / "head.safetensors")
    trained = encoders.create("lite-seq", tmp_path / "head.safetensors", **OPTIONS)
    assert np.abs(trained.encode(IMAGES[:1]) - first.encode(IMAGES[:1])).max() > 1e-3
    with pytest.raises(WeightsError, match=r"head\.words"):
        encoders.create("lite-net", tmp_path / "head.safetensors", words=9, dim=16)
    with pytest.raises(WeightsError, match="no published weights"):
        encoders.create("lite-net", **OPTIONS)


def test_the_shipped_head_is_small_half_precision_and_offline(monkeypatch) -> None:
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "1")
    path = find_weights(LITE_NET_WEIGHTS)
    assert path.stat().st_size < 4e6
    state = load_file(path)
    assert {value.dtype for value in state.values()} == {torch.float16}
    frames, windows = encoders.create("lite-net"), encoders.create("lite-seq")
    rows = frames.encode(IMAGES[:2])
    assert rows.shape == (2, LITE_WORDS * 112)
    np.testing.assert_allclose(windows.encode(IMAGES[:2]), rows, atol=1e-6)
    assert frames.card.licence == "Apache-2.0"
    assert encoders.from_card(frames.card).card.hash == frames.card.hash


def test_half_precision_stays_near() -> None:
    rows = [
        encoders.create("lite-net", precision=precision).encode(IMAGES[:2])
        for precision in ("float32", "bfloat16")
    ]
    assert (rows[0] * rows[1]).sum(axis=1).min() > 0.97


def test_anonnx_computes_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    from placememory.encoders.onnx import export_onnx

    encoder = encoders.create("lite-net", "random", **OPTIONS)
    report = export_onnx(encoder, tmp_path / "net.onnx", image_size=(96, 128))
    assert report.difference < 1e-4
    exported = encoders.create("lite-net", tmp_path / "net.onnx", **OPTIONS)
    image = IMAGES[0]
    np.testing.assert_allclose(exported.encode([image]), encoder.encode([image]), atol=1e-4)


@pytest.mark.parametrize("options", [{"words": 1}, {"dim": -1}, {"words": True}])
def test_wrong_options_are_named(options) -> None:
    with pytest.raises(EncoderError, match="is a whole number"):
        encoders.create("lite-net", "random", **options)
