"""Options that several commands share, declared once, alone or in groups."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, cast, get_args, get_type_hints

import typer

from placememory.cli._console import say, warn
from placememory.encoders import Encoder, SequenceEncoder, Workers, create, make_like
from placememory.errors import EncoderError, PlaceMemoryError, SettingError
from placememory.frames import FrameSelection
from placememory.localization.odometry import DEFAULT_SPEED
from placememory.localization.plane import Axes
from placememory.localization.stream import OdometrySource
from placememory.memory import PlaceMemory, Where, use_index

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
Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="Folder (searched recursively), video, ROS bag, or one image.",
        show_default=False,
    ),
]
MaybeSource = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SOURCE]",
        help="Folder (searched recursively), video, ROS bag, or one image.",
        show_default=False,
    ),
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
PoseFile = Annotated[
    Path | None,
    typer.Option(
        help="Pose file (TUM, KITTI, EuRoC, COLMAP, CSV table and a dozen more), ROS bag, or exif: "
        "GPS positions in photographs.",
        rich_help_panel=_FRAMES,
    ),
]
Radius = Annotated[
    float, typer.Option(help="Metres within which an answer is correct, where poses are known.")
]
Heading = Annotated[
    float | None, typer.Option(help="And it must be this many degrees off at the most.")
]
Device = Annotated[
    str,
    typer.Option(
        help="cpu, cuda, cuda:1 or mps; on the processor also openvino or torch.",
        rich_help_panel=_RUN,
    ),
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
EncoderOptions = Annotated[
    list[str] | None,
    typer.Option("--set", help="Option of the encoder, words=64; repeat.", rich_help_panel=_RUN),
]
Weights = Annotated[
    str | None,
    typer.Option(help="Weights file; default: the published ones.", rich_help_panel=_RUN),
]
SequenceWeights = Annotated[
    str | None,
    typer.Option(
        help="Weights file of the sequence encoder; default: the published ones.",
        rich_help_panel=_RUN,
    ),
]
MapYaml = Annotated[Path | None, typer.Option("--map", help="ROS map.yaml under the places.")]
ExcludeSession = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude-session",
        help="No places of this session, as when it holds the frames themselves; repeat.",
        rich_help_panel=_SEARCH,
    ),
]
Half = Annotated[bool, typer.Option("--half/--full", help="float16, as hloc, or float32.")]


@dataclass(frozen=True)
class Frames:
    """Options that say which frames to take."""

    session: Annotated[
        str | None,
        typer.Option(
            help="Name of the session; default: of the folder or file.", rich_help_panel=_FRAMES
        ),
    ] = None
    names: Annotated[
        Path | None,
        typer.Option(
            "--list", help="File with the names to take, one a line.", rich_help_panel=_FRAMES
        ),
    ] = None
    globs: Annotated[
        list[str] | None,
        typer.Option("--glob", help="Take names like this only; repeat.", rich_help_panel=_FRAMES),
    ] = None
    every: Every = 1
    exif: Exif = True
    topic: Annotated[
        str | None,
        typer.Option(
            help="Images of a ROS bag, if it has several topics.", rich_help_panel=_FRAMES
        ),
    ] = None
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Leave out, and count, unreadable images.", rich_help_panel=_FRAMES
        ),
    ] = False

    @property
    def selection(self) -> FrameSelection:
        """The frames that the options select."""
        return FrameSelection(**{f.name: getattr(self, f.name) for f in fields(self)})


@dataclass(frozen=True)
class PosedFrames(Frames):
    """Options that say which frames to take, and where their poses are."""

    poses: PoseFile = None
    pose_format: Annotated[
        str | None,
        typer.Option(
            help="Name of the format, where it is not found out.", rich_help_panel=_FRAMES
        ),
    ] = None
    max_gap: Annotated[
        float | None,
        typer.Option(
            help="Seconds between two stamps that count as one (0.05); for the poses of a bag, "
            "between the two around an image (0.5).",
            show_default=False,
            rich_help_panel=_FRAMES,
        ),
    ] = None
    pose_topic: Annotated[
        str | None,
        typer.Option(
            help="Poses of a ROS bag: odometry, stamped poses, or tf.", rich_help_panel=_FRAMES
        ),
    ] = None
    pose_frames: Annotated[
        str | None,
        typer.Option(
            help="For tf: PARENT:CHILD; default: map or odom, and the base.",
            rich_help_panel=_FRAMES,
        ),
    ] = None

    allow_no_poses: Annotated[
        bool,
        typer.Option(
            "--allow-no-poses",
            help="Go on where under a tenth of the frames find a pose.",
            rich_help_panel=_FRAMES,
        ),
    ] = False


@dataclass(frozen=True)
class MappingFrames(PosedFrames):
    """Options that say which frames become places."""

    pose_topic: Annotated[
        str | None,
        typer.Option(
            help="Poses of a ROS bag: odometry, stamped poses, or tf.", rich_help_panel=_FRAMES
        ),
    ] = "auto"
    keyframe_distance: Annotated[
        float | None,
        typer.Option(help="Metres: leave out frames that are nearer.", rich_help_panel=_FRAMES),
    ] = None
    keyframe_angle: Annotated[
        float | None,
        typer.Option(help="Degrees: but keep those turned this far.", rich_help_panel=_FRAMES),
    ] = None


@dataclass(frozen=True)
class CalibrationFrames(PosedFrames):
    """Options that say which frames to calibrate on; a session of the memory may be instead."""

    session: Annotated[
        str | None,
        typer.Option(
            help="Instead of a run: a session of the memory, asked of the others.",
            rich_help_panel=_FRAMES,
        ),
    ] = None


@dataclass(frozen=True)
class Motion:
    """Options that say where odometry comes from."""

    odometry: Annotated[
        Path | None,
        typer.Option(
            help="Pose file or ROS bag with the odometry, in a frame of its own; may drift.",
            rich_help_panel=_FRAMES,
        ),
    ] = None
    odom_topic: Annotated[
        str | None,
        typer.Option(
            help="Odometry of a ROS bag, or none; default: its first nav_msgs/Odometry.",
            show_default=False,
            rich_help_panel=_FRAMES,
        ),
    ] = None
    max_speed: Annotated[
        float,
        typer.Option(
            help="Metres a second; odometry that is faster is a jump and left out.",
            rich_help_panel=_FRAMES,
        ),
    ] = DEFAULT_SPEED

    extrinsic: Annotated[
        str | None,
        typer.Option(
            help="Pose of the memory's body in the odometry's: 'x y z qx qy qz qw', "
            "'x y z roll pitch yaw' in degrees, or PARENT:CHILD of the bag's tf.",
            show_default=False,
            rich_help_panel=_FRAMES,
        ),
    ] = None
    odometry_axes: Annotated[
        str | None,
        typer.Option(
            help="robot (x forward, z up) or camera (z forward, y down: KITTI, ORB-SLAM, COLMAP).",
            show_default=False,
            rich_help_panel=_FRAMES,
        ),
    ] = None

    @property
    def source(self) -> OdometrySource:
        """The odometry that the options name.

        Raises:
            SettingError: There are no such axes.
        """
        axes = self.odometry_axes
        if axes is not None and axes not in get_args(Axes):
            raise SettingError(f"--odometry-axes is robot or camera, not {axes}")
        return OdometrySource(
            self.odometry, self.odom_topic, self.max_speed, self.extrinsic, cast("Axes", axes)
        )


@dataclass(frozen=True)
class Filter:
    """Options that say which places may answer."""

    in_session: Annotated[
        list[str] | None,
        typer.Option(
            "--in-session", help="Places of this session; repeat.", rich_help_panel=_SEARCH
        ),
    ] = None
    exclude_session: ExcludeSession = None
    near: Annotated[
        str | None,
        typer.Option(help="x,y or x,y,z in metres; needs --within.", rich_help_panel=_SEARCH),
    ] = None
    within: Annotated[
        float | None, typer.Option(help="Metres around --near.", rich_help_panel=_SEARCH)
    ] = None
    floor: Annotated[
        str | None, typer.Option(help="Places of this floor.", rich_help_panel=_SEARCH)
    ] = None

    @property
    def where(self) -> Where | None:
        """The filter, if there is any.

        Raises:
            SettingError: ``near`` is not two or three numbers.
        """
        sessions = self.in_session or self.exclude_session
        if not sessions and (self.near, self.within, self.floor) == (None, None, None):
            return None
        position = None
        if self.near is not None:
            try:
                position = tuple(float(part) for part in self.near.split(","))
            except ValueError as error:
                raise SettingError(
                    f"--near is x,y or x,y,z in metres, not {self.near!r}"
                ) from error
        return Where(
            session=self.in_session or None,
            near=position,
            radius=self.within,
            floor=self.floor,
            exclude_sessions=self.exclude_session or None,
        )


@dataclass(frozen=True)
class Running:
    """Options that say how an encoder runs."""

    weights: Weights = None
    device: Device = "cpu"
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=_RUN)
    ] = "auto"

    def encoder_of(self, memory: PlaceMemory) -> Encoder:
        """The encoder of a memory; warns where its descriptors depend on the batch."""
        if not memory.card.batch_invariant:
            warn_of_batches(memory.card.name)
        return memory.encoder(self.weights, device=self.device, precision=self.precision)


@dataclass(frozen=True)
class Processes:
    """Options that say which processes describe frames."""

    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that describe images; of a scheduler, how many to wait for.",
            rich_help_panel=_RUN,
        ),
    ] = 1
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Describe on the workers of this Dask scheduler, tcp://HOST:8786.",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None

    def workers_of(self, running: Running) -> Workers | None:
        """The workers, which make the encoder as this process does; ``None`` for this one alone."""
        if self.workers == 1 and self.scheduler is None:
            return None
        make = make_like(running.weights, device=running.device, precision=running.precision)
        return Workers(self.workers, self.scheduler, make)


def check_order(memory: str, source: Path | None) -> None:
    """Refuse a memory that is given where frames belong: the memory comes first.

    Raises:
        SettingError: ``source`` is a memory, and ``memory`` is a file or folder that is none.
    """
    given = source is not None and source.is_file() and Path(memory).exists()
    if given and _is_memory(source) and not _is_memory(memory):
        raise SettingError(f"the memory comes first: {source} {memory}")


def _is_memory(uri: str | Path | None) -> bool:
    try:
        PlaceMemory.open(str(uri), readonly=True).close()
    except PlaceMemoryError:
        return False
    return True


def one_source(source: Path | None, former: Path | None, name: str) -> Path | None:
    """The source of frames, also where it is given by the option of version 0.1.

    Raises:
        SettingError: Both are given.
    """
    if source is not None and former is not None:
        raise SettingError(f"{name} is the SOURCE of version 0.1; give one of them")
    return former if source is None else source


def sequence_encoder_of(
    name: str | None, encoder: Encoder, running: Running, weights: str | None
) -> SequenceEncoder | None:
    """The sequence encoder of a name; the frame encoder itself where it is the same.

    Raises:
        EncoderError: There is no such encoder, or it describes single images.
    """
    if name is None:
        return None
    made = encoder
    if name != encoder.card.name or weights is not None:
        made = create(name, weights, device=running.device, precision=running.precision)
    if not isinstance(made, SequenceEncoder):
        raise EncoderError(f"{name} describes single images, not windows of frames")
    return made


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of its parameters that are groups of options.

    Example:
        >>> @expand_groups
        ... def run(running: Running) -> None: ...
        >>> list(inspect.signature(run).parameters)
        ['weights', 'device', 'precision']
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Any, list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(annotation=kind))
            continue
        inner = get_type_hints(kind, include_extras=True)
        names = [field.name for field in fields(kind)]
        groups[parameter.name] = kind, names
        parameters += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=inner[field.name],
            )
            for field in fields(kind)
        ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, (kind, names) in groups.items():
            given[name] = kind(**{field: given.pop(field) for field in names})
        command(**given)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__
    return run


def warn_of_batches(name: str) -> None:
    """Warn that descriptors of an encoder depend on the images that are encoded together."""
    warn(
        f"descriptors of {name} with these options depend on the images encoded together "
        "(batch_invariant: false); the same image has other descriptors in other company"
    )


def say_index(uri: str, kind: str) -> None:
    """Build a Milvus index unless the store has it, and print its recall."""
    say(str(use_index(uri, kind)))


def options_of(pairs: Sequence[str]) -> dict[str, int | float | str | bool]:
    """Read ``key=value`` texts; numbers and true/false are recognised.

    Raises:
        SettingError: A text has no ``=``.

    Example:
        >>> options_of(["words=64", "name=x"])
        {'words': 64, 'name': 'x'}
    """
    options: dict[str, int | float | str | bool] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingError(f"an option is key=value, not {pair!r}")
        options[key] = _value(value)
    return options


def _value(text: str) -> int | float | str | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
