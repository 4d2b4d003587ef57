"""Finished runs, as ``placememory localize`` wrote them, with their images."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

from placememory._io import read_json
from placememory.errors import InputError, PlaceMemoryError
from placememory.frames import Frame, Image, Levels, list_frames
from placememory.frames.pose import yaw_of
from placememory.localization.files import ESTIMATES, LINES, METRICS
from placememory.memory import read_image
from placememory.metrics import DEFAULT_RADIUS
from placememory.serve.faults import Refusal

_log = logging.getLogger(__name__)
_COLUMNS = ("name", "stamp", "verdict", "reason", "x", "y", "yaw", "hx", "hy", "probability",
            "tx", "ty", "error", "place", "similarity", "image")  # fmt: skip
RowOf = Callable[[str, int], int | None]


@dataclass(frozen=True)
class _Contents:
    """A run as it is on disk."""

    state: tuple[tuple[int, int], ...]  # size and time of the files
    starts: tuple[int, ...]  # of the lines
    columns: Mapping[str, list[Any]]
    places: tuple[tuple[str, int] | None, ...]  # the most similar one of each frame
    located: int
    radius: float
    source: str | None
    topic: str | None


class ServedRun:
    """A folder that ``placememory localize`` wrote; it is read again when it has changed.

    Args:
        name: Of the run.
        folder: With ``estimates.jsonl``, and ``estimates.csv`` and ``metrics.json`` where they are.
        images: Folder, video or bag; by default what ``metrics.json`` remembers.
        levels: Of the memory's deep images.

    Raises:
        InputError: The folder holds no run, or a damaged one.
    """

    def __init__(
        self, name: str, folder: Path, images: Path | None = None, levels: Levels | None = None
    ) -> None:
        self.name = name
        self._folder, self._given, self._levels = folder, images, levels
        self._lock = Lock()
        self._contents = self._read()

    def summary(self) -> dict[str, Any]:
        """Name and counts."""
        now = self._now()
        return {"name": self.name, "frames": len(now.starts), "located": now.located}

    def to_dict(self, row_of: RowOf) -> dict[str, Any]:
        """The run in columns, a value for each frame.

        Args:
            row_of: Finds the row of a place by its session and index.
        """
        now = self._now()
        places = [None if place is None else row_of(*place) for place in now.places]
        images = [name in self._frames for name in now.columns["name"]]
        return {
            "name": self.name,
            "frames": len(now.starts),
            "verdicts": dict(Counter(now.columns["verdict"])),
            "columns": {**now.columns, "place": places, "image": images},
            "radius": now.radius,
        }

    def frame(self, number: int) -> dict[str, Any]:
        """One estimate, with ``truth`` and ``error`` where they are known.

        Raises:
            Refusal: There is no such frame.
        """
        now = self._now()
        self._check(number, now)
        try:
            with (self._folder / LINES).open("rb") as file:
                file.seek(now.starts[number])
                values = json.loads(file.readline())
        except (OSError, ValueError) as error:
            raise Refusal(503, "run_unreadable", f"the run {self.name!r} has changed") from error
        x, y = now.columns["tx"][number], now.columns["ty"][number]
        truth = None if x is None or y is None else {"x": x, "y": y}
        return {**values, "truth": truth, "error": now.columns["error"][number]}

    def image(self, number: int) -> Image:
        """The image of a frame, (H, W, 3) uint8 RGB.

        Raises:
            Refusal: There is no such frame, or its image is not there.
        """
        now = self._now()
        self._check(number, now)
        frame = self._frames.get(now.columns["name"][number])
        image = None if frame is None else read_image(frame.with_levels(self._levels))
        if image is None:
            raise Refusal(
                404,
                "image_gone",
                f"the image of frame {number} is not where it was; name the place of the images "
                f"with --images {self.name}=FOLDER",
            )
        return image

    def _check(self, number: int, now: _Contents) -> None:
        if not 0 <= number < len(now.starts):
            raise Refusal(404, "no_such_frame", f"the run {self.name!r} has no frame {number}")

    @cached_property
    def _frames(self) -> Mapping[str, Frame]:
        """Frames with images by name: nothing that is not listed is served."""
        source = self._given or (self._contents.source and Path(self._contents.source))
        if not source:
            return {}
        try:
            frames = list_frames(source, topic=self._contents.topic, on_damage=lambda _: None)
        except PlaceMemoryError as error:
            _log.warning("the images of the run %r cannot be shown: %s", self.name, error)
            return {}
        return {frame.name: frame for frame in frames}

    def _now(self) -> _Contents:
        with self._lock:
            try:
                if _state_of(self._folder) != self._contents.state:
                    self._contents = self._read()
            except PlaceMemoryError as error:
                raise Refusal(503, "run_unreadable", str(error)) from error
            return self._contents

    def _read(self) -> _Contents:
        path = self._folder / LINES
        state = _state_of(self._folder)
        columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        starts, places, located = [], [], 0
        truths = iter(_read_truths(self._folder / ESTIMATES))
        try:
            with path.open("rb") as file:
                at = 0
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # it is being written
                    values = json.loads(line)
                    row, place = _row(values)
                    row |= dict(zip(("tx", "ty", "error"), next(truths, (None,) * 3), strict=True))
                    for name in columns:
                        columns[name].append(row.get(name))
                    located += values["verdict"] == "located"
                    starts.append(at)
                    places.append(place)
                    at += len(line)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror or error}); a run is a folder that "
                "placememory localize wrote"
            ) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: line {len(starts) + 1} is no estimate ({error})") from error
        facts = _read_facts(self._folder / METRICS)
        return _Contents(
            state, tuple(starts), columns, tuple(places), located, facts[0], facts[1], facts[2]
        )


def _row(values: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, int] | None]:
    """What the columns hold of an estimate, and its most similar place."""
    pose, guess = values["pose"] or {}, values["hypothesis"] or {}
    best = values["candidates"][0] if values["candidates"] else None
    row = {
        "name": str(values["name"]),
        "stamp": values["stamp"],
        "verdict": values["verdict"] or "alone",
        "reason": values["reason"],
        "x": pose.get("x"),
        "y": pose.get("y"),
        "yaw": yaw_of(pose["quaternion"]) if pose.get("quaternion") else None,
        "hx": guess.get("x"),
        "hy": guess.get("y"),
        "probability": values["probability"],
        "similarity": None if best is None else best["similarity"],
    }
    return row, None if best is None else (str(best["session"]), int(best["index"]))


def _read_truths(path: Path) -> list[tuple[float | None, float | None, float | None]]:
    """True x and y, and the error, of each frame; nothing where there is no such file."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            return [
                (_number(row, "true_x"), _number(row, "true_y"), _number(row, "error_m"))
                for row in csv.DictReader(file)
            ]
    except (OSError, csv.Error):
        return []


def _number(row: Mapping[str, str | None], name: str) -> float | None:
    try:
        value = float(row.get(name) or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read_facts(path: Path) -> tuple[float, str | None, str | None]:
    """Radius, source and topic; a run that was cut short has none."""
    try:
        values = read_json(path, InputError)
    except InputError:
        values = {}
    values = values if isinstance(values, dict) else {}
    radius, source, topic = (values.get(name) for name in ("radius", "source", "topic"))
    if not isinstance(radius, int | float) or not 0 < radius < math.inf:
        radius = DEFAULT_RADIUS
    return (
        float(radius),
        source if isinstance(source, str) else None,
        topic if isinstance(topic, str) else None,
    )


def _state_of(folder: Path) -> tuple[tuple[int, int], ...]:
    found = []
    for name in (LINES, ESTIMATES, METRICS):
        try:
            facts = (folder / name).stat()
        except OSError:
            continue
        found.append((facts.st_size, facts.st_mtime_ns))
    return tuple(found)
