"""Clusters that start from images of the training set, not from nothing."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from placememory._types import Rows
from placememory.encoders._kmeans import kmeans
from placememory.encoders._netvlad_net import NetVLADNet
from placememory.encoders._netvlad_pool import NetVLADPool
from placememory.errors import SettingError
from placememory.training._data import TrainingSet
from placememory.training._images import Inputs
from placememory.training._network import Parts

_WINDOWS, _FRAMES, _PER_WINDOW, _AT_ONCE = 500, 2000, 100, 8
_RATIO = 0.01


def initialise(parts: Parts, inputs: Inputs, data: TrainingSet, seed: int) -> None:
    """Set the clusters of a VLAD by k-means (Arandjelović et al., CVPR 2016, appendix A).

    Args:
        parts: The network; its trunk stays as it is.
        inputs: Gives images, or what a frozen trunk says of them.
        data: The training set, of which 500 windows are used; 2,000 frames where the network
            starts its own head.
        seed: Of the choice and of k-means.

    Raises:
        SettingError: The network has no clusters.
    """
    draw = np.random.default_rng((seed, 4))
    parts.eval()
    own = getattr(parts.network, "initialise", None)
    if own is not None:
        own(_of_trunk(parts, inputs, _some(data.database[:, :1], _FRAMES, draw)))
        return
    windows = _some(data.database, _WINDOWS, draw)
    pool = next((m for m in parts.network.modules() if isinstance(m, NetVLADPool)), None)
    if pool is not None:
        features = _seen_by(pool, parts, inputs, windows, draw)
        words = kmeans(features.numpy(), len(pool.centroids), seed=seed)
        _set(pool.conv.weight, pool.centroids, torch.from_numpy(words), features)
    elif isinstance(parts.network, NetVLADNet):
        maps = normalize(_of_trunk(parts, inputs, windows[:, :1]).flatten(2), dim=1)
        features = _sampled(maps, draw)
        head = parts.network.netvlad
        words = kmeans(features.numpy(), head.centers.shape[1], seed=seed)
        _set(head.score_proj.weight, head.centers, torch.from_numpy(words), features)
    else:
        raise SettingError("encoder.initialise: this encoder has no clusters to set")


def _some(windows: Rows, most: int, draw: np.random.Generator) -> Rows:
    """Some of the windows, each once, in order."""
    count = min(most, len(windows))
    return windows[np.sort(draw.choice(len(windows), count, replace=False))]


def _set(assignment: Tensor, centres: Tensor, words: Tensor, features: Tensor) -> None:
    """Words (K, C), and an assignment so sharp that the second nearest gets a hundredth."""
    units = normalize(words, dim=1)
    first, second = (features @ units.T).topk(2, dim=1).values.mean(dim=0)
    alpha = -math.log(_RATIO) / float(first - second)
    with torch.no_grad():
        assignment.copy_((alpha * units).reshape(assignment.shape))
        centres.copy_(words if centres.shape == words.shape else words.T)


def _seen_by(
    pool: NetVLADPool, parts: Parts, inputs: Inputs, windows: Rows, draw: np.random.Generator
) -> Tensor:
    """(n, C) unit local features that reach the pool for some windows."""
    seen: list[Tensor] = []

    def recorded(features: Tensor) -> Tensor:
        seen.append(_sampled(normalize(features.float().flatten(2), dim=1), draw))
        return NetVLADPool.sums(pool, features)

    pool.sums = recorded  # type: ignore[method-assign]
    try:
        with torch.no_grad():
            for window in windows:
                parts.net(inputs(window[None]))
    finally:
        del pool.sums
    return torch.cat(seen)


def _of_trunk(parts: Parts, inputs: Inputs, windows: Rows) -> Tensor:
    """What the trunk says of frames (n, 1), one tensor (n, C, H, W)."""
    with torch.no_grad():
        blocks = [windows[i : i + _AT_ONCE] for i in range(0, len(windows), _AT_ONCE)]
        return torch.cat([parts.trunk(inputs(block)[:, 0]).cpu() for block in blocks])


def _sampled(features: Tensor, draw: np.random.Generator) -> Tensor:
    """Some columns of (N, C, P) features, as rows."""
    columns = features.cpu().transpose(1, 2).flatten(0, 1)
    most = _PER_WINDOW * len(features)
    if len(columns) <= most:
        return columns
    return columns[torch.from_numpy(draw.choice(len(columns), most, replace=False))]
