"""Fit NetVLAD's clusters and whitening on images of one's own.

Arandjelović, Gronat, Torii, Pajdla, Sivic, "NetVLAD: CNN architecture for weakly supervised place
recognition", CVPR 2016, section 4 and appendix A; the rule for alpha is that of its later releases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory._io import write_bytes
from placememory._types import Progress, Vectors
from placememory.encoders._base import check_images, sample_evenly
from placememory.encoders._checkpoint import State, load_strictly, read_checkpoint
from placememory.encoders._device import Device
from placememory.encoders._kmeans import kmeans
from placememory.encoders._layers import vgg16_trunk
from placememory.encoders._netvlad_pool import NetVLADPool
from placememory.encoders._netvlad_wpca_net import CHANNELS, NetVLADWPCANet
from placememory.encoders._pca import principal_components
from placememory.encoders._preprocess import Preprocess
from placememory.errors import EncoderError
from placememory.frames import Image

_SHARE = 0.01
_SMALLEST_VARIANCE = 1e-9
FIT_IMAGES = 500
_PER_IMAGE = 100


def assignment(centres: Vectors, features: Vectors) -> tuple[float, Vectors]:
    """Weights of the soft assignment that start it nearly hard.

    Alpha is chosen so that the second-nearest cluster gets a hundredth of the weight of the
    nearest one, at the mean gap between the two.

    Args:
        centres: (K, C) cluster centres.
        features: (N, C) local features, unit rows.

    Returns:
        Alpha, and the weights (K, C): alpha times the unit centres.

    Raises:
        EncoderError: All clusters are equally near to all features.
    """
    units = centres / np.linalg.norm(centres, axis=1, keepdims=True).clip(1e-12)
    nearness = np.sort(features @ units.T, axis=1)
    gap = float((nearness[:, -1] - nearness[:, -2]).mean())
    if not gap > 0:
        raise EncoderError("the clusters cannot be told apart on these images; give more images")
    alpha = -math.log(_SHARE) / gap
    return alpha, (alpha * units).astype(np.float32)


def start_pool(pool: NetVLADPool, centres: Vectors, features: Vectors) -> None:
    """Set clusters and assignment of an aggregation layer, in place; see :func:`assignment`."""
    _, weights = assignment(centres, features)
    with torch.no_grad():
        pool.centroids.copy_(torch.from_numpy(centres))
        pool.conv.weight.copy_(torch.from_numpy(weights).view_as(pool.conv.weight))


def fit_netvlad(
    trunk: nn.Module,
    images: Sequence[Image],
    device: Device,
    preprocess: Preprocess,
    *,
    words: int = 64,
    dim: int = 4096,
    seed: int = 0,
    progress: Progress | None = None,
) -> NetVLADWPCANet:
    """Fit clusters on 100 local features of at most 500 images, then whitening on all images.

    Args:
        trunk: VGG16 to conv5_3.
        images: (H, W, 3) uint8 RGB each, more than ``dim``; gone through twice.
        device: Where to run.
        preprocess: Of the encoder.
        words: Clusters.
        dim: Values that whitening keeps.
        seed: Of the choice of features and of the clustering.
        progress: Called with images done and images in all, over both passes.

    Raises:
        EncoderError: There are too few images for so many values.
    """
    if len(images) <= dim:
        raise EncoderError(
            f"whitening to {dim} values needs more than {dim} images, not {len(images)}"
        )
    network = NetVLADWPCANet(words, dim)
    network.encoder.load_state_dict(trunk.state_dict())
    device.place(network.eval())
    chosen = [int(i) for i in sample_evenly(len(images), FIT_IMAGES)]
    total = len(chosen) + len(images)
    maps = _maps(network, (images[i] for i in chosen), device, preprocess)
    features = _features(_counted(maps, 0, total, progress), seed)
    start_pool(network.pool, kmeans(features, words, seed=seed), features)
    maps = _maps(network, images, device, preprocess)
    counted = _counted(maps, len(chosen), total, progress)
    vlads = np.concatenate([device.run(network.pool, x).float().cpu().numpy() for x in counted])
    mean, directions, variances = principal_components(vlads, dim)
    matrix = directions / np.sqrt(variances + _SMALLEST_VARIANCE)[:, None]
    with torch.no_grad():
        network.projection.weight.copy_(torch.from_numpy(matrix)[:, :, None, None])
        network.projection.bias.copy_(torch.from_numpy(-(matrix @ mean)))
    return network


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors, in one piece."""
    state = {key: value.cpu().contiguous() for key, value in module.state_dict().items()}
    write_bytes(path, save(state))


def load_trunk(path: Path) -> nn.Module:
    """VGG16 to conv5_3 out of a NetVLAD checkpoint, or out of VGG16's own (``features.*``).

    Raises:
        WeightsError: The file holds neither.
    """
    trunk = vgg16_trunk()
    wanted = set(trunk.state_dict())
    state: State = {}
    for key, value in read_checkpoint(path).items():
        prefix, _, rest = key.partition(".")
        if prefix in ("encoder", "features", "backbone") and rest in wanted:
            state[rest] = value
    load_strictly(trunk, state, path)
    return trunk


def _maps(
    network: NetVLADWPCANet, images: Iterable[Image], device: Device, preprocess: Preprocess
) -> Iterable[Tensor]:
    """Feature map (1, 512, H, W) of each image."""
    for image in images:
        check_images([image])
        x = device.normalised(preprocess.resize(image)[None], preprocess)
        yield device.run(network.encoder, x)


def _features(maps: Iterable[Tensor], seed: int) -> Vectors:
    """At most 100 local features of each map, (N, 512) unit rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for x in maps:
        units = normalize(x.float().flatten(2), dim=1)[0].T.cpu().numpy()
        picked = rng.choice(len(units), min(_PER_IMAGE, len(units)), replace=False)
        rows.append(units[np.sort(picked)])
    features: Vectors = np.concatenate(rows).reshape(-1, CHANNELS)
    return features


def _counted(
    maps: Iterable[Tensor], before: int, total: int, progress: Progress | None
) -> Iterable[Tensor]:
    for done, x in enumerate(maps, start=before + 1):
        yield x
        if progress is not None:
            progress(done, total)
