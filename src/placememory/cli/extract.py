"""``placememory extract``: images to an hloc feature file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._common import options_of, progress, say, tell_bad
from placememory.cli._frames import FrameOptions
from placememory.encoders import DEFAULT_ENCODER
from placememory.memory.extract import encoder_like, extract


def run(
    images: Annotated[
        Path, typer.Argument(help="Folder, video, ROS bag, or one image.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The .h5 file.", show_default=False)],
    encoder: Annotated[str, typer.Option(help="See: placememory encoders.")] = DEFAULT_ENCODER,
    like: Annotated[
        str | None,
        typer.Option(
            help="Take the encoder, vocabulary included, of this memory or feature file.",
            show_default=False,
        ),
    ] = None,
    set_option: options.EncoderOptions = None,
    weights: options.Weights = None,
    half: options.Half = True,
    names: options.NameList = None,
    globs: options.Globs = None,
    every: options.Every = 1,
    exif: options.Exif = True,
    topic: options.Topic = None,
    skip_bad: options.SkipBad = False,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
) -> None:
    """Describe images and write NAME/global_descriptor, as hloc does; skips what is there.

    Example: [b]placememory extract db/ --out db.h5[/b], then
    [b]placememory extract queries/ --out q.h5 --like db.h5[/b]
    """
    chosen = FrameOptions(
        names=names, globs=globs, every=every, exif=exif, topic=topic, skip_bad=skip_bad
    )
    frames = chosen.load(images)
    how: dict[str, Any] = {"device": device, "precision": precision}
    made = encoder_like(like, out, encoder, weights, options=options_of(set_option or []), **how)
    with progress("Describing") as advance:
        report = extract(frames, out, made, half=half, skip_bad=skip_bad, progress=advance)
    tell_bad(report.bad)
    say(f"{out}: {report.added} images described, {report.present} were there already")
