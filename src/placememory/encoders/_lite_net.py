"""EfficientNet-Lite0 with a learned head: learned local features, soft VLAD over learned words.

The head follows NetVLAD (Arandjelović, Gronat, Torii, Pajdla, Sivic, CVPR 2016) on the local
features of ``lite-vlad``; the residual sums of frames add up, as in SeqVLAD (Mereu, Trivigno,
Berton, Masone, Caputo, RA-L 2022), so one set of weights describes frames and windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from placememory.encoders._checkpoint import State, load_strictly, read_checkpoint
from placememory.encoders._kmeans import kmeans
from placememory.encoders._lite0 import FoldedTrunk, Trunk, load_trunk
from placememory.encoders._netvlad_pool import vlad_descriptor
from placememory.encoders._pca import principal_components
from placememory.encoders._sequence_net import SequenceNet
from placememory.encoders._vlad import local_features
from placememory.encoders._weights import find_weights
from placememory.encoders.lite_vlad import CHANNELS
from placememory.encoders.lite_vlad import WEIGHTS as TRUNK_WEIGHTS
from placememory.errors import WeightsError

_SHARPNESS = 30.0  # of the first soft assignment: exp(-30 d^2) of a word at distance d
_WHITENING = 0.5  # of the first projection: 0 is PCA alone, 1 is whitening
_SMALLEST_VARIANCE = 1e-6
_FIT_FEATURES = 60_000
_BATCH = 64


class LiteHead(nn.Module):
    """Feature maps of the trunk to descriptors; all that is trained while the trunk is frozen.

    It computes in float32 at least, whatever its weights are kept in, because residuals are small
    differences of large sums.

    Args:
        words: K, the count of words.
        dim: Length of a descriptor after a projection; 0 for no projection.

    Attributes:
        dim: Length of a descriptor: as given, or K * 112.
    """

    def __init__(self, words: int, dim: int = 0) -> None:
        super().__init__()
        self.local = nn.Linear(CHANNELS, CHANNELS)
        nn.init.eye_(self.local.weight)
        nn.init.zeros_(self.local.bias)
        self.words = nn.Parameter(normalize(torch.randn(words, CHANNELS), dim=1))
        self.assignment = nn.Linear(CHANNELS, words)
        self.projection = nn.Linear(words * CHANNELS, dim) if dim else None
        self.dim = dim or words * CHANNELS

    def states(self, maps: Tensor) -> Tensor:
        """Feature maps (N, 112, h, w) to sums of residuals (N, K, 112), which add over frames."""
        features = normalize(_linear(self.local, local_features(maps)), dim=-1)
        shares = _linear(self.assignment, features).softmax(dim=-1)
        masses = shares.sum(dim=1)[:, :, None]
        return shares.transpose(1, 2) @ features - masses * self.words.to(features.dtype)

    def describe(self, states: Tensor) -> Tensor:
        """Sums of residuals (N, K, 112) to descriptors (N, dim) of unit length."""
        rows = vlad_descriptor(states.float())
        if self.projection is None:
            return rows
        return normalize(_linear(self.projection, rows), dim=-1)

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps (N, 112, h, w) to descriptors (N, dim) of unit length."""
        return self.describe(self.states(maps))

    @torch.no_grad()
    def initialise(self, maps: Tensor, *, seed: int = 0) -> None:
        """Words by k-means, a projection by a half-whitened PCA: where training starts.

        Args:
            maps: Feature maps (N, 112, h, w) of varied images, more than ``dim`` of them where
                there is a projection.
            seed: Of the k-means.

        Raises:
            EncoderError: There are too few images or local features.
        """
        batches = torch.split(maps, _BATCH)
        points = torch.cat([local_features(batch).flatten(0, 1) for batch in batches]).cpu().numpy()
        if len(points) > _FIT_FEATURES:
            rng = np.random.default_rng(seed)
            points = points[np.sort(rng.choice(len(points), _FIT_FEATURES, replace=False))]
        words = torch.from_numpy(kmeans(points, len(self.words), seed=seed))
        nn.init.eye_(self.local.weight)
        nn.init.zeros_(self.local.bias)
        self.words.copy_(words)
        self.assignment.weight.copy_(2 * _SHARPNESS * words)
        self.assignment.bias.copy_(-_SHARPNESS * words.square().sum(dim=1))
        if self.projection is not None:
            rows = torch.cat([vlad_descriptor(self.states(batch)) for batch in batches])
            _start_projection(self.projection, rows.cpu().numpy())


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer in the dtype of its input."""
    return linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _start_projection(layer: nn.Linear, rows: NDArray[np.float32]) -> None:
    """Set a layer to a half-whitened PCA of rows (N, D), at the scale of a random one."""
    mean, components, variances = principal_components(rows, layer.out_features)
    scales = np.maximum(variances, _SMALLEST_VARIANCE) ** (-_WHITENING / 2)
    matrix = components * scales[:, None]
    matrix *= np.sqrt(len(matrix)) / np.linalg.norm(matrix)
    layer.weight.copy_(torch.from_numpy(matrix))
    layer.bias.copy_(torch.from_numpy(-matrix @ mean))


class LiteNet(SequenceNet):
    """Trunk and head; ``head(trunk(x))`` are the descriptors of single frames.

    Args:
        trunk: (N, 3, H, W) normalised RGB to (N, 112, H/16, W/16).
        head: What describes them.

    Attributes:
        trunk: As given.
        head: As given.
        dim: Length of a descriptor, of a frame and of a window alike.
    """

    def __init__(self, trunk: nn.Module, head: LiteHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.dim = head.dim

    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to sums of residuals (N, K, 112)."""
        return self.head.states(cast(Tensor, self.trunk(x)))

    def window(self, states: Tensor) -> tuple[None, Tensor]:
        """Sums (B, L, K, 112) to ``None`` and (B, dim) of unit length."""
        return None, self.head.describe(states.sum(dim=1))

    def alone(self, states: Tensor) -> Tensor:
        """Sums (N, K, 112) to each frame's own descriptor (N, dim) of unit length."""
        return self.head.describe(states)

    def initialise(self, features: Tensor, *, seed: int = 0) -> None:
        """Start the head from feature maps (N, 112, h, w); see :meth:`LiteHead.initialise`."""
        self.head.initialise(features, seed=seed)

    def folded(self) -> LiteNet:
        """The same function, fast on a processor: the trunk folded, the head shared."""
        return LiteNet(FoldedTrunk(cast(Trunk, self.trunk)).eval(), self.head)


