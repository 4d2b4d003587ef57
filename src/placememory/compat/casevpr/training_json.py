"""CaseVPR's own training configuration, unchanged.

The JSON has the sections ``experiment``, ``model``, ``data``, ``loader``, ``mining``,
``optimization`` and ``evaluation``. Paths in it are relative to the folder one works in, as there.
Fields that are left out have CaseVPR's defaults.

What is other than in the reference: attention stays inside a sequence, so that training and test
agree and ``batch_split_size`` changes memory only; frozen parts are frozen, batch statistics and
dropout too; additional test sets are looked at once, after training, with the best weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from placememory.compat.casevpr.fields import read_object, refuse, validate_fields
from placememory.compat.casevpr.names import Paths, read_paths
from placememory.compat.casevpr.sequences_json import (
    STRATEGIES,
    Override,
    Strategy,
    check_size,
    find_dataset,
)
from placememory.errors import SettingError
from placememory.evaluation.config import StrictModel

_WHAT = "training of CaseVPR"
_LAYOUT = "robotcar"


class _Experiment(StrictModel):
    name: str = "casevpr"
    logs_root: str = "output/train_logs"
    seed: int = 43
    deterministic: bool = False
    device: str | None = None
    resume: str | None = None
    pretrain_model: str | None = None
    save_every_epoch: bool = False
    only_train_attn: bool = False
    tensorboard: bool = True
    debug: bool = False


class _Model(StrictModel):
    seq_encoder: str = Field(validation_alias=AliasChoices("seq_encoder", "arch"))
    args_override: Override = Override()
    family: str = ""


class _Data(StrictModel):
    dataset_path: str
    city: str | tuple[str, ...] = ""
    seq_length: int = 14
    cut_last_frame: bool = False
    train_posDistThr: float = 10.0
    val_posDistThr: float = 25.0
    negDistThr: float = 25.0
    addtest_posDistThr: float | None = None
    img_shape: tuple[int, int] | None = None
    seq_gt_strategy: Strategy = "lax"
    neg_seq_gt_strategy: Strategy = "lax"
    reverse: bool = False
    cached_train_dataset: str | None = None


class _Loader(StrictModel):
    train_batch_size: int = 4
    infer_batch_size: int = 1
    num_workers: int = 2
    queries_per_epoch: int = 5000
    n_gpus: int = 1
    test_shuffle: bool = False
    batch_split_size: int | None = None


class _Mining(StrictModel):
    cached_negatives: int = 1000
    cached_queries: int = 1000
    nNeg: int = 5
    augseq: bool = False
    augseq_max_step: int = 2
    augseq_prob: float = 0.3
    seq_neg_mining: bool = False
    seq_neg_mining_prob: float = 0.3


class _Optimization(StrictModel):
    optim: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-5
    multiple_lr: bool = False
    lr_encoder: float | None = None
    lr_pooling: float | None = None
    lr_aggregator: float | None = None
    weight_decay: float = 0.0
    criterion: Literal["triplet"] = "triplet"
    margin: float = 0.1
    epochs: int = 100
    patience: int = 3


class _Split(StrictModel):
    """A set that is validated or tested on; a text is its split, or the path of another set."""

    path: str | None = Field(default=None, validation_alias=AliasChoices("path", "dataset_path"))
    split: str = "test"
    tboard_name: str = ""
    seq_gt_strategy: Strategy | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        is_path = "/" in value or (Path.cwd() / value).is_dir()
        return {"path": value} if is_path else {"split": value}

    @field_validator("split", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class _Evaluation(StrictModel):
    val: _Split = _Split(split="val")
    additional_testsets: tuple[_Split, ...] = ()
    additional_gt_strategies: tuple[str, ...] = ()
    only_test_current_strategy: bool = True
    splits: Any = None


class _Training(StrictModel):
    experiment: _Experiment
    model: _Model
    data: _Data
    loader: _Loader = _Loader()
    mining: _Mining = _Mining()
    optimization: _Optimization = _Optimization()
    evaluation: _Evaluation = _Evaluation()


def read_casevpr_training(path: Path, paths: Path | None = None) -> dict[str, Any]:
    """Read a training of CaseVPR as the fields of :class:`placememory.training.Training`.

    Args:
        path: CaseVPR's JSON.
        paths: YAML file that says where data sets and weights are, see :class:`Paths`; by default
            where the JSON says, from the folder one works in.

    Raises:
        SettingError: The file cannot be read, or a section, name or value in it is missing, not
            known, or not honoured here.
    """
    found = validate_fields(_Training, read_object(path, f"a {_WHAT}"), path, _WHAT)
    where = read_paths(paths)
    _check(found, path)
    experiment, mining, loader = found.experiment, found.mining, found.loader
    return {
        "name": experiment.name,
        "output": str(Path.cwd() / experiment.logs_root),
        "seed": experiment.seed,
        "encoder": _encoder(found, where, path),
        "data": _data(found, where, path),
        "augment": {
            "sequence": mining.augseq_prob if mining.augseq else 0.0,
            "sequence_step": mining.augseq_max_step,
        },
        "mining": {
            "kind": "cached",
            "queries": mining.cached_queries,
            "negatives": mining.cached_negatives,
            "per_query": mining.nNeg,
            "refresh": mining.cached_queries,
            "shuffled": mining.seq_neg_mining_prob if mining.seq_neg_mining else 0.0,
        },
        "loss": {"kind": "triplet", "margin": found.optimization.margin},
        "optimization": _optimization(found),
        "running": {
            "workers": max(1, loader.num_workers),
            "tensorboard": experiment.tensorboard,
            "keep_epochs": experiment.save_every_epoch,
        },
    }


def _check(found: _Training, path: Path) -> None:
    experiment, data, evaluation = found.experiment, found.data, found.evaluation
    override = found.model.args_override
    values = found.optimization
    pooled = _is_pooled(found)
    several = "run `accelerate launch --num_processes N -m placememory train` and give 1"
    refuse(
        path,
        {
            "experiment.resume": (
                experiment.resume is not None,
                "a run of CaseVPR's trainer cannot be gone on with; give its last_model.pth as "
                "pretrain_model, or go on with a run of ours by `placememory train --resume`",
            ),
            "experiment.debug": (experiment.debug, "use --dry-run, and give false"),
            "model.args_override.seq_len": (
                override.seq_len not in (None, data.seq_length),
                f"it is {override.seq_len}, but data.seq_length {data.seq_length}",
            ),
            "data.reverse": (data.reverse, "CaseVPR's trainer does not use it; give false"),
            "data.cached_train_dataset": (
                data.cached_train_dataset is not None,
                "a pickle of CaseVPR is not read; leave it out, windows are found in seconds",
            ),
            "optimization.lr_pooling": (
                values.multiple_lr and not pooled and values.lr_pooling is not None,
                f"{found.model.seq_encoder} has no pooling of its own; give lr_aggregator",
            ),
            "optimization.lr_aggregator": (
                values.multiple_lr and pooled and values.lr_aggregator is not None,
                f"the head of {found.model.seq_encoder} is its pooling; give lr_pooling",
            ),
            "loader.n_gpus": (found.loader.n_gpus > 1, several),
            "evaluation.additional_gt_strategies": (
                bool(evaluation.additional_gt_strategies),
                "the test is scored by one; `placememory evaluate-sequences` reports all for the "
                "trained weights: leave it out",
            ),
            "evaluation.only_test_current_strategy": (
                not evaluation.only_test_current_strategy,
                "give true; `placememory evaluate-sequences` reports the others",
            ),
            "evaluation.splits": (
                evaluation.splits is not None,
                "write evaluation.val and evaluation.additional_testsets",
            ),
        },
    )


def _encoder(found: _Training, where: Paths, path: Path) -> dict[str, Any]:
    experiment, override = found.experiment, found.model.args_override
    try:
        config, role = where.encoder(found.model.seq_encoder, windows=True)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error
    if role == "frame":
        raise SettingError(f"{path}: {found.model.seq_encoder!r} describes frames, not sequences")
    check_size(found.model.seq_encoder, found.data.img_shape, where, path)
    options = dict(config.options)
    if override.encoder_type is not None:
        options["encoder_type"] = override.encoder_type
    start = experiment.pretrain_model
    return {
        "name": config.encoder,
        "weights": str(_start(start, where)) if start else "random",
        "options": options,
        "train": _trained_part(config.encoder, only_attention=experiment.only_train_attn),
        "adapter_blocks": override.trainable_block_count or 1,
        "initialise": config.encoder in ("seqvlad", "svpr") and not start,
    }


def _start(file: str, where: Paths) -> Path:
    """The weights to start from: as the JSON says, or in the folder of weights of the paths."""
    here = Path.cwd() / file
    if where.weights is None or here.is_file():
        return here
    return where.find(Path(file).name)


def _trained_part(name: str, *, only_attention: bool) -> str:
    """CaseNet's adapters and head, all of other networks."""
    if not name.startswith("casenet"):
        return "all"
    return "head" if only_attention else "adapters"


