"""Where a network runs and in which precision; batches in and arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from placememory._checks import check_choice
from placememory._registry import require
from placememory.encoders.preprocessing import Preprocess, resampling_weights
from placememory.errors import SettingError
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
_GPU_BATCH = 16
T = TypeVar("T")


class Device:
    """A torch device with a precision.

    Attributes:
        torch: The ``torch.device``.
        precision: ``float32``, ``bfloat16`` or ``float16``.
    """

    def __init__(self, device: torch.device, precision: str, module: Any) -> None:
        self.torch = device
        self.precision = precision
        self._library = module
        self._type = getattr(module, precision)

    def place(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network on this device, in its precision, channels last."""
        network = network.to(device=self.torch, dtype=self._type)
        return network.to(memory_format=self._library.channels_last)

    def run(self, network: Callable[[torch.Tensor], T], x: torch.Tensor) -> T:
        """Run a network, or a part of one, without gradients, in the network's precision."""
        with self._library.inference_mode():
            return network(x.to(device=self.torch, dtype=self._type))

    def unit(self, rows: torch.Tensor) -> torch.Tensor:
        """Descriptors (N, D) of unit norm as float32; half precision leaves norms 0.3 % off."""
        rows = rows.float()
        if self.precision == "float32":
            return rows
        result: torch.Tensor = self._library.nn.functional.normalize(rows, dim=-1)
        return result

    def normalise(self, batch: NDArray[np.uint8], preprocess: Preprocess) -> torch.Tensor:
        """(N, H, W, 3) uint8 to (N, 3, rows, columns) float32, normalised, on the device."""
        library = self._library
        x = library.from_numpy(batch).to(self.torch).permute(0, 3, 1, 2).float()
        if preprocess.resize_on == "tensor":
            x = self._resize(x, preprocess)
        mean = library.tensor(preprocess.mean, device=self.torch).mul_(255.0)
        std = library.tensor(preprocess.std, device=self.torch).mul_(255.0)
        normalised: torch.Tensor = x.sub_(mean[:, None, None]).div_(std[:, None, None])
        if preprocess.resize_on == "normalised":
            normalised = self._resize(normalised, preprocess)
        return normalised

    def _resize(self, x: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
        """(N, 3, H, W) float32 resized with antialiasing, and cut where that is asked."""
        height, width = int(x.shape[-2]), int(x.shape[-1])
        rows, columns = preprocess.scaled(height, width)
        if (rows, columns) == (height, width):
            return preprocess.cut(x)
        if preprocess.interpolation == "area":
            down, across = (
                self._library.tensor(resampling_weights(*sides, "area"), device=self.torch)
                for sides in ((height, rows), (width, columns))
            )
            reduced: torch.Tensor = (down @ x @ across.T).contiguous()
            return reduced
        resized: torch.Tensor = self._library.nn.functional.interpolate(
            x.contiguous(),
            size=(rows, columns),
            mode=preprocess.interpolation,
            antialias=True,
            align_corners=False,
        )
        return preprocess.cut(resized)

    def batches(self, images: Iterable[Image]) -> Iterator[NDArray[np.uint8]]:
        """Runs of images of one size, in order: one a batch on a processor, up to 16 on a GPU."""
        most = 1 if self.torch.type == "cpu" else _GPU_BATCH
        run: list[Image] = []
        for image in images:
            if run and (len(run) == most or run[0].shape != image.shape):
                yield np.stack(run)
                run = []
            run.append(image)
        if run:
            yield np.stack(run)

    def to_numpy(self, rows: Sequence[torch.Tensor], dim: int) -> NDArray[np.float32]:
        """Rows (n, D) in a list as one (N, D) float32 array."""
        if not rows:
            return np.empty((0, dim), np.float32)
        return np.concatenate([row.float().cpu().numpy() for row in rows])


def choose_device(device: str, precision: str) -> Device:
    """Check names and make a device; ``auto`` takes bfloat16 where the processor computes in it.

    Raises:
        SettingError: The device is unknown or not there, or the precision is unknown.
    """
    torch = require("torch", extra="torch", purpose="Encoders")
    check_choice("precision", precision, PRECISIONS)
    if device in ("onnxruntime", "openvino"):
        raise SettingError(
            f"{device} runs exported encoders, and the default one with its published weights; "
            "export this one (placememory export), or use another device"
        )
    try:
        chosen = torch.device("cpu" if device == "torch" else device)
    except RuntimeError as error:
        raise SettingError(f"unknown device {device!r}; use cpu, cuda, cuda:1 or mps") from error
    if chosen.type not in ("cpu", "cuda", "mps"):
        raise SettingError(f"no images can be encoded on {device!r}; use cpu, cuda, cuda:1 or mps")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise SettingError(
            f"the device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA GPUs"
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise SettingError("the device 'mps' is not there: torch sees no Apple GPU")
    if precision == "float16" and chosen.type == "cpu":
        raise SettingError("float16 is very slow on a processor; use bfloat16 or float32 there")
    if precision == "auto":
        fast = chosen.type == "cpu" and computes_bfloat16()
        precision = "bfloat16" if fast else "float32"
    return Device(chosen, precision, torch)


def computes_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 (AVX512-BF16 or AMX)."""
    torch = require("torch", extra="torch", purpose="Encoders")
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
