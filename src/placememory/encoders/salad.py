"""SALAD: features assigned to clusters by optimal transport, and MegaLoc, which builds on it.

Izquierdo and Civera, "Optimal Transport Aggregation for Visual Place Recognition", CVPR 2024;
Berton and Masone, "MegaLoc: One Retrieval to Place Them All", CVPR workshops 2025.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.dinov2 import CHANNELS, DinoV2
from placememory.encoders.network import Recipe, load_weights, read_whole
from placememory.encoders.preprocessing import Preprocess
from placememory.errors import EncoderError

CLUSTERS, TOKEN_DIM = 64, 256
_HIDDEN, _ITERATIONS = 512, 3


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``salad``, ``cliquemining`` and ``megaloc`` are made; see :class:`Recipe`."""
    mega = info.name == "megaloc"
    preprocess = Preprocess(size=(322, 322), resize_on="tensor")
    if mega:  # resized after normalisation, as in the release, which reports its results at 322
        side = read_whole(options, "size", 0)
        preprocess = Preprocess(
            size=(side, side) if side else None,
            native=not side,
            multiple=1 if side else 14,
            resize_on="normalised",
        )
    return Recipe(
        network=lambda path: load_weights(MegaLocNet() if mega else SaladNet(), path),
        preprocess=preprocess,
        dim=info.dim,
        published=info.weights,
    )


def transport(scores: Tensor, dust_bin: Tensor, iterations: int) -> Tensor:
    """Share of each position in each cluster, by Sinkhorn's rounds in the log domain.

    Each of n positions hands out a mass of one; each of m clusters takes a mass of one; the dust
    bin, an extra row, takes the other n - m.

    Args:
        scores: (N, m, n), n > m.
        dust_bin: Score of the dust bin: (), or (N, 1, n) with one for each position.
        iterations: Rounds; each scales the rows, then the columns.

    Returns:
        (N, m, n) shares, without the dust bin.
    """
    count, clusters, positions = scores.shape
    augmented = torch.cat([scores, dust_bin.expand(count, 1, positions)], dim=1)
    masses = augmented.new_zeros(clusters + 1)
    masses[-1] = math.log(positions - clusters)
    columns = augmented.new_zeros(count, 1, positions)
    rows = augmented.new_zeros(count, clusters + 1, 1)
    for _ in range(iterations):
        rows = masses[:, None] - torch.logsumexp(augmented + columns, dim=2, keepdim=True)
        columns = -torch.logsumexp(augmented + rows, dim=1, keepdim=True)
    return (augmented + rows + columns).exp()[:, :clusters]


def _head(channels_in: int, channels: int) -> nn.Sequential:
    """Two 1x1 convolutions; the dropout between them acts in training only."""
    return nn.Sequential(
        nn.Conv2d(channels_in, _HIDDEN, 1),
        nn.Dropout(0.3),
        nn.ReLU(),
        nn.Conv2d(_HIDDEN, channels, 1),
    )


class ClusterHeads(nn.Module):
    """What SALAD and those who follow it compute of a class token and of each patch.

    Args:
        cluster_dim: Length of the features of a patch.
        channels: Of the tokens.
    """

    def __init__(self, cluster_dim: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.token_features = nn.Sequential(
            nn.Linear(channels, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, TOKEN_DIM)
        )
        self.cluster_features = _head(channels, cluster_dim)
        self.score = _head(channels, CLUSTERS)

    def join(self, token: Tensor, clusters: Tensor) -> Tensor:
        """Class token (N, C) and sums of clusters (N, cluster_dim, 64) to descriptors.

        Returns:
            (N, 256 + cluster_dim * 64) of unit length: the token first, then the clusters, each
            of unit length, ordered by channel, then cluster.
        """
        flat = normalize(clusters, dim=1).flatten(1)
        together = torch.cat([normalize(self.token_features(token), dim=1), flat], dim=1)
        return normalize(together, dim=1)


class OptimalTransport(ClusterHeads):
    """SALAD's aggregation, whatever the dust bin scores."""

    iterations = _ITERATIONS

    def aggregate(self, token: Tensor, maps: Tensor, dust_bin: Tensor) -> Tensor:
        """Class token (N, C), map (N, C, H, W) and dust bin (see :func:`transport`) to (N, D).

        Raises:
            EncoderError: There are no more patches than clusters.
        """
        if maps.shape[-2] * maps.shape[-1] <= CLUSTERS:
            raise EncoderError(
                f"optimal transport needs more than {CLUSTERS} patches; use larger images"
            )
        features = self.cluster_features(maps).flatten(2)
        shares = transport(self.score(maps).flatten(2), dust_bin, self.iterations)
        return self.join(token, features @ shares.transpose(1, 2))


class Salad(OptimalTransport):
    """Class token (N, 768) and map (N, 768, H, W) to (N, 256 + cluster_dim * 64) of unit length."""

    def __init__(self, cluster_dim: int) -> None:
        super().__init__(cluster_dim)
        self.dust_bin = nn.Parameter(torch.tensor(1.0))

    def forward(self, token: Tensor, maps: Tensor) -> Tensor:
        """Global token first, then cluster features ordered by channel, then cluster."""
        return self.aggregate(token, maps, self.dust_bin)


class _Trunk(nn.Module):
    """DINOv2 under the name it has in the release."""

    def __init__(self) -> None:
        super().__init__()
        self.model = DinoV2()


class SaladNet(nn.Module):
    """(N, 3, H, W), sides multiples of 14, to (N, 8448) of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Trunk()
        self.aggregator = Salad(cluster_dim=128)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, 8448)."""
        descriptors: Tensor = self.aggregator(*self.backbone.model.maps(x))
        return descriptors


class _Projected(nn.Module):
    """SALAD with wider clusters, projected."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.agg = Salad(cluster_dim=256)
        self.linear = nn.Linear(TOKEN_DIM + 256 * CLUSTERS, dim)

    def forward(self, token: Tensor, maps: Tensor) -> Tensor:
        return normalize(self.linear(self.agg(token, maps)), dim=1)


class MegaLocNet(nn.Module):
    """(N, 3, H, W), sides multiples of 14, to (N, 8448) of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = DinoV2(mask_token=False)
        self.aggregator = _Projected(8448)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, 8448)."""
        descriptors: Tensor = self.aggregator(*self.backbone.maps(x))
        return descriptors
