"""CaseVPR's own configuration of test batches, unchanged, as an evaluation.

The JSON names data sets and encoders but not where they are; that is said once in a small YAML file
beside it::

    datasets:
      oxford: {root: /data/oxford}
      nordland: {root: /data/nordland, layout: nordland}
    models:
      hvpr_casevpr_224: weights/casevpr_224.pth
    output: output/test_logs
    cache: output/feature_cache
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from placememory._io import read_json, read_yaml
from placememory._types import Protocol
from placememory.compat.casevpr.pipeline import BACKENDS, CasevprSettings
from placememory.errors import SettingError
from placememory.evaluation.config import NO_ENCODER, Evaluation, resolve_paths, validate

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "netvlad_WPCA4096": ("netvlad-wpca", {}),
    "ep": ("eigenplaces", {"size": 384}),
    "crica": ("cricavpr", {"resize_on": "image"}),
    "salad": ("salad", {}),
    "cliquemining": ("cliquemining", {}),
    "boq": ("boq-dinov2", {}),
    "mixvpr": ("mixvpr", {}),
    "none": (NO_ENCODER, {}),
    "vgg16_seqvlad": ("seqvlad", {}),
    "jist": ("jist", {}),
    "svpr": ("svpr", {}),
    "hvpr_seqnet": ("seqnet", {}),
    "hvpr_casevpr_224_crica": ("casenet-224", {"resize_on": "tensor"}),
    "hvpr_casevpr_224": ("casenet-224", {}),
    "hvpr_casevpr_322": ("casenet-322", {}),
}
"""CaseVPR's names of encoders: our method and its options."""

_LAYOUTS = {"nordland": "nordland"}
_SEQUENCE_ENCODERS = ("vgg16_seqvlad", "jist", "svpr")
_MATCHER_PARAMETERS = {"matching_KK": "search_width", "stp_gap": "block"}
_SETTINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "ds": ("window", int),
    "matching_K": ("candidates", int),
    "thresh_out": ("threshold", float),
    "dist_cos_thres": ("keyframe_threshold", float),
    "sim": ("similarity", {"cos": "cosine", "l2": "l2"}.get),
}


class CasevprEvaluation(Evaluation):
    """An evaluation by the published code's protocol."""

    settings: CasevprSettings = CasevprSettings()


class _Place(BaseModel):
    model_config = ConfigDict(extra="forbid")
    root: Path
    layout: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class Paths(BaseModel):
    """Where data sets and weights are, and where results go.

    Attributes:
        datasets: Root (and layout, options) by CaseVPR's name of the data set.
        models: Weights by CaseVPR's name of the encoder; the published ones where none is named.
        output: Folder for the runs.
        cache: Folder for descriptors.
    """

    model_config = ConfigDict(extra="forbid")

    datasets: dict[str, _Place]
    models: dict[str, str] = Field(default_factory=dict)
    output: Path = Path("output/test_logs")
    cache: Path | None = Path("output/feature_cache")


