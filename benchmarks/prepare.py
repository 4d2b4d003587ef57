"""Write the sets of the benchmarks as manifests, for ``placememory evaluate``.

The real sequences beside the checkout and a rendered building (needs the extra ``demo``):

    python benchmarks/prepare.py            # writes benchmarks/sets/
    placememory evaluate benchmarks/localization.yaml
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from _real import DATA, corridor, loop, tower
from _real import Sequence as RealSequence

from placememory import Frame, list_frames, read_poses
from placememory.fusion import Odometry
from placememory.samples import Change, render_building

SETS = Path(__file__).parent / "sets"
HEADER = ("image", "traverse", "x", "y", "yaw", "stamp", "frame", "session")
Row = Sequence[object]


def main() -> None:
    """Write all sets that can be made here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=SETS)
    folder: Path = parser.parse_args().folder
    if DATA.is_dir():
        for sequence in (corridor(), loop()):
            listed(folder / sequence.name, sequence, _on_line(sequence))
        listed(folder / "ie-tower", tower(every=1), _walks(tower(every=1)))
    for seed in range(3):
        building(folder / f"building-{seed}", seed)
    for seed in range(2):
        building(folder / f"building-{seed}-night", seed, change="night")
        building(folder / f"building-{seed}-moved", seed, change="moved")
    building(folder / "building-dense", 0, frames=420)  # a place every 0.23 m
    print(f"wrote the sets to {folder}")


def listed(folder: Path, sequence: RealSequence, rows: Iterable[Row]) -> None:
    """A sequence whose correct places are listed."""
    _write(folder / "manifest.csv", HEADER, rows)
    found = (
        [
            q.path,
            " ".join(str(r.path) for r in sequence.reference if sequence.right(q.name, r.name)),
        ]
        for q in sequence.query
    )
    _write(folder / "positives.csv", ("query", "places"), found)


def building(folder: Path, seed: int, *, frames: int = 120, change: Change = "none") -> None:
    """The sample building: poses in metres, and odometry of a wheeled robot that slips."""
    made = render_building(folder / "building", seed=seed, frames=frames, change=change)
    rows: list[Row] = []
    for traverse, images, vertices in (
        ("map", made.mapping, made.mapping_vertices),
        ("run", made.query, made.query_vertices),
    ):
        frames = read_poses(vertices).join(list_frames(images))[0]
        rows += [_posed(frame, traverse, i) for i, frame in enumerate(frames)]
        if traverse == "run":
            _write_odometry(folder / "odometry.tum", frames)
    _write(folder / "manifest.csv", HEADER, rows)


def _on_line(sequence: RealSequence) -> list[Row]:
    """Frames one metre apart on a line, by their index; times are not known."""
    return [
        (frame.path, traverse, i, 0, "", "", i, traverse)
        for traverse, frames in (("map", sequence.reference), ("run", sequence.query))
        for i, frame in enumerate(frames)
    ]


def _walks(sequence: RealSequence) -> list[Row]:
    """Frames of the tower with their walk as session and their number there."""
    rows: list[Row] = []
    for traverse, frames in (("map", sequence.reference), ("run", sequence.query)):
        for frame in frames:
            walk, _, number = frame.name.rpartition("_frame_")
            digits = re.match(r"\d+", number)
            assert digits is not None
            rows.append((frame.path, traverse, "", "", "", "", int(digits[0]), walk))
    return rows


def _posed(frame: Frame, traverse: str, i: int) -> Row:
    pose = frame.pose
    assert pose is not None
    assert frame.path is not None
    return (frame.path, traverse, pose.x, pose.y, pose.yaw, frame.stamp, i, traverse)


def _write_odometry(path: Path, frames: Sequence[Frame]) -> None:
    """Poses of odometry: 3 % too long, noise, a drifting heading."""
    draw = np.random.default_rng(0).normal
    poses = [frame.pose for frame in frames]
    assert all(pose is not None for pose in poses)
    at, lines = (0.0, 0.0, 0.0), []
    steps = [Odometry(0.0, 0.0, 0.0)]
    for one, two in pairwise(poses):
        assert one is not None
        assert two is not None
        o = Odometry.between((one.x, one.y, one.yaw), (two.x, two.y, two.yaw))
        along, across, turn = draw(0, 0.04), draw(0, 0.03), draw(0.003, 0.015)
        steps.append(Odometry(1.03 * o.dx + along, o.dy + across, o.dyaw + turn))
    for frame, step in zip(frames, steps, strict=True):
        x, y, yaw = at
        at = (
            x + np.cos(yaw) * step.dx - np.sin(yaw) * step.dy,
            y + np.sin(yaw) * step.dx + np.cos(yaw) * step.dy,
            yaw + step.dyaw,
        )
        assert frame.stamp is not None
        seconds, part = divmod(frame.stamp, 10**9)
        lines.append(
            f"{seconds}.{part:09d} {at[0]:.6f} {at[1]:.6f} 0 0 0 "
            f"{np.sin(at[2] / 2):.9f} {np.cos(at[2] / 2):.9f}"
        )
    path.write_text("\n".join(lines) + "\n")


def _write(path: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
