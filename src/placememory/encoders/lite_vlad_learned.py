"""``lite-vlad-learned``: ``lite-vlad`` over local features that were trained to tell places apart.

The features are those of ``lite-net``; the words are fitted on the map's own images, which holds
on real buildings what words learned elsewhere lose. Measured in ``docs/lite-net.md``.
"""

from __future__ import annotations

from pathlib import Path

from placememory._registry import require
from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._device import choose_device
from placememory.encoders._network import RANDOM, seeded, weights_path
from placememory.encoders._weights import sha256_of
from placememory.encoders.lite_net import WEIGHTS
from placememory.encoders.lite_vlad import CHANNELS, PREPROCESS, LiteVlad, check_options

WORDS = 64
INFO = EncoderInfo(
    name="lite-vlad-learned",
    summary="lite-vlad over learned local features, words fitted on the map's own images",
    dim=WORDS * CHANNELS,
    input="76,800 pixels in the image's own shape (320x240 for 4:3)",
    licence="Apache-2.0",
    origin="EfficientNet-Lite (Google, 2020); VLAD (Jégou et al., CVPR 2010); "
    "features trained by this project",
    weights=WEIGHTS,
    needs_fit=True,
    options={"words": WORDS, "seed": 0},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> LiteVlad:
    """Make an encoder without vocabulary; see :func:`placememory.encoders.create`.

    Its weights are those of ``lite-net`` and ``lite-seq``, as training leaves them.
    """
    check_options(INFO.name, options)
    require("timm", extra="torch", purpose="Encoders")
    path = weights_path(INFO.name, weights, WEIGHTS, options)
    card = EncoderCard(
        name=INFO.name,
        dim=int(options["words"]) * CHANNELS,
        weights_sha256=RANDOM if path is None else sha256_of(path),
        preprocess=PREPROCESS,
        options=options,
        licence=INFO.licence,
        origin=INFO.origin,
    )
    from placememory.encoders._lite_net import load_lite_net, read_lite_net

    with seeded():
        net = load_lite_net(None, WORDS, 0) if path is None else read_lite_net(path)
    local = net.head.local.requires_grad_(requires_grad=False)
    return LiteVlad(net.trunk, choose_device(device, precision), card, local)