def read_casevpr(path: Path, paths: Path, protocol: Protocol = "casevpr") -> list[Evaluation]:
    """Read a batch of tests; every test has a radius of its own, so it is an evaluation.

    Args:
        path: CaseVPR's JSON (``test_lst``, ``pipeline_lst``, ``default_settings``, ...).
        paths: YAML file that says where things are, see :class:`Paths`.
        protocol: Whose counts; ``casevpr`` reproduces the published ones.

    Raises:
        SettingError: A file cannot be read, or a name or field in it is missing or unknown.
    """
    batch, where = _json(path), read_paths(paths)
    try:
        settings_list = batch.get("settings_lst") or [{}]
        return [
            _evaluation(
                batch, test, _merge(batch["default_settings"], changed), where, protocol, paths
            )
            for changed in settings_list
            for test in batch["test_lst"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        reason = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise SettingError(f"{path}: this is no batch of CaseVPR tests: {reason}") from error


def read_paths(path: Path) -> Paths:
    """Read the file with the paths of data sets and weights.

    Raises:
        SettingError: It cannot be read, or a field is wrong.
    """
    return validate(Paths, read_yaml(path, SettingError), path)


def _json(path: Path) -> dict[str, Any]:
    content = read_json(path, SettingError)
    if not isinstance(content, dict):
        raise SettingError(f"{path}: a batch of tests is an object, not a {type(content).__name__}")
    return content


def _merge(base: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """Settings with some replaced, at any depth."""
    merged = dict(base)
    for key, value in changed.items():
        inner = merged.get(key)
        deeper = isinstance(inner, dict) and isinstance(value, dict)
        merged[key] = _merge(inner, value) if deeper else value  # type: ignore[arg-type]
    return merged


def _evaluation(
    batch: dict[str, Any],
    test: dict[str, Any],
    settings: dict[str, Any],
    where: Paths,
    protocol: Protocol,
    source: Path,
) -> Evaluation:
    name = str(test["ds_name"])
    if name not in where.datasets:
        raise SettingError(f"{source}: it does not say where the data set {name!r} is")
    place = where.datasets[name]
    parameters = settings.get("default_seqbackend_params", {})
    pairs = [
        {"reference": first, "query": second}
        for first in test["l1"]
        for second in test["l2"]
        if not (test.get("skip_same") and first == second)
    ]
    systems = [
        system
        for group in batch["pipeline_lst"]
        for front in group["fe_lst"]
        for back in group["be_lst"]
        for system in _systems(front, back)
    ]
    matcher = {
        ours: int(parameters[theirs])
        for theirs, ours in _MATCHER_PARAMETERS.items()
        if theirs in parameters
    }
    values = {
        "name": str(settings.get("test_name") or "casevpr"),
        "output": where.output,
        "cache": where.cache,
        "datasets": {
            name: {
                "root": place.root,
                "layout": place.layout or _LAYOUTS.get(name, "robotcar"),
                "options": place.options,
                "pairs": pairs,
                "radius": float(test.get("positive_dist", parameters.get("positive_dist", 11))),
            }
        },
        "encoders": {front: _encoder(front, where) for front in ENCODERS},
        "matchers": {
            back: {"matcher": ours, "parameters": _parameters(ours, matcher)}
            for back, ours in BACKENDS.items()
        },
        "systems": systems,
        "settings": _settings(settings, parameters, protocol),
    }
    model = CasevprEvaluation if protocol == "casevpr" else Evaluation
    return resolve_paths(validate(model, values, source), source)


def _systems(front: str, back: str) -> list[dict[str, Any]]:
    """A front end ``image+sequence`` with each of the back ends ``a+b``."""
    image, _, sequence = front.partition("+")
    for part in filter(None, (image, sequence)):
        if part not in ENCODERS:
            raise SettingError(
                f"no encoder of CaseVPR is called {part!r}; known: {', '.join(ENCODERS)}"
            )
    for part in back.split("+"):
        if part not in BACKENDS:
            raise SettingError(
                f"no matcher of CaseVPR is called {part!r}; known: {', '.join(BACKENDS)}"
            )
    if not sequence and image.startswith("hvpr_"):
        sequence = image
    if not sequence and image in _SEQUENCE_ENCODERS:
        image, sequence = NO_ENCODER, image
    names = {"encoder": image, "sequence": sequence or None}
    return [{**names, "matcher": part} for part in back.split("+")]


def _encoder(front: str, where: Paths) -> dict[str, Any]:
    method, options = ENCODERS[front]
    return {"encoder": method, "options": options, "weights": where.models.get(front)}


def _parameters(matcher: str, known: dict[str, int]) -> dict[str, int]:
    """Those of the parameters that a matcher has."""
    has = {"adaptseq": ("search_width", "block"), "adaptseq-v2": ("search_width", "block")}
    return {name: known[name] for name in has.get(matcher, ()) if name in known}


def _settings(
    settings: dict[str, Any], parameters: dict[str, Any], protocol: Protocol
) -> dict[str, Any]:
    found = {
        ours: convert(parameters[theirs])
        for theirs, (ours, convert) in _SETTINGS.items()
        if theirs in parameters
    }
    found["search_nonkeyframes"] = _flag(parameters.get("search_nonkeyframe", False))
    found["separate"] = _flag(settings.get("seperate_ds", False))
    if _flag(settings.get("seq_gt", False)):
        found["ground_truth"] = "lax" if _flag(settings.get("seq_gt_vgt", False)) else "strict"
    if protocol == "casevpr":
        return {**found, "protocol": protocol}
    required = {"similarity": "cosine", "search_nonkeyframes": True, "separate": True}
    for name, value in required.items():
        if found.pop(name, value) != value:
            raise SettingError(
                f"the default protocol runs {name}: {value}; --protocol casevpr runs what is asked"
            )
    return found


def _flag(value: Any) -> bool:
    """A flag that may be written as text."""
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)
