"""What a robot that has only some places at hand answers, beside one that has the whole map.

One map of all sets, 1 km from each other; the runs of the sets drive through it. "absent" are runs
of sets that were taken out of the map: what is located there is false. All with the default fusion,
without verification.

    python benchmarks/prepare.py        # writes benchmarks/sets/
    python benchmarks/working_set.py    # --sizes 512,1024  --served http://127.0.0.1:19530/city
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _tables import machine, markdown
from prepare import SETS
from trust import Traverses

import placememory as pm
from placememory.frames import Frame, Pose, read_poses
from placememory.localization import Localizer, Motions

CITY = Path(__file__).parent / "output" / "city.memory"
RUNS = ("corridor", "rtabmap-loop", "ie-tower", "building-1")
MAPS = RUNS
ABSENT = ("corridor", "building-1")
APART = 1000.0  # metres


@dataclass(frozen=True)
class Asked:
    """A frame with its descriptor and its motion."""

    frame: Frame
    descriptor: np.ndarray
    motion: pm.Odometry | None


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="512,1024,2048")
    parser.add_argument("--served", help="copy the map to this address, and serve it from there")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    whole = city(MAPS, CITY)
    part = city([name for name in MAPS if name not in ABSENT], CITY.with_name("part.memory"))
    print(f"{machine()}\n\n{len(whole):,} places, {len(part):,} without {' and '.join(ABSENT)}.\n")
    served = whole if options.served is None else copied(whole, options.served)
    runs = {name: list(ask(whole, name)) for name in RUNS}
    runs |= {f"{n} with odometry": list(ask(whole, n, odometry=True)) for n in RUNS if metric(n)}
    rows = []
    for name, asked in runs.items():
        exact, spent = drive(Localizer(whole, verify=None), asked)
        rows.append([name, "all", *judged(name, asked, exact), "", "", "", f"{spent:.1f}"])
        for size in sizes:
            some, spent = drive(Localizer(served, verify=None, working=size), asked)
            alike = compared(exact, some)
            rows.append([name, size, *judged(name, asked, some), *alike, f"{spent:.1f}"])
    columns = ("run", "at hand", "located", "right of these", "same verdict")
    columns += ("same place where both are located", "same candidates", "ms a frame")
    print(markdown(columns, rows))
    rows = []
    for name in (run for run in runs if run.split()[0] in ABSENT):
        exact, _ = drive(Localizer(part, verify=None), runs[name])
        false = [f"{sum(e.verdict == 'located' for e in exact)} of {len(exact)}"]
        for size in sizes:
            some, _ = drive(Localizer(part, verify=None, working=size), runs[name])
            false.append(f"{sum(e.verdict == 'located' for e in some)} of {len(some)}")
        rows.append([f"{name}, absent", *false])
    print("\nLocated though not on the map:\n")
    print(markdown(("run", "all at hand", *map(str, sizes)), rows))


def metric(name: str) -> bool:
    """Whether a set has poses."""
    return name.startswith("building")


def city(names: Sequence[str], path: Path) -> pm.PlaceMemory:
    """One memory of the mapping runs; made where it is not there."""
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        frames = [frame for name in names for frame in moved(name, "map")]
        pm.build(path, frames).close()
    return pm.open(path, readonly=True)


def copied(memory: pm.PlaceMemory, uri: str) -> pm.PlaceMemory:
    """The memory at another address."""
    pm.memory.copy(memory.uri, uri)
    return pm.open(uri, readonly=True)


def moved(name: str, traverse: str) -> Iterator[Frame]:
    """Frames of a set at its place in the city, in sessions of their own names."""
    shift = APART * MAPS.index(name)
    for frame in Traverses(name).frames(traverse):
        pose = frame.pose
        if pose is not None:
            pose = Pose.from_yaw(pose.x + shift, pose.y, pose.yaw)
        yield replace(frame, session=f"{name}/{frame.session}", pose=pose)


def ask(memory: pm.PlaceMemory, name: str, *, odometry: bool = False) -> Iterator[Asked]:
    """The run of a set."""
    motions = Motions(read_poses(SETS / name / "odometry.tum")) if odometry else None
    for frame in moved(name, "run"):
        [row] = memory.encoder().encode([frame.image()])
        yield Asked(frame, row, None if motions is None else motions.since_last(frame))


def drive(localizer: Localizer, asked: Sequence[Asked]) -> tuple[list[pm.Estimate], float]:
    """Estimates, and milliseconds a frame."""
    found, walked, begin = [], None, time.perf_counter()
    for one in asked:
        if one.frame.session != walked:
            localizer.reset()
            walked = one.frame.session
        frame = replace(one.frame, pose=None)
        found.append(localizer.observe(frame, one.motion, descriptor=one.descriptor))
    return found, 1e3 * (time.perf_counter() - begin) / len(asked)


def judged(name: str, asked: Sequence[Asked], estimates: Sequence[pm.Estimate]) -> list[str]:
    """How many are located, and how many of these are right."""
    pairs = [(one, e) for one, e in zip(asked, estimates, strict=True) if e.verdict == "located"]
    right = sum(is_right(name, one.frame, e) for one, e in pairs)
    return [f"{len(pairs)} of {len(asked)}", f"{right} of {len(pairs)}"]


def is_right(name: str, frame: Frame, estimate: pm.Estimate) -> bool:
    """Whether the hypothesis is right."""
    belief = estimate.belief
    if belief is None or belief.best is None:
        return False
    positives = Traverses(name.split()[0]).positives
    if positives is None:
        pose = estimate.hypothesis
        assert frame.pose is not None
        return pose is not None and np.hypot(pose.x - frame.pose.x, pose.y - frame.pose.y) <= 2.0
    session, index = belief.best.place
    return NAMES[session, index] in positives[frame.name]


def compared(exact: Sequence[pm.Estimate], some: Sequence[pm.Estimate]) -> list[str]:
    """Shares of the frames that are answered alike."""
    pairs = list(zip(exact, some, strict=True))
    verdict = np.mean([a.verdict == b.verdict for a, b in pairs])
    both = [(a, b) for a, b in pairs if a.verdict == b.verdict == "located"]
    same = sum(close(a, b) for a, b in both)
    candidates = np.mean(
        [
            np.mean([c.place.id in {d.place.id for d in b.candidates} for c in a.candidates])
            for a, b in pairs
        ]
    )
    return [f"{100 * verdict:.1f} %", f"{same} of {len(both)}", f"{100 * candidates:.1f} %"]


def close(one: pm.Estimate, other: pm.Estimate) -> bool:
    """Whether two estimates mean the same place: within three places of one run, or 2 m."""
    assert one.belief is not None
    assert other.belief is not None
    a, b = one.belief.best, other.belief.best
    assert a is not None
    assert b is not None
    if a.position is not None and b.position is not None:
        return bool(np.hypot(a.position[0] - b.position[0], a.position[1] - b.position[1]) <= 2.0)
    return a.place[0] == b.place[0] and abs(a.place[1] - b.place[1]) <= 3


NAMES = {(frame.session, frame.index): frame.name for name in MAPS for frame in moved(name, "map")}

if __name__ == "__main__":
    main()
