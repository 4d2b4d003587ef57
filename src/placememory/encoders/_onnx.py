"""An exported encoder: one ONNX file with its card inside, run by ONNX Runtime, without torch."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from placememory._registry import require
from placememory.encoders._base import Descriptors, Encoder, check_images
from placememory.encoders._card import EncoderCard, Option
from placememory.errors import EncoderError, SettingError, WeightsError
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

SUFFIX = ".onnx"
CARD_KEY = "placememory_encoder_card"
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def card_text(card: EncoderCard) -> str:
    """A card, fitted arrays included, as text for the file's metadata."""
    return base64.b64encode(card.to_bytes()).decode()


class OnnxEncoder(Encoder):
    """An encoder exported by ``placememory export``; its card is that of the encoder it came from.

    So its descriptors may be searched in a memory built with torch, and the other way round. The
    input size is fixed; images whose shape leads to another one are refused.

    Args:
        path: The ``.onnx`` file.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file is missing, damaged, or was not exported by placememory.
        MissingExtraError: ONNX Runtime is not installed.
        SettingError: The device is unknown, or ONNX Runtime was built without it.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._path = path
        self._session = _session(path, device)
        stored = self._session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
        if stored is None:
            raise WeightsError(f"{path}: this file has no encoder card; make it with export")
        self.card = EncoderCard.from_bytes(base64.b64decode(stored))
        self._input = self._session.get_inputs()[0].name
        self.input_size = tuple(int(n) for n in self._session.get_inputs()[0].shape[2:])

    @property
    def module(self) -> torch.nn.Module:
        """There is none.

        Raises:
            EncoderError: Always; an exported encoder is a graph, not a torch module.
        """
        raise EncoderError(f"{self._path}: an exported encoder has no torch module")

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised input (N, 3, H, W), of the fixed size, to (N, D) float32."""
        import torch

        return torch.from_numpy(np.concatenate([self._run(row[None].numpy()) for row in x]))

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`.

        Raises:
            ImageError: Something is no image.
            EncoderError: An image has a shape that the file was not exported for.
        """
        check_images(images)
        preprocess = self.card.preprocess
        assert preprocess is not None
        rows = [np.empty((0, self.card.dim), np.float32)]
        for image in images:
            target = preprocess.target(*image.shape[:2])
            if target != self.input_size:
                raise EncoderError(
                    f"{self._path} was exported for an input of "
                    f"{self.input_size[0]}x{self.input_size[1]}, but an image of "
                    f"{image.shape[0]}x{image.shape[1]} becomes {target[0]}x{target[1]}; "
                    "export again with --image-size"
                )
            rows.append(self._run(preprocess.apply(image)[None]))
        return np.concatenate(rows)

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        descriptors: NDArray[np.float32] = self._session.run(None, {self._input: x})[0]
        return descriptors


def open_onnx(
    path: Path, name: str, *, device: str, precision: str, options: dict[str, Option]
) -> OnnxEncoder:
    """Open an exported encoder and check that it is the one asked for.

    Raises:
        EncoderError: It is of another method, or has other options than those asked for.
        SettingError: A precision is asked for; the file has its own.
        WeightsError: The file is missing or not one of ours.
    """
    if precision not in ("auto", "float32"):
        raise SettingError(f"{path} was exported in float32; export is the place to change that")
    encoder = OnnxEncoder(path, device)
    if encoder.card.name != name:
        raise EncoderError(f"{path} was exported from {encoder.card.name!r}, not from {name!r}")
    for key, value in options.items():
        if encoder.card.options.get(key) != value:
            raise EncoderError(
                f"{path} was exported with {key}={encoder.card.options.get(key)!r}, not {value!r}"
            )
    return encoder


def _session(path: Path, device: str) -> Any:
    runtime = require("onnxruntime", extra="onnx", purpose="Exported encoders")
    provider = _PROVIDERS.get(device)
    if provider is None or provider not in runtime.get_available_providers():
        known = [d for d, p in _PROVIDERS.items() if p in runtime.get_available_providers()]
        raise SettingError(f"exported encoders run on {', '.join(known)} here, not on {device!r}")
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file of weights")
    try:
        return runtime.InferenceSession(str(path), providers=[provider])
    except Exception as error:
        raise WeightsError(f"{path}: ONNX Runtime cannot read it ({error})") from error
