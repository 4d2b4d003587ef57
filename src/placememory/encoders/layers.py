"""Small layers that several published networks share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import cast

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from placememory.errors import EncoderError


class UnitLength(nn.Module):
    """L2 normalisation over the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape, unit length along C."""
        return functional.normalize(x, p=2.0, dim=1)


class GeM(nn.Module):
    """Generalised-mean pooling with a learned exponent (Radenović et al., TPAMI 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))
        self.floor = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 1, 1)."""
        powered = x.clamp(min=self.floor).pow(self.p)
        return powered.mean(dim=(-2, -1), keepdim=True).pow(1.0 / self.p)


class _ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels: int, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, side, padding=side // 2)
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class ConvAdapter(nn.Module):
    """Convolutions at three scales over the patches of square images, between two linear layers.

    Args:
        channels: Of the tokens; half of them inside.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        narrow, quarter = inner // 16, inner // 4
        self.D_fc1 = nn.Linear(channels, inner)
        self.D_fc2 = nn.Linear(inner, channels)
        self.branch1 = _ConvNorm(inner, inner // 2, 1)
        self.branch2 = nn.Sequential(_ConvNorm(inner, narrow, 1), _ConvNorm(narrow, quarter, 3))
        self.branch3 = nn.Sequential(_ConvNorm(inner, narrow, 1), _ConvNorm(narrow, quarter, 5))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, 1 + P, C) to the same; the class token bypasses the convolutions."""
        inner = torch.relu(self.D_fc1(tokens))
        side = math.isqrt(inner.shape[1] - 1)
        grid = torch.unflatten(inner[:, 1:].transpose(1, 2), 2, (side, side))
        mixed = torch.cat([self.branch1(grid), self.branch2(grid), self.branch3(grid)], dim=1)
        both = torch.cat([inner[:, :1], mixed.flatten(2).transpose(1, 2)], dim=1)
        return self.D_fc2(both + inner)  # type: ignore[no-any-return]


def check_square(x: Tensor) -> None:
    """Check that images (N, 3, H, W) are square.

    Raises:
        EncoderError: They are not.
    """
    if x.shape[-1] != x.shape[-2]:
        raise EncoderError(f"this encoder takes square input, not {x.shape[-2]}x{x.shape[-1]}")


def resnet_trunk(name: str) -> nn.Sequential:
    """A ResNet without pooling and classifier, its children numbered 0 to 7.

    Args:
        name: ``resnet18``, ``resnet50``, ``resnet101`` or ``resnet152``.
    """
    network = timm.create_model(name, pretrained=False)
    return nn.Sequential(*list(network.children())[:-2])


def vgg16_trunk() -> nn.Sequential:
    """VGG16 up to conv5_3, without its last ReLU and pooling."""
    features = cast(nn.Sequential, timm.create_model("vgg16", pretrained=False).features)
    return nn.Sequential(*list(features)[:-2])


class SequenceNet(nn.Module, ABC):
    """A network in two parts, so that a stream costs one backbone pass per new frame.

    ``window(per_frame(x))`` of the frames of a window is the descriptor of that window, whether
    the states were computed together or one by one while the frames came in.

    Attributes:
        dim: Length of a sequence descriptor.
        unit: Whether sequence descriptors are of unit norm.
        reducible: Whether a PCA may stand behind it: it has no frame descriptors in context.
    """

    dim: int
    unit: bool = True
    reducible: bool = False

    @abstractmethod
    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, ...): all that does not depend on the neighbours."""

    @abstractmethod
    def window(self, states: Tensor) -> tuple[Tensor | None, Tensor]:
        """States (B, L, ...) of B windows of L frames, oldest first.

        Returns:
            Descriptors of the frames (B, L, D), or ``None`` where the network has none, and
            descriptors of the windows (B, Ds).
        """

    def alone(self, states: Tensor) -> Tensor | None:  # noqa: ARG002
        """States (N, ...) to descriptors (N, D) of single frames; ``None`` if there are none."""
        return None

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """One window (L, 3, H, W) to what :meth:`window` gives for it, without the batch."""
        frames, sequences = self.window(self.per_frame(x)[None])
        return (None if frames is None else frames[0]), sequences[0]
