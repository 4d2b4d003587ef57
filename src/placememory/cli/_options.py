"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_FRAMES = "Which frames"
_SEARCH = "Which places may answer"
_RUN = "How to run"

Memory = Annotated[
    str,
    typer.Argument(
        help="A file, [b]milvus-lite:PATH[/b], or [b]http://host:port/collection[/b].",
        show_default=False,
    ),
]
Poses = Annotated[
    Path | None,
    typer.Option(
        help="Pose file: maplab, TUM, KITTI, EuRoC, COLMAP, CSV table, bare coordinates, ROS bag.",
        rich_help_panel=_FRAMES,
    ),
]
PoseFormat = Annotated[
    str | None,
    typer.Option(help="Name of the format, where it is not found out.", rich_help_panel=_FRAMES),
]
MaxGap = Annotated[
    float | None,
    typer.Option(
        help="Seconds between two stamps that count as one (0.05); for the poses of a bag, between "
        "the two around an image (0.5).",
        show_default=False,
        rich_help_panel=_FRAMES,
    ),
]
Topic = Annotated[
    str | None,
    typer.Option(help="Images of a ROS bag, if it has several topics.", rich_help_panel=_FRAMES),
]
PoseTopic = Annotated[
    str | None,
    typer.Option(
        help="Poses of a ROS bag: odometry, stamped poses, or tf.", rich_help_panel=_FRAMES
    ),
]
PoseFrames = Annotated[
    str | None,
    typer.Option(
        help="For tf: PARENT:CHILD; default: map or odom, and the base.", rich_help_panel=_FRAMES
    ),
]
Odometry = Annotated[
    Path | None,
    typer.Option(
        help="Pose file or ROS bag with the odometry, in a frame of its own; may drift.",
        rich_help_panel=_FRAMES,
    ),
]
OdomTopic = Annotated[
    str | None,
    typer.Option(
        help="Odometry of a ROS bag, or none; default: its first nav_msgs/Odometry.",
        show_default=False,
        rich_help_panel=_FRAMES,
    ),
]
MaxSpeed = Annotated[
    float,
    typer.Option(
        help="Metres a second; odometry that is faster is a jump and left out.",
        rich_help_panel=_FRAMES,
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        help="End a camera's stream after this time; default: Ctrl-C ends it.",
        min=0.0,
        show_default=False,
        rich_help_panel=_FRAMES,
    ),
]
KeyframeDistance = Annotated[
    float | None,
    typer.Option(help="Metres: leave out frames that are nearer.", rich_help_panel=_FRAMES),
]
KeyframeAngle = Annotated[
    float | None,
    typer.Option(help="Degrees: but keep those turned this far.", rich_help_panel=_FRAMES),
]
Session = Annotated[
    str | None,
    typer.Option(
        help="Name of the session; default: of the folder or file.", rich_help_panel=_FRAMES
    ),
]
NameList = Annotated[
    Path | None,
    typer.Option(
        "--list", help="File with the names to take, one a line.", rich_help_panel=_FRAMES
    ),
]
Globs = Annotated[
    list[str] | None,
    typer.Option("--glob", help="Take names like this only; repeat.", rich_help_panel=_FRAMES),
]
Every = Annotated[int, typer.Option(min=1, help="Take every n-th frame.", rich_help_panel=_FRAMES)]
Exif = Annotated[
    bool,
    typer.Option(
        "--exif/--no-exif",
        help="Honour the EXIF orientation (hloc does not).",
        rich_help_panel=_FRAMES,
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out, and count, unreadable images.", rich_help_panel=_FRAMES
    ),
]
InSession = Annotated[
    list[str] | None,
    typer.Option("--in-session", help="Places of this session; repeat.", rich_help_panel=_SEARCH),
]
Near = Annotated[
    str | None,
    typer.Option(help="x,y or x,y,z in metres; needs --within.", rich_help_panel=_SEARCH),
]
Within = Annotated[
    float | None, typer.Option(help="Metres around --near.", rich_help_panel=_SEARCH)
]
Floor = Annotated[str | None, typer.Option(help="Places of this floor.", rich_help_panel=_SEARCH)]
Radius = Annotated[
    float, typer.Option(help="An answer this many metres off is right, where poses are known.")
]
Heading = Annotated[
    float | None, typer.Option(help="And it must be this many degrees off at the most.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or mps.", rich_help_panel=_RUN)]
Precision = Annotated[
    str,
    typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=_RUN),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
IndexKind = Annotated[
    str | None,
    typer.Option(
        "--index",
        help="Answer with Milvus's own index (flat, ivf or hnsw) and print its recall.",
        rich_help_panel=_RUN,
    ),
]
EncoderName = Annotated[
    str | None,
    typer.Option(
        help="See: placememory encoders. Default: the memory's own, or lite-vlad.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
EncoderOptions = Annotated[
    list[str] | None,
    typer.Option("--set", help="Option of the encoder, words=64; repeat.", rich_help_panel=_RUN),
]
Weights = Annotated[
    str | None,
    typer.Option(help="Weights file; default: the published ones.", rich_help_panel=_RUN),
]
MapYaml = Annotated[Path | None, typer.Option("--map", help="ROS map.yaml under the places.")]
Features = Annotated[
    list[Path] | None,
    typer.Option(help="hloc feature file instead of images; repeat.", show_default=False),
]
Images = Annotated[
    Path | None,
    typer.Option(
        help="Folder (searched recursively), video, ROS bag, or one image.", show_default=False
    ),
]
Queries = Annotated[
    Path | None, typer.Argument(help="Queries to localise and draw.", show_default=False)
]
PlaceImages = Annotated[
    Path | None, typer.Option(help="Where the memory's images are now, if they have moved.")
]
Half = Annotated[bool, typer.Option("--half/--full", help="float16, as hloc, or float32.")]
