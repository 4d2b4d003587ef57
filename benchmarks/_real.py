"""The real image sequences beside the checkout: frames and which places are right."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from placememory.frames import Frame, list_frames

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Sequence:
    """A mapping run, a query run, and the rule that says which places are right.

    Attributes:
        name: Of the set.
        reference: Frames of the mapping run.
        query: Frames of the query run.
        right: Whether a reference name is right for a query name.
        rule: The same in words.
    """

    name: str
    reference: list[Frame]
    query: list[Frame]
    right: Callable[[str, str], bool]
    rule: str


def corridor() -> Sequence:
    """One corridor, two walks, fisheye, 160x120."""
    folder = DATA / "corridor"
    with (folder / "gt.csv").open() as file:
        truth = {row["query"]: set(row["ref_ok"].split()) for row in csv.DictReader(file)}
    return Sequence(
        "corridor",
        list_frames(folder / "ref"),
        list_frames(folder / "query"),
        lambda query, place: place in truth[query],
        "within two frames",
    )


def loop() -> Sequence:
    """Two laps of an office loop; the first is the map."""
    folder = DATA / "rtabmap-loop"
    with (folder / "gt.csv").open() as file:
        rows = list(csv.DictReader(file))
    truth = {row["frame"]: set(row["earlier_frames_of_same_place"].split()) for row in rows}
    frames = list_frames(folder / "images")
    return Sequence(
        "rtabmap-loop",
        frames[:40],
        frames[40:],
        lambda query, place: place in truth[query],
        "a frame of the same place, in the list of the set",
    )


def tower(every: int) -> Sequence:
    """25 floors that look alike; right is the right floor."""
    folder = DATA / "ie-tower"
    with (folder / "dataset.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = {row["image_path"]: row["label"] for row in rows}
    split = {
        kind: [row["image_path"] for row in rows if row["split"] == kind][::every]
        for kind in ("gallery", "query")
    }
    return Sequence(
        "ie-tower",
        list_frames(folder, names=split["gallery"]),
        list_frames(folder, names=split["query"]),
        lambda query, place: labels[query] == labels[place],
        f"the right floor (every {every}. frame of gallery and query)",
    )
