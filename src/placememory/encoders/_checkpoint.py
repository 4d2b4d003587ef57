"""Read published checkpoints, whatever they are wrapped in, and load them strictly.

Nothing is ever unpickled but tensors: ``torch.load`` runs with ``weights_only=True``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from placememory.errors import WeightsError

State = dict[str, Tensor]
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_SHOWN = 4


def read_checkpoint(path: Path) -> State:
    """Tensors by key of a ``.pth``, ``.ckpt`` or ``.safetensors`` file.

    Wrappers (``state_dict``, ``model_state_dict``) and the prefix ``module.`` are taken off.

    Raises:
        WeightsError: The file is missing, damaged, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such file of weights") from error
    except Exception as error:
        raise WeightsError(f"{path}: cannot read the weights ({error})") from error
    return _unwrapped(content, path)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Load a state into a module; every key must be there and fit.

    Raises:
        WeightsError: Keys are missing, unexpected or of another shape; the message names them.
    """
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in state]
    unexpected = [key for key in state if key not in wanted]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    problems = [
        f"{len(keys)} {what}: {', '.join(keys[:_SHOWN])}{', …' if len(keys) > _SHOWN else ''}"
        for what, keys in (
            ("missing keys", missing),
            ("unexpected keys", unexpected),
            ("keys of another shape", shapes),
        )
        if keys
    ]
    if problems:
        raise WeightsError(f"{source}: these are weights of another network; {'; '.join(problems)}")
    module.load_state_dict(dict(state), strict=True)


def renamed(state: Mapping[str, Tensor], rename: Callable[[str], str]) -> State:
    """The state with its keys renamed."""
    return {rename(key): value for key, value in state.items()}


def _unwrapped(content: Any, path: Path) -> State:
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path}: this file holds no table of tensors")
    return renamed(content, lambda key: key.removeprefix("module."))
