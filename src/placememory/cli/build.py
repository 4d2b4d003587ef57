"""``placememory build``: a mapping run into a memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._console import print_json, progress, say, warn_of_bad_images
from placememory.cli._options import options_of
from placememory.encoders import DEFAULT_ENCODER, Encoder, create, with_projection
from placememory.errors import SettingError
from placememory.memory import PlaceMemory
from placememory.memory.build import build, build_from_features, feature_frames


@options.expand_groups
def run(
    memory: options.Memory,
    frames: options.MappingFrames,
    running: options.Running,
    source: options.MaybeSource = None,
    images: Annotated[Path | None, typer.Option(hidden=True)] = None,
    map_yaml: options.MapYaml = None,
    features: Annotated[
        list[Path] | None,
        typer.Option(help="hloc feature file instead of images; repeat.", show_default=False),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="See: placememory encoders. Default: the memory's own, or lite-vlad.",
            show_default=False,
        ),
    ] = None,
    set_option: options.EncoderOptions = None,
    pca: Annotated[
        Path | None,
        typer.Option(help="Project the descriptors by a PCA, see: placememory encoders fit pca."),
    ] = None,
    sequence_encoder: Annotated[
        str | None,
        typer.Option(
            help="Also describe the windows that end at places, for a Localizer's candidates.",
            show_default=False,
        ),
    ] = None,
    sequence_weights: options.SequenceWeights = None,
    frame_id: Annotated[
        str | None,
        typer.Option(help="Name of the map frame; default: map, or that of a bag's poses."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Keep descriptors as float32 or float16.")] = "float32",
    index: options.IndexKind = None,
    as_json: options.AsJson = False,
) -> None:
    """Build a memory from a mapping run, or add a run to it.

    Example: [b]placememory build office.memory run1/ --poses vertices.csv[/b]

    Run the same command again after an interruption: it goes on where it stopped. Places without a
    pose are kept, and counted.
    """
    options.check_order(memory, source)
    if features:
        listed = feature_frames(features, frames.session or features[0].stem)
        built = build_from_features(
            memory,
            features,
            frames.selection.join_poses(listed),
            frame_id=frame_id,
            map_yaml=map_yaml,
            dtype=dtype,
        )
    elif (taken := options.one_source(source, images, "--images")) is not None:
        listed = frames.selection.list_frames(taken)
        made = _encoder(memory, encoder, running, options_of(set_option or []))
        if pca is not None:
            made = with_projection(made, pca)
        with progress("Building") as advance:
            built = build(
                memory,
                listed,
                encoder=made,
                sequence_encoder=options.sequence_encoder_of(
                    sequence_encoder, made, running, sequence_weights
                ),
                frame_id=frame_id,
                map_yaml=map_yaml,
                source=taken,
                pose_topic=None if frames.pose_topic in ("auto", "none") else frames.pose_topic,
                dtype=dtype,
                skip_bad=frames.skip_bad,
                progress=advance,
            )
    else:
        raise SettingError("give the SOURCE of the frames, or --features")
    with built:
        report = built.report
    assert report is not None
    warn_of_bad_images(report.bad)
    if as_json:
        print_json(report.to_dict())
    else:
        say(f"{built.uri}: {report}")
    if index is not None:
        options.say_index(memory, index)


def _encoder(
    memory: str, name: str | None, running: options.Running, settings: dict[str, Any]
) -> Encoder:
    """The encoder asked for; by default the memory's own where there is a memory."""
    if name is None and not settings and PlaceMemory.exists(memory):
        with PlaceMemory.open(memory, readonly=True) as known:
            return running.encoder_of(known)
    made = create(
        name or DEFAULT_ENCODER,
        running.weights,
        device=running.device,
        precision=running.precision,
        **settings,
    )
    if not made.card.batch_invariant:
        options.warn_of_batches(made.card.name)
    return made
