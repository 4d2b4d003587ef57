"""``placememory export``: an encoder as ONNX, or a memory's descriptors as an hloc file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._console import say
from placememory.cli._options import options_of
from placememory.encoders import Encoder, create, names
from placememory.errors import SettingError
from placememory.memory import PlaceMemory
from placememory.memory.features_h5 import FeatureWriter

_PRECISION = "float32"


def run(
    what: Annotated[
        str, typer.Argument(help="An encoder's name, or a memory.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="FILE.onnx or FILE.h5.", show_default=False)],
    image_size: Annotated[
        str | None,
        typer.Option(help="HEIGHTxWIDTH of the camera's images, for encoders without fixed input."),
    ] = None,
    set_option: options.EncoderOptions = None,
    weights: options.Weights = None,
    half: options.Half = True,
) -> None:
    """Write an encoder as ONNX, for robots without torch, or a memory's descriptors for hloc.

    Example: [b]placememory export mixvpr mixvpr.onnx[/b]

    Example: [b]placememory export office.memory encoder.onnx --image-size 480x640[/b]

    Example: [b]placememory export office.memory global-feats.h5[/b]

    A memory's encoder comes with its vocabulary; take it with --weights FILE.onnx wherever weights
    are asked for. In a feature file of several sessions the names are SESSION/NAME.
    """
    if out.suffix == ".onnx":
        _encoder(_source(what, weights, set_option or []), out, image_size)
    elif out.suffix in (".h5", ".hdf5"):
        _features(what, out, half=half)
    else:
        raise SettingError(f"{out}: export writes .onnx (an encoder) or .h5 (descriptors)")


def _source(what: str, weights: str | None, settings: list[str]) -> Encoder:
    """The encoder of a name, or of a memory with the vocabulary it holds."""
    if what in names():
        named: dict[str, Any] = options_of(settings)
        return create(what, weights, device="torch", precision=_PRECISION, **named)
    if settings:
        raise SettingError("the options of a memory's encoder are its own; leave out --set")
    with PlaceMemory.open(what, readonly=True) as opened:
        return opened.encoder(weights, device="torch", precision=_PRECISION)


def _encoder(encoder: Encoder, out: Path, image_size: str | None) -> None:
    from placememory.encoders.onnx import export_onnx

    report = export_onnx(encoder, out, image_size=_size(image_size))
    rows, columns = report.input_size
    say(
        f"{out}: {encoder.card.name}, input {rows}x{columns}, {report.megabytes:.1f} MB; differs "
        f"from torch by {report.difference:.1e} at the most over {report.trials} images"
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise SettingError(f"--image-size is HEIGHTxWIDTH in pixels, as 480x640, not {text!r}")
    return int(found[1]), int(found[2])


def _features(uri: str, out: Path, *, half: bool) -> None:
    with PlaceMemory.open(uri, readonly=True) as opened:
        several = len(opened.sessions()) > 1
        labels = [f"{p.session}/{p.name}" if several else p.name for p in opened.places]
        with FeatureWriter(out, opened.card, dtype="float16" if half else "float32") as writer:
            writer.add(labels, opened.descriptors)
    say(f"{out}: {len(labels)} descriptors")
