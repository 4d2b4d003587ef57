"""CaseVPR's own training file runs unchanged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from placememory.compat.casevpr import read_casevpr_training
from placememory.encoders import create
from placememory.errors import SettingError
from placememory.training import Training, dry_run, train
from placememory.training import read_training as read_values
from tests.compat.made import write_paths
from tests.evaluation.made import robotcar
from tests.training.made import losses

PUBLISHED: dict[str, dict[str, Any]] = {
    "experiment": {
        "name": "casevpr", "logs_root": "output/train_logs", "seed": 43, "deterministic": False,
        "device": "cuda", "resume": None, "pretrain_model": "models/crica.pth",
        "save_every_epoch": True, "only_train_attn": False, "tensorboard": True, "debug": False,
    },
    "model": {
        "seq_encoder": "hvpr_casevpr_224",
        "args_override": {"seq_len": 5, "encoder_type": "bs_d_c"},
        "family": "hvpr",
    },
    "data": {
        "dataset_path": "oxford", "city": "", "seq_length": 5, "cut_last_frame": False,
        "train_posDistThr": 10, "val_posDistThr": 25, "negDistThr": 25, "addtest_posDistThr": 2,
        "img_shape": [224, 224], "seq_gt_strategy": "strict", "neg_seq_gt_strategy": "lax",
        "reverse": False, "cached_train_dataset": None,
    },
    "loader": {
        "train_batch_size": 8, "infer_batch_size": 1, "num_workers": 15,
        "queries_per_epoch": 5000, "n_gpus": 1, "test_shuffle": False, "batch_split_size": 4,
    },
    "mining": {
        "cached_negatives": 1000, "cached_queries": 1000, "nNeg": 5, "augseq": False,
        "augseq_max_step": 2, "augseq_prob": 0.3, "seq_neg_mining": False,
        "seq_neg_mining_prob": 0.3,
    },
    "optimization": {
        "optim": "adamw", "lr": 1e-5, "weight_decay": 1e-3, "multiple_lr": False,
        "criterion": "triplet", "margin": 0.1, "epochs": 100, "patience": 50,
    },
    "evaluation": {
        "val": {"split": "2", "tboard_name": "val"},
        "additional_testsets": [{"path": "oxford", "split": "1", "tboard_name": "test"}],
        "additional_gt_strategies": [], "only_test_current_strategy": True,
    },
}  # fmt: skip


def read_training(file: Path, changes: tuple[str, ...] = ()) -> Training:
    return read_values(file, changes, values=read_casevpr_training(file))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, and a data set as it expects, in the folder one works in."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "2", "1"):
        made = robotcar(tmp_path / "made", places=24, queries=6)
        shutil.move(made / "1", tmp_path / "oxford" / split)
    path = tmp_path / "casevpr.json"
    path.write_text(json.dumps(PUBLISHED))
    return path


def changed(file: Path, section: str, **fields: Any) -> Path:
    values = json.loads(file.read_text())
    values[section] |= fields
    file.write_text(json.dumps(values))
    return file


def test_the_published_values_are_kept(file: Path, tmp_path: Path) -> None:
    found = read_training(file)
    assert (found.name, found.seed, found.output) == (
        "casevpr", 43, tmp_path / "output/train_logs",
    )  # fmt: skip
    encoder, data = found.encoder, found.data
    assert (encoder.name, encoder.train, encoder.adapter_blocks) == ("casenet-224", "adapters", 1)
    assert encoder.weights == str(tmp_path / "models/crica.pth")
    assert encoder.options["encoder_type"] == "bs_d_c"
    assert (data.length, data.image_size, data.strategy, data.negative_strategy) == (
        5, (224, 224), "strict", "lax",
    )  # fmt: skip
    assert (data.positive_radius, data.negative_radius, data.validation_radius) == (10, 25, 25)
    assert data.validation[0].query == ("2/queries",)
    assert data.test[0].database == ("1/database",)
    mining, steps = found.mining, found.optimization
    assert (mining.queries, mining.negatives, mining.per_query, mining.shuffled) == (
        1000, 1000, 5, 0.0,
    )  # fmt: skip
    assert (steps.batch, steps.micro_batch, steps.steps_per_epoch) == (8, 4, 625)
    assert (steps.lr, steps.weight_decay, steps.epochs, steps.patience) == (1e-5, 1e-3, 100, 50)
    assert (steps.schedule, steps.precision, found.loss.margin) == ("constant", "float32", 0.1)
    assert not found.augment.changes_images


def test_what_can_be_switched_on(file: Path) -> None:
    changed(file, "mining", augseq=True, augseq_prob=0.4, seq_neg_mining=True)
    changed(file, "optimization", multiple_lr=True, lr_encoder=1e-6, lr_pooling=1e-4)
    changed(file, "data", city=["oxford", "cbd"], addtest_posDistThr=2.5)
    changed(file, "evaluation", val={"split": 2, "seq_gt_strategy": "lastframe"})
    found = read_training(changed(file, "experiment", only_train_attn=True, pretrain_model=None))
    assert (found.augment.sequence, found.augment.sequence_step) == (0.4, 2)
    assert found.mining.shuffled == 0.3
    assert (found.optimization.lr, found.optimization.trunk_lr) == (1e-4, 1e-6)
    assert (found.encoder.train, found.encoder.weights) == ("head", "random")
    data = found.data
    assert (data.train[0].only, data.test[0].only) == (("oxford", "cbd"), ("oxford", "cbd"))
    assert (data.validation_radius, data.validation_strategy) == (25, "last-frame")
    assert (data.test_radius, data.test_strategy) == (2.5, "strict")


def test_left_out_fields_have_their_defaults(file: Path) -> None:
    file.write_text(
        json.dumps(
            {
                "experiment": {}, "model": {"seq_encoder": "vgg16_seqvlad"},
                "data": {"dataset_path": "oxford"},
            }
        )
    )  # fmt: skip
    found = read_training(file)
    steps, data = found.optimization, found.data
    assert (steps.optimizer, steps.weight_decay, steps.batch, steps.patience) == ("adam", 0, 4, 3)
    assert (data.strategy, data.negative_strategy, data.validation_strategy) == ("lax",) * 3
    assert (data.length, data.validation[0].query, data.test) == (14, ("val/queries",), ())
    assert (found.seed, found.encoder.weights, found.running.keep_epochs) == (43, "random", False)


@pytest.mark.parametrize(
    ("form", "root", "split"),
    [
        ("1", "oxford", "1"),
        ("sets/other", "sets/other", "test"),
        ({"dataset_path": "sets/other", "split": 2}, "sets/other", "2"),
        ({"path": "oxford", "split": "1", "tboard_name": "t"}, "oxford", "1"),
    ],
)
def test_forms_of_a_test_set(file: Path, tmp_path: Path, form: Any, root: str, split: str) -> None:
    found = read_training(changed(file, "evaluation", additional_testsets=[form]))
    [source] = found.data.test
    assert (source.root, source.database) == (tmp_path / root, (f"{split}/database",))


def test_paths_may_be_said_beside_it(file: Path, tmp_path: Path) -> None:
    changed(file, "data", dataset_path="/home/user/datasets/oxford_robotcar")
    paths = write_paths(
        tmp_path / "paths.yaml", datasets={"oxford": {"root": "sets/ox"}}, weights="weights"
    )
    values = read_casevpr_training(file, paths)
    assert values["data"]["train"][0]["root"] == str(tmp_path / "sets/ox")
    assert values["encoder"]["weights"] == str(tmp_path / "weights/crica.pth")


@pytest.mark.parametrize("name", ["hvpr_casevpr_224", "hvpr_casevpr_224_crica"])
def test_images_are_resized_as_in_their_trainer(file: Path, name: str) -> None:
    found = read_training(changed(file, "model", seq_encoder=name))
    assert found.encoder.options["resize_on"] == "image"  # in the pipeline, one is on tensors


def test_it_trains_from_beginning_to_end(file: Path, tmp_path: Path) -> None:
    """All of the file but the encoder, which is small here, and how long it goes on."""
    small = (
        "encoder={name: lite-seq, weights: random, options: {words: 4, dim: 8}, train: head}",
        "data.image_size=null",
        "optimization.epochs=1",
        "optimization.steps_per_epoch=1",
        "optimization.batch=1",
        "mining.per_query=1",
    )
    changed(file, "evaluation", additional_testsets=["1"])
    result = train(read_training(file, small))
    assert result.folder.parent == tmp_path / "output/train_logs"
    assert result.steps == 1
    assert "recall@1" in losses(result.folder)[-1]["test"]
    assert (result.folder / "epoch_001.safetensors").is_file()  # save_every_epoch


@pytest.mark.slow
def test_casenet_would_train(file: Path, tmp_path: Path) -> None:
    state = create("casenet-224", "random", precision="float32").module.state_dict()
    (tmp_path / "models").mkdir()
    start = tmp_path / "models/crica.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, start)
    changed(file, "experiment", pretrain_model="models/crica.safetensors")
    changed(file, "mining", cached_queries=1, cached_negatives=8, nNeg=1)
    found = dry_run(read_training(changed(file, "loader", train_batch_size=1)))
    assert round(found.trained / 1e6, 2) == 11.79
    assert found.loss >= 0  # of random weights
    assert found.peak_megabytes < 8000


@pytest.mark.parametrize(
    ("section", "fields", "words"),
    [
        ("model", {"seq_encoder": "vgg"}, "vgg"),
        ("optimization", {"criterion": "sare"}, "sare"),
        ("data", {"seq_gt_strategy": "loose"}, "loose"),
        ("optimization", {"lr": "fast"}, "fast"),
        ("optimization", {"optim": "lion"}, "lion"),
        ("experiment", {"resume": "last_model.pth"}, "experiment.resume: a run of CaseVPR"),
        ("experiment", {"debug": True}, "experiment.debug: use --dry-run"),
        ("experiment", {"sead": 1}, "experiment.sead: .* did you mean 'seed'"),
        ("model", {"args_override": {"seq_len": 3}}, "it is 3, but data.seq_length 5"),
        ("model", {"args_override": {"blocks": 3}}, "model.args_override.blocks: no field"),
        ("data", {"reverse": True}, "data.reverse"),
        ("data", {"cached_train_dataset": "a.torch"}, "a pickle of CaseVPR is not read"),
        ("data", {"img_shape": [322, 322]}, "takes .224, 224."),
        ("loader", {"n_gpus": 2}, "accelerate launch"),
        ("optimization", {"multiple_lr": True, "lr_aggregator": 1}, "give lr_pooling"),
        ("evaluation", {"additional_gt_strategies": ["lax"]}, "evaluate-sequences"),
        ("evaluation", {"only_test_current_strategy": False}, "only_test_current_strategy"),
        ("evaluation", {"splits": ["2"]}, "write evaluation.val"),
    ],
)
def test_what_is_not_known_is_refused(
    file: Path, section: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        read_training(changed(file, section, **fields))
