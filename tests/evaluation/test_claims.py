"""Results files: what is recorded holds, and whatever is changed afterwards is found out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import placememory as pm
from placememory.encoders import EncoderCard, Preprocess
from placememory.evaluation.claims import read_claims
from tests.conftest import run_command
from tests.evaluation.made import manifest, write_image


class Pixels:
    """Pixels as a descriptor."""

    card = EncoderCard(name="claims-pixels", dim=36, preprocess=Preprocess(longest=32))

    def encode(self, images):
        rows = np.stack([image[4::8, 4::8].reshape(-1) for image in images]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def claimed(tmp_path: Path) -> Path:
    """A results file of two systems, one of them with a matcher and a variant."""
    pm.register_encoder("claims-pixels", Pixels)
    manifest(tmp_path / "data", places=16, queries=8, first=10)
    config = {
        "name": "claims", "output": "runs", "cache": "cache",
        "datasets": {"town": {"root": "data/manifest.csv", "radius": 1.0,
                              "pairs": [{"reference": "map", "query": "run"}]}},
        "systems": [{"encoder": "claims-pixels"},
                    {"encoder": "claims-pixels", "matcher": "seqslam"}],
        "settings": {"window": 3}, "variants": {"short": {"window": 2}},
    }  # fmt: skip
    (tmp_path / "town.yaml").write_text(yaml.safe_dump(config))
    run_command("evaluate", tmp_path / "town.yaml", "--no-figures")
    path = tmp_path / "results.json"
    run_command("results", "record", tmp_path / "runs", "--out", path)
    return path


def _verify(path: Path, *options: str, expect: int = 0) -> list[dict]:
    return json.loads(run_command("results", "verify", path, "--json", *options, expect=expect).out)


def test_what_was_recorded_holds_here_and_on_a_copy_of_the_data(claimed: Path) -> None:
    runs = read_claims(claimed)
    assert len(runs) == 2
    assert runs[0]["command"].endswith("town.yaml --no-figures")
    assert len(runs[0]["code"]["sha256"]) == len(runs[0]["descriptors"]["map"]) == 64
    for one in _verify(claimed):
        assert one["holds"]
        assert one["code"]
        assert one["descriptors"]
    shown = run_command("results", "verify", claimed)
    assert "2 of 2 runs hold" in shown.err

    moved = claimed.parent / "elsewhere"
    shutil.copytree(claimed.parent / "data", moved)
    shutil.rmtree(claimed.parent / "data")
    assert "there is no such folder" in _verify(claimed, expect=1)[0]["error"]
    assert all(one["holds"] for one in _verify(claimed, "--root", f"town={moved / 'manifest.csv'}"))


def test_a_number_that_was_changed_does_not_hold(claimed: Path) -> None:
    facts = json.loads(claimed.read_text())
    facts["runs"][0]["numbers"]["recall@1"] -= 0.01
    claimed.write_text(json.dumps(facts))
    first, second = _verify(claimed, expect=1)
    assert [name for name, _, _ in first["differences"]] == ["recall@1"]
    assert second["holds"]
    assert all(one["holds"] for one in _verify(claimed, "--tolerance", "0.02"))
    assert all(one["holds"] for one in _verify(claimed, "--hashes"))  # which looks at no number


def test_an_image_that_was_changed_is_found_although_the_numbers_are_the_same(
    claimed: Path,
) -> None:
    write_image(claimed.parent / "data/map/0000.png", seed=999)
    for one in _verify(claimed, expect=1):
        assert not one["data"]
        assert one["descriptors"] is None
    again = run_command("results", "record", claimed.parent / "runs", expect=2)
    assert "have changed since" in again.err


def test_other_code_is_said_and_no_reason(claimed: Path) -> None:
    facts = json.loads(claimed.read_text())
    facts["runs"][0]["code"]["sha256"] = "0" * 64
    claimed.write_text(json.dumps(facts))
    first, _ = _verify(claimed)
    assert first["holds"]
    assert not first["code"]


def test_weights_are_compared(claimed: Path) -> None:
    facts = json.loads(claimed.read_text())
    facts["runs"][0]["weights"] = [{"encoder": "claims-pixels", "file": "w", "sha256": "0" * 64}]
    claimed.write_text(json.dumps(facts))
    first, _ = _verify(claimed, expect=1)
    assert not first["weights"]


def test_what_is_no_results_file(claimed: Path) -> None:
    claimed.write_text("{}")
    assert "no results file" in run_command("results", "verify", claimed, expect=2).err
    shown = run_command("results", "verify", claimed, "--root", "town", expect=2)
    assert "NAME=PATH" in shown.err


def test_finished_runs_are_still_shown_without_the_word(claimed: Path) -> None:
    folder = claimed.parent / "runs"
    assert run_command("results", folder).out == run_command("results", "show", folder).out
    assert len(json.loads(run_command("results", "--json", folder).out)) == 2