def _data(found: _Training, where: Paths, path: Path) -> dict[str, Any]:
    data, judged = found.data, found.evaluation.val
    tests = found.evaluation.additional_testsets
    strategy = STRATEGIES[data.seq_gt_strategy]
    asked = {one.seq_gt_strategy or data.seq_gt_strategy for one in tests}
    if len(asked) > 1:
        raise SettingError(
            f"{path}: evaluation.additional_testsets have several seq_gt_strategy "
            f"({', '.join(sorted(asked))}); test sets are scored together, by one"
        )
    only = (data.city,) if isinstance(data.city, str) else data.city

    def source(root: str, split: str) -> dict[str, Any]:
        place, options = find_dataset(root, where)
        return {
            "root": str(place),
            "layout": _LAYOUT,
            "options": {"allow_gaps": True, **options},
            "database": [f"{split}/database"],
            "query": [f"{split}/queries"],
            "only": [word for word in only if word] or None,
        }

    home = data.dataset_path
    return {
        "train": [source(home, "train")],
        "validation": [source(judged.path or home, judged.split)],
        "test": [source(one.path or home, one.split) for one in tests],
        "length": data.seq_length,
        "cut_last_frame": data.cut_last_frame,
        "positive_radius": data.train_posDistThr,
        "negative_radius": data.negDistThr,
        "heading": 180.0,
        "strategy": strategy,
        "negative_strategy": STRATEGIES[data.neg_seq_gt_strategy],
        "validation_radius": data.val_posDistThr,
        "validation_strategy": STRATEGIES[judged.seq_gt_strategy or data.seq_gt_strategy],
        "test_radius": data.addtest_posDistThr,
        "test_strategy": STRATEGIES[asked.pop()] if asked else None,
        "image_size": data.img_shape,
    }


def _is_pooled(found: _Training) -> bool:
    """Whether the head is CaseNet's pooling; that of the others is an aggregator."""
    return "casevpr" in found.model.seq_encoder


def _optimization(found: _Training) -> dict[str, Any]:
    values, loader = found.optimization, found.loader
    batch = loader.train_batch_size
    rate, trunk = values.lr, None
    if values.multiple_lr:
        head = values.lr_pooling if _is_pooled(found) else values.lr_aggregator
        rate, trunk = head or rate, values.lr_encoder or rate
    return {
        "optimizer": values.optim,
        "lr": rate,
        "trunk_lr": trunk,
        "weight_decay": values.weight_decay,
        "schedule": "constant",
        "warmup": 0.0,
        "epochs": values.epochs,
        "patience": values.patience,
        "batch": batch,
        "micro_batch": loader.batch_split_size or batch,
        "steps_per_epoch": max(1, loader.queries_per_epoch // batch),
    }
