"""A step: the cost of a batch, its gradient, the optimiser and its rate."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from placememory._registry import require
from placememory.errors import SettingError
from placememory.training.config import Loss, Mining, Optimization
from placememory.training.inputs import Inputs, Seed
from placememory.training.network import Parts
from placememory.training.sampling import Batch

if TYPE_CHECKING:
    from accelerate import Accelerator

_MOMENTUM = 0.9
_NO_DECAY = ("bias", "centroids", "centers", "cls_token", "pos_embed", "queries", "words", ".p")


_PURPOSE = "The multi-similarity loss"


Descriptions = tuple[Tensor | None, Tensor]


class Cost(Protocol):
    """Descriptors of a batch to a number that is to become small.

    Attributes:
        separable: Whether triplets count each for itself, so that they may pass one by one.
    """

    separable: bool

    def __call__(self, described: Descriptions, labels: Tensor, /) -> tuple[Tensor, float]:
        """Loss of a batch.

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

    def __call__(self, described: Descriptions, _labels: Tensor, /) -> tuple[Tensor, float]:
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

    def __call__(self, described: Descriptions, labels: Tensor, /) -> tuple[Tensor, float]:
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

    def __call__(self, described: Descriptions, labels: Tensor, /) -> tuple[Tensor, float]:
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


def create_optimizer(parts: Parts, settings: Optimization) -> torch.optim.Optimizer:
    """An optimiser over the trained parameters, grouped by rate and decay.

    Each group keeps its full rate as ``base_lr``.
    """
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in parts.trained_parameters():
        rate = _rate(parts.depth_of(name), settings)
        decays = parameter.ndim > 1 and not name.endswith(_NO_DECAY)
        decay = settings.weight_decay if decays else 0.0
        group = groups.setdefault(
            (rate, decay), {"params": [], "lr": rate, "base_lr": rate, "weight_decay": decay}
        )
        group["params"].append(parameter)
    chosen = list(groups.values())
    if settings.optimizer == "sgd":
        return torch.optim.SGD(chosen, lr=settings.lr, momentum=_MOMENTUM)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(chosen, lr=settings.lr)


def _rate(depth: int | None, settings: Optimization) -> float:
    """Rate of a parameter ``depth`` blocks below the trunk's last; ``None`` in the head."""
    if depth is None:
        return settings.lr
    return (settings.trunk_lr or settings.lr) * float(settings.layer_decay**depth)


