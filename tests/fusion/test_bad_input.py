"""What is refused, and what is survived."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from placememory.errors import DescriptorError, InputError, SettingError
from placememory.fusion import Evidence, ObservationModel, Odometry, PlaceTable, create, names

METHODS = [name for name in names() if "." not in name]
LINE = [[float(i), 0.0] for i in range(20)]


def table() -> PlaceTable:
    return PlaceTable.from_arrays(LINE, yaw=np.zeros(20))


def frame(row: int, stamp: float | None = None) -> Evidence:
    column = np.random.default_rng(row).normal(0, 0.02, 20)
    column[row] += 0.4
    return Evidence.from_column(column, stamp=stamp)


@pytest.mark.parametrize(
    ("wrong", "error", "word"),
    [
        (lambda: Evidence([1], [math.nan]), DescriptorError, "similarities: value 0 is nan"),
        (lambda: Evidence.from_column([0.1, math.inf]), DescriptorError, "column: value 1"),
        (lambda: Evidence([1, 2], [0.1]), InputError, "2 rows but 1 similarities"),
        (lambda: Evidence([-1], [0.1]), InputError, "rows"),
        (lambda: Evidence([0.5], [0.1]), InputError, "rows"),
        (lambda: Evidence([[1]], [[0.1]]), InputError, "rows"),
        (lambda: Evidence(["a"], [0.1]), InputError, "rows"),
        (lambda: Evidence([1], [0.1], level=(0.0, -1.0)), InputError, "spread"),
        (lambda: Evidence(stamp=math.nan), InputError, "stamp"),
        (lambda: Evidence.from_column([0.1], k=0), InputError, "k is 0"),
        (lambda: Odometry(math.nan, 0.0, 0.0), InputError, "finite"),
        (lambda: Odometry(1e300, 0.0, 0.0), InputError, "odometry of more"),
        (lambda: Odometry(0.0, 0.0, 0.0, -1.0), InputError, "negative"),
        (lambda: PlaceTable.from_arrays(np.zeros((0, 2))), InputError, "shape"),
        (lambda: PlaceTable.from_arrays([[math.inf, 0.0]]), InputError, "finite"),
        (lambda: PlaceTable.from_arrays(LINE, yaw=[0.0]), InputError, "20 positions, 1 yaws"),
        (lambda: PlaceTable.from_arrays(LINE, order=[0] * 20), InputError, "same session"),
        (lambda: PlaceTable.from_arrays(LINE, order=[0.5] * 20), InputError, "whole"),
        (lambda: ObservationModel(scale=0.0), SettingError, "scale"),
        (lambda: ObservationModel(offset=math.nan), SettingError, "finite"),
        (lambda: ObservationModel().fit([], [1.0]), InputError, "both"),
        (lambda: ObservationModel().fit([0.0, 0.1], [5.0, 6.0]), InputError, "nothing to fit"),
    ],
)
def test_refused(wrong, error, word) -> None:
    with pytest.raises(error, match=word):
        wrong()


@pytest.mark.parametrize("name", METHODS)
def test_bad_frames_change_nothing(name) -> None:
    one, two = create(name, table()), create(name, table())
    for fusion in (one, two):
        fusion.update(frame(3, 1.0))
        fusion.update(frame(4, 2.0), Odometry(1.0, 0.0, 0.0))
    for bad in (Evidence([20], [0.5]), Evidence.from_column(np.zeros(19)), frame(5, 1.5)):
        with pytest.raises(InputError):
            one.update(bad, Odometry(1.0, 0.0, 0.0))
    after = [
        fusion.update(frame(5, 3.0), Odometry(1.0, 0.0, 0.0)).to_dict() for fusion in (one, two)
    ]
    assert after[0] == after[1]


@pytest.mark.parametrize(
    ("name", "settings", "word"),
    [
        ("bayes", {"radius": 0.0}, "radius"),
        ("bayes", {"leave": 1.5}, "leave"),
        ("bayes", {"leave": 0.9, "kidnap": 0.9}, "leave_and_kidnap"),
        ("bayes", {"max_step": 0}, "max_step"),
        ("bayes", {"turn": -1.0}, "turn"),
        ("frequency", {"window": 0}, "window"),
        ("frequency", {"window": 2.5}, "window"),
        ("frequency", {"ratio": math.nan}, "ratio"),
        ("spatial", {"radius": math.inf}, "radius"),
        ("spatial", {"heading": 0.0}, "heading"),
        ("heatmap", {"sigma": "1"}, "sigma"),
        ("heatmap", {"wall": 1.0}, "no setting 'wall'"),
    ],
)
def test_impossible_settings(name, settings, word) -> None:
    with pytest.raises(SettingError, match=word):
        create(name, table(), **settings)


def test_unknown_method() -> None:
    with pytest.raises(SettingError, match="did you mean 'bayes'"):
        create("bayess", table())


@pytest.mark.parametrize("name", METHODS)
def test_a_frame_without_candidates_is_a_frame_without_evidence(name) -> None:
    fusion = create(name, table())
    assert fusion.update(Evidence()).verdict in ("warming-up", "unknown")
    for t in range(6):
        fusion.update(frame(3 + t), Odometry(1.0, 0.0, 0.0))
    belief = fusion.update(Evidence(), Odometry(1.0, 0.0, 0.0))
    assert belief.position is not None
    assert belief.position[0] == pytest.approx(9.0, abs=0.6)
    for _ in range(30):
        belief = fusion.update(Evidence())
    assert belief.verdict in ("unknown", "ambiguous")


@pytest.mark.parametrize("name", METHODS)
def test_a_blank_frame_says_nothing(name) -> None:
    """All similarities equal (a zero descriptor): no candidate is better than another."""
    fusion = create(name, table())
    for _ in range(5):
        belief = fusion.update(Evidence.from_column(np.zeros(20)))
    assert belief.verdict in ("unknown", "warming-up")
    for t in range(5):
        fusion.update(frame(3 + t), Odometry(1.0, 0.0, 0.0))
    belief = fusion.update(Evidence.from_column(np.zeros(20)), Odometry(1.0, 0.0, 0.0))
    assert belief.verdict == "located"


def test_a_repeated_stamp_is_no_motion() -> None:
    fusion = create("bayes", table())
    for t in range(5):
        fusion.update(frame(3 + t, float(t)))
    before = fusion.probabilities
    fusion.update(Evidence(stamp=4.0))
    assert fusion.probabilities == pytest.approx(before)
    fusion.update(Evidence(stamp=7.0))  # three usual steps later
    assert fusion.probabilities.argmax() >= before.argmax() + 2


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("metres", [40.0, 1e4, 1e6])
def test_a_jump_of_the_odometry_is_survived(name, metres) -> None:
    fusion = create(name, table())
    for t in range(5):
        fusion.update(frame(3 + t), Odometry(1.0, 0.0, 0.0))
    fusion.update(frame(8), Odometry(metres, 0.0, 0.0))
    for t in range(7):
        belief = fusion.update(frame(9 + t), Odometry(1.0, 0.0, 0.0))
    assert belief.verdict == "located"
    assert belief.position[0] == pytest.approx(15.0, abs=1.0)


@pytest.mark.parametrize("name", METHODS)
def test_a_map_of_one_place_and_one_of_equal_places(name) -> None:
    one = create(name, PlaceTable.from_arrays([[1.0, 2.0]]))
    for _ in range(4):
        belief = one.update(Evidence.from_column([0.5]), Odometry(0.1, 0.0, 0.0))
    assert belief.verdict != "located"  # nothing to compare with
    heap = create(name, PlaceTable.from_arrays(np.ones((300, 2)), yaw=np.zeros(300)))
    column = np.random.default_rng(0).normal(size=300)
    for _ in range(4):
        heap.update(Evidence.from_column(column), Odometry(0.1, 0.0, 0.0))


def test_still_frames_do_not_add_up() -> None:
    """A robot that stands before a look-alike gains a tenth of the evidence with each frame."""
    moving, standing = create("bayes", table()), create("bayes", table())
    odds = []
    for fusion, step in ((moving, 1.0), (standing, 0.0)):
        for t in range(4):
            evidence = Evidence([5 + int(step) * t], [2.6], level=(0.0, 1.0))
            belief = fusion.update(evidence, Odometry(step, 0.0, 0.0))
        odds.append(belief.probability)
    assert odds[1] < odds[0]


@pytest.mark.parametrize("name", METHODS)
def test_a_belief_is_json(name) -> None:
    fusion = create(name, PlaceTable.from_arrays(LINE))
    for t in range(4):
        belief = fusion.update(frame(3 + t))
    values = json.loads(json.dumps(belief.to_dict(), allow_nan=False))
    assert values["verdict"] == belief.verdict
    assert values["hypotheses"][0]["yaw"] is None
    assert values["covariance"][2] == [None, None, None]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("posed", [True, False])
@pytest.mark.parametrize("count", range(1, 13))
def test_a_map_of_a_few_places_is_followed(method: str, posed: bool, count: int) -> None:
    order = np.arange(count)
    positions = np.stack([order, 0.0 * order], 1) if posed else np.full((count, 2), np.nan)
    robot = create(method, PlaceTable.from_arrays(positions, order=order))
    rng = np.random.default_rng(count)
    for step in range(15):
        column = rng.normal(0.1, 0.03, count)
        column[step % count] += 0.5
        belief = robot.update(Evidence.from_column(column))
        assert 0.0 <= (belief.probability or 0.0) <= 1.0
