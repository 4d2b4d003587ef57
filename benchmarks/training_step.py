"""A step of CaseNet's training, and the mining before it, against the reference's plain recipe.

python benchmarks/training_step.py [--batch 1] [--rounds 2]

Both train the last block's adapter and the pooling of CaseNet at 224 pixels on triplets of seven
windows of five frames; weights and images are random. The plain recipe, written from CaseVPR's
description: all images of the batch at once in float32 with the whole network in training mode,
attention across the batch, and every cached window described by all of its frames. Ours: triplet
by triplet, frozen parts in evaluation mode, and each cached frame through the network once. Every
row is a process of its own; the recipes take turns.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _tables import machine, markdown
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from placememory.encoders import create
from placememory.encoders.device import computes_bfloat16
from placememory.training.config import EncoderChoice, Optimization
from placememory.training.network import Parts
from placememory.training.sampling import Batch
from placememory.training.step import Stepper, TripletCost, create_optimizer
from placememory.training.validation import describe

LENGTH, NEGATIVES, SIDE, MARGIN = 5, 5, 224, 0.1
WINDOWS = 2 + NEGATIVES
MINED = 8  # windows that follow each other, as those of a traverse do
RECIPES = ("plain", "ours", *(["ours, bfloat16"] if computes_bfloat16() else []))


class Noise:
    """Random frames in the place of images."""

    def load(self, windows: NDArray[np.int64]) -> None:
        """Nothing to read."""

    def __call__(self, windows: NDArray[np.int64], *_: Any) -> Tensor:
        """Windows (n, L) to (n, L, 3, 224, 224)."""
        return torch.randn(*windows.shape, 3, SIDE, SIDE)


def main() -> None:
    """Print the table, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=RECIPES)
    parser.add_argument("--profile", action="store_true", help="where a step of ours spends time")
    chosen = parser.parse_args()
    if chosen.profile:
        print(f"{machine()}, {torch.get_num_threads()} threads\n")
        print(markdown(("part of a step", "s", "share %"), profiled(chosen.batch)))
        return
    if chosen.only:
        print(json.dumps(measured(chosen.only, chosen.batch)))
        return
    print(f"{machine()}, {torch.get_num_threads()} threads\n")
    print(f"{chosen.batch} triplet(s) of {WINDOWS} windows of {LENGTH} frames a step; ", end="")
    print(f"{MINED} windows in a row mined; medians of {chosen.rounds} processes:\n")
    runs: dict[str, list[dict[str, float]]] = {recipe: [] for recipe in RECIPES}
    for _ in range(chosen.rounds):
        for recipe, found in runs.items():
            found.append(in_process(recipe, chosen.batch))
    print(
        markdown(("recipe", "step s", "ratio", "mining s", "ratio", "peak GB", "ratio"), rows(runs))
    )