def factor(step: int, total: int, settings: Optimization) -> float:
    """Share of the full rate at a step, from 0.

    Args:
        step: Of the whole training.
        total: Steps of the whole training.
        settings: Schedule and warm-up.

    Example:
        >>> flat = Optimization(schedule="cosine", warmup=0.2)
        >>> [round(factor(step, 10, flat), 2) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    warm = round(settings.warmup * total)
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, total - warm)
    if settings.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    if settings.schedule == "step":
        return float(0.1 ** int(3.0 * done))
    return 1.0


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Give each group a share of its full rate."""
    for group in optimizer.param_groups:
        group["lr"] = share * group["base_lr"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a batch.

    Attributes:
        loss: Mean over the batch.
        active: Share of triplets (or windows) that still cost something.
    """

    loss: float
    active: float


@dataclass(frozen=True, slots=True, eq=False)
class Stepper:
    """Adds the gradient of a batch to the parameters.

    Triplets cost each for itself and pass one after another. Where every window costs with every
    other, all are described first, the cost's gradient by descriptor is stored, and the windows
    pass again (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
    Setup", 2021). Either way ``micro`` and the number of processes change rounding only, as no
    layer sees more than its own window; but where dropout is trained, what is dropped depends on
    the parts, and ``batchnorm: trained`` normalises over a part.

    Attributes:
        parts: The network.
        inputs: Gives images or features.
        cost: The loss.
        group: Windows that belong together: those of a triplet, else 1.
        micro: Groups in the network at a time; ``None`` for all.
        accelerator: Processes and precision.
    """

    parts: Parts
    inputs: Inputs
    cost: Cost
    group: int
    micro: int | None
    accelerator: Accelerator

    def run(self, batch: Batch, seed: Seed) -> StepResult:
        """Gradients of a batch, of all processes together.

        Args:
            batch: The same on all processes.
            seed: Of the step: of the changes to images, and of dropout.
        """
        self.parts.train()
        self.inputs.load(batch.windows)
        chunks = list(self._chunks(len(batch.windows)))
        if self.cost.separable:
            result = self._run_chunks(batch, chunks, seed)
        elif len(chunks) == 1:
            result = self._run_whole(batch, chunks[0], seed)
        else:
            result = self._run_twice(batch, chunks, seed)
        self._share_gradients()
        return result

    def _run_whole(self, batch: Batch, chunk: slice, seed: Seed) -> StepResult:
        frames, windows = self._describe(batch, chunk, seed)
        loss, active = self.cost((frames, windows), self._labels(batch))
        self.accelerator.backward(loss / self.accelerator.num_processes)
        return StepResult(float(loss.detach()), active)

    def _run_chunks(self, batch: Batch, chunks: list[slice], seed: Seed) -> StepResult:
        sums = torch.zeros(2, device=self.accelerator.device)
        for chunk in self._own(chunks):
            frames, windows = self._describe(batch, chunk, seed)
            loss, active = self.cost((frames, windows), self._labels(batch)[chunk])
            share = len(windows) / len(batch.windows)
            self.accelerator.backward(loss * share)
            sums += share * torch.tensor([float(loss.detach()), active], device=sums.device)
        loss, active = self._add_up(sums).tolist()
        return StepResult(loss, active)

    def _run_twice(self, batch: Batch, chunks: list[slice], seed: Seed) -> StepResult:
        own = self._own(chunks)
        with torch.no_grad():  # without a part of its own a process looks at one for its shape
            found = [self._describe(batch, chunk, seed) for chunk in own or chunks[:1]]
        count = len(batch.windows)
        frames, windows = (self._gather([f[i] for f in found], own, count) for i in (0, 1))
        assert windows is not None
        leaves = [None if x is None else x.requires_grad_() for x in (frames, windows)]
        with torch.enable_grad():
            loss, active = self.cost((leaves[0], windows), self._labels(batch))
            loss.backward()  # type: ignore[no-untyped-call]
        for chunk in own:
            again = self._describe(batch, chunk, seed)
            pulls = [
                (now.float() * leaf.grad[chunk]).sum()
                for now, leaf in zip(again, leaves, strict=True)
                if now is not None and leaf is not None and leaf.grad is not None
            ]
            self.accelerator.backward(torch.stack(pulls).sum())
        return StepResult(float(loss.detach()), active)

    def _describe(self, batch: Batch, chunk: slice, seed: Seed) -> tuple[Tensor | None, Tensor]:
        """Frames and windows of a part, in float32; the same dropout whenever it passes."""
        torch.manual_seed(_number((*seed, chunk.start)))
        x = self.inputs(batch.windows[chunk], seed, chunk.start)
        with self.accelerator.autocast():
            frames, windows = self.parts.net(x)
        return (None if frames is None else frames.float()), windows.float()

    def _chunks(self, count: int) -> Iterator[slice]:
        groups = count // self.group
        processes = self.accelerator.num_processes
        size = self.group * (self.micro or -(-groups // processes))
        for first in range(0, count, size):
            yield slice(first, min(first + size, count))

    def _own(self, chunks: list[slice]) -> list[slice]:
        return chunks[self.accelerator.process_index :: self.accelerator.num_processes]

    def _labels(self, batch: Batch) -> Tensor:
        return torch.from_numpy(batch.labels).to(self.accelerator.device)

    def _gather(self, found: list[Tensor | None], own: list[slice], count: int) -> Tensor | None:
        """Rows of all processes in the order of the batch."""
        first = found[0]
        if first is None:
            return None
        whole = first.new_zeros((count, *first.shape[1:]))
        for chunk, rows in zip(own, found, strict=False):
            assert rows is not None
            whole[chunk] = rows
        return self._add_up(whole)

    def _add_up(self, x: Tensor) -> Tensor:
        summed: Tensor = self.accelerator.reduce(x, "sum")
        return summed

    def _share_gradients(self) -> None:
        """Gradients of all processes, added up."""
        if self.accelerator.num_processes == 1:
            return
        for _, parameter in self.parts.trained_parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad = self._add_up(parameter.grad)


def _number(seed: Seed) -> int:
    """A seed of 63 bits."""
    return int.from_bytes(hashlib.sha256(repr(seed).encode()).digest()[:8], "big") >> 1
