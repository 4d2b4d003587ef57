"""``placememory build``: a mapping run into a memory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._common import (
    encoder_of,
    options_of,
    print_json,
    progress,
    say,
    tell_bad,
    warn_of_batches,
)
from placememory.cli._frames import FrameOptions
from placememory.cli._index import use_index
from placememory.encoders import DEFAULT_ENCODER, Encoder, create
from placememory.errors import SettingError
from placememory.frames.bags import is_bag
from placememory.maps import read_map
from placememory.memory import PlaceMemory
from placememory.memory.build import BuildReport, build, build_from_features, feature_frames


def run(
    memory: options.Memory,
    images: options.Images = None,
    poses: options.Poses = None,
    map_yaml: options.MapYaml = None,
    features: options.Features = None,
    encoder: options.EncoderName = None,
    set_option: options.EncoderOptions = None,
    weights: options.Weights = None,
    frame_id: Annotated[
        str | None,
        typer.Option(help="Name of the map frame; default: map, or that of a bag's poses."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Keep descriptors as float32 or float16.")] = "float32",
    session: options.Session = None,
    pose_format: options.PoseFormat = None,
    max_gap: options.MaxGap = None,
    names: options.NameList = None,
    globs: options.Globs = None,
    every: options.Every = 1,
    exif: options.Exif = True,
    topic: options.Topic = None,
    pose_topic: options.PoseTopic = "auto",
    pose_frames: options.PoseFrames = None,
    keyframe_distance: options.KeyframeDistance = None,
    keyframe_angle: options.KeyframeAngle = None,
    skip_bad: options.SkipBad = False,
    index: options.IndexKind = None,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Build a memory from a mapping run, or add a run to it.

    Example: [b]placememory build office.memory --images run1/ --poses vertices.csv[/b]

    Run the same command again after an interruption: it goes on where it stopped. Places without a
    pose are kept, and counted.
    """
    chosen = FrameOptions(
        poses, pose_format, max_gap, session, names, globs, every, exif, topic, pose_topic,
        pose_frames, keyframe_distance, keyframe_angle, skip_bad,
    )  # fmt: skip
    common: dict[str, Any] = {
        "frame_id": frame_id or "map",
        "map_yaml": _checked_map(map_yaml),
        "dtype": _checked(dtype),
    }
    if features:
        report = _from_features(memory, features, chosen, common)
    elif images is not None:
        frames = chosen.load(images)
        if frame_id is None and is_bag(images):
            common["frame_id"] = next((f.pose.frame_id for f in frames if f.pose), "map")
        how: dict[str, Any] = {"device": device, "precision": precision}
        made = _encoder(memory, encoder, weights, options_of(set_option or []), how)
        with progress("Building") as advance:
            common |= {"source": images, "skip_bad": skip_bad, "progress": advance}
            report = build(memory, frames, made, **common)
    else:
        raise SettingError("give --images, or --features")
    _tell(memory, report, as_json=as_json)
    if index is not None:
        use_index(memory, index)


def _checked(dtype: str) -> str:
    if dtype not in ("float32", "float16"):
        raise SettingError(f"--dtype is float32 or float16, not {dtype!r}")
    return dtype


def _checked_map(path: Path | None) -> Path | None:
    """The map's path, made absolute, after trying to read it."""
    if path is None:
        return None
    read_map(path)
    return path.resolve()


def _encoder(
    memory: str,
    name: str | None,
    weights: str | None,
    chosen: dict[str, Any],
    how: dict[str, Any],
) -> Encoder:
    """The encoder asked for; by default the memory's own where there is a memory."""
    if name is None and not chosen and PlaceMemory.exists(memory):
        with PlaceMemory.open(memory, readonly=True) as known:
            return encoder_of(known, weights=weights, **how)
    made = create(name or DEFAULT_ENCODER, weights, **how, **chosen)
    if not made.card.batch_invariant:
        warn_of_batches(made.card.name)
    return made


def _from_features(
    memory: str, features: list[Path], chosen: FrameOptions, common: dict[str, Any]
) -> BuildReport:
    frames = feature_frames(features, chosen.session or features[0].stem)
    return build_from_features(memory, features, chosen.join(frames), **common)


def _tell(memory: str, report: BuildReport, *, as_json: bool) -> None:
    tell_bad(report.bad)
    if as_json:
        print_json({**asdict(report), "images_per_second": report.images_per_second})
        return
    parts = [f"{report.added} places added"]
    if report.present:
        parts.append(f"{report.present} were there already")
    if report.moved:
        parts.append(f"{report.moved} of them got another pose or stamp")
    if report.without_pose:
        parts.append(f"{report.without_pose} have no pose")
    speed = f" ({report.images_per_second:.0f} images/s)" if report.added else ""
    say(f"{memory}: {', '.join(parts)}; {report.seconds:.1f} s{speed}")
