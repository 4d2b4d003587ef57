"""Export an image encoder to ONNX, with its card inside, and check that it computes the same."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from placememory._io import replacing
from placememory._registry import require
from placememory.encoders._base import Encoder
from placememory.encoders._onnx import CARD_KEY, OnnxEncoder, card_text
from placememory.errors import EncoderError

OPSET = 20
PARITY = 1e-4
"""Largest relative L2 difference to torch with which a file is kept."""
_TRIALS = 3


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported.

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
        encoder: Fitted where it needs it; in float32, on the processor.
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


def _input_size(encoder: Encoder, image_size: tuple[int, int] | None) -> tuple[int, int]:
    preprocess = encoder.card.preprocess
    assert preprocess is not None
    if preprocess.size is None and image_size is None:
        raise EncoderError(
            f"the input size of {encoder.card.name} follows from the image; say the size of the "
            "camera's images (--image-size 480x640)"
        )
    return preprocess.target(*(image_size or (1, 1)))


def _write_graph(graph: torch.nn.Module, size: tuple[int, int], path: Path) -> None:
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


def _difference(encoder: Encoder, exported: OnnxEncoder, size: tuple[int, int]) -> float:
    """Largest relative difference on images of smooth noise.

    Raises:
        EncoderError: It is larger than rounding explains.
    """
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(_TRIALS):
        coarse = rng.normal(size=(1, 3, size[0] // 8 + 1, size[1] // 8 + 1)).astype(np.float32)
        fine = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, : size[0], : size[1]]
        x = torch.from_numpy(fine + 0.3 * rng.normal(size=fine.shape).astype(np.float32))
        ours, theirs = encoder.embed(x), exported.embed(x)
        worst = max(worst, float((ours - theirs).norm() / ours.norm()))
    if not worst <= PARITY:
        raise EncoderError(
            f"the exported {encoder.card.name} differs from torch by {worst:.1e}; it was not kept"
        )
    return worst
