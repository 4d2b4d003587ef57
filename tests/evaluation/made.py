"""Small data sets on disk for the tests of evaluations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, seed: int, size: tuple[int, int] = (24, 32)) -> None:
    """An image of random blocks; the same seed gives the same image."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)).save(path)


def robotcar(root: Path, *, places: int, queries: int, first: int = 0) -> Path:
    """A scene ``1`` with ``database`` and ``queries``, two metres a frame; queries see the same."""
    for split, start, count in (("database", 0, places), ("queries", first, queries)):
        for i in range(count):
            place = start + i
            name = f"@{2.0 * place:.1f}@{0.0:.1f}@day@{i}@{1000 + i}@.png"
            write_image(root / "1" / split / name, seed=place)
    return root


def manifest(root: Path, *, places: int, queries: int, first: int = 0) -> Path:
    """A CSV manifest of the same: traverses ``map`` and ``run``."""
    lines = ["image,traverse,x,y"]
    for traverse, start, count in (("map", 0, places), ("run", first, queries)):
        for i in range(count):
            place = start + i
            write_image(root / f"{traverse}/{i:04d}.png", seed=place)
            lines.append(f"{traverse}/{i:04d}.png,{traverse},{2.0 * place},0")
    path = root / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
