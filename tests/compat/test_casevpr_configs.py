"""CaseVPR's own three configurations run unchanged, on small data in the real layouts."""

from __future__ import annotations

import csv
import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from placememory.compat.casevpr import NAMES, read_casevpr, read_casevpr_sequences
from placememory.encoders import create, read_projection
from placememory.errors import SettingError, WeightsError
from placememory.evaluation import runs_of
from placememory.metrics.bootstrap import block_bootstrap
from tests.compat.made import CONFIGS, casevpr_data, small_models, write_ep, write_paths
from tests.conftest import run_command

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

BATCH, SEQUENCES = CONFIGS / "batch_tests.json", CONFIGS / "example_eval.json"
TRAINING = CONFIGS / "example_hvpr_casevpr.json"
needs_configs = pytest.mark.skipif(not CONFIGS.is_dir(), reason=f"{CONFIGS} is not there")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and paths of it with quick encoders (``paths.yaml``)."""
    folder = tmp_path_factory.mktemp("casevpr")
    datasets = casevpr_data(folder / "data", places=96)
    write_paths(
        folder / "paths.yaml", datasets=datasets, models=small_models(), output="logs", cache="rows"
    )
    write_paths(folder / "theirs.yaml", datasets=datasets, weights="models", output="logs2")
    return folder


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "1")


@needs_configs
def test_the_batch_runs_unchanged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(block_bootstrap.__kwdefaults__, "draws", 50)  # intervals are slow
    arguments = ("evaluate", BATCH, "--paths", home / "paths.yaml", "--no-figures")
    dry = run_command(*arguments, "--dry-run")
    assert "216 runs" in dry.err
    small = "has 96 places, and the published code searches none of less than 297 for none: "
    assert " ".join(dry.err.split()).count(small) == 7  # of eight pairs, two have one map
    shown = run_command(*arguments, "--json")
    found = json.loads(shown.out)
    assert len(found) == 216
    assert {run["variant"] for run in found} == {"default"}
    for run in found:  # 96 places are enough for all but the matcher none
        assert (run["queries_map_too_small"] == run["queries"]) is (
            run["system"]["matcher"] == "none"
        )
    assert shown.err.count("there is no precision") == sum(
        run["system"]["matcher"] == "none" for run in found
    )
    with (home / "logs/overall_results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 216
    assert {row["additional_info"] for row in rows} == {"default"}
    for row in rows:
        if row["backend_name"] == "none":
            assert (row["precision"], row["accuracy"]) == ("", "1.0")  # all are true negatives
    whole = [row for row in rows if row["backend_name"] == "seqslam"]
    assert {(row["precision"], row["recall"]) for row in whole if row["dataset_name"] == "oxford"
            } == {("100.0", "1.0")}  # fmt: skip
    again = run_command(*arguments)
    assert "216 of 216 runs were there already" in again.err


@needs_configs
def test_the_evaluation_of_sequences_runs_unchanged(home: Path) -> None:
    arguments = ("evaluate-sequences", SEQUENCES, "--paths", home / "paths.yaml")
    dry = run_command(*arguments, "--dry-run")
    assert "30 runs" in dry.err
    found = json.loads(run_command(*arguments, "--no-page", "--json").out)
    assert len(found) == 30
    assert {tuple(run["strategies"]) for run in found} == {("lax",)}
    assert all(run["strategies"]["lax"]["recall@10"]["value"] == 1.0 for run in found)
    titles = {run["title"] for run in found}
    assert "oxford1_v: 1/queries on 1/database: CaseNet_ft/windows" in titles
    assert "30 of 30 runs were there already" in run_command(*arguments, "--no-page").err


@needs_configs
def test_the_training_runs_unchanged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the file; the network and the number of steps are small."""
    monkeypatch.chdir(home)
    small = (
        "encoder={name: lite-seq, weights: random, options: {words: 4, dim: 8}, train: head}",
        "data.image_size=null", "optimization.epochs=1", "optimization.steps_per_epoch=1",
        "optimization.batch=1", "mining.per_query=1", "mining.queries=2", "mining.negatives=20",
        "data.negative_radius=11", "data.positive_radius=2", "running.tensorboard=false",
    )  # fmt: skip
    arguments = ("train", TRAINING, *small, "--paths", home / "paths.yaml")
    assert "trained" in run_command(*arguments, "--dry-run").out
    found = json.loads(run_command(*arguments, "--json").out)
    assert found["steps"] == 1
    assert found["test"]["recall@1"] >= 0.0
    made = json.loads((Path(found["folder"]) / "environment.json").read_text())
    assert made["start"] is None


