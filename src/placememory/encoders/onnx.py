"""Exported encoders: one ONNX file with the card inside, run without torch.

An export is checked against torch before the file appears.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from placememory._io import replacing
from placememory._registry import require
from placememory.encoders.base import Descriptors, Encoder
from placememory.encoders.card import EncoderCard, Option
from placememory.encoders.graph import Graph
from placememory.encoders.network import TorchEncoder
from placememory.errors import EncoderError, SettingError, WeightsError
from placememory.frames import Image, as_rgb

if TYPE_CHECKING:
    import torch

SUFFIX = ".onnx"
CARD_KEY = "placememory_encoder_card"


def card_text(card: EncoderCard) -> str:
    """A card, fitted arrays included, as text for the file's metadata."""
    return base64.b64encode(card.to_bytes()).decode()


class OnnxEncoder:
    """An encoder exported by ``placememory export``; its card is that of the encoder it came from.

    So its descriptors may be searched in a memory built with torch, and the other way round. The
    input size is fixed; images whose shape leads to another one are refused.

    Args:
        path: The ``.onnx`` file.
        device: ``cpu``, ``cuda`` or ``openvino``; see :class:`Graph`.

    Raises:
        WeightsError: The file is missing, damaged, or was not exported by placememory.
        MissingExtraError: What runs it is not installed.
        SettingError: The device is unknown, or not there.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._path = path
        self._graph = Graph(path, device)
        stored = self._graph.metadata.get(CARD_KEY)
        if stored is None:
            raise WeightsError(f"{path}: this file has no encoder card; make it with export")
        self.card = EncoderCard.from_bytes(base64.b64decode(stored))
        self.input_size = tuple(int(n) for n in self._graph.shape[2:])

    def encode(self, images: Sequence[Image]) -> Descriptors:
        """See :meth:`Encoder.encode`.

        Raises:
            ImageError: Something is no image.
            EncoderError: An image has a shape that the file was not exported for.
        """
        preprocess = self.card.preprocess
        assert preprocess is not None
        rows = [np.empty((0, self.card.dim), np.float32)]
        for image in map(as_rgb, images):
            target = preprocess.target(*image.shape[:2])
            if target != self.input_size:
                raise EncoderError(
                    f"{self._path} was exported for an input of "
                    f"{self.input_size[0]}x{self.input_size[1]}, but an image of "
                    f"{image.shape[0]}x{image.shape[1]} becomes {target[0]}x{target[1]}; "
                    "export again with --image-size"
                )
            rows.append(self.run(preprocess.apply(image)[None]))
        return np.concatenate(rows)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised input (1, 3, H, W), of the fixed size, to (1, D)."""
        return self._graph.run(x)


def open_onnx(
    path: Path, name: str, *, device: str, precision: str, options: dict[str, Option]
) -> OnnxEncoder:
    """Open an exported encoder and check its method and options.

    Raises:
        EncoderError: It is of another method, or has other options than those given.
        SettingError: A precision is given; the file has its own.
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


OPSET = 20
PARITY = 1e-4
"""Largest relative L2 difference to torch with which a file is published."""
_TRIALS = 3


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The result of an export.

    Attributes:
        path: The file.
        input_size: Height and width of the network's input, pixels.
        megabytes: Size of the file.
        difference: Largest relative L2 difference of a descriptor to torch's, over the trials.
        trials: Images compared.
    """

    path: Path
    input_size: tuple[int, int]
    megabytes: float
    difference: float
    trials: int


def export_onnx(
    encoder: Encoder, path: str | Path, *, image_size: tuple[int, int] | None = None
) -> ExportReport:
    """Export an image encoder; the file appears once it has been found to compute the same.

    Args:
        encoder: A torch network (``device="torch"``), fitted where it needs it, in float32.
        path: Of the ``.onnx`` file.
        image_size: Height and width of the images it will be given; needed where the input size
            follows from them.

    Raises:
        EncoderError: The encoder cannot be exported, needs ``image_size``, or what was exported
            computes something else.
        MissingExtraError: onnx, onnxscript or ONNX Runtime are not installed.
    """
    onnx = require("onnx", extra="export", purpose="Export")
    require("onnxscript", extra="export", purpose="Export")
    if not isinstance(encoder, TorchEncoder):
        raise EncoderError(f"{encoder.card.name} cannot be exported: it is no torch network")
    if not encoder.card.batch_invariant:
        raise EncoderError(f"{encoder.card.name} describes images together; export it for one")
    path, size = Path(path), _input_size(encoder, image_size)
    with replacing(path) as part:
        _write_graph(encoder.graph(), size, part)
        model = onnx.load(part)
        onnx.helper.set_model_props(model, {CARD_KEY: card_text(encoder.card)})
        onnx.save(model, part)
        difference = _difference(encoder, OnnxEncoder(part), size)
    return ExportReport(path, size, path.stat().st_size / 1e6, difference, _TRIALS)


def _input_size(encoder: TorchEncoder, image_size: tuple[int, int] | None) -> tuple[int, int]:
    preprocess = encoder.card.preprocess
    assert preprocess is not None
    if preprocess.size is None and image_size is None:
        raise EncoderError(
            f"the input size of {encoder.card.name} follows from the image; give the size of the "
            "camera's images (--image-size 480x640)"
        )
    return preprocess.target(*(image_size or (1, 1)))


def _write_graph(graph: torch.nn.Module, size: tuple[int, int], path: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own parts
        torch.onnx.export(
            graph.eval(),
            (torch.zeros(1, 3, *size),),
            path,
            input_names=["image"],
            output_names=["descriptor"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _difference(encoder: TorchEncoder, exported: OnnxEncoder, size: tuple[int, int]) -> float:
    """Largest relative difference on images of smooth noise.

    Raises:
        EncoderError: It is larger than rounding explains.
    """
    import torch

    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(_TRIALS):
        coarse = rng.normal(size=(1, 3, size[0] // 8 + 1, size[1] // 8 + 1)).astype(np.float32)
        fine = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, : size[0], : size[1]]
        x = torch.from_numpy(fine + 0.3 * rng.normal(size=fine.shape).astype(np.float32))
        ours, theirs = encoder.embed(x).numpy(), exported.run(x.numpy())
        worst = max(worst, float(np.linalg.norm(ours - theirs) / np.linalg.norm(ours)))
    if not worst <= PARITY:
        raise EncoderError(
            f"the exported {encoder.card.name} differs from torch by {worst:.1e}; it was not kept"
        )
    return worst
