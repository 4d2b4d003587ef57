"""SAGE without its cross-image encoder: a frozen DINOv2, powers of its activations, soft clusters.

ICLR 2026, github.com/chenshunpeng/SAGE. The encoder across images, which makes a descriptor depend
on its batch, is not offered.
"""

from __future__ import annotations

from torch import Tensor, nn

from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.dinov2 import CHANNELS, DinoV2
from placememory.encoders.network import Recipe, load_weights
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.salad import CLUSTERS, ClusterHeads

_CLUSTER_DIM, _UNUSED_DIM = 128, 192
_POWERED = 4
_TINY = 1e-6


def recipe(info: EncoderInfo, options: Options) -> Recipe:  # noqa: ARG001
    """How ``sage`` is made; see :class:`Recipe`."""
    return Recipe(
        network=lambda path: load_weights(SageNet(), path),
        preprocess=Preprocess(size=(322, 322), resize_on="normalised"),
        dim=info.dim,
        published=info.weights,
    )


class _Power(nn.Module):
    """x + sign(x) |x|^p, with one p for each image, told from the mean of its rows."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, C) to the same."""
        power = self.projection(x.mean(dim=1, keepdim=True))
        powered: Tensor = x + x.sign() * (x.abs() + _TINY) ** power
        return powered


class _SoftWeighting(nn.Module):
    """Patches made longer by up to a half, told from their length."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor = nn.Sequential(
            nn.Linear(1, 128), nn.ReLU(), nn.Linear(128, 1), nn.Sigmoid()
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        lengths = maps.norm(dim=1)[..., None] + _TINY
        weighted: Tensor = maps * (1.0 + 0.5 * self.predictor(lengths)[:, None, :, :, 0])
        return weighted


class _Aggregator(ClusterHeads):
    """Class token (N, 768) and map (N, 768, H, W) to (N, 8448) of unit length.

    ``single_branch`` is in the file for the cross-image encoder, and is not used.
    """

    def __init__(self) -> None:
        super().__init__(_CLUSTER_DIM)
        self.soft_weighting = _SoftWeighting()
        self.gpn = _Power(CLUSTERS, 32)
        self.single_branch = ClusterHeads(_UNUSED_DIM).cluster_features

    def forward(self, token: Tensor, maps: Tensor) -> Tensor:
        """Clusters are centred over channels and patches together, patches share themselves out."""
        weighted = self.soft_weighting(maps)
        features = self.cluster_features(weighted).flatten(2)
        features = features - features.mean(dim=(1, 2), keepdim=True)
        shares = self.score(weighted).flatten(2).softmax(dim=2)
        sums = features @ shares.transpose(1, 2) / features.shape[2]
        return self.join(token, self.gpn(sums))


class _Trunk(nn.Module):
    """DINOv2 under the name it has in the release; its last blocks are followed by powers."""

    def __init__(self) -> None:
        super().__init__()
        self.model = DinoV2()
        self.gpn_norms = nn.ModuleList(_Power(CHANNELS, 16) for _ in range(_POWERED))

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to the class token (N, 768) and the map (N, 768, H / 14, W / 14)."""
        tokens = self.model.embed(x)
        stages = self.model.stages
        for block in stages[:-_POWERED]:
            tokens = block(tokens)
        for block, power in zip(stages[-_POWERED:], self.gpn_norms, strict=True):
            tokens = power(block(tokens))
        return self.model.split(self.model.norm(tokens), x)


class SageNet(nn.Module):
    """(N, 3, H, W), sides multiples of 14, to (N, 8448) of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Trunk()
        self.aggregator = _Aggregator()

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, 8448)."""
        descriptors: Tensor = self.aggregator(*self.backbone.maps(x))
        return descriptors