@needs_configs
def test_a_dry_run_names_each_missing_file_once(home: Path) -> None:
    shown = run_command("evaluate", BATCH, "--paths", home / "theirs.yaml", "--dry-run")
    lines = " ".join(shown.err.split())
    files = {found.file for found in NAMES.values() if found.file and not found.public}
    for file in files | {"vgg16_seqvlad_pca.pkl"}:
        assert len(re.findall(rf"models/{re.escape(file)}: the weights of", lines)) == 1, file
    assert len(re.findall(r"the weights of \S+ are missing", lines)) == 14
    assert "the weights of jist are missing (https://drive.google.com" in lines
    assert "14 files of weights are missing" in lines
    assert "the weights of ep are missing (in the folder of weights that the README" in lines
    sequences = run_command("evaluate-sequences", SEQUENCES, "--paths", home / "theirs.yaml",
                            "--dry-run")  # fmt: skip
    assert "vgg16_seqvlad_pca.pkl" not in sequences.err  # raw descriptors are searched there
    assert "6 files of weights are missing" in sequences.err


@needs_configs
def test_a_name_is_never_another_file(home: Path) -> None:
    """``ep`` is not the public EigenPlaces, ``hvpr_casevpr_224_crica`` not ``casevpr_224.pth``."""
    runs = [run for e in read_casevpr(BATCH, home / "theirs.yaml") for run in runs_of(e)]
    files = {
        one.known_as: one.weights
        for run in runs
        for one in (run.encoder, run.sequence)
        if one is not None and one.known_as != "none"
    }
    for name, found in NAMES.items():
        if name != "none":
            expected = None if found.public else str(home / "models" / found.file)
            assert files[name] == expected, name
    assert files["hvpr_casevpr_224_crica"].endswith("crica.pth")
    assert files["ep"].endswith("r18gemrbc.pth")


def batch(**params: Any) -> dict[str, Any]:
    return {
        "test_lst": [
            {"ds_name": "oxford", "l1": ["1/database"], "l2": ["1/queries"], "positive_dist": 2}
        ],
        "pipeline_lst": [{"fe_lst": ["ep"], "be_lst": ["seqslam"]}],
        "default_settings": {
            "seperate_ds": True,
            "default_seqbackend_params": {
                "ds": 2, "stp_gap": 1, "matching_K": 2, "dist_cos_thres": 1,
                "search_nonkeyframe": True, **params,
            },
        },
        "settings_lst": [{"test_name": "plain"}],
    }  # fmt: skip


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """A batch of one run, with weights that may be replaced (``models/r18gemrbc.pth``)."""
    casevpr_data(tmp_path / "data", places=24, queries=5)
    write_paths(
        tmp_path / "paths.yaml",
        datasets={"oxford": {"root": "data/oxford_robotcar"}},
        weights="models", output="logs", cache="rows",
    )  # fmt: skip
    (tmp_path / "batch.json").write_text(json.dumps(batch()))
    write_ep(tmp_path, seed=0)
    return tmp_path


def evaluate(folder: Path, *options: object, expect: int = 0) -> list[dict[str, Any]]:
    arguments = ("evaluate", folder / "batch.json", "--paths", folder / "paths.yaml")
    shown = run_command(*arguments, "--no-figures", "--json", *options, expect=expect)
    return json.loads(shown.out)


