"""CricaVPR: DINOv2 with adapters, 14 regions of an image, attention across images; CaseNet on it.

Lu, Lan, Zhang, Jiang, Wang, Yuan, "CricaVPR: Cross-image Correlation-aware Representation
Learning for Visual Place Recognition", CVPR 2024. CaseNet has the frames of a sequence in the
place of the other images: Li et al., "CaseVPR: Correlation-Aware Sequential Embedding for
Sequence-to-Frame Visual Place Recognition", RA-L 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory.encoders.base import Descriptors
from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.checkpoint import State, rename_keys
from placememory.encoders.dinov2 import CHANNELS, DinoV2
from placememory.encoders.layers import ConvAdapter, GeM, SequenceNet, UnitLength, check_square
from placememory.encoders.network import Recipe, TorchEncoder, load_weights, read_whole, read_word
from placememory.encoders.preprocessing import RESIZED_ON, Preprocess
from placememory.encoders.sequence import SequenceEncoder
from placememory.frames import Image

REGIONS = 14
DIM = REGIONS * CHANNELS
_HALVES = (slice(0, 8), slice(8, None))
_THIRDS = (slice(0, 5), slice(5, 11), slice(11, None))


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``cricavpr``, ``casenet-224`` and ``casenet-322`` are made; see :class:`Recipe`."""
    side = 322 if info.name == "casenet-322" else 224
    resize_on: Any = read_word(options, "resize_on", RESIZED_ON)
    make = partial(
        Recipe,
        preprocess=Preprocess(size=(side, side), resize_on=resize_on),
        dim=info.dim,
        published=info.weights,
    )
    if info.sequence:
        read_whole(options, "length", 1)
        kind = read_word(options, "encoder_type", ENCODER_TYPES)
        return make(
            network=lambda path: load_weights(CaseNet(kind), path, casenet_layout),
            kind=SequenceEncoder,
        )
    together = read_whole(options, "together", 1) > 1
    return make(
        network=lambda path: load_weights(CricaVPRNet(together=together), path, cricavpr_layout),
        kind=CricaVPREncoder if together else TorchEncoder,
        batch_invariant=not together,
    )


