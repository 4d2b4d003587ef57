"""Optimiser, rates by layer, and the schedule as a function of the step alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from placememory.training.config import Optimization
from placememory.training.images import Inputs, Seed
from placememory.training.losses import Cost
from placememory.training.network import Parts
from placememory.training.sampling import Batch

_MOMENTUM = 0.9
_NO_DECAY = ("bias", "centroids", "centers", "cls_token", "pos_embed", "queries", "words", ".p")


def create_optimizer(parts: Parts, settings: Optimization) -> torch.optim.Optimizer:
    """An optimiser over the trained parameters, grouped by rate and decay.

    Each group keeps its full rate as ``base_lr``.
    """
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in parts.named_trained():
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


if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a batch said.

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
    other, all are described first, the cost's gradient by descriptor is kept, and the windows pass
    again (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
    2021). Either way ``micro`` and the number of processes change rounding only, as no layer sees
    more than its own window; but where dropout is trained, what is dropped depends on the parts,
    and ``batchnorm: trained`` normalises over a part.

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
            result = self._separately(batch, chunks, seed)
        elif len(chunks) == 1:
            result = self._at_once(batch, chunks[0], seed)
        else:
            result = self._twice(batch, chunks, seed)
        self._together()
        return result

    def _at_once(self, batch: Batch, chunk: slice, seed: Seed) -> StepResult:
        frames, windows = self._described(batch, chunk, seed)
        loss, active = self.cost((frames, windows), self._labels(batch))
        self.accelerator.backward(loss / self.accelerator.num_processes)
        return StepResult(float(loss.detach()), active)

    def _separately(self, batch: Batch, chunks: list[slice], seed: Seed) -> StepResult:
        sums = torch.zeros(2, device=self.accelerator.device)
        for chunk in self._mine(chunks):
            frames, windows = self._described(batch, chunk, seed)
            loss, active = self.cost((frames, windows), self._labels(batch)[chunk])
            share = len(windows) / len(batch.windows)
            self.accelerator.backward(loss * share)
            sums += share * torch.tensor([float(loss.detach()), active], device=sums.device)
        loss, active = self._summed(sums).tolist()
        return StepResult(loss, active)

    def _twice(self, batch: Batch, chunks: list[slice], seed: Seed) -> StepResult:
        own = self._mine(chunks)
        with torch.no_grad():  # without a part of its own a process looks at one for its shape
            found = [self._described(batch, chunk, seed) for chunk in own or chunks[:1]]
        count = len(batch.windows)
        frames, windows = (self._whole([f[i] for f in found], own, count) for i in (0, 1))
        assert windows is not None
        leaves = [None if x is None else x.requires_grad_() for x in (frames, windows)]
        with torch.enable_grad():
            loss, active = self.cost((leaves[0], windows), self._labels(batch))
            loss.backward()  # type: ignore[no-untyped-call]
        for chunk in own:
            again = self._described(batch, chunk, seed)
            pulls = [
                (now.float() * leaf.grad[chunk]).sum()
                for now, leaf in zip(again, leaves, strict=True)
                if now is not None and leaf is not None and leaf.grad is not None
            ]
            self.accelerator.backward(torch.stack(pulls).sum())
        return StepResult(float(loss.detach()), active)

    def _described(self, batch: Batch, chunk: slice, seed: Seed) -> tuple[Tensor | None, Tensor]:
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

    def _mine(self, chunks: list[slice]) -> list[slice]:
        return chunks[self.accelerator.process_index :: self.accelerator.num_processes]

    def _labels(self, batch: Batch) -> Tensor:
        return torch.from_numpy(batch.labels).to(self.accelerator.device)

    def _whole(self, found: list[Tensor | None], own: list[slice], count: int) -> Tensor | None:
        """Rows of all processes in the order of the batch."""
        first = found[0]
        if first is None:
            return None
        whole = first.new_zeros((count, *first.shape[1:]))
        for chunk, rows in zip(own, found, strict=False):
            assert rows is not None
            whole[chunk] = rows
        return self._summed(whole)

    def _summed(self, x: Tensor) -> Tensor:
        summed: Tensor = self.accelerator.reduce(x, "sum")
        return summed

    def _together(self) -> None:
        """Gradients of all processes, added up."""
        if self.accelerator.num_processes == 1:
            return
        for _, parameter in self.parts.named_trained():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad = self._summed(parameter.grad)


def _number(seed: Seed) -> int:
    """A seed of 63 bits."""
    return int.from_bytes(hashlib.sha256(repr(seed).encode()).digest()[:8], "big") >> 1