def test_every_run_records_its_weights_and_is_stale_with_them(town: Path) -> None:
    [first] = evaluate(town)
    [weights] = first["weights"]
    assert (weights["encoder"], weights["file"]) == ("ep", str(town / "models/r18gemrbc.pth"))
    assert len(weights["sha256"]) == 64
    [same] = evaluate(town)
    assert same == first
    write_ep(town, seed=1)
    [other] = evaluate(town)
    assert other["folder"] == first["folder"]
    assert other["weights"][0]["sha256"] != weights["sha256"]
    assert other["content"] != first["content"]
    write_ep(town, seed=0)  # the bytes that were there first
    (town / "models/r18gemrbc.pth").unlink()
    shown = run_command("evaluate", town / "batch.json", "--paths", town / "paths.yaml", expect=1)
    assert "the weights of ep are missing" in " ".join(shown.err.split())


def test_runs_are_stale_with_their_data(town: Path) -> None:
    [first] = evaluate(town)
    moved = next((town / "data/oxford_robotcar/1/queries").glob("@8.0@*"))
    moved.rename(moved.with_name(moved.name.replace("@8.0@", "@800.0@")))
    [other] = evaluate(town)
    assert other["queries_with_a_true_match"] == first["queries_with_a_true_match"] - 1
    image = next((town / "data/oxford_robotcar/1/database").glob("@0.0@*"))
    shutil.copy(moved.with_name(moved.name.replace("@8.0@", "@800.0@")), image)
    [third] = evaluate(town)
    assert len({run["content"] for run in (first, other, third)}) == 3


def test_windows_are_stale_with_their_weights(town: Path) -> None:
    from safetensors.torch import save_file

    def write(seed: int) -> None:
        import torch

        torch.manual_seed(seed)
        state = create("lite-seq", "random", words=4, dim=8).module.state_dict()
        state = {k: v.contiguous() for k, v in state.items()}
        head = next(k for k, v in state.items() if v.shape == (8,) or v.shape[:1] == (8,))
        state[head] = torch.randn(state[head].shape)
        save_file(state, town / "w.safetensors")

    (town / "windows.json").write_text(
        json.dumps(
            {
                "experiment": {"name": "one", "save_html": True},
                "model": {"arch": "mine"},
                "data": {"dataset_path": "elsewhere/oxford_robotcar", "split": 1, "seq_length": 3},
            }
        )
    )
    write_paths(
        town / "paths.yaml",
        datasets={"oxford": {"root": "data/oxford_robotcar"}},
        models={"mine": {"encoder": "lite-seq", "file": "w.safetensors",
                         "options": {"words": 4, "dim": 8}}},
        output="logs", cache="rows",
    )  # fmt: skip
    arguments = ("evaluate-sequences", town / "windows.json", "--paths", town / "paths.yaml")
    found = []
    for seed in (0, 1):
        write(seed)
        found.append(json.loads(run_command(*arguments, "--json").out)[0])
    assert found[0]["folder"] == found[1]["folder"]
    assert found[0]["content"] != found[1]["content"]
    assert "1 of 1 runs were there already" in run_command(*arguments).err


