"""Evaluations from end to end: native, CaseVPR's, reruns, comparisons."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from placememory.compat.casevpr import read_casevpr
from placememory.evaluation import finished_runs, read_evaluation
from tests.conftest import run_command
from tests.evaluation.made import manifest, robotcar

pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")


@pytest.fixture(scope="module")
def native(tmp_path_factory) -> Path:
    """A configuration of six runs on a made-up data set: 16 places, 8 queries, two off the map."""
    folder = tmp_path_factory.mktemp("native")
    manifest(folder / "data", places=16, queries=8, first=10)
    config = {
        "name": "test",
        "output": "runs",
        "cache": "cache",
        "datasets": {
            "town": {
                "layout": "manifest",
                "root": "data/manifest.csv",
                "pairs": [{"reference": "map", "query": "run"}],
                "radius": 1.0,
                "radii": [3.0],
            }
        },
        "encoders": {"tiny": {"encoder": "lite-vlad", "options": {"words": 4}}},
        "systems": [
            {"encoder": "tiny"},
            {"encoder": "tiny", "matcher": "band-dp"},
        ],
        "settings": {"window": 3},
        "variants": {"": {}, "pooled": {"candidates": 5}},
    }
    path = folder / "town.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def ran(native: Path) -> list[dict]:
    return json.loads(run_command("evaluate", native, "--json").out)


def test_runs_have_all_their_files(native: Path, ran: list[dict]) -> None:
    assert len(ran) == 4
    for run in ran:
        folder = Path(run["folder"])
        names = {path.name for path in folder.iterdir()}
        assert names == {
            "run.json", "frames.csv", "metrics.json", "matches.png", "precision-recall.png",
        }  # fmt: skip
        with (folder / "frames.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 8
        assert [row["on_map"] for row in rows] == ["1"] * 6 + ["0"] * 2
        assert run["queries"] == 8
        assert run["queries_with_a_true_match"] == 6
        assert run["recall_at_1"]["value"] == 1.0
        assert run["queries_in_the_map"] == 6  # the made-up run has the map's own images
        assert run["decisions"]["false_positives"] == 2  # two queries off the map were answered


def test_a_rerun_skips_what_is_done(native: Path, ran: list[dict]) -> None:
    before = {
        Path(r["folder"]): (Path(r["folder"]) / "metrics.json").stat().st_mtime_ns for r in ran
    }
    first = next(iter(before))
    (first / "metrics.json").unlink()  # as if it had been cut off
    shown = run_command("evaluate", native)
    assert "3 of 4 runs were there already" in shown.err
    assert shown.err.count("6 of 8 frames are in the map itself") == 4
    for folder, stamp in before.items():
        same = (folder / "metrics.json").stat().st_mtime_ns == stamp
        assert same is (folder != first)


def test_a_damaged_run_is_done_again(native: Path, ran: list[dict]) -> None:
    first = Path(ran[0]["folder"])
    (first / "run.json").write_text("{")
    shown = run_command("evaluate", native, "--no-figures", "--json")
    assert "3 of 4 runs were there already" in shown.err
    again = json.loads(shown.out)[0]
    assert again["decisions"] == ran[0]["decisions"]


def test_precisions_do_not_share_descriptors(native: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(native.read_text())
    config["datasets"]["town"]["root"] = str(native.parent / "data/manifest.csv")
    tiny = config["encoders"]["tiny"]
    config["encoders"] = {name: tiny | {"precision": name} for name in ("float32", "bfloat16")}
    config["systems"] = [{"encoder": name} for name in config["encoders"]]
    config["variants"] = {}
    (tmp_path / "town.yaml").write_text(yaml.safe_dump(config))
    run_command("evaluate", tmp_path / "town.yaml", "--no-figures")
    folders = {path.parent.name for path in (tmp_path / "cache").rglob("*.sqlite")}
    assert folders == {"float32", "bfloat16"}


def test_the_overall_table_has_the_published_columns(native: Path, ran: list[dict]) -> None:
    with (native.parent / "runs/overall_results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    wanted = "dataset_name Loop1_name Loop2_name frontend_name backend_name precision nTP rank"
    assert set(wanted.split()) <= set(rows[0])
    assert {row["backend_name"] for row in rows} == {"", "band-dp"}
    assert all(float(row["precision"]) == pytest.approx(100 * int(row["nTP"]) /
               (int(row["nTP"]) + int(row["nFP"])), abs=1e-3) for row in rows)  # fmt: skip


def test_results_compares(native: Path, ran: list[dict]) -> None:
    shown = run_command("results", native.parent / "runs", "--baseline", "tiny")
    assert "tiny/band-dp" in shown.out
    assert "against tiny" in shown.err
    missing = run_command("results", native.parent / "runs", "--baseline", "x", expect=2)
    assert "no run is of the system 'x'" in missing.err
    assert "no finished runs" in run_command("results", native.parent / "data", expect=2).err


def _run_again(native: Path, folder: Path, cache: Path, *options: object) -> list[dict]:
    config = yaml.safe_load(native.read_text())
    config["output"], config["cache"] = str(folder / "runs"), str(cache)
    config["datasets"]["town"]["root"] = str(native.parent / "data/manifest.csv")
    again = folder / "again.yaml"
    again.write_text(yaml.safe_dump(config))
    return json.loads(run_command("evaluate", again, "--no-figures", "--json", *options).out)


def test_several_processes_give_the_same(native: Path, ran: list[dict], tmp_path: Path) -> None:
    found = _run_again(native, tmp_path, native.parent / "cache", "--workers", 2)
    for one, other in zip(ran, found, strict=True):
        assert one["decisions"] == other["decisions"]
        assert one["precision_recall"] == other["precision_recall"]


def test_workers_of_a_scheduler_give_the_same(native: Path, ran: list[dict], tmp_path: Path):
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster'")
    with distributed.LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        found = _run_again(
            native, tmp_path, tmp_path / "cache", "--scheduler", cluster.scheduler_address
        )
        assert "describe_shard" in cluster.scheduler.task_prefixes
    for one, other in zip(ran, found, strict=True):
        assert one["precision_recall"] == other["precision_recall"]
    assert not list((tmp_path / "cache").rglob("*.shards"))


def test_a_dry_run_checks_and_runs_nothing(native: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(native.read_text())
    config["output"] = str(tmp_path / "runs")
    config["datasets"]["town"]["root"] = str(native.parent / "data/manifest.csv")
    path = tmp_path / "dry.yaml"
    path.write_text(yaml.safe_dump(config))
    assert "4 runs; all data sets" in run_command("evaluate", path, "--dry-run").err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": [{"encoder": "tiny", "matcher": "x"}]}, "no matcher is called 'x'"),
        ({"systems": [{"encoder": "x"}]}, "no encoder is called 'x'"),
        ({"systems": [{"encoder": "tiny", "fusion": "x"}]}, "no fusion is called 'x'"),
        ({"systems": [{"encoder": "none"}]}, "needs a sequence encoder"),
        ({"settings": {"window": 0}}, "settings.window"),
        ({"setings": {}}, "setings: Extra inputs"),
        ({"variants": {"a": {"windo": 3}}}, "windo"),
        ({"datasets": {}}, "datasets"),
    ],
)
def test_errors_name_the_field(native: Path, tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(native.read_text()), **change}))
    shown = run_command("evaluate", path, expect=2)
    assert message in shown.err
    assert str(path) in shown.err


def test_a_failing_run_stops_no_other(native: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "1")
    config = yaml.safe_load(native.read_text())
    config["output"] = str(tmp_path / "runs")
    config["datasets"]["town"]["root"] = str(native.parent / "data/manifest.csv")
    config["systems"] = [{"encoder": "salad"}, {"encoder": "tiny"}]
    config["variants"] = {}
    path = tmp_path / "some.yaml"
    path.write_text(yaml.safe_dump(config))
    shown = run_command("evaluate", path, "--no-figures", expect=1)
    assert "dino_salad.ckpt" in shown.err
    assert len(finished_runs(tmp_path / "runs")) == 1


def test_a_single_session_is_matched_to_its_own_past(tmp_path: Path) -> None:
    lines = ["image,traverse,x,y"]
    for i in range(24):  # twelve places, seen twice
        manifest(tmp_path / f"d{i % 12}", places=1, queries=0)
    from tests.evaluation.made import write_image

    for i in range(24):
        write_image(tmp_path / f"lap/{i:02d}.png", seed=i % 12)
        lines.append(f"lap/{i:02d}.png,lap,{3.0 * (i % 12)},0")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    config = {
        "name": "loop", "output": "runs", "cache": "cache",
        "datasets": {"lap": {"root": "manifest.csv", "pairs": [{"query": "lap"}], "radius": 1}},
        "encoders": {"tiny": {"encoder": "lite-vlad", "options": {"words": 4}}},
        "systems": [{"encoder": "tiny", "matcher": "seqslam"}],
        "settings": {"window": 3, "exclusion": 4},
    }  # fmt: skip
    (tmp_path / "loop.yaml").write_text(yaml.safe_dump(config))
    [run] = json.loads(run_command("evaluate", tmp_path / "loop.yaml", "--json").out)
    assert run["queries_with_a_true_match"] == 12
    assert run["recall_at_1"]["value"] > 0.8


BATCH = {
    "test_lst": [
        {"ds_name": "oxford", "l1": ["1/database"], "l2": ["1/queries"], "positive_dist": "2"}
    ],
    "pipeline_lst": [
        {"fe_lst": ["ep"], "be_lst": ["none", "seqslam"]},
        {"fe_lst": ["ep+jist", "none+jist"], "be_lst": ["seq_desc_adaptseq_v2+seq_desc"]},
    ],
    "default_settings": {
        "seq_gt": False, "seq_gt_vgt": False, "save_seq": False, "seperate_ds": True,
        "test_name": "base",
        "default_seqbackend_params": {
            "ds": "5", "thresh_out": "100", "stp_gap": "2", "matching_K": "3", "matching_KK": "4",
            "positive_dist": "11", "dist_cos_thres": "1", "search_nonkeyframe": "True",
            "sim": "cos",
        },
    },
    "settings_lst": [{}, {"test_name": "long", "default_seqbackend_params": {"ds": "8"}}],
}  # fmt: skip


def test_casevprs_batch_runs_unchanged(tmp_path: Path) -> None:
    robotcar(tmp_path / "oxford", places=70, queries=9, first=20)
    (tmp_path / "batch_tests.json").write_text(json.dumps(BATCH))
    paths = {
        "datasets": {"oxford": {"root": "oxford"}},
        "models": {"ep": "random", "jist": "random"},
        "output": "logs", "cache": "features",
    }  # fmt: skip
    (tmp_path / "paths.yaml").write_text(yaml.safe_dump(paths))
    read = read_casevpr(tmp_path / "batch_tests.json", tmp_path / "paths.yaml")
    assert [e.settings.window for e in read] == [5, 8]
    assert [s.name for s in read[0].systems] == [
        "ep/none", "ep/seqslam", "ep+jist/seq_desc_adaptseq_v2", "ep+jist/seq_desc",
        "none+jist/seq_desc_adaptseq_v2", "none+jist/seq_desc",
    ]  # fmt: skip
    arguments = (tmp_path / "batch_tests.json", "--paths", tmp_path / "paths.yaml", "--no-figures")
    found = json.loads(run_command("evaluate", *arguments, "--json").out)
    assert len(found) == 12
    for run in found:
        if run["system"]["encoder"] != "ep" or run["system"]["matcher"] == "none":
            continue
        if run["settings"]["window"] == 5:  # the images are the same, so all is found
            assert run["published_counts"]["true_positives"] == 5
            assert run["published_counts"]["false_positives"] == 0
    with (tmp_path / "logs/overall_results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["frontend_name"] for row in rows} == {"ep", "ep+jist", "none+jist"}
    assert {row["pos_dist"] for row in rows} == {"2.0"}


@pytest.mark.parametrize(
    ("change", "paths", "message"),
    [
        ({"test_lst": [{"ds_name": "x", "l1": [], "l2": []}]}, None, "where the data set 'x' is"),
        ({"pipeline_lst": [{"fe_lst": ["x"], "be_lst": ["none"]}]}, None, "no encoder of CaseVPR"),
        ({"pipeline_lst": [{"fe_lst": ["ep"], "be_lst": ["x"]}]}, None, "no matcher of CaseVPR"),
        ({"test_lst": None}, None, "no batch of CaseVPR tests"),
        ({}, {"dataset": {}}, "dataset: Extra inputs"),
    ],
)
def test_what_is_wrong_in_a_batch_is_named(tmp_path: Path, change, paths, message: str) -> None:
    (tmp_path / "batch.json").write_text(json.dumps({**BATCH, **change}))
    where = paths or {"datasets": {"oxford": {"root": "oxford"}}}
    (tmp_path / "paths.yaml").write_text(yaml.safe_dump(where))
    arguments = (tmp_path / "batch.json", "--paths", tmp_path / "paths.yaml")
    assert message in run_command("evaluate", *arguments, expect=2).err
    needs = run_command("evaluate", tmp_path / "batch.json", expect=2)
    assert "--paths" in needs.err


def test_a_configuration_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    assert "cannot be read as YAML" in run_command("evaluate", tmp_path / "a.yaml", expect=2).err
    with pytest.raises(Exception, match="cannot be read"):
        read_evaluation(tmp_path / "none.yaml")
