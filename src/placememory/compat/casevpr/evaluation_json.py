"""CaseVPR's own configuration of test batches, unchanged, as an evaluation.

The JSON names data sets and encoders but not where they are; that is said once in a small YAML file
beside it::

    datasets:
      oxford: {root: /data/oxford}
      nordland: {root: /data/nordland}
    weights: models
    output: output/test_logs
    cache: output/feature_cache
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from placememory._types import Protocol
from placememory.compat.casevpr.fields import merge, read_object, refuse, validate_fields
from placememory.compat.casevpr.names import Paths, read_paths
from placememory.compat.casevpr.pipeline import BACKENDS, CasevprSettings
from placememory.errors import SettingError
from placememory.evaluation.config import (
    NO_ENCODER,
    EncoderConfig,
    Evaluation,
    StrictModel,
    resolve_paths,
    validate,
)

_WHAT = "batch of CaseVPR tests"
_LAYOUTS = {"nordland": "nordland"}
_SIMILARITY = {"cos": "cosine", "l2": "l2"}
_HAS = {"adaptseq": ("search_width", "block"), "adaptseq-v2": ("search_width", "block")}


class _Test(StrictModel):
    ds_name: str
    l1: tuple[str, ...]
    l2: tuple[str, ...]
    positive_dist: float | None = None
    skip_same: bool = False


class _Group(StrictModel):
    fe_lst: tuple[str, ...]
    be_lst: tuple[str, ...]


class _Backend(StrictModel):
    """Parameters of the matching; left-out ones have the values of CaseVPR's class."""

    ds: int = 5
    thresh_out: float = 100.0
    thresh_out2: float | None = None
    stp_gap: int = 14
    matching_K: int = 5
    matching_KK: int = 4
    positive_dist: float = 11.0
    dist_cos_thres: float = 0.7
    search_nonkeyframe: bool = False
    sim: Literal["cos", "l2"] = "cos"
    nosearch_range: int | None = None
    min_search_range: int | None = None
    only_log_vectors: bool = False
    save_seq_mode: str = "selected"


class _Settings(StrictModel):
    seq_gt: bool = False
    seq_gt_vgt: bool = False
    save_seq: bool = False
    save_seq_mode: str = "selected"
    save_retrieval: bool = False
    save_retrieved_info: bool = False
    save_feature_cache: bool = True
    test_name: str = ""
    seperate_ds: bool = False
    default_seqbackend_params: _Backend = _Backend()


class _Batch(StrictModel):
    test_lst: tuple[_Test, ...] = Field(min_length=1)
    pipeline_lst: tuple[_Group, ...] = Field(min_length=1)
    default_settings: dict[str, Any]
    settings_lst: tuple[dict[str, Any], ...] = ()


class CasevprEvaluation(Evaluation):
    """An evaluation by the published code's protocol."""

    settings: CasevprSettings = CasevprSettings()


def read_casevpr(path: Path, paths: Path, protocol: Protocol = "casevpr") -> list[Evaluation]:
    """Read a batch of tests; every test has a radius of its own, so it is an evaluation.

    Each entry of ``settings_lst`` is a variant under its ``test_name``.

    Args:
        path: CaseVPR's JSON (``test_lst``, ``pipeline_lst``, ``default_settings``, ...).
        paths: YAML file that says where things are, see :class:`Paths`.
        protocol: Whose counts; ``casevpr`` reproduces the published ones.

    Raises:
        SettingError: A file cannot be read, or a name or field in it is missing, unknown, or not
            honoured here.
    """
    return plan_batch(read_object(path, f"a {_WHAT}"), read_paths(paths), path, protocol)


def plan_batch(
    values: dict[str, Any], where: Paths, path: Path, protocol: Protocol = "casevpr"
) -> list[Evaluation]:
    """The evaluations of a batch of tests; see :func:`read_casevpr`.

    Args:
        values: As in CaseVPR's JSON.
        where: Where things are.
        path: Of the JSON, for messages.
        protocol: Whose counts.

    Raises:
        SettingError: A name or field is missing, unknown, or not honoured here.
    """
    batch = validate_fields(_Batch, values, path, _WHAT)
    settings_list = [
        _check(
            validate_fields(_Settings, merge(batch.default_settings, changed), path, _WHAT), path
        )
        for changed in batch.settings_lst or ({},)
    ]
    labels = [settings.test_name for settings in settings_list]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise SettingError(
            f"{path}: two entries of settings_lst have the test_name {twice!r}; give each its own"
        )
    return [
        _evaluation(batch, test, settings, where, protocol, path)
        for settings in settings_list
        for test in batch.test_lst
    ]


