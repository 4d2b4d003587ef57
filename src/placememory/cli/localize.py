"""What ``localize`` streams: a folder, a video, a bag, or a camera, with odometry."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain, islice, takewhile
from pathlib import Path
from threading import Event
from typing import Annotated, Any, NoReturn, TypedDict

import typer

from placememory.cli import _options as options
from placememory.cli._common import (
    encoder_of,
    out,
    peak_megabytes,
    print_json,
    print_table,
    progress,
    say,
    tell_bad,
    warn,
    where_of,
)
from placememory.cli._frames import FrameOptions, tell_join
from placememory.errors import BagError, InputError, SettingError
from placememory.frames import Frame, PoseTable, Trajectory, read_bag_poses, read_poses, stream_bag
from placememory.frames.bags import BagInfo, is_bag, list_bag, read_bag_info
from placememory.frames.camera import Camera, is_camera
from placememory.fusion import DEFAULT_FUSION
from placememory.geometry import Policy, PosedModel, Poser, Verifier, read_camera
from placememory.localization import (
    Estimate,
    LocalizedRun,
    Localizer,
    MotionLimits,
    Motions,
    RunScore,
    RunWriter,
    Step,
    Summary,
    follow,
)
from placememory.localization.odometry import DEFAULT_SPEED
from placememory.localization.run import Keep
from placememory.memory import PlaceMemory, images_of_memory
from placememory.metrics import RecallResult

_ODOMETRY = ("nav_msgs/msg/Odometry",)


@dataclass(frozen=True, slots=True)
class MotionOptions:
    """The options that say where odometry comes from.

    Attributes:
        file: Poses in an odometry frame, or a bag.
        topic: Of the bag; ``"none"``, or ``None`` for the first odometry.
        speed: Metres a second above which a motion is a jump.
    """

    file: Path | None = None
    topic: str | None = None
    speed: float = DEFAULT_SPEED

    @property
    def asked(self) -> bool:
        """Whether odometry was asked for by name."""
        return self.file is not None or self.topic not in (None, "auto", "none")

    def motions(self, source: Path, chosen: FrameOptions) -> Motions | None:
        """Odometry for the frames of a source; ``None`` where there is none. Says which it is.

        Raises:
            SettingError: There is a topic of odometry, but no bag.
        """
        limits = MotionLimits(speed=self.speed)
        poses = self._poses(source, chosen)
        if poses is None:
            return None
        say(f"odometry of {poses.source}")
        return Motions(poses, limits=limits, **chosen.gap)

    def _poses(self, source: Path, chosen: FrameOptions) -> Trajectory | PoseTable | None:
        bag = self.file or source
        if is_bag(bag):
            topic = self._topic_in(read_bag_info(bag), _topic_of_truth(bag, source, chosen))
            on_damage = _ignore if bag == source else chosen.on_damage()
            return None if topic is None else read_bag_poses(bag, topic, on_damage=on_damage)
        if self.topic not in (None, "auto", "none"):
            raise SettingError(f"--odom-topic {self.topic} is a topic of a ROS bag; there is none")
        return None if self.file is None else read_poses(self.file)

    def _topic_in(self, bag: BagInfo, truth: str | None) -> str | None:
        """The topic asked for, else the first with odometry that is not the truth."""
        if self.topic not in (None, "auto"):
            return None if self.topic == "none" else self.topic
        names = [topic.name for topic in bag.of_types(_ODOMETRY)]
        return next((n for n in names if truth not in ("auto", n, n.strip("/"))), None)


@dataclass(slots=True)
class Source:
    """A stream of frames, and what there is to say about it at its end.

    Attributes:
        frames: In the order they were taken.
        total: How many; ``None`` if nobody knows.
        keep: What may be kept of their estimates.
        motions: Their odometry.
        truth: True poses of frames that are not listed.
        gap: For the truth's join.
        camera: Where the frames are live.
        bag: Where the frames can be listed again: path, topic and session.
        stop: Set to end the stream after the frame at hand.
    """

    frames: Iterable[Frame]
    total: int | None = None
    keep: Keep = "all"
    motions: Motions | None = None
    truth: Trajectory | PoseTable | None = None
    gap: dict[str, float] = field(default_factory=dict)
    camera: Camera | None = None
    bag: tuple[Path, str | None, str | None] | None = None
    stop: Event = field(default_factory=Event)

    def steps(self) -> Generator[Step, None, None]:
        """Frames with odometry until the source ends or is stopped; close it to let go of it."""
        with closing(self._running()) as frames:
            going = takewhile(lambda _: not self.stop.is_set(), frames)
            yield from map(Step, going) if self.motions is None else self.motions.steps(going)

    def _running(self) -> Generator[Frame, None, None]:
        try:
            for frame in self.frames:
                yield frame if self.truth is None else self.truth.join([frame], **self.gap)[0][0]
        finally:
            if isinstance(self.frames, Generator):
                self.frames.close()

    def readable(self, frames: Iterable[Frame]) -> list[Frame]:
        """Frames of this source with their images, for drawing."""
        if self.bag is None:
            return list(frames)
        listed = {f.index: f for f in list_bag(*self.bag, on_damage=_ignore)}
        return [replace(frame, read=listed[frame.index].read) for frame in frames]

    def tell(self, frames: Iterable[Frame]) -> None:
        """Say how frames found true poses and odometry, and how many were dropped."""
        if self.truth is not None:
            tell_join(self.truth.join([replace(f, pose=None) for f in frames], **self.gap)[1])
        if self.motions is not None:
            say(str(self.motions.counts))
            if not self.motions.counts.used:
                warn("no frame has odometry; were images and odometry stamped by the same clock?")
        if self.camera is not None:
            say(f"{self.camera.dropped} images of the camera were dropped, to stay in the present")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        counts = None if self.motions is None else self.motions.counts
        return {
            "odometry": None
            if counts is None
            else {"used": counts.used, "unknown": counts.unknown, "jumps": counts.jumps},
            "dropped_images": None if self.camera is None else self.camera.dropped,
        }


def open_source(
    path: Path, chosen: FrameOptions, moving: MotionOptions, *, seconds: float | None, listed: bool
) -> Source:
    """The source of frames that options name.

    Args:
        path: Folder, video, bag, image, or camera.
        chosen: Which frames to take, and where their true poses are.
        moving: Where their odometry is.
        seconds: After which a camera's stream ends.
        listed: Whether a bag is to be listed, so that its frames can be read in any order.

    Raises:
        SettingError: Options do not go with this source.
        InputError: There is nothing of this name, or it cannot be read.
    """
    if is_camera(path):
        return _live(path, chosen, moving, seconds)
    if seconds is not None:
        raise SettingError("--seconds ends the stream of a camera; choose frames with --every")
    if is_bag(path) and path.exists() and chosen.names is None and not chosen.globs and not listed:
        return _bag(path, chosen, moving)
    if listed and moving.asked:
        raise SettingError("odometry needs the fusion; without it each frame is answered alone")
    frames = chosen.load(path)
    return Source(frames, len(frames), motions=None if listed else moving.motions(path, chosen))


def _bag(path: Path, chosen: FrameOptions, moving: MotionOptions) -> Source:
    topic = read_bag_info(path).image_topic(chosen.topic)
    if not topic.count:
        raise InputError(f"{path}: topic {topic.name} holds no images")
    same = chosen.poses in (None, path)
    return Source(
        _every(chosen.every, _until_damage(path, chosen)),
        math.ceil(topic.count / chosen.every),
        keep="no images",
        motions=moving.motions(path, chosen),
        truth=chosen.find_poses(path, _ignore if same else chosen.on_damage()),
        gap=chosen.gap,
        bag=(path, chosen.topic, chosen.session),
    )


def _live(path: Path, chosen: FrameOptions, moving: MotionOptions, seconds: float | None) -> Source:
    useless = {
        "--poses": chosen.poses,
        "--pose-topic": chosen.pose_topic,
        "--topic": chosen.topic,
        "--list": chosen.names,
        "--glob": chosen.globs,
        "--odometry": moving.file,
        "--odom-topic": moving.topic,
    }
    for option, value in useless.items():
        if value:
            raise SettingError(f"{option} does not go with a camera")
    camera = Camera(str(path), chosen.session or "camera")
    source = Source((), keep="nothing", camera=camera)

    def frames() -> Generator[Frame, None, None]:
        end = math.inf if seconds is None else time.monotonic() + seconds
        yield from camera.frames(lambda: source.stop.is_set() or time.monotonic() >= end)

    source.frames = _every(chosen.every, frames())
    return source


def _topic_of_truth(bag: Path, source: Path, chosen: FrameOptions) -> str | None:
    """The topic of a bag that holds the true poses; ``"auto"``: its only one with poses."""
    if bag != (chosen.poses or source):
        return None
    return chosen.pose_topic or (None if chosen.poses is None else "auto")


def _every(step: int, frames: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
    """Every n-th frame; closing it closes the source."""
    with closing(frames):
        yield from islice(frames, 0, None, step)


def _until_damage(path: Path, chosen: FrameOptions) -> Generator[Frame, None, None]:
    """Frames of a bag; its damage ends them with a warning, if bad images are skipped."""
    try:
        yield from stream_bag(path, chosen.topic, chosen.session)
    except BagError as error:
        if not chosen.skip_bad:
            raise
        warn(str(error))


def _ignore(_: BagError) -> None:
    """Damage that the stream of images will tell of itself."""


CHECKED = 20
"""Candidates that are checked by local features, where the belief is not clear."""

_RECENT = 0.1  # weight of the newest frame in the milliseconds shown


@dataclass(frozen=True, slots=True)
class Answers:
    """Where answers go, and when they are right.

    Attributes:
        folder: Gets the files.
        radius: Metres.
        heading: Degrees, or ``None``.
        report: Folder for figures and a page, or ``None``.
        as_json: Whether the numbers are printed as JSON.
    """

    folder: Path
    radius: float
    heading: float | None
    report: Path | None
    as_json: bool


def refuse_live(source: Source, report: Path | None) -> None:
    """Refuse what a camera's frames cannot be used for.

    Raises:
        SettingError: A report, which draws frames again that are gone.
    """
    if source.camera is not None and report is not None:
        raise SettingError(
            "--report draws the frames again, and a camera's are gone; record and localise a video"
        )


class Geometry(TypedDict):
    """What a localizer does with local features."""

    verify: Verifier | None
    poser: Poser | None


def geometry_of(
    memory: PlaceMemory, *, verify: bool, intrinsics: Path | None, colmap: Path | None
) -> Geometry:
    """Local features on the memory's own images, where they lie.

    Raises:
        SettingError: There is a COLMAP model, but no intrinsics of the camera.
        InputError: A file cannot be read, or the model is not of the memory's images.
    """
    camera = None if intrinsics is None else read_camera(intrinsics)
    verifier = poser = None
    if verify:
        images = images_of_memory(memory)
        verifier = Verifier(images, camera=camera, policy=Policy(top=CHECKED))
    if colmap is not None:
        if camera is None:
            raise SettingError("--colmap needs the query camera's --intrinsics")
        folders = (memory.manifest.sources.get(name) for name in memory.sessions())
        images_folder = next((Path(f) for f in folders if f is not None and Path(f).is_dir()), None)
        if images_folder is None:
            raise InputError(f"{memory.uri}: the images it was built from are not where they were")
        poser = Poser(PosedModel.open(colmap, images_folder), camera)
    return {"verify": verifier, "poser": poser}


def localize_stream(
    localizer: Localizer, source: Source, answers: Answers, *, skip_bad: bool
) -> tuple[LocalizedRun, RunWriter]:
    """Localise frame by frame; a line for each is on disk before the next frame is read."""
    shown, recent = Summary(), 0.0
    with _stopping(source.stop), closing(source.steps()) as steps:
        first = list(islice(steps, 1))  # where there is none, earlier results stay
        with (
            RunWriter(answers.folder, radius=answers.radius, heading=answers.heading) as files,
            progress("Localising") as advance,
        ):

            def show(estimate: Estimate) -> None:
                nonlocal recent
                files.write(estimate)
                shown.add(estimate)
                took = sum(estimate.milliseconds.values())
                recent = took if shown.frames == 1 else recent + _RECENT * (took - recent)
                advance(shown.frames, source.total, f"{recent:.0f} ms a frame, {shown}")

            run = follow(
                localizer,
                chain(first, steps),
                skip_bad=skip_bad,
                keep=source.keep,
                on_estimate=show,
            )
    say(f"{run.summary.frames} frames: {run.summary}")
    source.tell(estimate.frame for estimate in run)
    return run, files


@contextmanager
def _stopping(stop: Event) -> Iterator[None]:
    """Ctrl-C ends the stream after the frame at hand; a second one ends the program at once."""
    before = signal.getsignal(signal.SIGINT)

    def asked(*_: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    with suppress(ValueError):  # only the main thread may take signals
        signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, before)


def finish(
    memory: PlaceMemory, run: LocalizedRun, files: RunWriter, source: Source, answers: Answers
) -> None:
    """Score, write and print what was found; end as the stream ended.

    Raises:
        InputError: The stream failed; what came before is written.
        typer.Exit: It was interrupted.
    """
    score = run.score(answers.radius, answers.heading)
    more = {
        **source.to_dict(),
        "ended": None if run.ended is None else str(run.ended),
        "peak_mb": peak_megabytes(),
    }
    metrics = files.finish(run, score, more)
    tell_bad(run.bad)
    if answers.as_json:
        print_json(metrics)
    else:
        tell_result(run, score)
    say(f"wrote {', '.join(path.name for path in files.paths)} to {answers.folder}")
    if answers.report is not None:
        _report(answers.report, memory, run, source, answers)
    if run.ended is not None:
        raise run.ended
    if source.stop.is_set() and run.summary.frames != source.total and source.camera is None:
        _interrupted(run.summary.frames)


def _report(
    folder: Path, memory: PlaceMemory, run: LocalizedRun, source: Source, answers: Answers
) -> None:
    from placememory.figures import write_report

    frames = source.readable(estimate.frame for estimate in run)
    drawn = tuple(replace(e, frame=f) for e, f in zip(run, frames, strict=True))
    run = replace(run, estimates=drawn)
    page = write_report(folder, memory, run, radius=answers.radius, heading=answers.heading)
    say(f"report: {page}")


def _interrupted(frames: int) -> NoReturn:
    say(f"interrupted after {frames} frames; their results are written")
    raise typer.Exit(1)


def tell_result(run: LocalizedRun, score: RunScore | None) -> None:
    """Print how many frames were answered, and how right the answers are: verdicts first."""
    summary = run.summary
    spent = summary.milliseconds or 1e3 * run.seconds
    out.print(
        f"{summary.frames} frames, {summary.posed} answered with a pose, "
        f"{spent / max(1, summary.frames):.0f} ms a frame (reading included)"
    )
    if score is None:
        out.print("no true poses to compare with: the answers are not scored")
        return
    if score.located is not None:
        out.print(str(score.located), markup=False)
        out.print("each frame alone:")
    print_table(("", "value", "95% interval"), _recall_rows(score.recall))
    out.print(score.recall.protocol, markup=False)
    if score.map_frames is not None and score.map_frames.differs:
        warn(str(score.map_frames))


def _recall_rows(recall: RecallResult) -> list[tuple[str, str, str]]:
    error = recall.median_error
    return [
        *(
            (f"recall@{k}", f"{100 * r.value:.1f} %", f"{100 * r.low:.1f} to {100 * r.high:.1f} %")
            for k, r in recall.recalls.items()
        ),
        ("median error", f"{error.value:.2f} m", f"{error.low:.2f} to {error.high:.2f} m"),
        ("queries counted", f"{recall.counted} of {recall.queries}", ""),
    ]


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
    method = None if fusion == "none" else fusion or DEFAULT_FUSION
    moving = MotionOptions(odometry, odom_topic, max_speed)
    source = open_source(images, chosen, moving, seconds=seconds, listed=method is None)
    refuse_live(source, report_dir)
    answers = Answers(out_dir, radius, heading, report_dir, as_json)
    with PlaceMemory.open(memory, readonly=True) as opened:
        encoder = encoder_of(opened, weights=weights, device=device, precision=precision)
        localizer = Localizer(
            opened,
            encoder,
            fusion=method,
            matcher=matcher,
            where=where,
            k=max(k, CHECKED) if verify else k,
            **geometry_of(opened, verify=verify, intrinsics=intrinsics, colmap=colmap),
        )
        done, files = localize_stream(localizer, source, answers, skip_bad=skip_bad)
        finish(opened, done, files, source, answers)
