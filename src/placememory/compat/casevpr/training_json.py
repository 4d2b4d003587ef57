"""CaseVPR's own training configuration, unchanged.

The JSON has the sections ``experiment``, ``model``, ``data``, ``loader``, ``mining``,
``optimization`` and ``evaluation``. Paths in it are relative to the folder one works in, as there.

What is other than in the reference: attention stays inside a sequence, so that training and test
agree and ``batch_split_size`` changes memory only; frozen parts are frozen, batch statistics and
dropout too; additional test sets are looked at once, after training, with the best weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from placememory._io import read_json
from placememory.compat.casevpr.evaluation_json import ENCODERS
from placememory.errors import SettingError

_SECTIONS = ("experiment", "model", "data")
_STRATEGIES = {"lax": "lax", "strict": "strict", "lastframe": "last-frame"}
_LAYOUT = "robotcar"


def read_casevpr_training(path: Path) -> dict[str, Any]:
    """Read a training of CaseVPR as the fields of :class:`placememory.training.Training`.

    Args:
        path: CaseVPR's JSON.

    Raises:
        SettingError: The file cannot be read, or a section, name or value in it is missing or not
            known.
    """
    found = read_json(path, SettingError)
    missing = [s for s in _SECTIONS if not isinstance(found, dict) or s not in found]
    if missing:
        raise SettingError(f"{path}: this is no training of CaseVPR: no {', '.join(missing)}")
    try:
        return _fields(found)
    except KeyError as error:
        raise SettingError(
            f"{path}: the field {error} is missing or its value not known"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise SettingError(f"{path}: a field has a wrong value ({error})") from error


def _fields(found: dict[str, Any]) -> dict[str, Any]:
    experiment, optimization = found["experiment"], found.get("optimization", {})
    mining, loader = found.get("mining", {}), found.get("loader", {})
    criterion = optimization.get("criterion", "triplet")
    if criterion != "triplet":
        raise SettingError(f"optimization.criterion is triplet in CaseVPR, not {criterion!r}")
    queries = int(mining.get("cached_queries", 1000))
    return {
        "name": str(experiment.get("name") or "casevpr"),
        "output": str(Path.cwd() / experiment.get("logs_root", "output/train_logs")),
        "seed": int(experiment.get("seed", 43)),
        "encoder": _encoder(experiment, found["model"]),
        "data": _data(found["data"], found.get("evaluation", {})),
        "augment": {
            "sequence": float(mining.get("augseq_prob", 0.3)) if mining.get("augseq") else 0.0,
            "sequence_step": int(mining.get("augseq_max_step", 2)),
        },
        "mining": {
            "kind": "cached",
            "queries": queries,
            "negatives": int(mining.get("cached_negatives", 1000)),
            "per_query": int(mining.get("nNeg", 5)),
            "refresh": queries,
            "shuffled": _probability(mining, "seq_neg_mining"),
        },
        "loss": {"kind": "triplet", "margin": float(optimization.get("margin", 0.1))},
        "optimization": _optimization(optimization, loader),
        "running": {
            "workers": max(1, int(loader.get("num_workers", 2))),
            "tensorboard": bool(experiment.get("tensorboard", True)),
            "keep_epochs": bool(experiment.get("save_every_epoch", False)),
        },
    }


def _probability(mining: dict[str, Any], name: str) -> float:
    return float(mining.get(f"{name}_prob", 0.3)) if mining.get(name) else 0.0


def _encoder(experiment: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    name, options = ENCODERS[model["seq_encoder"]]
    changed = model.get("args_override") or {}
    start = experiment.get("pretrain_model")
    if "encoder_type" in changed:
        options = {**options, "encoder_type": changed["encoder_type"]}
    return {
        "name": name,
        "weights": str(Path.cwd() / start) if start else "random",
        "options": options,
        "train": _trained_part(name, only_attention=bool(experiment.get("only_train_attn"))),
        "adapter_blocks": int(changed.get("trainable_block_count", 1)),
        "initialise": name in ("seqvlad", "svpr") and not start,
    }


def _trained_part(name: str, *, only_attention: bool) -> str:
    """CaseNet's adapters and head, all of other networks."""
    if not name.startswith("casenet"):
        return "all"
    return "head" if only_attention else "adapters"


def _data(data: dict[str, Any], evaluation: dict[str, Any]) -> dict[str, Any]:
    root = Path.cwd() / data["dataset_path"]
    strategy = _STRATEGIES[data.get("seq_gt_strategy", "strict")]
    negative = _STRATEGIES[data.get("neg_seq_gt_strategy", "lax")]
    only = data.get("city") or None
    judged = (evaluation.get("val") or {}).get("split", "val")
    tests = evaluation.get("additional_testsets") or []
    return {
        "train": [_source(root, "train", only)],
        "validation": [_source(root, str(judged), only)],
        "test": [_source(Path.cwd() / test["path"], str(test["split"]), only) for test in tests],
        "length": int(data.get("seq_length", 14)),
        "cut_last_frame": bool(data.get("cut_last_frame", False)),
        "positive_radius": float(data.get("train_posDistThr", 10)),
        "negative_radius": float(data.get("negDistThr", 25)),
        "heading": 180.0,
        "strategy": strategy,
        "negative_strategy": negative,
        "validation_radius": float(data.get("val_posDistThr", 25)),
        "validation_strategy": strategy,
        "image_size": data.get("img_shape"),
    }


def _source(root: Path, split: str, only: str | None) -> dict[str, Any]:
    return {
        "root": str(root),
        "layout": _LAYOUT,
        "options": {"allow_gaps": True},
        "database": [f"{split}/database"],
        "query": [f"{split}/queries"],
        "only": only,
    }


def _optimization(values: dict[str, Any], loader: dict[str, Any]) -> dict[str, Any]:
    batch = int(loader.get("train_batch_size", 8))
    several = bool(values.get("multiple_lr"))
    rate = float(values.get("lr", 1e-5))
    return {
        "optimizer": values.get("optim", "adamw"),
        "lr": float(values.get("lr_pooling", rate)) if several else rate,
        "trunk_lr": float(values.get("lr_encoder", rate)) if several else None,
        "weight_decay": float(values.get("weight_decay", 1e-3)),
        "schedule": "constant",
        "warmup": 0.0,
        "epochs": int(values.get("epochs", 100)),
        "patience": int(values.get("patience", 3)),
        "batch": batch,
        "micro_batch": int(loader.get("batch_split_size", batch)),
        "steps_per_epoch": max(1, int(loader.get("queries_per_epoch", 5000)) // batch),
    }