def _check(settings: _Settings, path: Path) -> _Settings:
    parameters = settings.default_seqbackend_params
    window = parameters.ds
    refuse(
        path,
        {
            "thresh_out2": (
                parameters.thresh_out2 is not None,
                "the published code stops with an error where it is given; leave it out",
            ),
            "nosearch_range": (
                parameters.nosearch_range not in (None, window),
                f"it belongs to single runs, which the published code cannot do; leave it out, or "
                f"give ds = {window}; our own protocol has settings.exclusion",
            ),
            "min_search_range": (
                parameters.min_search_range not in (None, 2 * window),
                f"it belongs to single runs; leave it out, or give 2 ds = {2 * window}",
            ),
            "only_log_vectors": (
                parameters.only_log_vectors,
                "it searches nothing; `placememory extract` describes images",
            ),
            "save_seq": (
                settings.save_seq,
                "pictures of single windows are not drawn; matches.png shows a run, and "
                "`placememory evaluate-sequences` writes a page of windows; give false",
            ),
            "save_retrieved_info": (
                settings.save_retrieved_info,
                "give save_retrieval, which writes all retrieved sequences to retrieval.npz",
            ),
        },
    )
    return settings


def _evaluation(
    batch: _Batch,
    test: _Test,
    settings: _Settings,
    where: Paths,
    protocol: Protocol,
    path: Path,
) -> Evaluation:
    name, parameters = test.ds_name, settings.default_seqbackend_params
    if name not in where.datasets:
        raise SettingError(f"{path}: the paths do not say where the data set {name!r} is")
    place = where.datasets[name]
    pairs = [
        {"reference": first, "query": second}
        for first in test.l1
        for second in test.l2
        if not (test.skip_same and first == second)
    ]
    encoders: dict[str, EncoderConfig] = {}
    systems = [
        system
        for group in batch.pipeline_lst
        for front in group.fe_lst
        for back in group.be_lst
        for system in _systems(front, back, where, encoders, path)
    ]
    matcher = {"search_width": parameters.matching_KK, "block": parameters.stp_gap}
    values = {
        "name": settings.test_name or "casevpr",
        "output": where.output,
        "cache": where.cache if settings.save_feature_cache else None,
        "datasets": {
            name: {
                "root": place.root,
                "layout": place.layout or _LAYOUTS.get(name, "robotcar"),
                "options": place.options,
                "pairs": pairs,
                "radius": parameters.positive_dist
                if test.positive_dist is None
                else test.positive_dist,
            }
        },
        "encoders": encoders,
        "matchers": {
            back: {
                "matcher": ours,
                "parameters": {key: matcher[key] for key in _HAS.get(ours, ())},
            }
            for back, ours in BACKENDS.items()
        },
        "systems": systems,
        "settings": _settings(settings, protocol, path),
        "variants": {settings.test_name: {}} if settings.test_name else {},
    }
    model = CasevprEvaluation if protocol == "casevpr" else Evaluation
    return resolve_paths(validate(model, values, path), where.base / path.name)


def _systems(
    front: str, back: str, where: Paths, encoders: dict[str, EncoderConfig], path: Path
) -> list[dict[str, Any]]:
    """A front end ``image+sequence`` with each of the back ends ``a+b``."""
    image, _, sequence = front.partition("+")
    roles = []
    try:
        for part in filter(None, (image, sequence)):
            encoders[part], role = where.encoder(part)
            roles.append(role)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error
    for part in back.split("+"):
        if part not in BACKENDS:
            raise SettingError(
                f"{path}: no matcher of CaseVPR is called {part!r}; known: {', '.join(BACKENDS)}"
            )
    if not sequence and roles[0] == "both":
        alone = [part for part in back.split("+") if "seq_desc" not in part]
        if alone:
            raise SettingError(
                f"{path}: {image} with {alone[0]}: the published code describes frames alone "
                "there, without the others of their window, which is not done here; take a "
                "matcher seq_desc..., or crica for CaseNet's network on single frames"
            )
        sequence = image
    if not sequence and roles[0] == "sequence":
        image, sequence = NO_ENCODER, image
    names = {"encoder": image, "sequence": sequence or None}
    return [{**names, "matcher": part} for part in back.split("+")]


def _settings(settings: _Settings, protocol: Protocol, path: Path) -> dict[str, Any]:
    parameters = settings.default_seqbackend_params
    found: dict[str, Any] = {
        "window": parameters.ds,
        "candidates": parameters.matching_K,
        "threshold": parameters.thresh_out,
        "keyframe_threshold": parameters.dist_cos_thres,
    }
    if settings.seq_gt:
        found["ground_truth"] = "lax" if settings.seq_gt_vgt else "strict"
    theirs = {
        "similarity": _SIMILARITY[parameters.sim],
        "search_nonkeyframes": parameters.search_nonkeyframe,
        "separate": settings.seperate_ds,
    }
    if protocol == "casevpr":
        return {
            **found,
            **theirs,
            "block": parameters.stp_gap,
            "save_retrieval": settings.save_retrieval,
            "protocol": protocol,
        }
    required = {"similarity": "cosine", "search_nonkeyframes": True, "separate": True}
    for name, value in required.items():
        if theirs[name] != value:
            raise SettingError(
                f"{path}: the default protocol runs {name}: {value}; --protocol casevpr runs what "
                "is asked"
            )
    return found
