"""EfficientNet-Lite0 with VLAD: ``lite-vlad``, ``lite-vlad-learned``, ``lite-net``, ``lite-seq``.

All share the trunk and its local features. ``lite-vlad``, whose words are fitted on the map's own
images, is in ``lite_vlad``; here is its network on torch. ``lite-net`` has a learned head and needs
no fit; ``lite-seq`` adds its residual sums over a window; ``lite-vlad-learned`` fits words on the
learned local features. What was tried is in ``docs/lite-vlad.md`` and ``docs/lite-net.md``.

The head follows NetVLAD (Arandjelović, Gronat, Torii, Pajdla, Sivic, CVPR 2016) on the local
features of ``lite-vlad``; the residual sums of frames add up, as in SeqVLAD (Mereu, Trivigno,
Berton, Masone, Caputo, RA-L 2022), so one set of weights describes frames and windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from placememory.encoders.card import EncoderCard, EncoderInfo, Options
from placememory.encoders.catalogue import (
    LITE0_WEIGHTS,
    LITE_CHANNELS,
    LITE_NET_WEIGHTS,
    LITE_WORDS,
)
from placememory.encoders.checkpoint import State, load_strictly, read_checkpoint
from placememory.encoders.device import Device
from placememory.encoders.kmeans import kmeans
from placememory.encoders.layers import SequenceNet
from placememory.encoders.lite0 import FoldedTrunk, Trunk, load_trunk
from placememory.encoders.lite_vlad import PREPROCESS, VladEncoder, read_dim
from placememory.encoders.network import Recipe, TorchEncoder, read_whole
from placememory.encoders.pca import principal_components
from placememory.encoders.sequence import SequenceEncoder
from placememory.encoders.vlad import residual_sums, vlad, vlad_descriptor
from placememory.encoders.weights import find_weights
from placememory.errors import WeightsError
from placememory.frames import Image

_SHARPNESS = 30.0  # of the first soft assignment: exp(-30 d^2) of a word at distance d
_WHITENING = 0.5  # of the first projection: 0 is PCA alone, 1 is whitening
_SMALLEST_VARIANCE = 1e-6
_START_FEATURES = 60_000
_BATCH = 64


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How the encoder of a name is made; see :class:`Recipe`."""
    if info.sequence:
        read_whole(options, "length", 1)
    make = partial(Recipe, preprocess=PREPROCESS)
    if info.needs_fit:
        learned = info.name == "lite-vlad-learned"
        return make(
            network=_learned_features if learned else load_trunk,
            dim=read_dim(options),
            published=LITE_NET_WEIGHTS if learned else LITE0_WEIGHTS,
            kind=_vlad_of_features if learned else TorchLiteVlad,
            fast_precision=True,
        )
    words, dim = read_whole(options, "words", 2), read_whole(options, "dim", 0)
    return make(
        network=lambda path: load_lite_net(path, words, dim),
        dim=dim or words * LITE_CHANNELS,
        published=LITE_NET_WEIGHTS if (words, dim) == (LITE_WORDS, 0) else None,
        kind=_sequence_encoder if info.sequence else _frame_encoder,
    )


def _learned_features(path: Path | None) -> LiteNet:
    return load_lite_net(None, LITE_WORDS, 0) if path is None else read_lite_net(path)


def _vlad_of_features(net: LiteNet, device: Device, card: EncoderCard) -> TorchLiteVlad:
    return TorchLiteVlad(cast(Trunk, net.trunk), device, card, net.head.local)


def _frame_encoder(net: LiteNet, device: Device, card: EncoderCard) -> TorchEncoder:
    return TorchEncoder(net, device, card, FrameNet(net.fold()).eval())


def _sequence_encoder(net: LiteNet, device: Device, card: EncoderCard) -> SequenceEncoder:
    return SequenceEncoder(net, device, card, net.fold().eval())


