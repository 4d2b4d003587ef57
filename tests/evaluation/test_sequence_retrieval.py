"""Sequence encoders alone: windows, variants, PCA, predictions and the page of failures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from placememory.datasets import open_dataset
from placememory.evaluation.windows import (
    describe_windows,
    read_windows,
    reduce_to,
    windows_of,
)
from placememory.memory.search import nearest
from tests.conftest import run_command
from tests.evaluation.made import manifest, robotcar

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")

from placememory import encoders  # noqa: E402


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder, and the runs of two models in three variants; two queries of nine are off the map."""
    folder = tmp_path_factory.mktemp("windows")
    manifest(folder / "data", places=20, queries=9, first=13)
    config = {
        "name": "windows", "output": "runs", "cache": "cache",
        "datasets": {
            "town": {
                "root": "data/manifest.csv", "radius": 1.0,
                "pairs": [{"reference": "map", "query": "run"}],
            }
        },
        "models": {
            "jist": {"encoder": "jist", "weights": "random"},
            "pooled": {
                "encoder": "cosplace", "weights": "random", "options": {"dim": 32}, "pca": 8,
            },
        },
        "settings": {"length": 3},
        "variants": {"": {}, "backwards": {"reverse": True}, "cut": {"cut_last_frame": True}},
    }  # fmt: skip
    path = folder / "windows.yaml"
    path.write_text(yaml.safe_dump(config))
    found = json.loads(run_command("evaluate-sequences", path, "--json").out)
    return path, {run["title"]: run for run in found}


def test_every_model_runs_in_every_variant(ran) -> None:
    _, runs = ran
    assert len(runs) == 6
    plain = runs["town: run on map: jist/windows"]
    assert plain["windows"] == 7
    assert plain["database_windows"] == 18
    assert runs["town: run on map: jist/windows (cut)"]["windows"] == 6
    for name in ("jist", "pooled"):
        found = runs[f"town: run on map: {name}/windows"]["strategies"]
        assert found["lax"]["queries"] == 7
        last = found["last-frame"]
        assert last["recall@1"]["value"] == 1.0  # the same images on both sides
        assert (last["counted"], last["without_match"]) == (5, 2)
    # a mean knows no direction: driven backwards, windows of the same frames are found again
    backwards = runs["town: run on map: jist/windows (backwards)"]["strategies"]
    assert backwards["lax"]["recall@1"]["value"] >= 5 / 7


def test_the_files_of_a_run(ran) -> None:
    folder = Path(ran[1]["town: run on map: jist/windows"]["folder"])
    names = {path.name for path in folder.iterdir()}
    assert names == {"run.json", "metrics.json", "predictions.json", "failures.html"}
    rows = json.loads((folder / "predictions.json").read_text())
    assert len(rows) == 7
    assert rows[0] == [
        [f"run/{i:04d}.png" for i in range(3)],
        [f"map/{13 + i:04d}.png" for i in range(3)],
        True,
    ]
    page = (folder / "failures.html").read_text()
    assert page.count('<section class="card">') == 7
    right = sum(row[2] for row in rows)
    assert f"{7 - right} wrong, 0 without a correct window, {right} correct" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_rerun_does_nothing_again(ran, monkeypatch) -> None:
    path, runs = ran
    monkeypatch.setattr(encoders, "create", lambda *_, **__: pytest.fail("made again"))
    again = json.loads(run_command("evaluate-sequences", path, "--json").out)
    assert {run["title"]: run for run in again} == runs


def test_windows_are_described_as_by_themselves(tmp_path: Path) -> None:
    robotcar(tmp_path / "data", places=9, queries=5)
    traverse = open_dataset("robotcar", tmp_path / "data").traverse("1/database")
    torch.manual_seed(0)
    encoder = encoders.create("seqvlad", "random", backbone="r18l3", length=3)
    for reverse in (False, True):
        windows = windows_of(traverse, 3, reverse=reverse, cut_last_frame=False, protocol="default")
        where = describe_windows(encoder, traverse, windows, tmp_path / "cache")
        rows = read_windows(where, traverse, windows)
        for window, row in zip(windows.frames[[0, 4, -1]], rows[[0, 4, -1]], strict=True):
            images = [traverse.frames[i].image() for i in window]
            np.testing.assert_allclose(row, encoder.encode_window(images).sequence, atol=1e-6)


def test_search_is_exact_and_pca_centred() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(40, 16)).astype(np.float32), rng.normal(size=(5, 16))
    asked = asked.astype(np.float32)
    ranked, distances = nearest(known, asked, 10)
    apart = np.linalg.norm(known[None] - asked[:, None], axis=2)
    np.testing.assert_array_equal(ranked, np.argsort(apart, axis=1)[:, :10])
    np.testing.assert_allclose(distances[:, 0], apart.min(axis=1), atol=1e-5)
    reduced, other = reduce_to(16, known, asked)
    np.testing.assert_allclose(reduced.mean(axis=0), 0.0, atol=1e-5)
    kept = np.linalg.norm(reduced[None] - other[:, None], axis=2)
    np.testing.assert_allclose(kept, apart, atol=1e-4)  # all components keep all distances


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"length": 0}}, "settings.window"),
        ({"settings": {"strategies": ["x"]}}, "settings.strategies"),
        ({"models": {"a": {"encoder": "x"}}}, "no encoder is called"),
        ({"models": None}, "models: name the encoders"),
        ({"variants": {"a": {"revers": True}}}, "revers"),
    ],
)
def test_errors_name_the_field(ran, tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(ran[0].read_text()), **change}))
    assert message in run_command("evaluate-sequences", path, expect=2).err


def test_a_failing_model_stops_no_other(ran, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(tmp_path))
    config = yaml.safe_load(ran[0].read_text())
    config["models"] = {"svpr": {"encoder": "svpr"}, "jist": config["models"]["jist"]}
    config["datasets"]["town"]["root"] = str(ran[0].parent / "data/manifest.csv")
    config["settings"], config["variants"] = {"length": 5}, {}
    path = tmp_path / "some.yaml"
    path.write_text(yaml.safe_dump(config))
    shown = run_command("evaluate-sequences", path, "--no-page", expect=1)
    assert "svpr_pretrained.pth" in shown.err
    assert "jist/windows" in shown.out
