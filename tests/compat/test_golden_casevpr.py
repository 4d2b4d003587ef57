"""Equal to CaseVPR's own code on its recorded runs: every path, count and recall of every case."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from placememory.compat.casevpr.pipeline import (
    CasevprPipeline,
    PublishedCodeFailsError,
    PublishedTraverse,
)
from placememory.compat.casevpr.pipeline import play as run
from placememory.errors import InputError, SettingError
from tests.conftest import SHARED

FOLDER = SHARED / "golden/pipeline"
ROUTES = ("city", "long", "raw")
SIMILARITY = {"cos": "cosine", "l2": "l2"}


@cache
def load(route: str) -> tuple[dict, dict, dict]:
    runs = json.loads((FOLDER / f"{route}.json").read_text())["runs"]
    arrays = []
    for kind in ("inputs", "outputs"):
        with np.load(FOLDER / f"{route}_{kind}.npz") as file:
            arrays.append(dict(file))
    return runs, arrays[0], arrays[1]


def cases() -> list[tuple[str, str, int]]:
    """Route, name of the run, and which of its matchers; none where the data is absent."""
    if not FOLDER.is_dir():
        return []
    return [
        (route, name, which)
        for route in ROUTES
        for name, case in load(route)[0].items()
        for which in range(len(case["backend"].split("+")))
    ]


def played(route: str, name: str, which: int):
    runs, inputs, _ = load(route)
    case, backend = runs[name], runs[name]["backend"].split("+")[which]
    settings, sequences = case["seqbackend_params"], "seq_desc" in backend
    rule = ("lax" if settings["seq_gt_vgt"] else "strict") if settings.get("seq_gt") else None
    reference, queries = (
        PublishedTraverse(
            inputs[f"{side}_desc"],
            inputs[f"{side}_seq_desc"] if sequences else None,
            inputs[f"{side}_xy"],
        )
        for side in ("ref", "query")
    )
    return run(
        reference,
        queries,
        backend,
        radius=settings["positive_dist"],
        sequence_rule=rule,
        any_positive=which == 1,
        window=int(settings["ds"]),
        candidates=int(settings["matching_K"]),
        search_width=int(settings["matching_KK"]),
        block=int(settings["stp_gap"]),
        sequence_length=case["frontend_seqlen"] if sequences else 5,
        similarity=SIMILARITY[settings["sim"]],
        keyframe_threshold=settings["dist_cos_thres"],
        search_nonkeyframes=settings["search_nonkeyframe"],
        separate=case["seperate_ds"],
        threshold=float(settings["thresh_out"]),
    )


def row_of_frame(route: str, name: str) -> np.ndarray:
    """(N,) row of each reference key frame."""
    runs, _, outputs = load(route)
    threshold = runs[name]["seqbackend_params"]["dist_cos_thres"]
    keys = next(v for k, v in outputs.items() if k.startswith(f"first_loop/img_dummy|{threshold}|"))
    return np.cumsum(keys) - 1


@pytest.mark.real
@pytest.mark.parametrize(("route", "name", "which"), cases())
def test_paths_counts_and_recalls(golden: Path, route: str, name: str, which: int) -> None:
    runs, _, outputs = load(route)
    case, found = runs[name], played(route, name, which)
    recorded = {
        key.removeprefix(f"{name}/"): values
        for key, values in outputs.items()
        if key.startswith(f"{name}/")
    }
    suffix = "2" if which else ""
    results = found.results
    given = [
        -2 if r.skipped == "not-a-key-frame" else r.matched_frame if r.accepted else -1
        for r in results
    ]
    np.testing.assert_array_equal(given, recorded["retrieved" + suffix])
    np.testing.assert_array_equal(found.counts, recorded["counts" + suffix])
    np.testing.assert_array_equal(found.right, recorded["is_positive" + suffix])

    totals = (
        case["result"] if "+" not in case["backend"] else case["result"][("first", "second")[which]]
    )
    assert found.totals == tuple(totals[key] for key in ("nTP", "nFP", "nTN", "nFN"))
    for measure in ("precision", "recall", "accuracy"):
        assert getattr(found, measure) == totals[measure]
    assert found.fails_at == totals.get("reference_raises", {}).get("frame")
    if which:
        return

    np.testing.assert_array_equal([r.searched for r in results], recorded["searched"])
    rows = row_of_frame(route, name)
    none = np.full(recorded["best_row_indices"].shape[1], -1)
    paths = [rows[r.path] if r.match else none for r in results]
    np.testing.assert_array_equal(paths, recorded["best_row_indices"])
    values = [r.score if r.match else np.nan for r in results]
    np.testing.assert_allclose(values, recorded["value"], rtol=2e-6)
    kept = np.array(given) != -2
    np.testing.assert_array_equal(found.positives[kept], recorded["n_gt"][kept])
    if "seq_top1_index" in recorded:
        top = [-1 if r.candidates is None else rows[r.candidates[0]] for r in results]
        np.testing.assert_array_equal(top, recorded["seq_top1_index"])
    for depth, hits in zip((1, 5, 10, 20), found.hits_at.T, strict=True):
        if f"is_positive_{depth}" in recorded:
            searched = [r.searched for r in results if r.skipped != "not-a-key-frame"]
            expected = recorded[f"is_positive_{depth}"][: len(searched)]
            np.testing.assert_array_equal(hits, expected[searched])


def line(count: int = 120, dim: int = 24) -> PublishedTraverse:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(count, dim))
    places = np.stack([np.arange(count), np.zeros(count)], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(rows, min(5, count), axis=0)
    sequences = windows.mean(axis=2)[: max(0, count - 4)]
    return PublishedTraverse(rows, sequences, places)


def test_a_small_map_gives_true_negatives_only() -> None:
    found = run(line(94), line(94), radius=1)
    assert found.totals == (0, 0, 90, 0)
    assert {r.skipped for r in found.results} == {"warming-up", "map-too-small"}
    assert run(line(95), line(95), radius=1).totals[0] > 80
    assert run(line(3), line(30), radius=1).totals == (0, 0, 26, 0)


def test_the_radius_is_cut_to_a_whole_number() -> None:
    near = line()
    moved = PublishedTraverse(near.descriptors, near.sequences, near.positions + np.array([0, 1.5]))
    assert run(near, moved, radius=1.9).totals[0] == 0
    assert run(near, moved, radius=2).totals[0] > 100


def test_where_the_published_code_stops() -> None:
    route = line()
    pipeline = CasevprPipeline("seq_desc", separate=False)
    pipeline.add_reference(route.descriptors, route.sequences)
    frames = list(route)
    with pytest.raises(PublishedCodeFailsError):
        [pipeline.query(frame, sequence) for frame, sequence in frames]
    assert run(route, route, "seq_desc", radius=1, separate=False).fails_at is not None


def test_other_matchers_go_on() -> None:
    route = line()
    for separate in (True, False):
        found = run(route, route, "band-dp", radius=1, separate=separate)
        assert found.fails_at is None
        assert found.precision > 0.9


def test_positions_and_rules_are_checked() -> None:
    route = line()
    bare = PublishedTraverse(route.descriptors)
    with pytest.raises(InputError, match="positions"):
        run(bare, route, radius=1)
    with pytest.raises(SettingError, match="radius"):
        run(route, route, radius=-1)
    with pytest.raises(SettingError, match="sequence_rule"):
        run(route, route, radius=1, sequence_rule="some")
    with pytest.raises(SettingError, match="matcher"):
        run(route, route, "nonesuch", radius=1)