class TorchLiteVlad(VladEncoder, TorchEncoder):
    """The same on torch: other weights, other devices and precisions, learned local features.

    Images go through the network one by one on a processor, which is as fast there as in batches
    and makes a descriptor depend on nothing but its image.

    Args:
        trunk: In timm's key names.
        device: Where it runs.
        card: Its identity.
        local: A learned map of local features, 112 to 112; ``None`` for none.
        fast: The trunk folded, if it is there already.
    """

    engine = "torch"

    def __init__(
        self,
        trunk: Trunk,
        device: Device,
        card: EncoderCard,
        local: nn.Linear | None = None,
        fast: nn.Module | None = None,
    ) -> None:
        VladEncoder.__init__(self, card)
        TorchEncoder.__init__(self, trunk, device, card, fast or FoldedTrunk(trunk))
        self._local = None if local is None else local.to(device.torch)

    def with_card(self, card: EncoderCard) -> TorchLiteVlad:
        """See :meth:`VladEncoder.with_card`."""
        trunk = cast(Trunk, self._module)
        return TorchLiteVlad(trunk, self._device, card, self._local, self._fast)

    def find_features(self, images: Iterable[Image]) -> Iterator[NDArray[np.float32]]:
        """See :meth:`VladEncoder.find_features`."""
        for x in self._inputs(images):
            yield from self._features(x).cpu().numpy()

    def graph(self) -> nn.Module:
        """See :meth:`TorchEncoder.graph`.

        Raises:
            EncoderError: There is no vocabulary yet.
        """
        return VladNet(self._fast, self._vocabulary(), self._local)

    def embed(self, x: Tensor) -> Tensor:
        """Normalised input (N, 3, H, W), sides multiples of 16, to (N, D) float32 of unit norm.

        Raises:
            EncoderError: There is no vocabulary yet.
        """
        return vlad(self._features(x), self._vocabulary())

    def _vocabulary(self) -> Tensor:
        return torch.as_tensor(self.words, device=self._device.torch)

    def _features(self, x: Tensor) -> Tensor:
        return local_features(self._device.run(self._fast, x), self._local)


def local_features(maps: Tensor, local: nn.Linear | None = None) -> Tensor:
    """Local features of a feature map.

    Each position is brought to unit length, the outermost ring is left out (zero padding spoils
    it), the rest is averaged over 2x2 neighbours, and brought to unit length again. Maps with
    fewer than four positions a side keep their ring and are not averaged.

    Args:
        maps: (N, C, H, W) of any float type.
        local: Learned map of the features, whose result is of unit length again.

    Returns:
        (N, L, C) float32, unit rows; L = (H - 3) (W - 3) in general.
    """
    features = normalize(maps.permute(0, 2, 3, 1).float(), dim=-1)
    if min(features.shape[1:3]) >= 4:
        inner = features[:, 1:-1, 1:-1]
        top, bottom = inner[:, :-1], inner[:, 1:]
        features = normalize(
            top[:, :, :-1] + top[:, :, 1:] + bottom[:, :, :-1] + bottom[:, :, 1:], dim=-1
        )
    features = features.flatten(1, 2)
    return features if local is None else normalize(local(features), dim=-1)


class VladNet(nn.Module):
    """A trunk and its vocabulary in one: normalised input (N, 3, H, W) to (N, K * C)."""

    def __init__(self, trunk: nn.Module, words: Tensor, local: nn.Linear | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.local = local
        self.register_buffer("words", words)

    def forward(self, x: Tensor) -> Tensor:
        """See :func:`vlad`."""
        return vlad(local_features(self.trunk(x), self.local), cast(Tensor, self.words))


class LiteHead(nn.Module):
    """Feature maps of the trunk to descriptors; all that is trained while the trunk is frozen.

    It computes in float32 at least, whatever the type of its weights, because residuals are small
    differences of large sums.

    Args:
        words: K, the count of words.
        dim: Length of a descriptor after a projection; 0 for no projection.

    Attributes:
        dim: Length of a descriptor: as given, or K * 112.
    """

    def __init__(self, words: int, dim: int = 0) -> None:
        super().__init__()
        self.local = nn.Linear(LITE_CHANNELS, LITE_CHANNELS)
        nn.init.eye_(self.local.weight)
        nn.init.zeros_(self.local.bias)
        self.words = nn.Parameter(normalize(torch.randn(words, LITE_CHANNELS), dim=1))
        self.assignment = nn.Linear(LITE_CHANNELS, words)
        self.projection = nn.Linear(words * LITE_CHANNELS, dim) if dim else None
        self.dim = dim or words * LITE_CHANNELS

    def states(self, maps: Tensor) -> Tensor:
        """Feature maps (N, 112, h, w) to sums of residuals (N, K, 112), which add over frames."""
        features = normalize(_linear(self.local, local_features(maps)), dim=-1)
        shares = _linear(self.assignment, features).softmax(dim=-1)
        return residual_sums(features, shares, self.words.to(features.dtype))

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
        if len(points) > _START_FEATURES:
            rng = np.random.default_rng(seed)
            points = points[np.sort(rng.choice(len(points), _START_FEATURES, replace=False))]
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

    def fold(self) -> LiteNet:
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
    return LiteNet(load_trunk(None if whole else find_weights(LITE0_WEIGHTS)), LiteHead(words, dim))


def _with_trunk(state: State, net: LiteNet) -> State:
    return {f"trunk.{key}": value for key, value in net.trunk.state_dict().items()} | state