def test_variants_keep_their_labels(town: Path) -> None:
    values = batch()
    values["settings_lst"] = [
        {"test_name": "short"},
        {"test_name": "long", "default_seqbackend_params": {"ds": "3"}},
    ]
    values["pipeline_lst"] = [{"fe_lst": ["ep"], "be_lst": ["seqslam", "adaptseq"]}]
    (town / "batch.json").write_text(json.dumps(values))
    found = evaluate(town)
    assert [run["title"].rpartition(": ")[2] for run in found] == [
        "ep/seqslam (short)", "ep/adaptseq (short)", "ep/seqslam (long)", "ep/adaptseq (long)",
    ]  # fmt: skip
    with (town / "logs/overall_results.csv").open() as file:
        assert {row["additional_info"] for row in csv.DictReader(file)} == {"short", "long"}
    shown = run_command("results", town / "logs", "--baseline", "ep/seqslam")
    compared = [line for line in shown.out.splitlines() if "ep/adaptseq" in line]
    assert sum("(short)" in line for line in compared) == 2  # its row, and its difference
    assert sum("(long)" in line for line in compared) == 2
    values["settings_lst"] = [{"test_name": "a"}, {"test_name": "a"}]
    (town / "batch.json").write_text(json.dumps(values))
    with pytest.raises(SettingError, match="two entries of settings_lst have the test_name 'a'"):
        read_casevpr(town / "batch.json", town / "paths.yaml")


def test_retrieved_sequences_are_saved_where_they_are_asked_for(town: Path) -> None:
    values = batch()
    values["default_settings"]["save_retrieval"] = True
    (town / "batch.json").write_text(json.dumps(values))
    [run] = evaluate(town)
    with np.load(Path(run["folder"]) / "retrieval.npz") as file:
        assert file["paths"].shape == (4, 2, 2)  # five queries, one warms up; K and ds are 2
        assert file["frames"].tolist() == [1, 2, 3, 4]
    with (Path(run["folder"]) / "frames.csv").open() as file:
        best = [row["reference"] for row in csv.DictReader(file)][1:]
    with np.load(Path(run["folder"]) / "retrieval.npz") as saved:
        assert [str(row) for row in saved["paths"][:, 0, -1]] == best


def test_the_table_grows_run_by_run(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from placememory.evaluation import runner

    values = batch()
    values["pipeline_lst"] = [{"fe_lst": ["ep"], "be_lst": ["seqslam", "adaptseq"]}]
    (town / "batch.json").write_text(json.dumps(values))
    rows: list[int] = []
    whole = runner.write_run

    def counted(*arguments: Any, **settings: Any) -> Path:
        table = town / "logs/overall_results.csv"
        rows.append(len(table.read_text().splitlines()) if table.is_file() else 0)
        return whole(*arguments, **settings)

    monkeypatch.setattr(runner, "write_run", counted)
    evaluate(town)
    assert rows == [0, 2]  # with its header


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"thresh_out2": 3}, "thresh_out2: the published code stops"),
        ({"nosearch_range": 9}, "nosearch_range: it belongs to single runs"),
        ({"min_search_range": 9}, "min_search_range: it belongs to single runs"),
        ({"matching_k": 9}, "did you mean 'matching_K'"),
        ({"sim": "dot"}, "sim"),
    ],
)
def test_parameters_are_honoured_or_refused(town: Path, params, words: str) -> None:
    (town / "batch.json").write_text(json.dumps(batch(**params)))
    with pytest.raises(SettingError, match=words):
        read_casevpr(town / "batch.json", town / "paths.yaml")


def test_one_network_for_both_needs_a_matcher_of_sequences(town: Path) -> None:
    values = batch()
    values["pipeline_lst"] = [{"fe_lst": ["hvpr_casevpr_224"], "be_lst": ["none"]}]
    (town / "batch.json").write_text(json.dumps(values))
    with pytest.raises(SettingError, match="hvpr_casevpr_224 with none"):
        read_casevpr(town / "batch.json", town / "paths.yaml")


def test_the_default_protocol_runs_the_localizer(town: Path) -> None:
    [run] = evaluate(town, "--protocol", "default")
    assert run["settings"]["protocol"] == "default"
    assert run["recall_at_1"]["value"] == 1.0


