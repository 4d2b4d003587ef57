"""Sequence encoders: windows, streams, a PCA behind them."""

from __future__ import annotations

import numpy as np
import pytest

from placememory import encoders
from placememory.errors import EncoderError, ImageError

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

RNG = np.random.default_rng(7)
IMAGES = [RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8) for _ in range(7)]
MADE = [("jist", {"length": 3}), ("seqvlad", {"length": 3, "backbone": "r18l3"})]


@pytest.fixture(scope="module", params=MADE, ids=lambda made: made[0])
def encoder(request):
    name, options = request.param
    torch.manual_seed(0)
    return encoders.create(name, "random", **options)


def test_a_stream_gives_what_its_windows_give(encoder) -> None:
    calls, per_frame = [], encoder.module.per_frame
    encoder.module.per_frame = lambda x: calls.append(len(x)) or per_frame(x)
    streamed = list(encoder.encode_stream(IMAGES))
    del encoder.module.per_frame
    assert calls == [1] * len(IMAGES)  # one backbone pass per new frame
    assert [s.sequence is None for s in streamed] == [True] * 2 + [False] * 5
    for end in range(3, len(IMAGES) + 1):
        window = encoder.encode_window(IMAGES[end - 3 : end])
        np.testing.assert_allclose(streamed[end - 1].sequence, window.sequence, atol=1e-6)
        assert window.sequence.shape == (encoder.module.dim,)


def test_frames_alone(encoder) -> None:
    frames = encoder.encode(IMAGES[:2])
    streamed = list(encoder.encode_stream(IMAGES[:2]))
    for row, one in zip(frames, streamed, strict=True):
        np.testing.assert_allclose(one.frame, row, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(frames, axis=1), 1.0, atol=1e-4)
    assert encoder.encode([]).shape == (0, encoder.card.dim)


def test_a_bad_image_leaves_the_stream_as_it_was(encoder) -> None:
    stream = encoder.stream()
    for image in IMAGES[:2]:
        stream.push(image)
    with pytest.raises(ImageError):
        stream.push(IMAGES[2].astype(np.float32))
    found = stream.push(IMAGES[2]).sequence
    np.testing.assert_allclose(found, encoder.encode_window(IMAGES[:3]).sequence, atol=1e-6)


def test_a_window_has_its_length(encoder) -> None:
    with pytest.raises(EncoderError, match="has 3 frames, not 2"):
        encoder.encode_window(IMAGES[:2])


def test_a_pca_behind_seqvlad() -> None:
    torch.manual_seed(0)
    encoder = encoders.create("seqvlad", "random", backbone="r18l3", length=2)
    full = np.stack([s.sequence for s in encoder.encode_stream(IMAGES) if s.sequence is not None])
    reduced = encoder.reduce(full, 4)
    assert reduced.card.hash != encoder.card.hash
    found = reduced.encode_window(IMAGES[:2]).sequence
    mean, components = reduced.card.fitted["mean"], reduced.card.fitted["components"]
    assert found.shape == (4,) == (reduced.card.dim,)
    np.testing.assert_allclose(found, components @ (full[0] - mean), atol=1e-5)
    with pytest.raises(EncoderError, match="PCA already"):
        reduced.reduce(full, 3)
    with pytest.raises(EncoderError, match="give more images"):
        encoder.reduce(full, len(full))
    with pytest.raises(EncoderError, match="a mean \\(16384,\\)"):
        encoder.with_fitted({"mean": mean[:5], "components": components})


def test_what_has_frames_in_context_takes_no_pca() -> None:
    with pytest.raises(EncoderError, match="takes no PCA"):
        encoders.create("jist", "random").with_fitted({})


def test_svpr_describes_windows_only(tmp_path) -> None:
    encoder = encoders.create("svpr", "random")
    assert encoder.stream().push(IMAGES[0]) == (None, None)
    with pytest.raises(EncoderError, match="windows only"):
        encoder.encode(IMAGES[:1])
    with pytest.raises(EncoderError, match="length is a whole number from 5 to 5"):
        encoders.create("svpr", "random", length=4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("seqvlad", {"backbone": "resnet"}, "backbone is one of vgg16, cct384, r18l3"),
        ("casenet-224", {"encoder_type": "x"}, "encoder_type is one of bs_d_c"),
        ("casenet-224", {"resize_on": "x"}, "resize_on is one of image"),
        ("cricavpr", {"together": 0}, "together is a whole number"),
        ("jist", {"length": True}, "length is a whole number"),
    ],
)
def test_wrong_options_are_named(name, options, message) -> None:
    with pytest.raises(EncoderError, match=message):
        encoders.create(name, "random", **options)


def test_half_precision_keeps_unit_norms() -> None:
    torch.manual_seed(0)
    options = {"precision": "bfloat16", "length": 2}
    encoder = encoders.create("seqvlad", "random", backbone="r18l3", **options)
    rows = [encoder.encode(IMAGES[:1])[0], encoder.encode_window(IMAGES[:2]).sequence]
    rows.append(encoders.create("cosplace", "random", precision="bfloat16").encode(IMAGES[:1])[0])
    for row in rows:
        assert row.dtype == np.float32
        assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)
    jist = encoders.create("jist", "random", **options)  # published without unit norm
    assert np.linalg.norm(jist.encode_window(IMAGES[:2]).sequence) < 0.99
    np.testing.assert_allclose(np.linalg.norm(jist.encode(IMAGES[:2]), axis=1), 1.0, atol=1e-5)
