"""Lists of correct references that a data set brings are the truth of an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory.datasets import Traverse, open_dataset
from placememory.errors import DatasetError
from placememory.evaluation.config import DatasetConfig, Evaluation
from placememory.evaluation.plan import truth_of
from placememory.frames import Frame
from tests.datasets.test_layouts import picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three references, and four queries of which the third has no correct one."""
    for name, count in (("ref", 3), ("query", 4)):
        for i in range(count):
            picture(tmp_path / name / f"{i:07d}.jpg")
    lists = np.empty((4, 2), object)
    for i, places in enumerate([[0, 1], [1], [], [2, 0]]):
        lists[i] = [i, places]
    np.save(tmp_path / "ground_truth_new.npy", lists, allow_pickle=True)
    return tmp_path


def test_the_lists_go_before_the_radius(root: Path) -> None:
    data = open_dataset(None, root)
    config = DatasetConfig(root=root, radius=100.0, pairs=({"query": "query", "reference": "ref"},))
    truth = truth_of(config, data.traverse("query"), data.traverse("ref"))
    assert truth.on_map().tolist() == [True, True, False, True]
    right = truth.correct([[0, 1, 2]] * 4)
    assert right.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert truth.rule == "listed as correct"


def test_lists_of_another_reference_do_not_count(root: Path) -> None:
    """A query that is asked of itself is judged by the radius."""
    queries = open_dataset(None, root).traverse("query")
    config = DatasetConfig(root=root, radius=1.0, pairs=({"query": "query"},))
    assert truth_of(config, queries, queries).rule.startswith("within 1 frames")


def test_there_is_a_list_for_each_frame() -> None:
    frame = Frame("a.png", "a", 0)
    with pytest.raises(DatasetError, match="1 frames need as many lists of positives"):
        Traverse("a", (frame,), np.zeros((1, 2)), "m", np.arange(1), None, (), "b")


def test_a_file_of_version_0_1_is_understood() -> None:
    data = {"town": {"root": "town", "pairs": [{"reference": "a", "query": "b"}]}}
    former = {"name": "x", "datasets": data, "pipelines": [{"encoder": "lite-vlad"}]}
    assert Evaluation.model_validate(former).systems[0].encoder == "lite-vlad"
