"""Pairs are hloc's: recorded cases, a brute-force law, and what hloc stumbles over."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import (
    DescriptorError,
    EncoderMismatchError,
    InputError,
    PlaceMemoryError,
    SettingError,
)
from placememory.frames.names import natural_key
from placememory.memory.features_h5 import FeatureWriter
from placememory.memory.pairs import _best, pairs_from_features, write_pairs
from tests.conftest import make_card, make_descriptors


def write_features(path: Path, names: list[str], rows: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, row in zip(names, rows, strict=True):
            file.create_group(name).create_dataset("global_descriptor", data=row)
    return path


def names_of(pairs) -> dict[str, list[str]]:
    return {query: [name for name, _ in found] for query, found in pairs if found}


@pytest.fixture(scope="module")
def recorded(golden: Path, tmp_path_factory: pytest.TempPathFactory):
    """The recorded cases, and the same feature files as hloc had."""
    arrays = np.load(golden / "retrieval" / "hloc_pairs.npz")
    cases = json.loads((golden / "retrieval" / "hloc_pairs.json").read_text())["cases"]
    queries, database = arrays["query_names"].tolist(), arrays["db_names"].tolist()
    q, d = arrays["query_descriptors"], arrays["db_descriptors"]
    folder = tmp_path_factory.mktemp("hloc")
    files = {
        "all": write_features(folder / "all.h5", queries + database, np.concatenate([q, d])),
        "queries": write_features(folder / "q.h5", queries, q),
        "database": [
            write_features(folder / "d1.h5", database[::2], d[::2]),
            write_features(folder / "d2.h5", database[1::2], d[1::2]),
        ],
    }
    return cases, files, database, arrays


@pytest.mark.real
@pytest.mark.parametrize("chunk", [1 << 24, 400, 1])
@pytest.mark.parametrize(
    "name",
    [
        "all_against_all_top5",
        "prefixes_top10",
        "prefix_lists_top7",
        "name_lists_top4",
        "separate_database_files_top6",
        "python_lists_top3",
    ],
)
def test_recorded_pairs(recorded, name: str, chunk: int) -> None:
    cases, files, database, _ = recorded
    case, arguments = cases[name], dict(cases[name]["arguments"])
    sources = (files["all"],)
    if name == "separate_database_files_top6":
        sources, arguments = (files["queries"], files["database"]), {}
    if name == "python_lists_top3":
        arguments["db_list"] = database + arguments["query_list"]
    pairs = pairs_from_features(*sources, k=case["num_matched"], chunk=chunk, **arguments)
    assert names_of(pairs) == case["pairs_by_query_best_first"]
    assert sum(len(found) for _, found in pairs) == case["n_pairs"]


@pytest.mark.real
def test_every_recorded_case_is_tested(recorded) -> None:
    marks = test_recorded_pairs.pytestmark
    (tested,) = (m.args[1] for m in marks if m.name == "parametrize" and m.args[0] == "name")
    assert set(tested) == set(recorded[0])


@pytest.mark.real
def test_recorded_selection_from_a_score_matrix(recorded) -> None:
    arrays = recorded[3]
    found = []
    for i, row in enumerate(arrays["matrix/scores"]):
        masked = np.where(arrays["matrix/invalid"][i], -np.inf, row).astype(np.float32)
        best = _best(np.eye(40, dtype=np.float32), row, masked, k=5, slack=1e-4)
        found += [(i, column) for column, _ in best]
    assert found == list(map(tuple, arrays["matrix/pairs_top5_min0"].tolist()))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), k=st.integers(1, 9), chunk=st.integers(1, 60))
def test_brute_force_gives_the_same(tmp_path_factory, data, k: int, chunk: int) -> None:
    """Small whole numbers, so that sums are exact and ties are many."""
    names = data.draw(
        st.lists(st.from_regex(r"[ab]/[0-9]{1,2}", fullmatch=True), min_size=1, unique=True)
    )
    draw_row = st.lists(st.integers(-2, 2), min_size=3, max_size=3)
    rows = np.float32([data.draw(draw_row) for _ in names])
    path = write_features(tmp_path_factory.mktemp("pairs") / "f.h5", names, rows)
    ordered = sorted(range(len(names)), key=lambda i: natural_key(names[i]))
    expected = []
    for i in ordered:
        scored = [(names[j], float(rows[i] @ rows[j])) for j in ordered if j != i]
        kept = sorted((s for s in scored if s[1] >= 0), key=lambda s: -s[1])
        expected.append((names[i], kept[:k]))
    assert pairs_from_features(path, k=k, chunk=chunk) == expected


def test_descriptors_are_not_renormalised(tmp_path: Path) -> None:
    rows = np.float32([[1, 0], [0.9, 0.1], [30, 40]])
    path = write_features(tmp_path / "f.h5", ["q", "near", "long"], rows)
    (pairs,) = [found for query, found in pairs_from_features(path, k=2) if query == "q"]
    assert [name for name, _ in pairs] == ["long", "near"]
    assert [score for _, score in pairs] == pytest.approx([30.0, 0.9])


def test_rounding_does_not_decide_however_long_the_descriptors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 1e3 * (rng.normal(size=256) + 1e-6 * rng.normal(size=(300, 256)))
    rows = rows.astype(np.float32)
    path = write_features(tmp_path / "f.h5", [str(i) for i in range(300)], rows)
    exact = rows.astype(np.float64) @ rows.astype(np.float64).T
    np.fill_diagonal(exact, -np.inf)
    for query, found in pairs_from_features(path, k=5):
        scores = exact[int(query)]
        assert [scores[int(name)] for name, _ in found] == sorted(scores)[:-6:-1]


def test_negative_scores_and_the_image_itself_give_no_pair(tmp_path: Path) -> None:
    rows = np.float32([[1, 0], [-1, 0], [0, 1]])
    path = write_features(tmp_path / "f.h5", ["a", "b", "c"], rows)
    assert pairs_from_features(path, k=10, query_list=["b", "a"]) == [
        ("b", [("c", 0.0)]),
        ("a", [("c", 0.0)]),
    ]


def test_equal_frames_stay_in_natural_order_however_many(tmp_path: Path) -> None:
    names = [f"db/{i}.jpg" for i in range(1, 2500)]
    rows = np.repeat(make_descriptors(1, dim=64), len(names) + 1, axis=0)
    path = write_features(tmp_path / "f.h5", [*names, "q.jpg"], rows)
    [(_, found)] = pairs_from_features(path, k=300, query_list=["q.jpg"])
    assert [name for name, _ in found] == names[:300]


def test_lists_and_prefixes(tmp_path: Path) -> None:
    names = ["q/2.jpg", "q/10.jpg", "d/1.jpg", "d/2.jpg", "e/1.jpg"]
    path = write_features(tmp_path / "f.h5", names, np.abs(make_descriptors(5)))
    (tmp_path / "list_1.txt").write_text(
        "\ufeffq/10.jpg\n# all\nq/10.jpg SIMPLE_PINHOLE 640 480\r\n\n"
    )
    (tmp_path / "list_2.txt").write_text("q/2.jpg\nq/10.jpg\n")

    def queries(**options: object) -> list[str]:
        return [query for query, _ in pairs_from_features(path, k=2, **options)]

    assert queries() == ["d/1.jpg", "d/2.jpg", "e/1.jpg", "q/2.jpg", "q/10.jpg"]
    assert queries(query_prefix="q/") == ["q/2.jpg", "q/10.jpg"]
    assert queries(query_prefix=("e", "q/1")) == ["e/1.jpg", "q/10.jpg"]
    assert queries(query_list=tmp_path / "list_1.txt") == ["q/10.jpg"]
    assert queries(query_list=str(tmp_path / "list_2.txt")) == ["q/2.jpg", "q/10.jpg"]
    assert queries(query_list=tmp_path / "list_*.txt") == ["q/10.jpg", "q/2.jpg"]
    assert queries(query_list=iter(["e/1.jpg", "e/1.jpg"])) == ["e/1.jpg"]
    assert queries(query_prefix="d", query_list=["e/1.jpg"]) == ["d/1.jpg", "d/2.jpg"]
    pairs = pairs_from_features(path, k=9, query_list=["e/1.jpg"], db_prefix=["d", "e"])
    assert sorted(names_of(pairs)["e/1.jpg"]) == ["d/1.jpg", "d/2.jpg"]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"query_list": ["a", "nobody"]}, InputError, r"f\.h5.*'nobody'"),
        ({"db_list": ["nobody"]}, InputError, r"f\.h5.*'nobody'"),
        ({"query_list": []}, InputError, "list of query images is empty"),
        ({"query_list": "/no/such/list.txt"}, InputError, "/no/such/list.txt"),
        ({"query_prefix": "x/"}, InputError, "query image.*x/"),
        ({"db_prefix": ["x/", "y/"]}, InputError, "database image.*x/ or y/"),
        ({"k": 0}, SettingError, "k must be at least 1"),
    ],
)
def test_impossible_selections(tmp_path: Path, options: dict, kind, message: str) -> None:
    path = write_features(tmp_path / "f.h5", ["a", "b"], make_descriptors(2))
    with pytest.raises(kind, match=message) as caught:
        pairs_from_features(path, **{"k": 3, **options})
    assert isinstance(caught.value, PlaceMemoryError)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_descriptors_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    rows = make_descriptors(3)
    rows[1, 2] = value
    path = write_features(tmp_path / "f.h5", ["a", "b", "c"], rows)
    for options in ({"query_list": ["a"]}, {"query_list": ["b"], "db_list": ["a", "c"]}):
        with pytest.raises(DescriptorError, match="NaN or infinity: b"):
            pairs_from_features(path, k=1, **options)
    assert pairs_from_features(path, k=1, query_list=["a"], db_list=["c"])


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    first = write_features(tmp_path / "1.h5", ["a"], make_descriptors(1))
    longer = write_features(tmp_path / "2.h5", ["b"], make_descriptors(1, dim=9))
    with pytest.raises(DescriptorError, match="length 8, those of the database 9"):
        pairs_from_features(first, longer, k=1)
    for name, options in (("x", {}), ("y", {"words": 64})):
        with FeatureWriter(tmp_path / f"{name}.h5", make_card(options=options)) as writer:
            writer.add([name], make_descriptors(1))
    with pytest.raises(EncoderMismatchError, match="options"):
        pairs_from_features(tmp_path / "x.h5", tmp_path / "y.h5", k=1)


@pytest.mark.parametrize("name", ["a b.jpg", "a\u00a0b", " a", "a\n", "\udcff"])
def test_names_that_a_pairs_file_cannot_keep(tmp_path: Path, name: str) -> None:
    target = tmp_path / "pairs.txt"
    with pytest.raises(InputError, match="a pairs file cannot"):
        write_pairs(target, [("q", [("fine", 0.5), (name, 0.4)])])
    assert not list(tmp_path.iterdir())
    path = write_features(tmp_path / "f.h5", ["q"], make_descriptors(1))
    if name != "\udcff":
        with h5py.File(path, "a") as file:
            file.create_group(name)["global_descriptor"] = make_descriptors(1)[0]
        with pytest.raises(InputError, match="a pairs file cannot"):
            pairs_from_features(path, k=1)


def test_the_pairs_file_is_hlocs_and_scores_lie_beside(tmp_path: Path) -> None:
    pairs = [("q/ü.jpg", [("d/1,2.jpg", 0.75), ("d/3.jpg", 0.1)]), ("none", []), ("r", [("s", 0)])]
    path = tmp_path / "new" / "pairs-netvlad2.txt"
    write_pairs(path, pairs)
    assert path.read_bytes() == "q/ü.jpg d/1,2.jpg\nq/ü.jpg d/3.jpg\nr s".encode()
    with (path.parent / "pairs-netvlad2.txt.scores.csv").open(newline="", encoding="utf-8") as file:
        header, first, *_ = csv.reader(file)
    assert header == ["query", "db", "score"]
    assert first == ["q/ü.jpg", "d/1,2.jpg", "0.75"]
    write_pairs(path, pairs[2:], scores=False)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "r s"


@pytest.mark.parametrize("scores", [True, False])
def test_a_pairs_file_that_cannot_be_written(tmp_path: Path, scores: bool) -> None:
    (tmp_path / "pairs.txt").mkdir()
    with pytest.raises(PlaceMemoryError, match=r"pairs\.txt.*cannot be written"):
        write_pairs(tmp_path / "pairs.txt", [("a", [("b", 1.0)])], scores=scores)


def test_progress_counts_queries(tmp_path: Path) -> None:
    path = write_features(tmp_path / "f.h5", list("abcde"), make_descriptors(5))
    seen: list[tuple[int, int]] = []
    pairs_from_features(
        path, k=1, chunk=10, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]
