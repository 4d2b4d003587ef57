"""CaseVPR's own configuration of the evaluation of sequences, unchanged (``eval_sequence.py``).

One model on one data set, with the sections ``experiment``, ``model`` and ``data``; or a batch:
every one of ``model_variants`` on every one of ``dataset_variants``. What both share may stand in
a file that ``base_config_path`` names, or in ``base_config``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator

from placememory._io import read_json
from placememory.compat.casevpr.fields import (
    merge,
    read_object,
    refuse,
    validate_fields,
    without_null,
)
from placememory.compat.casevpr.names import NAMES, Model, Paths, read_paths
from placememory.errors import SettingError
from placememory.evaluation.config import Evaluation, StrictModel, resolve_paths, validate

_WHAT = "evaluation of sequences of CaseVPR"
_LOG = logging.getLogger(__name__)
STRATEGIES = {"lax": "lax", "strict": "strict", "lastframe": "last-frame"}
"""CaseVPR's names of ground truths, and ours."""

_FOLDERS = {"oxford_robotcar": "oxford", "oxford_robotcar_v": "oxford_v", "img_ntu": "rosimg"}
_MODELS = ("model_variants", "models", "args_dicts")
_DATASETS = ("dataset_variants", "datasets", "ds_dicts")
_META = ("_folder", "_variant", "_variant_suffix")
_SECTIONS = ("experiment", "model", "data")
Strategy = Literal["lax", "strict", "lastframe"]


class _Experiment(StrictModel):
    name: str = "seq_eval"
    logs_root: str = "output/seq_eval_logs"
    seed: int = 43
    deterministic: bool = False
    device: str | None = None
    infer_batch_size: int = 1
    save_preds_json: bool = False
    save_gif: bool = False
    save_html: bool = False


class Override(StrictModel):
    """``args_override`` of a model."""

    seq_len: int | None = None
    encoder_type: str | None = None
    trainable_block_count: int | None = Field(default=None, ge=1)


class _Model(StrictModel):
    seq_encoder: str = Field(validation_alias=AliasChoices("seq_encoder", "arch"))
    checkpoint: str | None = None
    use_best: bool = True
    pca_outdim: int | None = Field(default=None, gt=0)
    args_override: Override = Override()
    family: str = ""


