"""SelaVPR++: DINOv2 as it is, with side branches of convolutions; one describes, one makes bits.

Lu, Jin, Lan, Zhang, Liu, Wang, Yuan, "SelaVPR++: Towards Seamless Adaptation of Foundation Models
for Efficient Place Recognition", TPAMI.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory.encoders.bits import BITS_OPTION, attach_bits
from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.catalogue import SELAVPR_BITS, SELAVPR_DIMS, selavpr_weights
from placememory.encoders.checkpoint import load_strictly, read_checkpoint
from placememory.encoders.dinov2 import SIZES, DinoV2
from placememory.encoders.layers import ConvAdapter, GeM, UnitLength, check_square
from placememory.encoders.network import Recipe, read_whole
from placememory.encoders.preprocessing import Preprocess
from placememory.errors import EncoderError, WeightsError

_BACKBONES = {"base": "vitb14", "large": "vitl14"}
_FIRST = {"vitb14": 0, "vitl14": 8}
"""Blocks before this one have no adapter."""
_HASHING = "backbone.adapters_hashing."


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``selavprpp-base`` and ``selavprpp-large`` are made; see :class:`Recipe`."""
    edition = info.name.removeprefix("selavprpp-")
    bits = read_whole(options, BITS_OPTION, 0)
    if bits not in (0, SELAVPR_BITS):
        raise EncoderError(f"{BITS_OPTION} is 0 (none) or {SELAVPR_BITS}, not {bits}")
    return Recipe(
        network=lambda path: load_selavpr(path, edition, with_bits=bits > 0),
        preprocess=Preprocess(size=(322, 322), resize_on="normalised"),
        dim=info.dim + bits,
        published=selavpr_weights(edition, with_bits=bits > 0),
    )


class _SideBranches(DinoV2):
    """DINOv2 beside which branches of adapters run; it sees nothing of them.

    Args:
        size: ``vitb14`` or ``vitl14``.
        hashing: Whether there is a second branch, for the bits.
    """

    def __init__(self, size: str, *, hashing: bool) -> None:
        super().__init__(size)
        self.first = _FIRST[size]
        self.adapters = self._branch(SIZES[size].channels)
        if hashing:
            self.adapters_hashing = self._branch(SIZES[size].channels)

    def _branch(self, channels: int) -> nn.ModuleList:
        return nn.ModuleList(ConvAdapter(channels) for _ in self.stages[self.first :])

    def sides(self, x: Tensor, branches: list[nn.ModuleList]) -> list[Tensor]:
        """Patches (N, P, C) of each branch after the last norm; the transformer runs once."""
        check_square(x)
        tokens = self.embed(x)
        for block in self.stages[: self.first]:
            tokens = block(tokens)
        sides = [tokens] * len(branches)
        for number, block in enumerate(self.stages[self.first :]):
            tokens = block(tokens)
            sides = [
                side + branch[number](side + tokens)
                for side, branch in zip(sides, branches, strict=True)
            ]
        return [self.norm(side)[:, self.prefix :] for side in sides]


class SelaVPRNet(nn.Module):
    """(N, 3, S, S) to (N, D) of unit length, or to (N, D + 512) with the bits.

    Args:
        edition: ``base`` (D is 2048) or ``large`` (4096).
        hashing: Whether there is a hash branch, as in the files called ``rerank``.

    Attributes:
        with_bits: Whether :meth:`forward` appends the bits; see :func:`attach_bits`.
    """

    def __init__(self, edition: str, *, hashing: bool) -> None:
        super().__init__()
        size = _BACKBONES[edition]
        channels = SIZES[size].channels
        self.backbone = _SideBranches(size, hashing=hashing)
        self.aggregation = nn.Sequential(UnitLength(), GeM(), nn.Flatten())
        self.linear1 = nn.Linear(channels, channels)
        self.linear2 = nn.Linear(channels, SELAVPR_DIMS[edition])
        if hashing:
            self.aggregation_hashing = nn.Sequential(UnitLength(), GeM(), nn.Flatten())
            self.linear3 = nn.Linear(channels, channels)
            self.linear4 = nn.Linear(channels, SELAVPR_BITS)
        self.with_bits = False

    def describe(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalised RGB to descriptors (N, D)."""
        [patches] = self.backbone.sides(x, [self.backbone.adapters])
        return self._pool(patches)

    def describe_and_hash(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) normalised RGB to descriptors (N, D) and hashes (N, 512), unit length.

        A bit is set where a hash is zero or more.
        """
        backbone = self.backbone
        patches, hashed = backbone.sides(x, [backbone.adapters, backbone.adapters_hashing])
        pooled = self.aggregation_hashing(_columns(self.linear3(hashed)))
        return self._pool(patches), normalize(self.linear4(pooled), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalised RGB to (N, D), with the bits (N, D + 512)."""
        return attach_bits(*self.describe_and_hash(x)) if self.with_bits else self.describe(x)

    def _pool(self, patches: Tensor) -> Tensor:
        pooled = self.aggregation(_columns(self.linear1(patches)))
        return normalize(self.linear2(pooled), dim=1)


def _columns(patches: Tensor) -> Tensor:
    """Patches (N, P, C) as a map (N, C, P, 1)."""
    return patches.transpose(1, 2)[..., None]


def load_selavpr(path: Path | None, edition: str, *, with_bits: bool) -> SelaVPRNet:
    """The network of a file, with the hash branch if the file has one; random for ``None``.

    Raises:
        WeightsError: The file is another network's, or has no hash branch where bits are wanted.
    """
    if path is None:
        network = SelaVPRNet(edition, hashing=with_bits)
    else:
        state = read_checkpoint(path)
        hashing = any(key.startswith(_HASHING) for key in state)
        if with_bits and not hashing:
            raise WeightsError(
                f"{path}: this file has no hash branch, so it gives no bits; take "
                f"{selavpr_weights(edition, with_bits=True).file}, or {BITS_OPTION}=0"
            )
        network = SelaVPRNet(edition, hashing=hashing)
        load_strictly(network, state, path)
    network.with_bits = with_bits
    return network