def in_process(recipe: str, batch: int) -> dict[str, float]:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--only", recipe, "--batch", str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(runs: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    """Medians, and each over those of the plain recipe."""
    medians = {
        recipe: {name: statistics.median(run[name] for run in found) for name in found[0]}
        for recipe, found in runs.items()
    }
    base = medians["plain"]
    return [
        [recipe]
        + [
            cell
            for name, value in values.items()
            for cell in (f"{value:.2f}", f"{value / base[name]:.2f}")
        ]
        for recipe, values in medians.items()
    ]


def measured(recipe: str, batch: int) -> dict[str, float]:
    """Seconds of a step and of mining, and the most memory of this process."""
    encoder = create("casenet-224", "random", precision="float32")
    parts = Parts(encoder, EncoderChoice(name="casenet-224", train="adapters", adapter_blocks=1))
    optimizer = create_optimizer(parts, Optimization(lr=1e-5))
    windows = np.arange(batch * WINDOWS * LENGTH).reshape(-1, LENGTH)
    mined = np.arange(MINED)[:, None] + np.arange(LENGTH)
    if recipe == "plain":
        step, mine = plain(parts.network, windows, mined)
    else:
        step, mine = ours(parts, windows, mined, "bf16" if recipe.endswith("bfloat16") else "no")
    seconds = [timed(mine), timed(step), timed(optimizer.step)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"step": seconds[1] + seconds[2], "mining": seconds[0], "peak": peak}


def profiled(batch: int) -> list[list[str]]:
    """Seconds of the parts of a step of ours in float32, and their shares."""
    encoder = create("casenet-224", "random", precision="float32")
    parts = Parts(encoder, EncoderChoice(name="casenet-224", train="adapters", adapter_blocks=1))
    optimizer = create_optimizer(parts, Optimization(lr=1e-5))
    windows = np.arange(batch * WINDOWS * LENGTH).reshape(-1, LENGTH)
    step, _ = ours(parts, windows, windows[:1], "no")
    spent: dict[str, float] = {}
    began: dict[str, float] = {}
    blocks = [
        (name, module)
        for name, module in parts.network.named_modules()
        if re.search(r"\bblocks\.\d+$", name)
    ]
    for number, (name, module) in enumerate(blocks):
        part = "the last block" if number == len(blocks) - 1 else f"{len(blocks) - 1} frozen blocks"

        def begin(*_: Any, name: str = name) -> None:
            began[name] = time.perf_counter()

        def end(*_: Any, name: str = name, part: str = part) -> None:
            took = time.perf_counter() - began[name]
            spent[f"forward, {part}"] = spent.get(f"forward, {part}", 0.0) + took

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)
    backward = Tensor.backward

    def timed_backward(tensor: Tensor, *arguments: Any, **settings: Any) -> None:
        took = timed(lambda: backward(tensor, *arguments, **settings))
        spent["backward"] = spent.get("backward", 0.0) + took

    Tensor.backward = timed_backward  # type: ignore[method-assign,assignment]
    whole = timed(step)
    spent["optimizer"] = timed(optimizer.step)
    whole += spent["optimizer"]
    spent["the rest: embedding, pooling, windows, loss"] = whole - sum(spent.values())
    shares = sorted(spent.items(), key=lambda item: -item[1])
    return [
        *([name, f"{took:.2f}", f"{100 * took / whole:.0f}"] for name, took in shares),
        ["all", f"{whole:.2f}", "100"],
    ]


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


Work = tuple[Callable[[], object], Callable[[], object]]


def ours(parts: Parts, windows: NDArray[np.int64], mined: NDArray[np.int64], mixed: str) -> Work:
    """The trainer's own step, triplet by triplet, and its own description."""
    accelerator = Accelerator(cpu=True, mixed_precision=mixed)
    cost = TripletCost(MARGIN, NEGATIVES)
    stepper = Stepper(parts, Noise(), cost, WINDOWS, 1, accelerator)
    batch = Batch(windows, np.repeat(np.arange(len(windows) // WINDOWS), WINDOWS))
    return (
        lambda: stepper.run(batch, (0,)),
        lambda: describe(parts, Noise(), mined, accelerator),
    )


def plain(network: Any, windows: NDArray[np.int64], mined: NDArray[np.int64]) -> Work:
    """The recipe of the reference."""
    loss = nn.TripletMarginLoss(margin=MARGIN, p=2, reduction="sum")
    noise = Noise()

    def described(x: Tensor) -> Tensor:
        states = network.per_frame(x.flatten(0, 1))
        found: Tensor = network.window(torch.unflatten(states, 0, x.shape[:2]))[1]
        return found

    def step() -> None:
        network.train()
        network.mixes_sequences = True
        found = torch.unflatten(described(noise(windows)), 0, (-1, WINDOWS))
        costs = [
            loss(q.expand(NEGATIVES, -1), p.expand(NEGATIVES, -1), torch.stack(negatives))
            for q, p, *negatives in found
        ]
        (torch.stack(costs).sum() / (len(costs) * NEGATIVES)).backward()

    def mine() -> None:
        network.eval()
        with torch.no_grad():
            for window in mined:
                described(noise(window[None]))

    return step, mine


if __name__ == "__main__":
    main()