class _Data(StrictModel):
    dataset_path: str
    split: str = "test"
    seq_length: int = 5
    cut_last_frame: bool = False
    val_posDistThr: float = 2.0
    img_shape: tuple[int, int] | None = None
    seq_gt_strategy: Strategy = "lax"
    reverse: bool = False

    @field_validator("split", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class _Single(StrictModel):
    experiment: _Experiment = _Experiment()
    model: _Model
    data: _Data


def read_casevpr_sequences(path: Path, paths: Path | None = None) -> list[Evaluation]:
    """Read an evaluation of sequence encoders, by the windows and positives of CaseVPR.

    Args:
        path: CaseVPR's JSON.
        paths: YAML file that says where things are, see :class:`Paths`. Without one, data sets are
            where the JSON says, weights in ``models``, both from the folder one works in.

    Returns:
        One evaluation of all models for each data set, in their order.

    Raises:
        SettingError: A file cannot be read, or a name or field in it is missing, unknown, or not
            honoured here.
    """
    values, where = _base(path, read_object(path, f"a {_WHAT}")), read_paths(paths)
    return plan_sequences(values, where, path, None if paths is None else where.output)


def plan_sequences(
    values: dict[str, Any], where: Paths, path: Path, output: Path | None
) -> list[Evaluation]:
    """The evaluations of sequences; see :func:`read_casevpr_sequences`.

    Args:
        values: As in CaseVPR's JSON.
        where: Where things are.
        path: Of the JSON, for messages.
        output: Folder above that of the runs; ``None`` for that of the JSON.

    Raises:
        SettingError: A name or field is missing, unknown, or not honoured here.
    """
    found = dict(values)
    models, found = _variants(found, _MODELS, "model", path)
    datasets, found = _variants(found, _DATASETS, "data", path)
    return [
        _evaluation(name, data, models, found, where, path, output)
        for name, data in datasets.items()
    ]


def device_of(path: Path) -> str | None:
    """The device that a JSON of CaseVPR asks for; ``None`` where it asks for none."""
    content = read_json(path, SettingError)
    experiment = content.get("experiment") if isinstance(content, dict) else None
    device = experiment.get("device") if isinstance(experiment, dict) else None
    return None if device is None else str(device)


def _base(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    base = without_null(found.pop("base_config", None)) or {}
    file = found.pop("base_config_path", None)
    if isinstance(base, str):
        base, file = {}, base
    if file is not None:
        there = path.parent / str(file)
        base = merge(read_object(there if there.is_file() else Path(file), f"a {_WHAT}"), base)
    return merge(base, without_null(found))


def _variants(
    found: dict[str, Any], keys: tuple[str, ...], section: str, path: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Sections by the name of the variant, and what else there is; one without variants has one."""
    key = next((key for key in keys if key in found), None)
    rest = {name: value for name, value in found.items() if name not in keys}
    if key is None:
        return {"": {}}, rest
    listed = found[key]
    if isinstance(listed, list):
        listed = {str(one.get("_variant") or i): one for i, one in enumerate(listed, start=1)}
    if not isinstance(listed, dict) or not all(isinstance(one, dict) for one in listed.values()):
        raise SettingError(f"{path}: {key} is an object of variants by name")
    variants = {}
    for name, one in listed.items():
        fields = {field: value for field, value in one.items() if field not in _META}
        whole = fields if section in fields or "experiment" in fields else {section: fields}
        label = str(one.get("_folder") or one.get("_variant") or name)
        variants[label + str(one.get("_variant_suffix") or "")] = whole
    return variants, rest


def _evaluation(
    dataset: str,
    data: dict[str, Any],
    models: dict[str, dict[str, Any]],
    common: dict[str, Any],
    where: Paths,
    path: Path,
    output: Path | None,
) -> Evaluation:
    encoders, single = {}, None
    for label, model in models.items():
        single = validate_fields(_Single, merge(merge(common, data), model), path, _WHAT)
        _check(single, path)
        encoders[label or single.model.seq_encoder] = _encoder(single, where, path)
    assert single is not None
    asked, experiment = single.data, single.experiment
    name = dataset or Path(asked.dataset_path).name
    root, options = find_dataset(asked.dataset_path, where, name)
    folder = Path.cwd() / experiment.logs_root if output is None else output
    values = {
        "name": experiment.name,
        "output": folder / experiment.name,
        "cache": where.cache,
        "datasets": {
            name: {
                "root": root,
                "layout": "robotcar",
                "options": {"allow_gaps": True, **options},
                "pairs": [
                    {"reference": f"{asked.split}/database", "query": f"{asked.split}/queries"}
                ],
                "radius": asked.val_posDistThr,
            }
        },
        "encoders": encoders,
        "systems": [{"encoder": label, "kind": "windows"} for label in encoders],
        "settings": {
            "window": asked.seq_length,
            "reverse": asked.reverse,
            "cut_last_frame": asked.cut_last_frame,
            "strategies": [STRATEGIES[asked.seq_gt_strategy]],
            "protocol": "casevpr",
        },
    }
    return resolve_paths(validate(Evaluation, values, path), where.base / path.name)


def _encoder(single: _Single, where: Paths, path: Path) -> Any:
    model, data = single.model, single.data
    try:
        config, role = where.encoder(model.seq_encoder, windows=True)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error
    if role == "frame":
        raise SettingError(f"{path}: {model.seq_encoder!r} describes frames, not sequences")
    check_size(model.seq_encoder, data.img_shape, where, path)
    override = model.args_override
    if override.seq_len not in (None, data.seq_length):
        raise SettingError(
            f"{path}: model.args_override.seq_len is {override.seq_len}, but data.seq_length "
            f"{data.seq_length}"
        )
    changed: dict[str, Any] = {"pca": model.pca_outdim}
    if model.checkpoint is not None:
        changed["weights"] = str(_best(Path.cwd() / model.checkpoint, best=model.use_best))
    if override.encoder_type is not None:
        changed["options"] = {**config.options, "encoder_type": override.encoder_type}
    return config.model_copy(update=changed)


def _best(checkpoint: Path, *, best: bool) -> Path:
    """The file, or ``best_model.pth`` beside it, which CaseVPR takes instead unless told not to."""
    other = checkpoint.with_name("best_model.pth")
    if not best or not other.is_file() or other == checkpoint:
        return checkpoint
    _LOG.warning("%s is taken in place of %s, as use_best says", other, checkpoint.name)
    return other


def check_size(name: str, size: tuple[int, int] | None, where: Paths, path: Path) -> None:
    """Check that images have the size that the encoder of a name takes.

    Raises:
        SettingError: They have not.
    """
    entry = where.models.get(name)
    like = entry.like if isinstance(entry, Model) and entry.like else name
    known = NAMES.get(like)
    if size is not None and known is not None and size != known.side:
        raise SettingError(
            f"{path}: data.img_shape is {list(size)}, but {name} takes {list(known.side)}"
        )


def find_dataset(dataset_path: str, where: Paths, name: str = "") -> tuple[Path, dict[str, Any]]:
    """Root and options of a data set: as the paths say, else as it stands in the JSON.

    Args:
        dataset_path: As it stands in the JSON.
        where: Paths by that path, its last folder, or CaseVPR's name of the data set there.
        name: Another name to look for.
    """
    folder = Path(dataset_path).name
    for key in (dataset_path, name, folder, _FOLDERS.get(folder, "")):
        if key in where.datasets:
            place = where.datasets[key]
            return where.base / place.root, place.options
    return Path.cwd() / dataset_path, {}


def _check(single: _Single, path: Path) -> None:
    refuse(
        path,
        {
            "experiment.save_gif": (
                single.experiment.save_gif,
                "no GIFs are made; give save_html, or look at failures.html, which shows every "
                "query window beside what was found",
            ),
            "model.args_override.trainable_block_count": (
                single.model.args_override.trainable_block_count is not None,
                "nothing is trained here; leave it out",
            ),
        },
    )
