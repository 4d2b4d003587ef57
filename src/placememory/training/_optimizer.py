"""Optimiser, rates by layer, and the schedule as a function of the step alone."""

from __future__ import annotations

import math
from typing import Any

import torch

from placememory.training._config import Optimization
from placememory.training._network import Parts

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
