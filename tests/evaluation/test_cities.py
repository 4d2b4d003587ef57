"""Several cities of a data set: found by name, scored one by one, and together with intervals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

import placememory as pm
from placememory.encoders import EncoderCard, Preprocess
from placememory.evaluation import finished_runs, pool_runs
from placememory.metrics import block_bootstrap, bootstrap_groups
from tests.conftest import run_command
from tests.evaluation.made import write_image


class Pixels:
    """Pixels as a descriptor: the same image is found again."""

    card = EncoderCard(name="cities-pixels", dim=36, preprocess=Preprocess(longest=32))

    def encode(self, images):
        rows = np.stack([image[4::8, 4::8].reshape(-1) for image in images]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _side(folder: Path, seeds: list[int], first: int) -> None:
    """A drive along x, 50 m a frame; its images show the places ``seeds``."""
    tables = {
        "postprocessed": [",key,easting,northing"],
        "seq_info": [",key,sequence_key,frame_number"],
        "raw": [",key,ca,pano"],
    }
    for i, seed in enumerate(seeds):
        key = f"{folder.name[0]}{first + i}"
        write_image(folder / "images" / f"{key}.jpg", seed)
        tables["postprocessed"].append(f"{i},{key},{50.0 * (first + i)},0")
        tables["seq_info"].append(f"{i},{key},s,{i}")
        tables["raw"].append(f"{i},{key},90,False")
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """Two test cities: of the 12 queries of the one all are found, of the 4 of the other one."""
    pm.register_encoder("cities-pixels", Pixels)
    folder = tmp_path_factory.mktemp("msls")
    for city, seeds in (("athens", list(range(12))), ("bengaluru", [3, 2, 0, 1])):
        _side(folder / "data/test" / city / "database", list(range(14)), 0)
        _side(folder / "data/test" / city / "query", seeds, 0)
    config = {
        "name": "msls", "output": "runs", "cache": "cache",
        "datasets": {"msls": {"root": "data", "radius": 25, "pairs": "all"}},
        "systems": [{"encoder": "cities-pixels"}],
    }  # fmt: skip
    path = folder / "msls.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_each_city_is_scored_and_all_are_pooled(ran: Path) -> None:
    shown = run_command("evaluate", ran, "--no-figures", "--json")
    runs = {run["pair"]["query"]: run for run in json.loads(shown.out)}
    assert set(runs) == {"athens/query", "bengaluru/query"}
    assert runs["athens/query"]["recall_at_1"]["value"] == 1.0
    assert runs["bengaluru/query"]["recall_at_1"]["value"] == 0.0
    [pooled] = pool_runs(finished_runs(ran.parent / "runs"))
    assert (pooled.pairs, pooled.recalls[1].count) == (2, 16)
    assert pooled.recalls[1].value == 12 / 16
    assert pooled.mean_of_pairs.value == 0.5
    assert pooled.lowest == ("bengaluru/query", 0.0)
    assert pooled.recalls[10].value > pooled.recalls[1].value
    shown = run_command("results", ran.parent / "runs")
    assert "75.0 % [75.0, 75.0]" in " ".join(shown.out.split())  # nothing varies within a city
    assert "all pairs of a data set together" in shown.err


def test_answers_with_rotations_are_within_poses(ran: Path) -> None:
    shown = run_command("results", ran.parent / "runs")
    assert "0.25 m, 2 deg" in " ".join(shown.out.split())
    run = next(r for r in finished_runs(ran.parent / "runs") if "athens" in r.question[2])
    assert run.within_poses() == dict.fromkeys(
        ("within 0.25 m, 2 deg", "within 0.5 m, 5 deg", "within 5 m, 10 deg"), 1.0
    )
    assert run.to_dict()["within 5 m, 10 deg"] == 1.0


def test_blocks_are_drawn_within_each_group() -> None:
    rng = np.random.default_rng(0)
    groups = [np.float64(rng.random(60) < share) for share in (0.9, 0.2)]
    found, alone = bootstrap_groups(groups), block_bootstrap(np.concatenate(groups))
    assert found.value == alone.value
    assert found.high - found.low < alone.high - alone.low  # how many of each is no chance
    assert math.isnan(bootstrap_groups([]).value)
    one = bootstrap_groups([groups[0], np.empty(0)])
    assert (one.value, one.count) == (groups[0].mean(), 60)
