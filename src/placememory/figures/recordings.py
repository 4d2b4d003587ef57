"""A localised run as a recording for the viewers of robots: Rerun (.rrd) and Foxglove (.mcap)."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image as PillowImage

from placememory._io import replacing
from placememory._registry import require
from placememory.figures.style import PALE, QUERY, VERDICT_COLOURS
from placememory.frames import Image, Pose
from placememory.localization import LocalizedRun
from placememory.localization.estimate import Estimate
from placememory.maps import OccupancyGrid
from placememory.memory import ImageOf, PlaceMemory, read_image

_LONGEST, _QUALITY = 640, 80
_SECOND = 1_000_000_000
_SPHERE, _FLAT = 0.3, 0.05  # metres
_ELLIPSE = math.sqrt(5.991)  # sigmas of 95 % in the plane
_CANDIDATE = "#d55e00"


@dataclass(frozen=True, slots=True)
class _Moment:
    """A frame as viewers show it.

    Attributes:
        stamp: Nanoseconds; frames without stamps are a second apart, from 0.
        estimate: Of the frame.
        query: JPEG of the frame, where it can be read.
        match: JPEG of its most similar place.
        error: Metres from the true position.
    """

    stamp: int
    estimate: Estimate
    query: bytes | None
    match: bytes | None
    error: float | None

    @property
    def colour(self) -> tuple[float, float, float]:
        """0 to 1, of the verdict."""
        return to_rgb(VERDICT_COLOURS.get(self.estimate.verdict or "", QUERY))

    @property
    def shown(self) -> Pose | None:
        """Where the robot is or, not trusted, is likeliest to be."""
        return self.estimate.pose or self.estimate.hypothesis

    @property
    def candidates(self) -> list[Pose]:
        """Poses of the candidates that have one."""
        found = (candidate.place.pose for candidate in self.estimate.candidates)
        return [pose for pose in found if pose is not None]

    def told(self) -> str:
        """Verdict, reason and best place in a line."""
        estimate = self.estimate
        parts = [f"{estimate.frame.name}: {estimate.verdict or 'alone'}", estimate.reason]
        if estimate.best is not None:
            parts.append(
                f"most similar {estimate.best.place.name} ({estimate.best.similarity:.3f})"
            )
        return "; ".join(part for part in parts if part)


def write_rerun(
    path: Path,
    memory: PlaceMemory,
    run: LocalizedRun,
    *,
    image_of: ImageOf,
    grid: OccupancyGrid | None = None,
) -> Path:
    """Write a run for Rerun: ``rerun run.rrd``.

    ``map/`` holds the ground, the places, the robot in the colour of its verdict, its 95 % ellipse,
    the candidates and the true position, in metres; ``query`` and ``match`` are images, ``plots/``
    has probability and error, ``verdict`` the text. Timelines: ``frame``, and ``stamp`` where
    frames have one.

    Args:
        path: The file; it appears when it is complete.
        memory: The memory that answered.
        run: The run; its frames need their images.
        image_of: The images of places.
        grid: The map.

    Raises:
        MissingExtraError: The extra ``rerun`` is not installed.
        PlaceMemoryError: The file cannot be written.
    """
    rr = require("rerun", extra="rerun", purpose="Recordings for Rerun")
    with replacing(path) as unfinished:
        recording = rr.RecordingStream("placememory", recording_id=path.stem)
        recording.save(unfinished)
        log = recording.log
        log("map", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        if grid is not None:
            log("map/ground", _textured(rr, grid), static=True)
        log(
            "map/places", rr.Points3D(_places(memory), colors=to_rgb(PALE), radii=0.08), static=True
        )
        for number, moment in enumerate(_moments(run, image_of)):
            recording.set_time("frame", sequence=number)
            if moment.estimate.frame.stamp is not None:
                recording.set_time("stamp", timestamp=np.datetime64(moment.stamp, "ns"))
            for name, jpeg in (("query", moment.query), ("match", moment.match)):
                empty = rr.Clear(recursive=False)
                image = rr.EncodedImage(contents=jpeg, media_type="image/jpeg") if jpeg else empty
                log(name, image)
            log("verdict", rr.TextLog(moment.told(), level=_level(moment.estimate)))
            for name, value in _numbers(moment):
                log(f"plots/{name}", rr.Scalars(value))
            log("map/candidates", _points(rr, moment.candidates, to_rgb(_CANDIDATE)))
            log("map/truth", _points(rr, [moment.estimate.frame.pose], to_rgb(QUERY)))
            log("map/robot", _points(rr, [moment.shown], moment.colour, _SPHERE))
            log("map/robot/spread", _rerun_ellipse(rr, moment))
        recording.flush()
        recording.disconnect()
    return path


def write_foxglove(
    path: Path,
    memory: PlaceMemory,
    run: LocalizedRun,
    *,
    image_of: ImageOf,
    grid: OccupancyGrid | None = None,
) -> Path:
    """Write a run for Foxglove, as an MCAP file of its own message types.

    Topics: ``/map`` (the ground), ``/places``, ``/robot`` (a sphere in the colour of the verdict,
    its 95 % ellipse, candidates and the true position), ``/pose`` (located frames only), ``/query``
    and ``/match`` (images), ``/verdict`` (log) and ``/numbers`` (probability and error, JSON).

    Args:
        path: The file; it appears when it is complete.
        memory: The memory that answered.
        run: The run; its frames need their images.
        image_of: The images of places.
        grid: The map.

    Raises:
        MissingExtraError: The extra ``foxglove`` is not installed.
        PlaceMemoryError: The file cannot be written.
    """
    foxglove = require("foxglove", extra="foxglove", purpose="Recordings for Foxglove")
    fm = require("foxglove.messages", extra="foxglove", purpose="Recordings for Foxglove")
    channels = require("foxglove.channels", extra="foxglove", purpose="Recordings for Foxglove")
    frame_id = memory.manifest.frame_id
    context = foxglove.Context()
    moments = _moments(run, image_of)
    with (
        replacing(path) as unfinished,
        foxglove.open_mcap(unfinished, context=context, allow_overwrite=True),
    ):

        def channel(kind: str, topic: str) -> Any:
            return getattr(channels, f"{kind}Channel")(topic, context=context)

        still = {"/map": channel("Grid", "/map"), "/places": channel("PointCloud", "/places")}
        robot, pose = channel("SceneUpdate", "/robot"), channel("PoseInFrame", "/pose")
        images = {name: channel("CompressedImage", f"/{name}") for name in ("query", "match")}
        verdict = channel("Log", "/verdict")
        numbers = foxglove.Channel("/numbers", message_encoding="json", context=context)
        for number, moment in enumerate(moments):
            at = {"log_time": moment.stamp}
            stamp = fm.Timestamp(*divmod(moment.stamp, _SECOND))
            if number == 0:
                if grid is not None:
                    still["/map"].log(_foxglove_grid(fm, grid, frame_id, stamp), **at)
                still["/places"].log(_foxglove_places(fm, memory, frame_id, stamp), **at)
            for name, jpeg in (("query", moment.query), ("match", moment.match)):
                if jpeg is not None:
                    shown = fm.CompressedImage(
                        timestamp=stamp, frame_id=name, data=jpeg, format="jpeg"
                    )
                    images[name].log(shown, **at)
            level = getattr(fm.LogLevel, _level(moment.estimate).title().replace("Warn", "Warning"))
            said = fm.Log(timestamp=stamp, level=level, message=moment.told(), name="placememory")
            verdict.log(said, **at)
            numbers.log(json.dumps(dict(_numbers(moment))).encode(), **at)
            if moment.estimate.pose is not None:
                located = fm.PoseInFrame(
                    timestamp=stamp,
                    frame_id=frame_id,
                    pose=_foxglove_pose(fm, moment.estimate.pose),
                )
                pose.log(located, **at)
            robot.log(_foxglove_scene(fm, moment, frame_id, stamp), **at)
    return path


def _moments(run: LocalizedRun, image_of: ImageOf) -> Iterator[_Moment]:
    for number, estimate in enumerate(run):
        stamp, true = estimate.frame.stamp, estimate.frame.pose
        shown = estimate.pose or estimate.hypothesis
        yield _Moment(
            number * _SECOND if stamp is None else stamp,
            estimate,
            _jpeg(read_image(estimate.frame)),
            None if estimate.best is None else _jpeg(image_of(estimate.best.place)),
            None if true is None or shown is None else shown.distance_to(true),
        )


def _jpeg(image: Image | None) -> bytes | None:
    if image is None:
        return None
    small = PillowImage.fromarray(image)
    small.thumbnail((_LONGEST, _LONGEST))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _level(estimate: Estimate) -> str:
    return "INFO" if estimate.verdict in (None, "located") else "WARN"


def _numbers(moment: _Moment) -> list[tuple[str, float]]:
    best = moment.estimate.best
    found = {
        "probability": moment.estimate.probability,
        "similarity": None if best is None else best.similarity,
        "error": moment.error,
    }
    return [(name, float(value)) for name, value in found.items() if value is not None]


def _places(memory: PlaceMemory) -> NDArray[np.float64]:
    """(N, 3) metres of the places that have poses."""
    known = [place.pose.position for place in memory.places if place.pose is not None]
    return np.reshape(known, (-1, 3)).astype(np.float64)


def _ellipse(moment: _Moment) -> tuple[Pose, tuple[float, float, float], float] | None:
    """Centre, half axes in metres, and the turn of the first about z, of the 95 % ellipse."""
    spread, centre = moment.estimate.covariance, moment.shown
    if spread is None or centre is None:
        return None
    values, axes = np.linalg.eigh(np.asarray(spread)[:2, :2])
    minor, major = (_ELLIPSE * np.sqrt(np.maximum(values, 1e-6))).tolist()
    return centre, (major, minor, _FLAT), math.atan2(axes[1, 1], axes[0, 1])


def _points(
    rr: Any, poses: Sequence[Pose | None], colour: tuple[float, float, float], radius: float = 0.15
) -> Any:
    known = [pose.position for pose in poses if pose is not None]
    return rr.Points3D(np.reshape(known, (-1, 3)), colors=[colour] * len(known), radii=radius)


def _rerun_ellipse(rr: Any, moment: _Moment) -> Any:
    found = _ellipse(moment)
    if found is None:
        return rr.Clear(recursive=False)
    centre, half, turn = found
    return rr.Ellipsoids3D(
        centers=[centre.position],
        half_sizes=[half],
        rotation_axis_angles=[rr.RotationAxisAngle(axis=(0, 0, 1), radians=turn)],
        colors=[moment.colour],
    )


def _textured(rr: Any, grid: OccupancyGrid) -> Any:
    """The map as a rectangle on the ground, just below the places."""
    height, width = grid.lightness.shape
    pixels = np.array([[-0.5, height - 0.5], [width - 0.5, height - 0.5],
                       [width - 0.5, -0.5], [-0.5, -0.5]])  # fmt: skip
    corners = np.column_stack([grid.to_world(pixels), np.full(4, -0.05)])
    grey = np.rint(255.0 * grid.lightness).astype(np.uint8)
    return rr.Mesh3D(
        vertex_positions=corners,
        triangle_indices=[(0, 1, 2), (0, 2, 3)],
        vertex_texcoords=[(0, 1), (1, 1), (1, 0), (0, 0)],
        albedo_texture=np.repeat(grey[..., None], 3, axis=2),
    )


def _foxglove_pose(fm: Any, pose: Pose) -> Any:
    x, y, z, w = pose.quaternion or (0.0, 0.0, 0.0, 1.0)
    return fm.Pose(
        position=fm.Vector3(x=pose.x, y=pose.y, z=pose.z),
        orientation=fm.Quaternion(x=x, y=y, z=z, w=w),
    )


def _foxglove_grid(fm: Any, grid: OccupancyGrid, frame_id: str, stamp: Any) -> Any:
    """Grey cells from the lower left corner, row by row upwards."""
    grey = np.rint(255.0 * grid.lightness[::-1]).astype(np.uint8)
    cells = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    number = fm.PackedElementFieldNumericType.Uint8
    x, y, yaw = grid.origin
    return fm.Grid(
        timestamp=stamp,
        frame_id=frame_id,
        pose=_foxglove_pose(fm, Pose.from_yaw(x, y, yaw, z=-0.05)),
        column_count=grid.width,
        cell_size=fm.Vector2(x=grid.resolution, y=grid.resolution),
        row_stride=4 * grid.width,
        cell_stride=4,
        fields=[
            fm.PackedElementField(name=name, offset=i, type=number)
            for i, name in enumerate(("red", "green", "blue", "alpha"))
        ],
        data=cells.tobytes(),
    )


def _foxglove_places(fm: Any, memory: PlaceMemory, frame_id: str, stamp: Any) -> Any:
    number = fm.PackedElementFieldNumericType.Float32
    return fm.PointCloud(
        timestamp=stamp,
        frame_id=frame_id,
        pose=_foxglove_pose(fm, Pose(0.0, 0.0)),
        point_stride=12,
        fields=[
            fm.PackedElementField(name=name, offset=4 * i, type=number)
            for i, name in enumerate("xyz")
        ],
        data=_places(memory).astype("<f4").tobytes(),
    )


def _foxglove_scene(fm: Any, moment: _Moment, frame_id: str, stamp: Any) -> Any:
    """Robot, ellipse, candidates and truth as spheres of one entity, which the next replaces."""

    def sphere(pose: Pose, size: Sequence[float], colour: Sequence[float], alpha: float) -> Any:
        red, green, blue = colour
        return fm.SpherePrimitive(
            pose=_foxglove_pose(fm, pose),
            size=fm.Vector3(x=size[0], y=size[1], z=size[2]),
            color=fm.Color(r=red, g=green, b=blue, a=alpha),
        )

    spheres = [sphere(pose, (_SPHERE,) * 3, to_rgb(_CANDIDATE), 0.8) for pose in moment.candidates]
    if moment.estimate.frame.pose is not None:
        spheres.append(sphere(moment.estimate.frame.pose, (_SPHERE,) * 3, to_rgb(QUERY), 1.0))
    if moment.shown is not None:
        spheres.append(sphere(moment.shown, (2 * _SPHERE,) * 3, moment.colour, 1.0))
    if (found := _ellipse(moment)) is not None:
        centre, half, turn = found
        there = Pose.from_yaw(centre.x, centre.y, turn, z=centre.z)
        spheres.append(sphere(there, [2 * value for value in half], moment.colour, 0.3))
    entity = fm.SceneEntity(timestamp=stamp, frame_id=frame_id, id="robot", spheres=spheres)
    return fm.SceneUpdate(entities=[entity])
