"""What a training needs of the machine and of the encoder, from its configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch

from placememory._extras import require
from placememory.encoders import Encoder, create, info
from placememory.encoders._device import choose_device
from placememory.encoders._lite0 import FoldedTrunk, Trunk
from placememory.errors import SettingError
from placememory.training._config import Training
from placememory.training._data import TrainingSet
from placememory.training._features import FeatureInputs
from placememory.training._images import ImageInputs, Inputs
from placememory.training._network import Parts

if TYPE_CHECKING:
    from accelerate import Accelerator

Told = Callable[[str, int, int], None]
_MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


def create_accelerator(training: Training, device: str) -> Accelerator:
    """Processes, device and precision; whatever an earlier training of this process had.

    Raises:
        SettingError: The device is not there, or cannot train in this precision.
        MissingExtraError: ``accelerate`` is not installed.
    """
    accelerate = require("accelerate", extra="train", purpose="Training")
    chosen = choose_device(device, "float32").torch
    mixed = _MIXED[training.optimization.precision]
    if mixed == "fp16" and chosen.type == "cpu":
        raise SettingError("float16 does not train on a processor; use bfloat16 or float32 there")
    alone = "WORLD_SIZE" not in os.environ
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=alone)
    if chosen.type == "cuda" and chosen.index is not None and alone:
        torch.cuda.set_device(chosen)
    return cast(
        "Accelerator", accelerate.Accelerator(cpu=chosen.type == "cpu", mixed_precision=mixed)
    )


def create_encoder(training: Training) -> Encoder:
    """The encoder as it starts.

    Raises:
        SettingError: Its windows or images are not those of the data.
        EncoderError: It has no such option, or its weights cannot be loaded.
    """
    choice, length = training.encoder, training.data.length
    options = dict(choice.options)
    if info(choice.name).sequence:
        if options.setdefault("length", length) != length:
            raise SettingError(
                f"data.length is {length}, but encoder.options.length {options['length']}"
            )
    elif length != 1:
        raise SettingError(f"{choice.name} describes single frames: set data.length to 1")
    encoder = create(choice.name, choice.weights, precision="float32", **cast(Any, options))
    preprocess, wanted = encoder.card.preprocess, training.data.image_size
    if wanted is not None and (preprocess is None or preprocess.size != wanted):
        raise SettingError(
            f"data.image_size is {list(wanted)}, but {choice.name} takes "
            f"{'images as they are' if preprocess is None else preprocess.size}"
        )
    return encoder


def create_inputs(
    training: Training,
    encoder: Encoder,
    parts: Parts,
    sets: Sequence[TrainingSet],
    accelerator: Accelerator,
    told: Told,
) -> list[Inputs]:
    """What the network is given for each set: images, or what its frozen trunk said of them."""
    preprocess = encoder.card.preprocess
    assert preprocess is not None
    device = choose_device(str(accelerator.device), "float32")
    workers = training.running.workers
    images = [
        ImageInputs(part.frames, preprocess, device, training.augment, workers) for part in sets
    ]
    if not training.running.cache_trunk:
        return [*images]
    trunk = _fast(parts.without_trunk()).to(accelerator.device).eval()
    folder = training.output / "trunk_cache"

    def progress(done: int, total: int) -> None:
        told("running the trunk", done, total)

    cached: list[Inputs] = []
    for one in images:
        with accelerator.main_process_first():
            cached.append(
                FeatureInputs(trunk, one, folder, preprocess, accelerator.device, progress)
            )
    return cached


def _fast(trunk: torch.nn.Module) -> torch.nn.Module:
    """The same function, twice as fast on a processor where there is a folded form of it."""
    folded = FoldedTrunk(trunk) if isinstance(trunk, Trunk) else trunk
    return folded.to(memory_format=torch.channels_last)


@contextmanager
def deterministic() -> Iterator[None]:
    """Operations whose result is the same every time, where there are such."""
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
