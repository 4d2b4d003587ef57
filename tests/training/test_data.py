"""Windows, positives, held-out places, and that nothing is judged that was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.datasets import Traverse
from placememory.errors import SettingError
from placememory.frames import Frame
from placememory.training.config import HeldOut, Source
from placememory.training.data import (
    Part,
    check_disjoint,
    is_held_out,
    keep_held_out,
    leave_held_out,
    read_evaluation_sets,
    read_training_set,
    read_validation_sets,
)
from tests.training.made import STEP, data, line_set, training, world

LINE = [(2.0 * i, 0.0, 0.0) for i in range(6)]


def test_windows_do_not_cross_traverses() -> None:
    found = line_set([LINE, LINE], length=3)
    assert found.length == 3
    assert len(found.queries) == 2 * 4
    assert {tuple(np.diff(row)) for row in found.queries} == {(1, 1)}
    assert all(len(set(found.sessions[row])) == 1 for row in found.queries)


def test_windows_need_known_positions(tmp_path: Path) -> None:
    table = world(tmp_path / "train", places=6, traverses=1)
    table.write_text(table.read_text().replace(f"0_003.png,t0,{3 * STEP},0", "0_003.png,t0,,"))
    found = read_training_set(data(length=2).model_copy(update={"train": (Source(root=table),)}))
    assert found.queries.tolist() == [[0, 1], [1, 2], [4, 5]]
    near = found.find_near(found.queries, 100.0, "lax")
    assert [rows.tolist() for rows in near] == [[0, 1, 2]] * 3


def test_a_length_that_no_traverse_has_is_refused() -> None:
    with pytest.raises(SettingError, match="7 consecutive frames"):
        line_set([LINE], length=7)


def test_positives_are_near_and_of_another_session() -> None:
    found = line_set([LINE, LINE])
    positives = found.positives(found.queries, data(positive_radius=2.0, negative_radius=5.0))
    assert positives[0].tolist() == [6, 7]
    assert positives[8].tolist() == [1, 2, 3]


def test_positives_look_the_same_way() -> None:
    turned = [(x, y, np.pi) for x, y, _ in LINE]
    found = line_set([LINE, turned, LINE])
    one_way = found.positives(found.queries[:1], data(positive_radius=1.0))
    both = found.positives(found.queries[:1], data(positive_radius=1.0, heading=180.0))
    assert (one_way[0].tolist(), both[0].tolist()) == ([12], [6, 12])


def test_without_yaw_windows_look_where_they_travel(tmp_path: Path) -> None:
    table = world(tmp_path / "train", places=6, traverses=1)
    rows = [line.rsplit(",", 2) for line in table.read_text().splitlines()[1:]]
    forth = [f"{row[0].rsplit(',', 0)[0]}" for row in rows]
    lines = ["image,traverse,x,y,frame"]
    for i, row in enumerate(forth):
        image, _, x, y = row.split(",")
        lines.append(f"{image},there,{x},{y},{i}")
        lines.append(f"{image},back,{x},{y},{5 - i}")
    table.write_text("\n".join(lines) + "\n")
    set_up = data(length=2, positive_radius=1.0, strategy="lax")
    found = read_training_set(set_up.model_copy(update={"train": (Source(root=table),)}))
    assert [len(p) for p in found.positives(found.queries, set_up)] == [0] * 10


def test_data_sets_do_not_mix() -> None:
    apart = line_set([LINE, LINE, LINE], worlds=[0, 0, 1])
    assert [p.tolist() for p in apart.positives(apart.queries[:1], data())] == [list(range(6, 12))]
    assert apart.find_near(apart.queries[12:13], 1e6, "lax")[0].tolist() == list(range(12, 18))


@given(
    st.lists(st.tuples(st.floats(-80, 80), st.floats(-80, 80)), min_size=1, max_size=40),
    st.floats(0.1, 0.6),
    st.floats(3, 30),
    st.floats(0, 20),
)
@settings(max_examples=60, deadline=None)
def test_no_training_frame_is_within_the_margin_of_a_held_out_one(
    places: list[tuple[float, float]], share: float, block: float, margin: float
) -> None:
    held = HeldOut(share=share, block=block)
    positions = np.array([*places, (np.nan, np.nan)])
    frames = tuple(Frame(f"{i}.png", "t", i) for i in range(len(positions)))
    traverse = Traverse("t", frames, positions, "m", np.arange(len(positions)))
    part = Part((traverse,), (traverse,), same=True)
    kept = keep_held_out(part, held).database[0].positions
    trained = leave_held_out(part, held, margin).database[0].positions
    kept, trained = (rows[~np.isnan(rows).any(axis=1)] for rows in (kept, trained))
    apart = np.linalg.norm(kept[:, None] - trained[None], axis=2)
    assert (apart > margin).all()
    lost = len(places) - len(kept) - len(trained)
    near = [(np.linalg.norm(kept - row, axis=1) <= margin).any() for row in positions[:-1]]
    assert lost + len(kept) == sum(near)  # no other is lost


def test_about_the_share_of_the_blocks_is_held_out() -> None:
    grid = np.stack(np.meshgrid(np.arange(100.0), np.arange(100.0)), -1).reshape(-1, 2)
    held = is_held_out(grid, HeldOut(share=0.2, block=1.0))
    assert 0.17 < held.mean() < 0.23


def test_held_out_places_validate(tmp_path: Path) -> None:
    config = training(tmp_path, data={"validation": [], "held_out": {"share": 0.3, "block": 6.0}})
    trained, judged = read_training_set(config.data), read_validation_sets(config.data)
    check_disjoint(trained, judged)
    xs = [set(part.positions[:, 0]) for part in judged]
    assert len(judged) == 2  # each later traverse against the first
    assert all(x and not x & set(trained.positions[:, 0]) for x in xs)


def test_what_is_trained_on_is_not_judged_on(tmp_path: Path) -> None:
    config = training(tmp_path)
    with pytest.raises(SettingError, match="trained on and validated"):
        check_disjoint(
            read_training_set(config.data), read_evaluation_sets(config.data.train, config.data)
        )


def test_one_traverse_is_too_few_to_judge_on(tmp_path: Path) -> None:
    source = Source(root=world(tmp_path / "w", places=3, traverses=1))
    with pytest.raises(SettingError, match="two traverses"):
        read_evaluation_sets([source], data())


def test_only_frames_with_a_word(tmp_path: Path) -> None:
    source = Source(root=world(tmp_path / "w", places=4, traverses=2), only="1_")
    found = read_training_set(data().model_copy(update={"train": (source,)}))
    assert {frame.session for frame in found.frames} == {"t1"}
