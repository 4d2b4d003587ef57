"""Loop closures of a map: places that show one spot, with the pose of one in the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from placememory._checks import check_choice, check_positive
from placememory.errors import ImageError, InputError
from placememory.frames import Frame, Image, Pose, RelativeMotion
from placememory.frames.pose import compose, inverse, rotation_from_quaternion
from placememory.fusion import Odometry
from placememory.geometry import Verifier
from placememory.localization.estimate import Estimate
from placememory.localization.localizer import Localizer
from placememory.localization.odometry import odometry_of
from placememory.localization.plane import MapPlane
from placememory.memory import Place, PlaceMemory, images_of_memory
from placememory.memory.rows import PlaceRows

GraphFormat = Literal["g2o", "gtsam"]
PlaceId = tuple[str, int]

_CHUNK, _LEAD = 64, 16  # places that are asked together, and before them, so that a belief is there
_FEWEST = 20  # places that are a map


@dataclass(frozen=True, slots=True)
class Loop:
    """Two places that show one spot.

    Attributes:
        first: Id of the earlier one.
        second: Id of the later one, which was localised on the map of those before it.
        relative: Pose of the second in the first.
        covariance: (6, 6) of it: x, y, z (metres), then rotations about x, y, z (radians), in the
            axes of the second, as g2o and GTSAM perturb a measurement.
        probability: That the two are within the radius of the fusion, 2 m.
    """

    first: PlaceId
    second: PlaceId
    relative: Pose
    covariance: NDArray[np.float64]
    probability: float


def find_loops(
    memory: PlaceMemory,
    *,
    apart: float = 20.0,
    verify: Verifier | Literal["auto"] | None = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> list[Loop]:
    """Find loop closures for a pose graph.

    Each session is driven once more: its places are localised, with the motion between them as
    odometry, on a map of all that was there before (earlier sessions, and what lies more than
    ``apart`` metres of way back in its own). Where the :class:`Localizer` is located, its pose in
    the best place is the loop, with its covariance. Only relative poses of near places are used, so
    the drift between the two passes does not matter.

    Args:
        memory: Open memory whose places have poses.
        apart: Metres of way to the places of the same session that may answer.
        verify: See :class:`Localizer`.
        progress: Called with places done and places in all.

    Returns:
        In the order of sessions and indices.

    Raises:
        InputError: No place has a pose with a rotation.
        SettingError: ``apart`` is not above zero.

    Example:
        >>> from placememory.encoders import EncoderCard, Preprocess
        >>> card = EncoderCard(name="toy", dim=40, preprocess=Preprocess(longest=8))
        >>> memory = PlaceMemory.create(":memory:", encoder=card)
        >>> ring = [(10 * math.cos(a), 10 * math.sin(a), a) for a in np.arange(80) * math.pi / 20]
        >>> places = [Place("run", i, f"{i}", pose=Pose.from_yaw(*at)) for i, at in enumerate(ring)]
        >>> _ = memory.add(places, np.eye(40)[np.arange(80) % 40])  # twice around
        >>> loops = find_loops(memory, apart=5.0)
        >>> {(second[1] - first[1]) % 40 for first, second in ((l.first, l.second) for l in loops)}
        {0}
    """
    check_positive(apart=apart)
    rows = memory.rows
    posed = [i for i, p in enumerate(rows.places) if p.pose is not None and p.pose.quaternion]
    if not posed:
        raise InputError(
            f"{memory.uri}: no place has a pose with a rotation, so no loop has a relative pose"
        )
    rows = rows.take(posed)
    places = list(rows.places)
    if verify == "auto":
        verify = Verifier.of_memory(memory)
    image_of = images_of_memory(memory)
    session = np.array([place.session for place in places])
    by_id = {place.id: place for place in places}
    way, loops = _way(places), []
    for name in dict.fromkeys(session.tolist()):
        own = np.flatnonzero(session == name)
        for start in range(0, len(own), _CHUNK):
            asked = own[max(0, start - _LEAD) : start + _CHUNK]
            earlier = (session == name) & (way < way[asked[0]] - apart)
            earlier[: own[0]] = True
            if earlier.sum() >= _FEWEST:
                there = _map_of(memory, rows.take(np.flatnonzero(earlier)))
                found = _drive(Localizer(there, verify=verify), rows, asked, image_of)
                new = own[start : start + _CHUNK]
                loops += [
                    _loop(estimate, places[row], by_id)
                    for row, estimate in found
                    if row >= new[0] and estimate.pose is not None
                ]
            if progress is not None:
                progress(int(own[0]) + min(start + _CHUNK, len(own)), len(places))
    return loops


def graph_text(loops: Sequence[Loop], places: Sequence[Place], kind: GraphFormat = "g2o") -> str:
    """Loops as text of a pose graph: a vertex for each place, an edge for each loop.

    g2o's ``EDGE_SE3:QUAT`` has its information in the order x, y, z, qx, qy, qz, and an angle is
    about twice its part of the quaternion. GTSAM's ``EDGE3`` has rotations first, in radians.

    Args:
        loops: Of :func:`find_loops`.
        places: With poses; their order gives the numbers of the vertices, from 0.
        kind: ``g2o`` or ``gtsam``.

    Raises:
        SettingError: There is no such format.

    Example:
        >>> here = Place("a", 0, "x", pose=Pose.from_yaw(1.0, 2.0, 0.0))
        >>> print(graph_text([], [here], "gtsam"), end="")
        VERTEX3 0 1 2 0 0 0 0
    """
    check_choice("the format", kind, get_args(GraphFormat))
    number = {place.id: i for i, place in enumerate(places)}
    write = _g2o_pose if kind == "g2o" else _gtsam_pose
    vertex, edge = ("VERTEX_SE3:QUAT", "EDGE_SE3:QUAT") if kind == "g2o" else ("VERTEX3", "EDGE3")
    lines = [
        f"{vertex} {i} {write(place.pose)}"
        for i, place in enumerate(places)
        if place.pose is not None
    ]
    upper = np.triu_indices(6)
    for loop in loops:
        spread = loop.covariance
        if kind == "g2o":
            half = np.diag([1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
            spread = half @ spread @ half
        else:
            order = [3, 4, 5, 0, 1, 2]
            spread = spread[np.ix_(order, order)]
        known = " ".join(f"{value:.9g}" for value in np.linalg.inv(spread)[upper])
        ends = f"{number[loop.first]} {number[loop.second]}"
        lines.append(f"{edge} {ends} {write(loop.relative)} {known}")
    return "".join(f"{line}\n" for line in lines)


def _map_of(memory: PlaceMemory, rows: PlaceRows) -> PlaceMemory:
    """A memory of some places, in this process."""
    made = PlaceMemory.create(":memory:", encoder=memory.card, frame_id=memory.manifest.frame_id)
    made.add_rows(PlaceRows(rows.places, rows.descriptors))  # sequences are not asked
    known = memory.manifest
    made.set_facts(background=known.background, calibration=known.calibration)
    return made


def _drive(
    localizer: Localizer,
    rows: PlaceRows,
    asked: NDArray[np.int64],
    image_of: Callable[[Place], Image | None],
) -> Iterator[tuple[int, Estimate]]:
    """Localise places in their order, with the motion between them."""
    before: Pose | None = None
    descriptors = rows.gather(asked)
    for row, descriptor in zip(asked.tolist(), descriptors, strict=True):
        place = rows.places[row]
        assert place.pose is not None
        motion = None if before is None else _motion(before, place.pose, localizer.plane)
        before = place.pose
        frame = Frame(
            place.name, place.session, place.index, stamp=place.stamp, read=_reader(image_of, place)
        )
        yield row, localizer.observe(frame, motion, descriptor=descriptor)


def _motion(before: Pose, now: Pose, plane: MapPlane) -> Odometry:
    moved = compose(inverse(plane.lower(before)), plane.lower(now))
    return odometry_of(RelativeMotion(moved.x, moved.y, moved.yaw, math.nan))


def _reader(image_of: Callable[[Place], Image | None], place: Place) -> Callable[[], Image]:
    def read() -> Image:
        image = image_of(place)
        if image is None:
            raise ImageError(f"the image of {place.name!r} is not there any more")
        return image

    return read


def _loop(estimate: Estimate, second: Place, places: Mapping[PlaceId, Place]) -> Loop:
    """The pose of the estimate in its best place, with the covariance in the axes of the second."""
    belief, pose, spread = estimate.belief, estimate.pose, estimate.covariance
    assert belief is not None
    assert belief.best is not None
    assert pose is not None
    assert spread is not None
    first = places[belief.best.place].pose
    assert first is not None
    turn = np.kron(np.eye(2), rotation_from_quaternion(pose.quaternion or (0.0, 0.0, 0.0, 1.0)))
    relative = replace(compose(inverse(first), pose), covariance=None)
    return Loop(
        belief.best.place, second.id, relative, turn.T @ spread @ turn, belief.probability or 0.0
    )


def _way(places: Sequence[Place]) -> NDArray[np.float64]:
    """(N,) metres from the start of a session to each of its places."""
    positions = np.array([p.pose.position for p in places if p.pose is not None])
    steps = np.linalg.norm(np.diff(positions, axis=0, prepend=positions[:1]), axis=1)
    first = [i == 0 or places[i].session != places[i - 1].session for i in range(len(places))]
    steps[first] = 0.0
    total = np.cumsum(steps)
    starts = np.maximum.accumulate(np.where(first, np.arange(len(places)), 0))
    way: NDArray[np.float64] = total - total[starts]
    return way


def _g2o_pose(pose: Pose) -> str:
    x, y, z, w = pose.quaternion or (0.0, 0.0, 0.0, 1.0)
    return " ".join(f"{v:.9g}" for v in (pose.x, pose.y, pose.z, x, y, z, w))


def _gtsam_pose(pose: Pose) -> str:
    angles = (0.0, 0.0, 0.0) if pose.quaternion is None else (*pose.tilt, pose.yaw)
    return " ".join(f"{v:.9g}" for v in (pose.x, pose.y, pose.z, *angles))
