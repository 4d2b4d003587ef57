"""What a batch of descriptors costs."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from placememory._registry import require
from placememory.errors import SettingError
from placememory.training.config import Loss, Mining

_PURPOSE = "The multi-similarity loss"


Described = tuple[Tensor | None, Tensor]


class Cost(Protocol):
    """Descriptors of a batch to a number that is to become small.

    Attributes:
        separable: Whether triplets count each for itself, so that they may pass one by one.
    """

    separable: bool

    def __call__(self, described: Described, labels: Tensor, /) -> tuple[Tensor, float]:
        """What a batch costs.

        Args:
            described: Frames (n, L, D), or ``None``, and windows (n, Ds).
            labels: (n,) int64.

        Returns:
            The cost, and the share of triplets (or windows) that still cost something, 0 to 1.
        """
        ...


class TripletCost:
    """Margin loss of triplets: mean over all of max(0, margin + d(q, p) - d(q, n)), Euclidean.

    Args:
        margin: In units of descriptors.
        negatives: Of a triplet; windows come as query, positive, negatives, triplet by triplet.

    Example:
        >>> rows = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.3, 0.0], [0.15, 0.0]])
        >>> cost, active = TripletCost(0.1, 2)((None, rows), torch.zeros(4))
        >>> round(float(cost), 4), active
        (0.025, 0.5)
    """

    separable = True

    def __init__(self, margin: float, negatives: int) -> None:
        self.margin, self.negatives = margin, negatives

    def __call__(self, described: Described, _labels: Tensor, /) -> tuple[Tensor, float]:
        """See :class:`Cost`."""
        triplets = torch.unflatten(described[1], 0, (-1, 2 + self.negatives))
        query, positive, *rest = triplets.unbind(1)
        near = functional.pairwise_distance(query, positive)
        far = torch.stack([functional.pairwise_distance(query, n) for n in rest], dim=1)
        costs = functional.relu(self.margin + near[:, None] - far)
        return costs.mean(), float((costs > 0).float().mean())


class MultiSimilarityCost:
    """Multi-similarity loss with its own miner of pairs (Wang et al., CVPR 2019).

    Args:
        loss: Parameters.

    Raises:
        MissingExtraError: ``pytorch-metric-learning`` is not installed.
    """

    separable = False

    def __init__(self, loss: Loss) -> None:
        losses = require("pytorch_metric_learning.losses", extra="train", purpose=_PURPOSE)
        miners = require("pytorch_metric_learning.miners", extra="train", purpose=_PURPOSE)
        self._miner: Any = miners.MultiSimilarityMiner(epsilon=loss.epsilon)
        self._loss: Any = losses.MultiSimilarityLoss(
            alpha=loss.alpha, beta=loss.beta, base=loss.base
        )

    def __call__(self, described: Described, labels: Tensor, /) -> tuple[Tensor, float]:
        """See :class:`Cost`."""
        windows = described[1]
        pairs = self._miner(windows, labels)
        count = len(labels)
        active = len(torch.unique(torch.cat([pairs[0], pairs[2]]))) / count
        return self._loss(windows, labels, pairs), active


class JointCost:
    """Multi-similarity of windows, and of the newest frame of each (JIST, RA-L 2023).

    JIST classifies single images of another data set beside its triplets of sequences; here the
    frames are those of the windows, which are labelled already.

    Args:
        loss: Parameters and the frames' weight.
    """

    separable = False

    def __init__(self, loss: Loss) -> None:
        self._cost, self._weight = MultiSimilarityCost(loss), loss.frame_weight

    def __call__(self, described: Described, labels: Tensor, /) -> tuple[Tensor, float]:
        """See :class:`Cost`."""
        frames, windows = described
        if frames is None:
            raise SettingError(
                "loss.kind joint needs an encoder that describes single frames, too; "
                "use multi-similarity"
            )
        whole, active = self._cost((None, windows), labels)
        single, _ = self._cost((None, frames[:, -1]), labels)
        return whole + self._weight * single, active


def create_cost(loss: Loss, mining: Mining) -> Cost:
    """The cost of a configuration.

    Raises:
        MissingExtraError: ``pytorch-metric-learning`` is not installed.
    """
    if loss.kind == "triplet":
        return TripletCost(loss.margin, mining.per_query)
    return MultiSimilarityCost(loss) if loss.kind == "multi-similarity" else JointCost(loss)