def test_their_default_ranges_and_left_out_parameters(town: Path) -> None:
    (town / "batch.json").write_text(json.dumps(batch(nosearch_range=2, min_search_range=4)))
    read_casevpr(town / "batch.json", town / "paths.yaml")
    values = batch()
    values["default_settings"] = {"seperate_ds": True, "save_feature_cache": False}
    (town / "batch.json").write_text(json.dumps(values))
    [found] = read_casevpr(town / "batch.json", town / "paths.yaml")
    settings = found.settings
    assert (settings.window, settings.keyframe_threshold, settings.threshold) == (5, 0.7, 100)
    assert (settings.block, settings.search_nonkeyframes, found.cache) == (14, False, None)
    assert found.datasets["oxford"].radius == 2


@pytest.mark.parametrize(
    ("section", "fields", "words"),
    [
        ("experiment", {"save_gif": True}, "experiment.save_gif: no GIFs"),
        ("experiment", {"sede": 1}, "did you mean 'seed'"),
        ("model", {"seq_encoder": "salad"}, "describes frames"),
        ("model", {"seq_encoder": "jost"}, "did you mean 'jist'"),
        ("data", {"img_shape": [224, 224]}, "takes \\[384, 384\\]"),
        ("data", {"seq_gt_strategy": "loose"}, "seq_gt_strategy"),
        ("model", {"args_override": {"seq_len": 3}}, "seq_len is 3"),
    ],
)
def test_fields_of_sequences_are_honoured_or_refused(
    tmp_path: Path, section: str, fields: dict[str, Any], words: str
) -> None:
    values: dict[str, Any] = {"experiment": {}, "model": {"seq_encoder": "jist"},
                              "data": {"dataset_path": "x"}}  # fmt: skip
    values[section] |= fields
    (tmp_path / "a.json").write_text(json.dumps(values))
    with pytest.raises(SettingError, match=words):
        read_casevpr_sequences(tmp_path / "a.json")


def test_forms_of_the_evaluation_of_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/best_model.pth").write_bytes(b"")
    (tmp_path / "base.json").write_text(
        json.dumps({"experiment": {"name": "base"}, "data": {"val_posDistThr": 5, "reverse": True}})
    )
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "base_config_path": "base.json",
                "args_dicts": {
                    "a": {"arch": "jist", "checkpoint": "run/last_model.pth", "_variant": "first"},
                    "b": {"seq_encoder": "hvpr_casevpr_322", "pca_outdim": 16},
                },
                "ds_dicts": {"x": {"dataset_path": "sets/x"}, "y": {"dataset_path": "y"}},
            }
        )
    )
    x, y = read_casevpr_sequences(tmp_path / "a.json")
    assert list(x.encoders) == ["first", "b"]
    assert x.encoders["first"].weights == str(tmp_path / "run/best_model.pth")
    assert "best_model.pth is taken in place of last_model.pth" in caplog.text
    assert (x.encoders["b"].pca, x.encoders["b"].options["resize_on"]) == (16, "image")
    assert x.datasets["x"].root == tmp_path / "sets/x"
    assert (y.datasets["y"].radius, y.settings.reverse, y.name) == (5, True, "base")
    assert y.output == tmp_path / "output/seq_eval_logs/base"


def test_flags_are_told_by_our_names(town: Path) -> None:
    shown = run_command(
        "evaluate", "--json_path", town / "batch.json", "--paths", town / "paths.yaml",
        "--process_num", 2, "--ignore_ckpt", "--no_cache", "--no-figures",
    )  # fmt: skip
    for line in ("--process_num of CaseVPR is --workers 2 here", "--ignore_ckpt of CaseVPR is "
                 "--fresh here", "--no_cache of CaseVPR is --no-cache here"):  # fmt: skip
        assert line in shown.err
    assert not (town / "rows").exists()
    other = run_command("evaluate", town / "batch.json", "--debug", expect=2)
    assert "use --dry-run" in other.err
    (town / "config_used.json").write_text("{}")
    resumed = run_command("train", "--resume-logdir", town, expect=2)
    assert "it is one of CaseVPR's trainer" in resumed.err
    assert "--resume-logdir of CaseVPR is --resume" in resumed.err