class FrameNet(nn.Module):
    """A :class:`LiteNet` as a network of single frames: (N, 3, H, W) to (N, dim)."""

    def __init__(self, net: LiteNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to descriptors (N, dim) of unit length."""
        return cast(Tensor, self.net.head(self.net.trunk(x)))


def load_lite_net(weights: Path | None, words: int, dim: int) -> LiteNet:
    """The network with the weights of a file, all random for ``None``.

    Args:
        weights: A checkpoint of the whole network, or of its head alone (keys ``head.*``); then
            the trunk keeps its ImageNet weights.
        words: K, the count of words.
        dim: Length of a descriptor after a projection; 0 for no projection.

    Raises:
        WeightsError: The file cannot be read or holds another network's weights.
    """
    state = {} if weights is None else read_checkpoint(weights)
    net = _net(state, words, dim)
    if weights is not None:
        load_strictly(net, _with_trunk(state, net), weights)
    return net


def read_lite_net(weights: Path) -> LiteNet:
    """The network of a checkpoint, whatever its words and projection; see :func:`load_lite_net`.

    Raises:
        WeightsError: The file cannot be read or holds another network's weights.
    """
    state = read_checkpoint(weights)
    if "head.words" not in state:
        raise WeightsError(f"{weights}: these are no weights of lite-net or lite-seq")
    projection = state.get("head.projection.weight", ())
    net = _net(state, len(state["head.words"]), len(projection))
    load_strictly(net, _with_trunk(state, net), weights)
    return net


def _net(state: State, words: int, dim: int) -> LiteNet:
    """A network for a state: its trunk is that of ImageNet if the state has none, but a head."""
    whole = not state or any(key.startswith("trunk.") for key in state)
    return LiteNet(load_trunk(None if whole else find_weights(TRUNK_WEIGHTS)), LiteHead(words, dim))


def _with_trunk(state: State, net: LiteNet) -> State:
    return {f"trunk.{key}": value for key, value in net.trunk.state_dict().items()} | state
