"""The data audit: each fault is planted in a small data set, and found; honest sets have none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from placememory.datasets import open_dataset
from placememory.evaluation import DatasetConfig, Pair, audit_data
from tests.conftest import run_command
from tests.evaluation.made import robotcar

REAL = Path(__file__).resolve().parents[3] / "shared"
COUNT = 24
Row = dict[str, Any]


def _texture(place: int) -> np.ndarray:
    """A picture of a place: blocks of several sizes."""
    rng = np.random.default_rng(place)
    coarse, fine = rng.integers(0, 255, (6, 8, 3)), rng.integers(-60, 60, (24, 32, 3))
    picture = coarse.repeat(16, 0).repeat(16, 1) + fine.repeat(4, 0).repeat(4, 1)
    return picture.clip(0, 255).astype(np.uint8)


def _dataset(folder: Path, change: Callable[[Row], None] = lambda row: None) -> Path:
    """A drive on a curve, twice, 2 m a frame at 1 Hz; the second time from beside and darker.

    ``change`` may alter each row of the second drive.
    """
    lines = ["image,traverse,x,y,yaw,stamp"]
    for traverse, begin in (("map", 0), ("run", 86_400)):
        for i in range(COUNT):
            angle = i / 8.0
            row: Row = {
                "picture": _texture(i), "x": 16 * math.sin(angle), "y": 16 * (1 - math.cos(angle)),
                "yaw": angle, "stamp": begin + i, "suffix": "png",
            }  # fmt: skip
            if traverse == "run":
                row["picture"] = (0.7 * np.roll(row["picture"], 9, axis=1) + 40).astype(np.uint8)
                row["place"] = i
                change(row)
            name = f"{traverse}/{i:03d}.{row['suffix']}"
            (folder / traverse).mkdir(parents=True, exist_ok=True)
            Image.fromarray(row["picture"]).save(folder / name)
            cells = [name, traverse, row["x"], row["y"], row["yaw"], f"{row['stamp']:.1f}"]
            lines.append(",".join(map(str, cells)))
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def _found(folder: Path, **options: Any) -> dict[str, list[Any]]:
    config = DatasetConfig(root=folder, pairs="all", **options)
    found: dict[str, list[Any]] = {}
    for finding in audit_data(config).findings:
        found.setdefault(finding.check, []).append(finding)
    return found


def test_an_honest_set_has_no_findings(tmp_path: Path) -> None:
    assert _found(_dataset(tmp_path)) == {}
    shown = run_command("datasets", "check", tmp_path)
    assert "nothing is wrong; 0 notes" in shown.err


def test_a_photograph_on_both_sides_is_found_although_it_was_saved_again(tmp_path: Path) -> None:
    def copy(row: Row) -> None:
        if row["place"] in (3, 4):
            half = Image.fromarray(_texture(row["place"])).resize((64, 48))
            row["picture"], row["suffix"] = np.asarray(half), "jpg"

    [finding] = _found(_dataset(tmp_path, copy))["duplicates"]
    assert finding.wrong
    assert "2 of 24 query images" in finding.text
    assert finding.examples == ("run/003.jpg = map/003.png", "run/004.jpg = map/004.png")
    shown = run_command("datasets", "check", tmp_path, expect=1)
    assert "WRONG  duplicates" in shown.out
    assert _ignores_images(tmp_path) == {}


def _ignores_images(folder: Path) -> dict[str, Any]:
    config = DatasetConfig(root=folder, pairs=(Pair(reference="map", query="run"),))
    return {f.check: f for f in audit_data(config, images=0).findings}


def test_queries_without_a_positive_are_a_fact_or_a_fault(tmp_path: Path) -> None:
    def leave(row: Row) -> None:
        row["y"] -= 30.0 * (row["place"] < 5)

    [finding] = _found(_dataset(tmp_path / "few", leave))["positives"]
    assert not finding.wrong
    assert "5 of 24 queries have no positive" in finding.text

    def far(row: Row) -> None:
        row["y"] -= 500.0

    [finding] = _found(_dataset(tmp_path / "all", far))["positives"]
    assert finding.wrong
    assert "24 of 24" in finding.text


def test_a_direction_that_the_map_lacks(tmp_path: Path) -> None:
    def turn(row: Row) -> None:
        row["yaw"] += math.pi * (row["place"] < 6)

    [finding] = _found(_dataset(tmp_path, turn))["headings"]
    assert "6 of 24 queries" in finding.text
    assert not finding.wrong

    def turn_all(row: Row) -> None:
        row["yaw"] += math.pi

    assert _found(_dataset(tmp_path / "all", turn_all))["headings"][0].wrong


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row.update(x=120 + row["x"] * 1e-5, y=30 + row["y"] * 1e-5), "like degrees"),
        (lambda row: row.update(x=row["x"] * 1e-4, y=row["y"] * 1e-4), "another unit"),
        (lambda row: row.update(x=row["x"] * 1000, y=row["y"] * 1000), "millimetres"),
        (lambda row: row.update(yaw=math.degrees(row["yaw"]) * 25), "read as radians"),
        (lambda row: row.update(yaw=1.0 - row["yaw"]), "clockwise"),
    ],
    ids=["degrees", "kilometres", "millimetres", "yaw-degrees", "clockwise"],
)
def test_wrong_units(tmp_path: Path, change: Callable[[Row], None], words: str) -> None:
    found = _found(_dataset(tmp_path, change))["units"]
    assert any(words in finding.text for finding in found), found
    assert all(finding.wrong and finding.where == "run" for finding in found)


def test_two_runs_that_are_not_in_one_frame(tmp_path: Path) -> None:
    def move(row: Row) -> None:
        turned = complex(row["x"], row["y"]) * np.exp(0.7j)
        row.update(x=turned.real + 4.0, y=turned.imag - 6.0, yaw=row["yaw"] + 0.7)

    [finding] = _found(_dataset(tmp_path, move))["frame"]
    assert finding.wrong
    assert "a rotation by -40.1 degrees" in finding.text


def test_a_configuration_is_checked_and_a_list_of_positives_believed(tmp_path: Path) -> None:
    _dataset(tmp_path / "data", lambda row: row.update(x="", y="", yaw=""))
    lines = [f"run/{i:03d}.png,map/{i:03d}.png" for i in range(COUNT)]
    (tmp_path / "data/gt.csv").write_text("query,places\n" + "\n".join(lines) + "\n")
    config = {
        "name": "listed", "systems": [{"encoder": "lite-vlad"}],
        "datasets": {"town": {"root": "data", "pairs": [{"reference": "map", "query": "run"}]}},
    }  # fmt: skip
    path = tmp_path / "town.yaml"
    path.write_text(yaml.safe_dump(config))
    shown = run_command("datasets", "check", path, "--json", expect=1)
    [finding] = json.loads(shown.out)["town"]["findings"]
    assert "no query has a known position" in finding["text"]
    config["datasets"]["town"]["positives"] = {"file": "gt.csv"}
    path.write_text(yaml.safe_dump(config))
    shown = run_command("datasets", "check", path, "--json")
    assert json.loads(shown.out)["town"]["findings"] == []


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    _dataset(tmp_path)
    (tmp_path / "run/005.png").write_bytes(b"no image")
    [finding] = _found(tmp_path)["images"]
    assert finding.wrong
    assert finding.examples == ("run/005.png",)


def test_pairs_are_found_by_the_names_of_splits(tmp_path: Path) -> None:
    robotcar(tmp_path, places=3, queries=3)
    [(query, reference)] = open_dataset("robotcar", tmp_path).pairs()
    assert reference.endswith("database")
    assert query.endswith("queries")


def test_a_layout_is_still_shown_by_its_name() -> None:
    assert "msls" in run_command("datasets").out
    assert "train_val" in run_command("datasets", "msls").out
    assert json.loads(run_command("datasets", "msls", "--json").out)[0]["name"] == "msls"
    run_command("datasets", "mslz", expect=2)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared is not beside the checkout")
def test_degrees_in_names_are_metres_by_then_and_one_frame(tmp_path: Path) -> None:
    case = REAL / "cases/13-latlon-as-metres"
    root = tmp_path / "test"
    root.mkdir()
    (root / "database").symlink_to(case / "db")
    (root / "queries").symlink_to(case / "q")
    checks = {finding.check for rows in _found(tmp_path).values() for finding in rows}
    assert "units" not in checks
    assert "frame" in checks  # the queries stand in the reversed order