class TestPca:
    """The PCA behind SeqVLAD, which CaseVPR publishes as a pickle of scikit-learn."""

    def fitted(self, **settings: Any) -> Any:
        decomposition = pytest.importorskip("sklearn.decomposition")
        rows = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32)
        return decomposition.PCA(4, **settings).fit(rows), rows

    @pytest.mark.parametrize("whiten", [False, True])
    @pytest.mark.parametrize("protocol", [2, 4, 5])
    def test_it_is_what_scikit_learn_computes(self, tmp_path, whiten: bool, protocol: int) -> None:
        pca, rows = self.fitted(whiten=whiten)
        (tmp_path / "pca.pkl").write_bytes(pickle.dumps(pca, protocol))
        found = read_projection(tmp_path / "pca.pkl")
        np.testing.assert_allclose(
            (rows - found["mean"]) @ found["components"].T, pca.transform(rows), atol=1e-5
        )

    def test_code_is_not_run(self, tmp_path: Path) -> None:
        class Harm:
            def __reduce__(self) -> Any:
                return Path.touch, (tmp_path / "harm",)

        (tmp_path / "pca.pkl").write_bytes(pickle.dumps(Harm()))
        with pytest.raises(WeightsError, match="could run code"):
            read_projection(tmp_path / "pca.pkl")
        assert not (tmp_path / "harm").exists()
        (tmp_path / "pca.pkl").write_bytes(b"no pickle")
        with pytest.raises(WeightsError, match="no PCA that can be read"):
            read_projection(tmp_path / "pca.pkl")
        with pytest.raises(WeightsError, match="no such file"):
            read_projection(tmp_path / "none.npz")

    def test_the_pipeline_uses_it(self, town: Path) -> None:
        rng = np.random.default_rng(0)
        np.savez(
            town / "pca.npz", mean=np.zeros(64 * 256, np.float32),
            components=rng.normal(size=(64, 64 * 256)).astype(np.float32),
        )  # fmt: skip
        values = batch()
        values["pipeline_lst"] = [{"fe_lst": ["none+mine"], "be_lst": ["seq_desc"]}]
        (town / "batch.json").write_text(json.dumps(values))
        write_paths(
            town / "paths.yaml",
            datasets={"oxford": {"root": "data/oxford_robotcar"}},
            models={"mine": {"like": "vgg16_seqvlad", "file": "random", "pca": "pca.npz",
                             "options": {"backbone": "r18l3", "length": 2}}},
            output="logs", cache="rows",
        )  # fmt: skip
        [run] = evaluate(town)
        assert [Path(one["file"]).name for one in run["weights"]] == ["pca.npz"]
        assert run["published_counts"]["true_positives"] == 4


def _fields(values: Any) -> set[str]:
    """Names of all fields in a JSON; keys of variants are names, not fields."""
    if isinstance(values, list):
        return set().union(*map(_fields, values)) if values else set()
    if not isinstance(values, dict):
        return set()
    return set(values) | set().union(*map(_fields, values.values()))


@needs_configs
def test_every_field_and_flag_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/casevpr-fields.md").read_text()
    told = set(re.findall(r"`(?:--)?([\w-]+)", page))
    fields = set().union(
        *(_fields(json.loads(f.read_text())) for f in (BATCH, SEQUENCES, TRAINING))
    )
    variants = json.loads(SEQUENCES.read_text())
    labels = set(variants["model_variants"]) | set(variants["dataset_variants"])
    sections = {"experiment", "loader", "mining", "optimization", "evaluation", "model", "data"}
    assert fields - labels - sections <= told
    assert set(NAMES) <= told
    flags = (
        "json_path process_num gpu_ids ignore_ckpt no_cache show_console debug config gpu-id "
        "resume-logdir"
    )
    assert set(flags.split()) <= set(re.findall(r"--([\w-]+)", page))
