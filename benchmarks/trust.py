"""How far "located" can be trusted: foreign places, standing robots, frame rates, kidnapping.

All with the defaults, verification included, without calibration.

    python benchmarks/prepare.py        # writes benchmarks/sets/
    python benchmarks/trust.py          # prints tables; --only standing,foreign,rates,kidnapped
    placememory evaluate benchmarks/trust.yaml

A frame of a foreign place that is located is wrong, whatever the answer. On the map, right is what
the sets list, or within 2 m.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from _tables import machine, markdown
from numpy.typing import NDArray
from prepare import SETS

import placememory as pm
from placememory.frames import Frame, Pose, read_poses
from placememory.fusion import Odometry
from placememory.geometry import Verifier
from placememory.localization import Localizer, Motions
from placememory.memory import images_of

Image = NDArray[np.uint8]
MAPS = ("corridor", "rtabmap-loop", "ie-tower", "building-0", "building-1")
STANDING = ("corridor", "rtabmap-loop", "building-0", "building-1")
HIDDEN = {"corridor": (0.4, 0.6), "rtabmap-loop": (0.4, 0.6), "building-0": (0.3, 0.45),
          "building-1": (0.3, 0.45), "building-dense": (0.3, 0.45)}  # fmt: skip
STILL = Odometry(0.0, 0.0, 0.0)
RADIUS = 2.0
PHOTOS = 25
SIGHT = 3.0  # grey levels of a camera's noise
CUTS = {"corridor": ((0, 40, 80, 111), (60, 100, 5, 40), (20, 50, 60, 90)),
        "rtabmap-loop": ((0, 18, 28, 44), (20, 40, 2, 18)),
        "building-0": ((10, 40, 80, 120), (70, 110, 20, 60), (0, 30, 60, 100)),
        "building-1": ((10, 40, 80, 120), (70, 110, 20, 60), (0, 30, 60, 100))}  # fmt: skip


@dataclass
class Traverses:
    """The map and the run of a set, and which of its places are right."""

    name: str

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The manifest."""
        with (SETS / self.name / "manifest.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def frames(self, traverse: str) -> list[Frame]:
        """Frames of a traverse, with poses where they are metric."""
        metric = self.name.startswith("building")
        chosen = [row for row in self.rows if row["traverse"] == traverse]
        return [
            Frame(
                row["image"],
                row["session"],
                int(row["frame"]),
                stamp=int(row["stamp"]) if row["stamp"] else None,
                pose=_pose(row) if metric else None,
                read=partial(pm.read_image, SETS / self.name / row["image"]),
            )
            for row in chosen
        ]

    @cached_property
    def positives(self) -> dict[str, set[str]] | None:
        """Names of right places, where they are listed."""
        path = SETS / self.name / "positives.csv"
        if not path.exists():
            return None
        with path.open(newline="") as file:
            return {row["query"]: set(row["places"].split()) for row in csv.DictReader(file)}

    def is_right(self, frame: Frame, estimate: pm.Estimate, places: Sequence[pm.Place]) -> bool:
        """Whether the hypothesis of an estimate is right."""
        belief = estimate.belief
        if belief is None or belief.best is None:
            return False
        if self.positives is not None:
            return places[belief.best.row].name in self.positives[frame.name]
        pose = estimate.hypothesis
        return pose is not None and frame.pose is not None and near(pose, frame.pose)

    def is_on_map(self, frame: Frame, places: Sequence[pm.Place]) -> bool:
        """Whether any place is right."""
        if self.positives is not None:
            return any(place.name in self.positives[frame.name] for place in places)
        poses = [place.pose for place in places if place.pose is not None]
        return any(frame.pose is not None and near(pose, frame.pose) for pose in poses)


def near(one: Pose, other: Pose) -> bool:
    """Within the radius on the ground."""
    return bool(np.hypot(one.x - other.x, one.y - other.y) <= RADIUS)


def _pose(row: dict[str, str]) -> Pose:
    return Pose.from_yaw(float(row["x"]), float(row["y"]), float(row["yaw"]))


def robot(frames: Sequence[Frame]) -> Localizer:
    """The default localizer on a map of these frames; images are compared as after any build."""
    memory = pm.build(":memory:", list(frames))
    verifier = Verifier(images_of(frames)) if Verifier.is_installed() else None
    return Localizer(memory, memory.encoder(), verify=verifier)


def standing(maps: Sequence[str]) -> Iterator[list[object]]:
    """Ever located in front of foreign photographs: with odometry, and without."""
    photos = [frame.image() for frame in spread(Traverses("ie-tower").frames("run"), PHOTOS)]
    for name in maps:
        localizer = robot(Traverses(name).frames("map"))
        kinds: dict[str, Callable[[Image], Iterator[tuple[Image, Odometry | None]]]] = {
            "30 s at 10 Hz, zero odometry, one image": lambda i: ((i, STILL) for _ in range(300)),
            "40 frames, no odometry, one image": lambda i: ((i, None) for _ in range(40)),
            "40 frames, zero odometry, noise": lambda i: ((noisy(i, n), STILL) for n in range(40)),
            "40 frames, no odometry, noise": lambda i: ((noisy(i, n), None) for n in range(40)),
        }
        for kind, stream in kinds.items():
            ever = 0
            for photo in photos:
                localizer.reset()
                located = False
                known = describe(localizer, photo) if "one image" in kind else None
                for n, (image, motion) in enumerate(stream(photo)):
                    frame = still(image, n)
                    estimate = localizer.observe(frame, motion, descriptor=known)
                    located |= estimate.verdict == "located"
                ever += located
            yield [name, kind, f"{ever} of {len(photos)}"]


def describe(localizer: Localizer, image: Image) -> NDArray[np.float32]:
    """The descriptor of an image that is shown many times."""
    return localizer.memory.encoder().encode([image])[0]


def still(image: Image, n: int) -> Frame:
    """A frame at 10 Hz."""
    return Frame(f"{n}", "still", n, stamp=n * 100_000_000, read=lambda: image)


def noisy(image: Image, seed: int) -> Image:
    """The image with the noise and the flicker of a camera."""
    rng = np.random.default_rng(seed)
    values = image * rng.uniform(0.95, 1.05) + rng.normal(0.0, SIGHT, image.shape)
    return np.clip(values, 0, 255).astype(np.uint8)


def foreign(maps: Sequence[str], strides: Sequence[int]) -> Iterator[list[object]]:
    """Frames located of runs through other places."""
    kinds = {name: name.partition("-")[0] for name in maps}
    runs = {name: Traverses(name).frames("run")[:250] for name in maps if name != "building-1"}
    for name in maps:
        localizer = robot(Traverses(name).frames("map"))
        for other, frames in runs.items():
            if kinds[other] == kinds[name]:
                continue
            counts = []
            for stride in strides:
                localizer.reset()
                taken = frames[::stride]
                located = sum(e.verdict == "located" for e in walk(localizer, taken))
                counts.append(f"{located} of {len(taken)}")
            yield [name, other, *counts]


def walk(localizer: Localizer, frames: Sequence[Frame]) -> Iterator[pm.Estimate]:
    """Estimates of frames, from the start again where the walk changes."""
    walked = None
    for frame in frames:
        if frame.session != walked:
            localizer.reset()
            walked = frame.session
        yield localizer.observe(replace(frame, pose=None))


def rates(strides: Sequence[int]) -> Iterator[list[object]]:
    """On a map with a hole: located, right of those, and located in the hole or off the map."""
    for name, (low, high) in HIDDEN.items():
        data = Traverses(name)
        mapped = data.frames("map")
        kept = mapped[: round(low * len(mapped))] + mapped[round(high * len(mapped)) :]
        localizer = robot(kept)
        odometry = SETS / name / "odometry.tum"
        for with_odometry in (False, True) if odometry.exists() else (False,):
            for stride in strides:
                localizer.reset()
                motions = Motions(read_poses(odometry)) if with_odometry else None
                on = located = right = off = false = 0
                for frame in data.frames("run")[::stride]:
                    motion = None if motions is None else motions.since_last(frame)
                    estimate = localizer.observe(replace(frame, pose=None), motion)
                    yes = estimate.verdict == "located"
                    if data.is_on_map(frame, localizer.places):
                        on, located = on + 1, located + yes
                        right += yes and data.is_right(frame, estimate, localizer.places)
                    else:
                        off, false = off + 1, false + yes
                yield [name, "yes" if with_odometry else "no", stride, f"{located} of {on}",
                       f"{right} of {located}", f"{false} of {off}"]  # fmt: skip


def kidnapped() -> Iterator[list[object]]:
    """Frames on the map until a carried robot is located again, and wrong ones before."""
    for name, cuts in CUTS.items():
        data = Traverses(name)
        localizer, run = robot(data.frames("map")), data.frames("run")
        waits, wrong = [], 0
        for start, end, begin, last in cuts:
            localizer.reset()
            for frame in run[start:end]:
                localizer.observe(replace(frame, pose=None, stamp=None))
            seen = 0
            for frame in run[begin:last]:
                estimate = localizer.observe(replace(frame, pose=None, stamp=None))
                if not data.is_on_map(frame, localizer.places):
                    continue
                seen += 1
                if estimate.verdict != "located":
                    continue
                if data.is_right(frame, estimate, localizer.places):
                    waits.append(seen)
                    break
                wrong += 1
        yield [name, len(cuts), ", ".join(map(str, waits)), wrong]


def spread(frames: Sequence[Frame], count: int) -> list[Frame]:
    """Frames at an even spacing."""
    return [frames[int(i)] for i in np.linspace(0, len(frames) - 1, count)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="standing,foreign,rates,kidnapped")
    parts = parser.parse_args().only.split(",")
    print(machine(), "\n")
    tables = {
        "standing": (("map", "stream", "ever located"), lambda: standing(STANDING)),
        "foreign": (("map", "run", "every frame", "every 2nd", "every 4th"),
                    lambda: foreign(MAPS, (1, 2, 4))),
        "rates": (("map with a hole", "odometry", "every", "located on the map", "right",
                   "located off the map"), lambda: rates((1, 2, 4))),
        "kidnapped": (("map", "times", "frames until located", "wrong before"), kidnapped),
    }  # fmt: skip
    for part in parts:
        columns, make = tables[part]
        print(markdown(columns, list(make())), "\n", flush=True)


if __name__ == "__main__":
    main()
