"""Equal to the reference implementations on their recorded outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from placememory.matching import SequenceMatch, create
from placememory.matching.seqslam_classic import SeqSlamClassic, enhance_contrast

pytestmark = pytest.mark.real
VARIANTS = ("default", "float", "odd_ds", "long")


class Casevpr:
    """The recorded cases of CaseVPR's matchers."""

    def __init__(self, folder: Path) -> None:
        self.cases = json.loads((folder / "casevpr_cases.json").read_text())["cases"]
        with np.load(folder / "difference_matrices.npz") as file:
            self.matrices = dict(file)
        with np.load(folder / "casevpr_results.npz") as file:
            self.results = dict(file)

    def recorded(self, method: str, case: int, variant: str) -> dict[str, np.ndarray]:
        prefix = f"{method}/{case:02d}/{variant}/"
        return {k.removeprefix(prefix): v for k, v in self.results.items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def casevpr(golden: Path) -> Casevpr:
    return Casevpr(golden / "matchers")


@pytest.fixture(scope="module")
def pyseqslam(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "matchers/pyseqslam.npz") as file:
        return dict(file)


def check(found: SequenceMatch, recorded: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(found.paths, recorded["indices"])
    np.testing.assert_array_equal(found.distances, recorded["frame_values"])
    np.testing.assert_allclose(found.scores[0], recorded["value"], rtol=1e-6)
    np.testing.assert_allclose(found.means[0], recorded["frame_values"].mean(), rtol=1e-6)
    if "score" in recorded:
        scores = recorded["score"][recorded["order"]]
        np.testing.assert_allclose(found.scores, scores, rtol=1e-6)


@pytest.mark.parametrize("number", range(20))
@pytest.mark.parametrize(
    ("method", "variant", "name", "settings"),
    [
        ("seqslam", "limit", "seqslam", ()),
        ("seqslam", "nolimit", "seqslam", ()),
        ("adaptseq", "limit", "adaptseq", ("search_width", "block")),
        ("seqmatch", "candidates", "seqmatch", ("sequence_length",)),
        ("seqmatch", "none", "seqmatch", ("sequence_length",)),
        (
            "adaptseq_v2",
            "candidates",
            "adaptseq-v2",
            ("search_width", "block", "sequence_length"),
        ),
        ("adaptseq_v2", "none", "adaptseq-v2", ("search_width", "block", "sequence_length")),
    ],
)
def test_casevpr(casevpr, number, method, variant, name, settings) -> None:
    case = casevpr.cases[number]
    values = {
        "search_width": case["KK"],
        "block": case["stp_gap"],
        "sequence_length": case["frontend_seqlen"],
    }
    matcher = create(name, candidates=case["K"], **{key: values[key] for key in settings})
    limit = None if variant == "nolimit" else case["search_idx_limit"]
    matrix = casevpr.matrices[f"D_{number:02d}"][:limit]
    candidates = case["candidates"] if variant == "candidates" else None
    check(matcher.match(matrix, candidates), casevpr.recorded(method, number, variant))


@pytest.mark.parametrize("number", range(20))
def test_casevpr_without_sequences(casevpr, number) -> None:
    case = casevpr.cases[number]
    matrix = casevpr.matrices[f"D_{number:02d}"][: case["search_idx_limit"]]
    found = create("nearest").match(matrix[:, -1:])
    check(found, casevpr.recorded("none", number, "limit"))
    whole = create("nearest").match(matrix)
    np.testing.assert_array_equal(whole.paths[:, -1], found.paths[:, 0])
    np.testing.assert_array_equal(whole.scores, found.scores)


@pytest.mark.parametrize("number", range(20))
def test_casevpr_sequence_retrieval_alone(casevpr, number) -> None:
    case = casevpr.cases[number]
    matrix = casevpr.matrices[f"D_{number:02d}"][: case["search_idx_limit"]]
    found = create("sequence-only", candidates=case["K"]).match(matrix, case["candidates"])
    recorded = casevpr.recorded("seq_desc", number, "candidate")
    assert found.paths[:, -1].tolist() == case["candidates"]
    for path in recorded["indices"]:  # the reference repeats the first candidate
        np.testing.assert_array_equal(found.paths[0], path)
    np.testing.assert_array_equal(found.distances, recorded["frame_values"])
    assert found.scores[0] == recorded["value"] == 0
    without = create("sequence-only").match(matrix)
    assert len(without) == len(casevpr.recorded("seq_desc", number, "none")["indices"]) == 0


@pytest.mark.parametrize("number", range(20))
def test_the_exact_path_is_never_worse_than_the_recorded_greedy_one(casevpr, number) -> None:
    case = casevpr.cases[number]
    matrix = casevpr.matrices[f"D_{number:02d}"][: case["search_idx_limit"]]
    matcher = create(
        "band-dp",
        candidates=case["K"],
        search_width=case["KK"],
        sequence_length=case["frontend_seqlen"],
    )
    greedy = casevpr.recorded("adaptseq_v2", number, "candidates")["value"]
    found = matcher.match(matrix, case["candidates"])
    assert found.means[0] <= greedy / matrix.shape[1] + 1e-6
    assert abs(int(found.paths[0, -1]) - case["true_rows"][-1]) <= 3
    assert matcher.match(matrix).means[0] <= found.means[0] + 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
def test_pyseqslam(pyseqslam, golden, variant) -> None:
    settings = json.loads((golden / "matchers/pyseqslam.json").read_text())["variants"][variant]
    matrix = pyseqslam[settings["difference_matrix"]]
    enhanced = enhance_contrast(matrix, settings["R_contrast"])
    enhanced -= enhanced.min()
    matcher = SeqSlamClassic(
        contrast=0,
        exclusion=settings["Rwindow"],
        slowest=settings["vmin"],
        fastest=settings["vmax"],
    )
    length = settings["ds_given"] + settings["ds_given"] % 2
    middle, frames = length // 2, matrix.shape[1]
    rows, scores = np.full(frames, -1), np.full(frames, np.nan)
    for first in range(frames - length):  # the port answers for the frame in the middle
        found = matcher.match(enhanced[:, first : first + length + 1])
        rows[first + middle] = found.paths[0, 0] + middle
        scores[first + middle] = found.scores[0]
    expected_rows, expected_scores = pyseqslam[f"{variant}/matches"].T
    np.testing.assert_array_equal(rows, np.nan_to_num(expected_rows, nan=-1))
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-9)
    if f"{variant}/DD" in pyseqslam:
        np.testing.assert_allclose(enhanced, pyseqslam[f"{variant}/DD"], atol=1e-9)
