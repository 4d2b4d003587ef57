"""Runs of the localizer over a set, with descriptors and checks kept between runs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _localization_sets import Scene
from numpy.typing import NDArray

from placememory import Localizer, PlaceMemory, create_encoder
from placememory.encoders import Encoder, from_card
from placememory.frames import Frame, Image, Pose
from placememory.fusion import Evidence
from placememory.geometry import Policy, Verification, Verified, Verifier, rerank
from placememory.memory import Candidate, images_of
from placememory.memory.build import build

SINGLE = 4.0
"""Spreads of similarity above the bulk from which a frame alone is believed."""

_TOP = 20


@dataclass(frozen=True)
class Answer:
    """What a method says of a frame: row of the best place, -1 for none."""

    row: int
    position: tuple[float, ...] | None
    located: bool
    probability: float


class Run:
    """The runs of all methods over one set.

    Args:
        scene: The set.
        folder: Keeps the memory, the descriptors of queries, and what checks found.
    """

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene = scene
        self._folder = folder / scene.name.replace(", odometry", "").replace(" ", "-")
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "built").exists():
            build(self._folder / "memory", scene.mapping, create_encoder("lite-vlad"))
            (self._folder / "built").touch()
        with PlaceMemory.open(self._folder / "memory", readonly=True) as memory:
            self._encoder = KeptEncoder(from_card(memory.card), self._folder / "descriptors.npz")
        if scene.line and not (self._folder / "line").exists():
            build(self._folder / "line", _on_line(scene.mapping), self._encoder)
        policy = Policy(top=_TOP)
        self._verifier = KeptVerifier(scene.mapping, policy, self._folder / "checks.json")

    def close(self) -> None:
        """Keep what was computed."""
        self._encoder.save()
        self._verifier.save()

    def answers(self, method: str, *, verify: bool) -> tuple[list[Answer], float]:
        """An answer for each query, and milliseconds of verification a frame."""
        self._verifier.spent = 0.0
        on_line = self._scene.line and method in ("spatial", "heatmap")
        with PlaceMemory.open(
            self._folder / ("line" if on_line else "memory"), readonly=True
        ) as memory:
            if method == "single frame":
                found = self._alone(memory, verify)
            else:
                found = self._fused(memory, method, verify)
        return found, self._verifier.spent / len(found)

    def _fused(self, memory: PlaceMemory, method: str, verify: bool) -> list[Answer]:
        localizer = Localizer(
            memory,
            self._encoder,
            fusion=method,
            verify=self._verifier if verify else None,
            k=_TOP,
        )
        answers, scene = [], self._scene
        for at, frame in enumerate(scene.query):
            if at and scene.walks[at] != scene.walks[at - 1]:
                localizer.reset()
            belief = localizer.observe(frame, scene.odometry[at]).belief
            assert belief is not None
            row = belief.best.row if belief.best else -1
            located = belief.verdict == "located"
            answers.append(Answer(row, belief.position, located, belief.probability))
        return answers

    def _alone(self, memory: PlaceMemory, verify: bool) -> list[Answer]:
        """The best candidate of each frame, by similarity or by inliers."""
        localizer = Localizer(memory, self._encoder, fusion=None, k=_TOP)
        rows = {place.id: row for row, place in enumerate(memory.places)}
        answers = []
        for frame in self._scene.query:
            candidates = localizer.observe(frame).candidates
            best = candidates[0]
            if verify:
                best = self._verifier.check(frame.image(), candidates).candidates[0].candidate
            seen = Evidence.from_column(
                memory.descriptors @ self._encoder.encode([frame.image()])[0]
            )
            z = float(seen.normalised(np.array([best.similarity]))[0])
            position = None if best.place.pose is None else tuple(best.place.pose.position)
            chance = 1.0 / (1.0 + math.exp(min(700.0, SINGLE - z)))
            answers.append(Answer(rows[best.place.id], position, z >= SINGLE, chance))
        return answers


class KeptEncoder(Encoder):
    """An encoder that describes each image once."""

    def __init__(self, encoder: Encoder, path: Path) -> None:
        self.card = encoder.card
        self._encoder, self._path = encoder, path
        self._kept: dict[str, NDArray[np.float32]] = {}
        if path.exists():
            with np.load(path) as arrays:
                self._kept = dict(zip(arrays["keys"].tolist(), arrays["rows"], strict=True))

    def encode(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Descriptors, of images seen before those of then."""
        keys = [_key(image) for image in images]
        for key, image in zip(keys, images, strict=True):
            if key not in self._kept:
                self._kept[key] = self._encoder.encode([image])[0]
        return np.stack([self._kept[key] for key in keys])

    def save(self) -> None:
        """Write what is known."""
        np.savez(
            self._path, keys=np.array(list(self._kept)), rows=np.stack(list(self._kept.values()))
        )


class KeptVerifier(Verifier):
    """A verifier that checks each query once; the features of places are at hand before it does.

    Attributes:
        spent: Milliseconds of all checks since it was set, those of then where kept.
    """

    def __init__(self, mapping: list[Frame], policy: Policy, path: Path) -> None:
        super().__init__(images_of(mapping), policy=policy, kept=500)
        self.spent = 0.0
        self._path = path
        self._found: dict[str, Mapping[str, Any]] = {}
        if path.exists():
            self._found = json.loads(path.read_text())

    def check(
        self, query: Image, candidates: Sequence[Candidate], count: int | None = None
    ) -> Verification:
        """The check of then, or a new one."""
        key = _key(query)
        if key not in self._found:
            super().check(np.zeros_like(query), candidates)
            found = super().check(query, candidates)
            pairs = {
                row.candidate.place.name: (row.matches, row.inliers) for row in found.candidates
            }
            self._found[key] = {"ms": found.milliseconds, "pairs": pairs}
        kept = self._found[key]
        due = self.policy.top if count is None else count
        self.spent += kept["ms"]
        rows = [
            Verified(c, *kept["pairs"][c.place.name]) if at < due else Verified(c, unchecked="rank")
            for at, c in enumerate(candidates)
        ]
        return Verification(tuple(rerank(rows, self.policy.min_inliers)), len(rows), kept["ms"])

    def save(self) -> None:
        """Write what is known."""
        self._path.write_text(json.dumps(self._found))


def _on_line(frames: list[Frame]) -> list[Frame]:
    """Frames one metre apart on a line, by their index."""
    return [replace(frame, pose=Pose(float(frame.index), 0.0, 0.0)) for frame in frames]


def _key(image: Image) -> str:
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=12).hexdigest()