class CricaVPREncoder(TorchEncoder):
    """CricaVPR on groups of images.

    With the option ``together`` 1 (the default, and how CaseVPR runs it) a descriptor depends on
    its image alone. With ``together`` n, n images that follow each other in one call attend to
    each other; the authors evaluate with 16. The same image then has another descriptor in other
    company, and its card says ``batch_invariant=False``.
    """

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`; groups are formed in the order given."""
        size = int(self.card.options["together"])
        groups = (images[i : i + size] for i in range(0, len(images), size))
        rows = [self.embed(torch.cat([*self._inputs(group)])) for group in groups]
        return self._device.to_numpy(rows, self.card.dim)


class AdaptedBlock(Block):
    """A transformer block with an adapter beside its MLP."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.adapter = ConvAdapter(CHANNELS)

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """Tokens (N, 1 + P, 768) to the same."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        normed = self.norm2(x)
        return x + self.ls2(self.mlp(normed) + 0.2 * self.adapter(normed))  # type: ignore[no-any-return]


class RegionContext(nn.Module):
    """Regions of an image, and the transformer in which regions of several images meet."""

    def __init__(self) -> None:
        super().__init__()
        self.aggregation = nn.Sequential(UnitLength(), GeM(), nn.Flatten())
        layer = nn.TransformerEncoderLayer(CHANNELS, 16, dim_feedforward=2048, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)

    def regions(self, token: Tensor, maps: Tensor) -> Tensor:
        """Class token (N, 768) and map (N, 768, S, S) to (N, 14, 768).

        The order is class token, 2 x 2 regions, 3 x 3 regions. Where they are cut is written for
        a map of 16 x 16 and used for others, as in the release; at 23 x 23 the last ones are large.
        """
        cuts = [
            (rows, columns) for parts in (_HALVES, _THIRDS) for rows in parts for columns in parts
        ]
        pooled = [self.aggregation(maps[:, :, rows, columns]) for rows, columns in cuts]
        return torch.stack([token, *pooled], dim=1)

    def correlate(self, regions: Tensor) -> Tensor:
        """(T, R, 768) to the same: for each of R, attention over the T along the first axis."""
        context: Tensor = self.encoder(regions)
        return context

    def correlate_each(self, regions: Tensor) -> Tensor:
        """(N, 14, 768) to the same, each image alone: attention over a single element."""
        context = self.correlate(regions.flatten(0, 1)[None])[0]
        return torch.unflatten(context, 0, regions.shape[:2])


def adapted_dinov2() -> DinoV2:
    """DINOv2 with an adapter in every block; it takes square images only."""
    return DinoV2(block=AdaptedBlock)


def square_maps(backbone: DinoV2, x: Tensor) -> tuple[Tensor, Tensor]:
    """Class token and map of square images.

    Raises:
        EncoderError: The images are not square.
    """
    check_square(x)
    return backbone.maps(x)


class CricaVPRNet(RegionContext):
    """(N, 3, S, S) to (N, 10752) of unit length.

    Attributes:
        together: Whether the images of a batch attend to each other, as published; their
            descriptors then depend on the batch. Otherwise each image is described alone.
    """

    def __init__(self, *, together: bool) -> None:
        super().__init__()
        self.backbone = adapted_dinov2()
        self.together = together

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalised RGB to (N, 10752)."""
        regions = self.regions(*square_maps(self.backbone, x))
        context = self.correlate(regions) if self.together else self.correlate_each(regions)
        return normalize(context.flatten(1), dim=-1)


def cricavpr_layout(state: State) -> State:
    """The state under the keys of the CricaVPR release; CaseVPR's ``crica.pth`` is re-keyed."""
    if any(key.startswith("backbone.") for key in state):
        return state
    return rename_keys(state, _release_key)


def _release_key(key: str) -> str:
    """``encoder.*`` is the backbone and ``pool.*`` or ``pooling.*`` the rest in CaseVPR's files."""
    if key.startswith("encoder."):
        return "backbone." + key.removeprefix("encoder.")
    return key.removeprefix("pool.").removeprefix("pooling.")


ENCODER_TYPES = ("bs_d_c", "b_sd_c", "sd_b_c")


class CaseNet(SequenceNet):
    """Frames (N, 3, S, S) to frame descriptors and a sequence descriptor, both 10752 long.

    Args:
        encoder_type: What attends to what: ``bs_d_c``, each region to itself in the other frames
            (as published); ``b_sd_c``, nothing at all; ``sd_b_c``, all regions of all frames.

    Attributes:
        mixes_sequences: Whether ``bs_d_c`` and ``b_sd_c`` also attend across the sequences of a
            batch, as in the published training. Then a descriptor depends on the batch.
    """

    dim = DIM

    def __init__(self, encoder_type: str) -> None:
        super().__init__()
        self.encoder = adapted_dinov2()
        self.pooling = RegionContext()
        self.encoder_type = encoder_type
        self.mixes_sequences = False

    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) to the 14 regions of each frame (N, 14, 768)."""
        return self.pooling.regions(*square_maps(self.encoder, x))

    def window(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (B, L, 14, 768) to (B, L, 10752) and (B, 10752), of unit length."""
        context = self._context(states).flatten(2)
        return normalize(context, dim=-1), normalize(context.mean(dim=1), dim=-1)

    def alone(self, states: Tensor) -> Tensor:
        """Regions (N, 14, 768) to (N, 10752), each frame without the others."""
        return normalize(self.pooling.correlate_each(states).flatten(1), dim=-1)

    def _context(self, states: Tensor) -> Tensor:
        """(B, L, 14, 768) to the same; the axis along which attention runs comes first."""
        count, frames, regions = states.shape[:3]
        correlate = self.pooling.correlate
        if self.encoder_type == "sd_b_c":
            mixed = correlate(states.flatten(1, 2).transpose(0, 1)).transpose(0, 1)
            return torch.unflatten(mixed, 1, (frames, regions))
        if self.encoder_type == "bs_d_c":
            if self.mixes_sequences:
                return torch.unflatten(correlate(states.flatten(0, 1)), 0, (count, frames))
            mixed = correlate(states.transpose(0, 1).flatten(1, 2))
            return torch.unflatten(mixed, 1, (count, regions)).transpose(0, 1)
        if self.mixes_sequences:
            return torch.unflatten(correlate(states.flatten(1, 2)), 1, (frames, regions))
        return torch.unflatten(
            self.pooling.correlate_each(states.flatten(0, 1)), 0, (count, frames)
        )


def casenet_layout(state: State) -> State:
    """The state under CaseNet's keys; ``pool.*`` files and the CricaVPR release are re-keyed.

    In the release ``encoder`` is the transformer over regions, here it is the backbone.
    """
    released = any(key.startswith("backbone.") for key in state)
    return rename_keys(state, _from_release if released else _from_casevpr)


def _from_release(key: str) -> str:
    if key.startswith("backbone."):
        return "encoder." + key.removeprefix("backbone.")
    return "pooling." + key


def _from_casevpr(key: str) -> str:
    return "pooling." + key.removeprefix("pool.") if key.startswith("pool.") else key
