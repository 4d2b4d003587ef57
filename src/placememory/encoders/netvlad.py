"""``netvlad``: VGG16-NetVLAD of the MATLAB release, whitened, as hloc runs it (CVPR 2016)."""

from __future__ import annotations

from pathlib import Path

from placememory._registry import require
from placememory.encoders._card import EncoderInfo, Option
from placememory.encoders._network import RANDOM, NetworkEncoder, network_encoder, seeded, whole
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._weights import WeightsFile, find_weights

WHITENED = 4096
_VGG_MEAN = (123.68, 116.779, 103.939)
WEIGHTS = WeightsFile(
    file="Pitts30K_struct.mat",
    licence="MIT",
    url="https://cvg-data.inf.ethz.ch/hloc/netvlad/Pitts30K_struct.mat",
)
INFO = EncoderInfo(
    name="netvlad",
    summary="VGG16-NetVLAD trained on Pitts30k, whitened; the first values may be kept alone",
    dim=WHITENED,
    input="longest side at most 1024, never enlarged",
    licence="MIT",
    origin="Arandjelović et al., CVPR 2016; preprocessing of hloc",
    weights=WEIGHTS,
    options={"dim": WHITENED},
)


def create(
    weights: str | Path | None, *, device: str, precision: str, options: dict[str, Option]
) -> NetworkEncoder:
    """See :func:`placememory.encoders.create`."""
    require("timm", extra="torch", purpose="Encoders")
    from placememory.encoders._checkpoint import load_strictly
    from placememory.encoders._netvlad_net import NetVLADNet, read_matlab

    dim = whole(options, "dim", 1, WHITENED)
    with seeded():
        network, mean = NetVLADNet(dim=dim), _VGG_MEAN
    if weights != RANDOM:
        path = find_weights(WEIGHTS) if weights is None else Path(weights)
        state, mean = read_matlab(path)
        load_strictly(network, state, path)
    return network_encoder(
        NetworkEncoder,
        INFO,
        weights,
        published=WEIGHTS,
        preprocess=_preprocess(mean),
        dim=dim,
        options=options,
        make=lambda _: network,
        device=device,
        precision=precision,
    )


def _preprocess(mean: tuple[float, float, float]) -> Preprocess:
    """Minus the mean colour on the 0..255 scale, which is a deviation of 1/255 on 0..1."""
    red, green, blue = (value / 255.0 for value in mean)
    return Preprocess(
        longest=1024,
        enlarge=False,
        interpolation="area",
        resize_on="tensor",
        mean=(red, green, blue),
        std=(1 / 255.0, 1 / 255.0, 1 / 255.0),
    )
