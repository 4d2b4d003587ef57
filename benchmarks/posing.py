"""How exactly a camera's pose is found at known places, on the sample building.

The building is rendered with exact poses; a COLMAP model without points is written of its mapping
run. Each query is posed from the candidates of the memory, and from those nearest by their true
poses (what perfect retrieval would give); then its direction from the best verified place is
compared with the true one. Run (needs the extras ``demo``, ``verify`` and ``colmap``):

    OMP_NUM_THREADS=1 python benchmarks/posing.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pycolmap
from _tables import machine, markdown
from numpy.typing import NDArray

from placememory import list_frames, read_poses
from placememory.frames import Frame
from placememory.geometry import (
    OPTICAL_IN_BODY,
    Camera,
    CameraPose,
    PosedModel,
    Poser,
    RelativePose,
    Verifier,
)
from placememory.localization.run import localize
from placememory.memory.build import build
from placememory.samples import render_building

SIZES = ((320, 240), (640, 480))
NEAR, TURN = 3.0, 45.0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="for the rendered building, kept there")
    parser.add_argument("--seed", type=int, default=0, help="of the building's query run")
    given = parser.parse_args()
    print(machine(), "\n")
    with tempfile.TemporaryDirectory() as scratch:
        scenes = [Scene(given.folder or Path(scratch), size, given.seed) for size in SIZES]
        columns = ("images", "queries", "candidates", "number", "posed %", "median m", "90 % m",
                   "median deg", "90 % deg", "beyond 1 m", "median sigmas", "within 3 sigma %",
                   "ms/query")  # fmt: skip
        print(markdown(columns, [row for scene in scenes for row in scene.poses()]), "\n")
        columns = ("images", "number", "with a direction %", "rotation, median deg", "90 % deg",
                   "direction, median deg", "90 % deg")  # fmt: skip
        print(markdown(columns, [scene.directions() for scene in scenes]))


class Scene:
    """The building at one size of its images, with a memory's candidates for every query."""

    def __init__(self, folder: Path, size: tuple[int, int], seed: int) -> None:
        self.label, self.camera = f"{size[0]} x {size[1]}", building_camera(size)
        self.building = render_building(folder / f"building{size[0]}", size=size, seed=seed)
        self.mapping = posed(self.building.mapping, self.building.mapping_vertices)
        queries = posed(self.building.query, self.building.query_vertices)
        write_model(folder / f"colmap{size[0]}", self.mapping, self.camera)
        self.model = PosedModel.open(folder / f"colmap{size[0]}", self.building.mapping)
        with (
            tempfile.TemporaryDirectory() as scratch,
            build(Path(scratch) / "memory", self.mapping) as memory,
        ):
            estimates = localize(memory, queries, fusion=None, k=3).estimates
        self.candidates = {e.frame.name: e.candidates for e in estimates}
        on_map = [bool(nearest(f, self.mapping)) for f in queries]
        self.on_map = [f for f, on in zip(queries, on_map, strict=True) if on]
        self.off_map = [f for f, on in zip(queries, on_map, strict=True) if not on]

    def poses(self) -> list[list[object]]:
        """A row for each kind of query and source of candidates."""
        return [
            [self.label, "on the map", "memory's best 3", *self._errors(self.on_map, self._found)],
            [self.label, "on the map", "nearest 3", *self._errors(self.on_map, self._nearest)],
            [
                self.label,
                "off the map",
                "memory's best 3",
                *self._errors(self.off_map, self._found),
            ],
        ]

    def directions(self) -> list[object]:
        """Errors of the relative pose to the best of three verified candidates."""
        frames = {frame.name: frame for frame in self.mapping}
        verifier = Verifier(lambda place: frames[place.name].image(), camera=self.camera)
        errors = []
        for query in self.on_map:
            found = verifier.verify(query.image(), self.candidates[query.name])
            relative = RelativePose.of(found)
            if relative is not None:
                errors.append(relative_error(query, frames[relative.place.name], relative))
        turn, way = np.array(errors).T
        share = f"{100 * len(errors) / len(self.on_map):.0f}"
        return [self.label, len(self.on_map), share, *quantiles(turn, 1), *quantiles(way, 1)]

    def _found(self, frame: Frame) -> list[str]:
        return [candidate.place.name for candidate in self.candidates[frame.name]]

    def _nearest(self, frame: Frame) -> list[str]:
        return nearest(frame, self.mapping)[:3]

    def _errors(
        self, queries: Sequence[Frame], names: Callable[[Frame], list[str]]
    ) -> list[object]:
        """Errors of all queries; places are seen before, as by a robot that was here."""
        poser = Poser(self.model, self.camera, cache_size=1000)
        for frame in queries:
            poser.pose(frame.image(), names(frame))
        images = [frame.image() for frame in queries]
        started = time.perf_counter()
        found = [poser.pose(i, names(frame)) for i, frame in zip(images, queries, strict=True)]
        milliseconds = 1e3 * (time.perf_counter() - started) / len(queries)
        errors = [error(frame, pose) for frame, pose in zip(queries, found, strict=True) if pose]
        metres, degrees, sigmas = np.array(errors).T
        return [
            len(queries), f"{100 * len(errors) / len(queries):.0f}", *quantiles(metres, 3),
            *quantiles(degrees, 2), int((metres > 1).sum()), f"{np.median(sigmas):.2f}",
            f"{100 * np.mean(sigmas <= 3):.0f}", f"{milliseconds:.0f}",
        ]  # fmt: skip


