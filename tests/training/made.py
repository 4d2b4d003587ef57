"""A made-up world that is quick to train on: coloured stripes, seen in several lights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from placememory.datasets import Traverse
from placememory.frames import Frame, Pose
from placememory.training import Training
from placememory.training.config import Data, parse_training
from placememory.training.data import Part, TrainingSet, join_parts
from placememory.training.run import read_log

STEP = 2.0  # metres between frames


def world(folder: Path, *, places: int = 24, traverses: int = 3, seed: int = 0) -> Path:
    """A manifest of traverses along one line; images 64 x 48."""
    folder.mkdir(parents=True, exist_ok=True)
    looks = np.random.default_rng(seed).integers(0, 255, (places, 6, 8, 3))
    lines = ["image,traverse,x,y,yaw,frame"]
    for run in range(traverses):
        draw = np.random.default_rng((seed, run))
        light = 0.5 + 0.5 * run / traverses
        for place in range(places):
            noisy = light * looks[place] + draw.normal(0, 12, looks[place].shape)
            image = np.clip(noisy, 0, 255).astype(np.uint8).repeat(8, 0).repeat(8, 1)
            name = f"{run}_{place:03d}.png"
            Image.fromarray(image).save(folder / name)
            lines.append(f"{name},t{run},{STEP * place},0,0,{place}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def training(folder: Path, **changes: Any) -> Training:
    """A quick training on a made-up world; sections are changed field by field."""
    values: dict[str, Any] = {
        "name": "made",
        "output": str(folder / "runs"),
        "encoder": {"name": "cosplace", "weights": "random", "options": {"dim": 32}},
        "data": {
            "train": [{"root": str(world(folder / "train"))}],
            "validation": [{"root": str(world(folder / "validation", seed=1))}],
            "positive_radius": 1.0,
            "negative_radius": 3.0,
            "validation_radius": 1.0,
        },
        "mining": {"places": 4, "views": 2},
        "optimization": {"epochs": 2, "steps_per_epoch": 3, "lr": 1e-3},
        "running": {"tensorboard": False},
    }
    for section, fields in changes.items():
        values[section] = (
            {**values.get(section, {}), **fields} if isinstance(fields, dict) else fields
        )
    return parse_training(values, folder / "made.yaml")


def line_set(
    positions: list[list[tuple[float, float, float]]],
    *,
    length: int = 1,
    worlds: list[int] | None = None,
) -> TrainingSet:
    """Traverses without images: x, y and yaw of each frame; all ask and all are searched."""
    parts: dict[int, list[Traverse]] = {}
    for number, rows in enumerate(positions):
        frames = tuple(
            Frame(f"{number}/{i}.png", f"t{number}", i, pose=Pose.from_yaw(x, y, yaw))
            for i, (x, y, yaw) in enumerate(rows)
        )
        places = np.array([row[:2] for row in rows])
        traverse = Traverse(f"t{number}", frames, places, "m", np.arange(len(rows)))
        parts.setdefault(0 if worlds is None else worlds[number], []).append(traverse)
    found = [Part(tuple(traverses), tuple(traverses), same=True) for traverses in parts.values()]
    return join_parts(found, data(length=length))


def data(**fields: Any) -> Data:
    """Settings of data, whose files are not looked at."""
    return Data(train=({"root": "train"},), validation=({"root": "validation"},), **fields)


def losses(folder: Path) -> list[dict[str, Any]]:
    """Lines of a run's log, without the time that they took."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(folder)]
