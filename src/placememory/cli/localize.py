"""``placememory localize``: where on the map was each frame taken?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory._odometry import DEFAULT_SPEED
from placememory.cli import _options as options
from placememory.cli._common import encoder_of, where_of
from placememory.cli._frames import FrameOptions
from placememory.cli._localizing import (
    CHECKED,
    Answers,
    finish,
    geometry_of,
    localize_alone,
    localize_stream,
    refuse_live,
)
from placememory.cli._sources import MotionOptions, open_source
from placememory.errors import SettingError
from placememory.fusion import DEFAULT_FUSION
from placememory.localizer import Localizer
from placememory.memory import PlaceMemory, Where


def run(
    memory: options.Memory,
    images: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Folder, video, ROS bag, one image, or a camera: 0, 1, /dev/video0.",
            show_default=False,
        ),
    ],
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for the results.", show_default=False)
    ],
    poses: options.Poses = None,
    radius: options.Radius = 5.0,
    heading: options.Heading = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Candidates a frame.")] = 10,
    in_session: options.InSession = None,
    near: options.Near = None,
    within: options.Within = None,
    floor: options.Floor = None,
    session: options.Session = None,
    pose_format: options.PoseFormat = None,
    max_gap: options.MaxGap = None,
    names: options.NameList = None,
    globs: options.Globs = None,
    every: options.Every = 1,
    exif: options.Exif = True,
    topic: options.Topic = None,
    pose_topic: options.PoseTopic = None,
    pose_frames: options.PoseFrames = None,
    odometry: options.Odometry = None,
    odom_topic: options.OdomTopic = None,
    max_speed: options.MaxSpeed = DEFAULT_SPEED,
    seconds: options.Seconds = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            help="bayes, spatial, heatmap, frequency, or none: each frame alone. Default: bayes.",
            show_default=False,
        ),
    ] = None,
    matcher: Annotated[
        str | None, typer.Option(help="Sequence matcher, for frame-to-frame matches.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check candidates by local features where it is not clear."),
    ] = False,
    intrinsics: Annotated[
        Path | None,
        typer.Option(help="The camera's intrinsics: camera_info YAML, COLMAP line or JSON."),
    ] = None,
    colmap: Annotated[
        Path | None,
        typer.Option(help="COLMAP model of the mapping images: 6-DoF poses. Needs --intrinsics."),
    ] = None,
    report_dir: Annotated[
        Path | None, typer.Option("--report", help="Folder for figures and one HTML page.")
    ] = None,
    skip_bad: options.SkipBad = False,
    weights: options.Weights = None,
    device: options.Device = "cpu",
    precision: options.Precision = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Localise a run as it streams, each frame with what came before, and write what was found.

    Example: [b]placememory localize office.memory run2/ --out answers/ --poses truth.csv[/b]

    The folder gets estimates.jsonl, trajectory.tum, estimates.csv and test_to_vertex_matches.csv,
    line by line as the frames come, and at the end metrics.json. A frame is located, ambiguous or
    unknown; the trajectory holds the located ones.
    Without poses or a map it names places. The poses of the queries, if given, are the truth that
    the answers are measured against; they are not used to answer. Odometry is.
    A camera streams until Ctrl-C, --seconds, or until it is unplugged; images that come while one
    is localised are dropped.
    """
    chosen = FrameOptions(
        poses, pose_format, max_gap, session, names, globs, every, exif, topic, pose_topic,
        pose_frames, skip_bad=skip_bad,
    )  # fmt: skip
    where = where_of(in_session or [], near, within, floor)
    method = _method(fusion, where)
    moving = MotionOptions(odometry, odom_topic, max_speed)
    source = open_source(images, chosen, moving, seconds=seconds, listed=method is None)
    refuse_live(source, where, report_dir)
    answers = Answers(out_dir, radius, heading, report_dir, as_json)
    with PlaceMemory.open(memory, readonly=True) as opened:
        encoder = encoder_of(opened, weights=weights, device=device, precision=precision)
        if method is None and source.camera is None:
            done = localize_alone(opened, encoder, source, k=k, where=where, skip_bad=skip_bad)
        else:
            localizer = Localizer(
                opened,
                encoder,
                fusion=method,
                matcher=matcher,
                k=max(k, CHECKED) if verify else k,
                **geometry_of(opened, verify=verify, intrinsics=intrinsics, colmap=colmap),
            )
            done = localize_stream(localizer, source, answers, skip_bad=skip_bad)
        finish(opened, done, source, answers)


def _method(name: str | None, where: Where | None) -> str | None:
    """Name of the fusion; ``None`` answers each frame alone.

    Raises:
        SettingError: Places are left out of the search, which the fusion cannot do.
    """
    if name is None:
        return DEFAULT_FUSION if where is None else None
    if name != "none" and where is not None:
        raise SettingError("filters of places go with --fusion none")
    return None if name == "none" else name
