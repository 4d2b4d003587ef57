"""A made-up world that is quick to train on: coloured stripes, seen in several lights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from placememory.training import Training
from placememory.training._config import checked

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
    return checked(values, folder / "made.yaml")
