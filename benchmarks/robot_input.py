"""What is found wrong with a robot's input: odometry of another body, and a lens that is covered.

    python benchmarks/prepare.py        # writes benchmarks/sets/
    python benchmarks/robot_input.py

Each run of the sample buildings is started at every third frame and driven with every, every second
and every fourth frame, over its own map and over those of the other buildings, with its odometry as
it is and turned by 90 degrees. Images are the real ones beside the checkout and the rendered ones.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _real import DATA
from _tables import markdown
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from prepare import SETS

import placememory as pm
from placememory.frames import Frame, Pose, read_poses
from placememory.frames.quality import is_covered
from placememory.fusion import Odometry
from placememory.localization import Motions, OdometryCheck

NEAR = 2.0  # metres to the map within which a frame is on it
FRAMES = 60
STRIDES = (1, 2, 4)


class Drive(NamedTuple):
    """A building: its map, and its query run with descriptors and odometry."""

    rows: NDArray[np.float32]
    places: NDArray[np.float64]  # x, y, yaw
    frames: list[Frame]
    descriptors: NDArray[np.float32]
    odometry: list[Odometry | None]


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=SETS)
    folder: Path = parser.parse_args().folder
    drives = [load(folder / f"building-{seed}") for seed in range(3)]
    turned: dict[str, Callable[[Odometry], Odometry]] = {
        "as it is": lambda o: o,
        "turned by 90 degrees": lambda o: Odometry(-o.dy, o.dx, o.dyaw, o.std_xy, o.std_yaw),
    }
    rows = []
    for name, turn in turned.items():
        for where, own in (("its own", True), ("another building", False)):
            found = [
                run
                for i, drive in enumerate(drives)
                for j, other in enumerate(drives)
                if (i == j) == own
                for run in check(drive, other, turn)
            ]
            metres = [far for refused, far, stride in found if refused and stride == 1]
            after = f"{np.median(metres):.1f}" if metres and own else "-"
            refused = sum(refused for refused, _, _ in found)
            rows.append([name, where, f"{refused} of {len(found)}", after])
    print(markdown(["odometry", "map", "refused", "median m on the map, every frame"], rows))
    print()
    print(
        markdown(
            ["images", "number", "covered", "blurred by 8 px", "by 80 px"], list(images(folder))
        )
    )


def load(folder: Path) -> Drive:
    """Build the map of a set and describe its query run."""
    with (folder / "manifest.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    frames = [
        Frame(
            row["image"], row["traverse"], int(row["frame"]), stamp=int(row["stamp"]),
            pose=Pose.from_yaw(float(row["x"]), float(row["y"]), float(row["yaw"])),
            read=lambda path=row["image"]: pm.read_image(path),
        )
        for row in listed
    ]  # fmt: skip
    query = [frame for frame in frames if frame.session != "map"]
    memory = pm.build(":memory:", [frame for frame in frames if frame.session == "map"])
    poses = [place.pose for place in memory.places if place.pose is not None]
    motions = Motions(read_poses(folder / "odometry.tum"))
    return Drive(
        memory.descriptors,
        np.array([(pose.x, pose.y, pose.yaw) for pose in poses]),
        query,
        memory.encoder().encode([frame.image() for frame in query]),
        [motions.since_last(frame) for frame in query],
    )


def check(
    drive: Drive, over: Drive, turn: Callable[[Odometry], Odometry]
) -> Iterator[tuple[bool, float, int]]:
    """Whether the odometry of each run is refused, and after how many metres on the map."""
    best = (drive.descriptors @ over.rows.T).argmax(axis=1)
    true = np.array([(f.pose.x, f.pose.y) for f in drive.frames if f.pose is not None])
    away = np.linalg.norm(true[:, None] - over.places[None, :, :2], axis=2).min(axis=1)
    for start in range(0, len(true) - 12, 3):
        for stride in STRIDES:
            found, far = OdometryCheck(), 0.0
            motion: Odometry | None = None
            for at in range(start, min(len(true), start + stride * FRAMES)):
                step = None if at == start else drive.odometry[at]
                motion = step if motion is None or step is None else motion.compose(step)
                if (at - start) % stride:
                    continue
                far += motion.distance if motion is not None and away[at] < NEAR else 0.0
                x, y, yaw = over.places[best[at]].tolist()
                found.take((x, y, yaw), None if motion is None else turn(motion))
                motion = None
                if found.reason:
                    break
            yield bool(found.reason), far, stride


def images(folder: Path) -> Iterator[list[str]]:
    """How many images of each kind are covered, and of every seventh after a Gaussian."""
    kinds = {name: DATA / name for name in ("corridor", "rtabmap-loop", "ie-tower")}
    kinds |= {path.name: path for path in sorted(folder.glob("building-*"))}
    for name, root in kinds.items():
        paths = sorted(p for p in root.rglob("*") if p.suffix in (".jpg", ".jpeg", ".png"))
        covered, soft = 0, []
        for i, path in enumerate(paths):
            image = Image.open(path).convert("RGB")
            covered += is_covered(np.asarray(image))
            if i % 7 == 0:
                blurs = [ImageFilter.GaussianBlur(r * image.width / 640) for r in (8, 80)]
                soft.append([is_covered(np.asarray(image.filter(blur))) for blur in blurs])
        shares = [f"{100 * share:.1f} %" for share in np.mean(soft, axis=0)] if soft else ["-", "-"]
        yield [name, str(len(paths)), str(covered), *shares]


if __name__ == "__main__":
    main()
