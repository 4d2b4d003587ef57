"""Read published checkpoints, whatever they are wrapped in, and load them strictly.

Nothing is ever unpickled but tensors: ``torch.load`` runs with ``weights_only=True``. Training
checkpoints also hold objects of other libraries (settings, loggers, optimisers); these are read as
empty tables, and none of their code runs.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from placememory.errors import WeightsError

State = dict[str, Tensor]
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_SHOWN = 4
_NUMPY = (
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
)
"""What arrays and numbers of NumPy are pickled with; their code runs, and only makes arrays."""
_DTYPES = [type(np.dtype(name)) for name in ("f2", "f4", "f8", "i4", "i8", "u1", "bool")]


def read_checkpoint(path: Path) -> State:
    """Tensors by key of a ``.pth``, ``.ckpt`` or ``.safetensors`` file.

    Wrappers (``state_dict``, ``model_state_dict``) and the prefix ``module.`` are taken off.

    Raises:
        WeightsError: The file is missing, damaged, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = _tensors_only(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WeightsError(f"{path}: there is no such file of weights") from error
    except Exception as error:
        raise WeightsError(f"{path}: cannot read the weights ({_reason(error)})") from error
    return _unwrap(content, path)


def read_tensor(path: Path) -> Tensor:
    """The one tensor of a ``.pt``, ``.npy`` or ``.safetensors`` file, float32.

    Raises:
        WeightsError: The file is missing, damaged, or holds something else.
    """
    try:
        if path.suffix == ".npy":
            content: Any = torch.from_numpy(np.load(path, allow_pickle=False))
        elif path.suffix == ".safetensors":
            [content] = load_file(path).values()
        else:
            content = _tensors_only(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WeightsError(f"{path}: there is no such file") from error
    except Exception as error:
        raise WeightsError(f"{path}: cannot read one tensor ({_reason(error)})") from error
    if not isinstance(content, Tensor):
        raise WeightsError(f"{path}: this file holds no single tensor")
    return content.float()


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


def rename_keys(state: Mapping[str, Tensor], rename: Callable[[str], str]) -> State:
    """The state with its keys renamed."""
    return {rename(key): value for key, value in state.items()}


class _Placeholder:
    """Placeholder for a class or function of another library; calling it gives an empty table.

    A plain ``OrderedDict`` is what the restricted reader lets be filled, whatever it stands for.
    """

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return OrderedDict()


def _tensors_only(path: Path) -> Any:
    numpy = [(_numpy_global(name), name) for name in _NUMPY]
    foreign = _foreign_names(path) - set(_NUMPY)
    known: list[Any] = [*numpy, *_DTYPES, *((_Placeholder, name) for name in foreign)]
    with torch.serialization.safe_globals(known):
        return torch.load(path, map_location="cpu", weights_only=True)


def _foreign_names(path: Path) -> set[str]:
    try:
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except ValueError:  # not a zip: the format before torch 1.6, which cannot be looked into
        return set()


def _reason(error: Exception) -> str:
    """The error in a line, without torch's advice to read the file unsafely."""
    if type(error).__name__ == "UnpicklingError":
        return "it holds objects that could run code, or that cannot be left out"
    return str(error)


def _numpy_global(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module.replace("numpy.core", "numpy._core")), attribute)


def _unwrap(content: Any, path: Path) -> State:
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path}: this file holds no table of tensors")
    return rename_keys(content, lambda key: key.removeprefix("module."))
