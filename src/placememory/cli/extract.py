"""``placememory extract``: images to an hloc feature file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import progress, say, warn_of_bad_images
from placememory.cli._options import options_of
from placememory.encoders import DEFAULT_ENCODER
from placememory.memory.extract import encoder_like, extract


@options.expand_groups
def run(
    source: options.Source,
    out: Annotated[Path, typer.Option("--out", help="The .h5 file.", show_default=False)],
    frames: options.Frames,
    running: options.Running,
    processes: options.Processes,
    encoder: Annotated[str, typer.Option(help="See: placememory encoders.")] = DEFAULT_ENCODER,
    like: Annotated[
        str | None,
        typer.Option(
            help="Take the encoder, vocabulary included, of this memory or feature file.",
            show_default=False,
        ),
    ] = None,
    set_option: options.EncoderOptions = None,
    half: options.Half = True,
) -> None:
    """Describe images and write NAME/global_descriptor, as hloc does; skips images that are there.

    Example: [b]placememory extract db/ --out db.h5[/b], then
    [b]placememory extract queries/ --out q.h5 --like db.h5[/b]

    On many machines: [b]placememory extract db/ --out db.h5 --scheduler tcp://HOST:8786[/b];
    then [b]placememory build office.memory --features db.h5[/b]. Images and --out lie under the
    same paths on all of them.
    """
    listed = frames.selection.list_frames(source)
    made = encoder_like(
        like,
        out,
        encoder,
        running.weights,
        options=options_of(set_option or []),
        device=running.device,
        precision=running.precision,
    )
    with progress("Describing") as advance:
        report = extract(
            listed,
            out,
            made,
            half=half,
            skip_bad=frames.skip_bad,
            progress=advance,
            workers=processes.workers_of(running),
        )
    warn_of_bad_images(report.bad)
    say(f"{out}: {report.added} images described, {report.present} were there already")
