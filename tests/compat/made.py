"""CaseVPR's data in its real layouts, small, and its own configurations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from placememory.compat.casevpr import NAMES
from placememory.encoders import EncoderCard, create, register_encoder
from tests.conftest import SHARED
from tests.evaluation.made import robotcar, write_image

CONFIGS = SHARED / "cases/casevpr-configs"
NTU = ("nyl_night1103_day1114", "src_night230622_day210622")
SEASONS = ("spring", "summer", "fall", "winter")
FOLDERS = {"oxford": "oxford_robotcar", "oxford_v": "oxford_robotcar_v", "rosimg": "img_ntu"}


def casevpr_data(root: Path, *, places: int = 12, queries: int = 8) -> dict[str, dict[str, str]]:
    """All four data sets; gives ``datasets`` of a file of paths."""
    for name, scenes in (("oxford", ("1", "2", "train")), ("oxford_v", ("1",)), ("rosimg", NTU)):
        for i, scene in enumerate(scenes):
            many = max(40, places) if scene == "train" else places
            made = robotcar(root / "made", places=many, queries=queries, first=i)
            shutil.move(made / "1", root / FOLDERS[name] / scene)
    for season, name in enumerate(SEASONS):
        for i in range(places):
            write_image(root / f"nordland/test_{name}/{i}.png", seed=i + 100 * (season > 1))
        (root / f"nordland/gt_test_{name}.json").write_text(json.dumps(list(range(places))))
    found = {name: {"root": str(root / folder)} for name, folder in FOLDERS.items()}
    return {**found, "nordland": {"root": str(root / "nordland")}}


class Blocks:
    """The colours of the blocks that made images consist of."""

    card = EncoderCard(name="blocks", dim=36)

    def encode(self, images: Sequence[Any]) -> Any:
        rows = np.stack([image[::8, ::8].ravel() for image in images]).astype(np.float32) + 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def small_models() -> dict[str, dict[str, Any]]:
    """An encoder that is quick on a processor in place of each of theirs."""
    register_encoder("blocks", Blocks)
    frame = {"encoder": "blocks"}
    window = {"encoder": "lite-seq", "file": "random", "options": {"words": 4, "dim": 8}}
    return {
        name: frame if found.role == "frame" else window
        for name, found in NAMES.items()
        if name != "none"
    }


def write_paths(path: Path, **fields: Any) -> Path:
    path.write_text(yaml.safe_dump(fields))
    return path


def write_ep(folder: Path, seed: int) -> None:
    """Made weights of ``ep`` in its real layout."""
    import torch

    torch.manual_seed(seed)
    state = create("eigenplaces", "random").module.state_dict()
    theirs = {
        key.replace("backbone.", "encoder.").replace("aggregation.", "pool.layers."): value
        for key, value in state.items()
    }
    theirs["pool.layers.3.weight"] = torch.randn_like(theirs["pool.layers.3.weight"])
    (folder / "models").mkdir(exist_ok=True)
    torch.save({"state_dict": theirs}, folder / "models/r18gemrbc.pth")