def posed(images: Path, vertices: Path) -> list[Frame]:
    """Frames with their true poses."""
    return read_poses(vertices).join(list_frames(images))[0]


def quantiles(values: NDArray[np.float64], digits: int) -> list[str]:
    """Median and 90 %."""
    return [f"{np.quantile(values, share):.{digits}f}" for share in (0.5, 0.9)]


def relative_error(query: Frame, place: Frame, found: RelativePose) -> tuple[float, float]:
    """Degrees between the true and the found rotation, and direction."""
    assert query.pose is not None
    assert place.pose is not None
    place_from_query = np.linalg.inv(place.pose.matrix() @ OPTICAL_IN_BODY) @ (
        query.pose.matrix() @ OPTICAL_IN_BODY
    )
    turn = (np.trace(found.rotation.T @ place_from_query[:3, :3]) - 1) / 2
    way = place_from_query[:3, 3] / np.linalg.norm(place_from_query[:3, 3])
    cosines = np.clip([turn, way @ found.direction], -1.0, 1.0)
    return tuple(np.degrees(np.arccos(cosines)).tolist())


def error(frame: Frame, found: CameraPose) -> tuple[float, float, float]:
    """Metres, degrees, and the position's error over its standard deviation (per axis, RMS)."""
    assert frame.pose is not None
    pose, off = found.pose(), found.position - frame.pose.position
    sigmas = float(np.sqrt(off @ np.linalg.solve(found.covariance[:3, :3], off) / 3))
    return float(np.linalg.norm(off)), pose.angle_to(frame.pose), sigmas


def nearest(frame: Frame, mapping: Sequence[Frame]) -> list[str]:
    """Names of mapping frames within reach that look the same way, nearest first."""
    assert frame.pose is not None
    ways = [
        (frame.pose.distance_to(other.pose), other.name)
        for other in mapping
        if other.pose is not None and frame.pose.angle_to(other.pose) < TURN
    ]
    return [name for metres, name in sorted(ways) if metres < NEAR]


def building_camera(size: tuple[int, int]) -> Camera:
    """Of the sample building: 90 degrees across; the engine's pixels are 1.2 times as tall."""
    width, height = size
    return Camera(width / 2, 1.2 * width / 2, (width - 1) / 2, (height - 1) / 2, (), width, height)


def write_model(folder: Path, frames: Sequence[Frame], camera: Camera) -> None:
    """A COLMAP model without points, of frames whose poses have REP-103 axes."""
    model = pycolmap.Reconstruction()
    parameters = [camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5]
    size = {"width": camera.width, "height": camera.height}
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model="PINHOLE", params=parameters, **size)
    )
    for number, frame in enumerate(frames, start=1):
        assert frame.pose is not None
        world_from_camera = frame.pose.matrix() @ OPTICAL_IN_BODY
        model.add_image_with_trivial_frame(
            pycolmap.Image(name=frame.name, camera_id=1, image_id=number),
            pycolmap.Rigid3d(np.linalg.inv(world_from_camera)[:3]),
        )
    folder.mkdir(parents=True, exist_ok=True)
    model.write(folder)


if __name__ == "__main__":
    main()
