"""Figures: what they say and where they put it, with odd inputs too."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from placememory import Candidate, Estimate, Frame, Place, Pose
from placememory.maps import OccupancyGrid

pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")

from placememory import figures as fig
from placememory.errors import SettingError
from placememory.figures.style import COLOURS
from placememory.fusion import Evidence, PlaceTable, create
from placememory.memory import no_images
from placememory.metrics import Outcome

ODD_NAME = "a $very$ <long> name " + "x" * 200 + "\u5bfa.png"


def _image() -> np.ndarray:
    return np.full((12, 16, 3), 120, np.uint8)


def _places(count: int = 20, session: str = "run1", *, poses: bool = True) -> list[Place]:
    return [
        Place(session, i, f"{i}.png", pose=Pose.from_yaw(i, 2.0, 0.3) if poses else None)
        for i in range(count)
    ]


def _estimates(places: list[Place], *, poses: bool = True) -> list[Estimate]:
    """Right, wrong and off the map in turn; the similarity falls."""
    found = []
    for i in range(9):
        true = (Pose(5.0, 2.0), Pose(15.0, 2.0), Pose(500.0, 2.0))[i % 3]
        candidates = tuple(
            Candidate(places[5 + rank], 0.9 - 0.05 * rank - 0.01 * i, rank + 1) for rank in range(4)
        )
        frame = Frame(f"q{i}.png", "run2", i, pose=true if poses else None, read=_image)
        found.append(Estimate(frame, candidates))
    return found


def _texts(figure) -> str:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [axes.get_title(loc=side) for axes in figure.axes for side in ("left", "center")]
    found += [t.get_text() for a in figure.axes if a.get_legend() for t in a.get_legend().texts]
    return "\n".join([*found, *(text.get_text() for text in figure.texts)])


def test_outcomes() -> None:
    places = _places()
    outcomes = fig.judge(_estimates(places), places, 2.0)
    assert outcomes[:3] == [Outcome.CORRECT, Outcome.WRONG, Outcome.OFF_MAP]
    assert set(fig.judge(_estimates(places, poses=False), places, 2.0)) == {Outcome.NOT_JUDGED}


@pytest.mark.parametrize("yaw", [0.0, math.pi / 2])
def test_the_map_lies_where_its_yaml_says(yaw: float) -> None:
    grid = OccupancyGrid(np.ones((40, 60)), 0.5, (-3.0, 4.0, yaw))
    figure = fig.draw_vertices(_places(), grid=grid)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x [m]", "y [m]")
    assert axes.get_aspect() == 1.0
    [image] = axes.images
    figure.canvas.draw()
    left, right, bottom, top = image.get_extent()
    corners = np.array([[left, bottom], [right, top]])
    inverse = axes.transData.inverted()
    drawn = np.array([inverse.transform(image.get_transform().transform(c)) for c in corners])
    across = np.array([60 * 0.5, 40 * 0.5])
    turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    np.testing.assert_allclose(drawn[0], [-3.0, 4.0], atol=1e-6)
    np.testing.assert_allclose(drawn[1], np.array([-3.0, 4.0]) + turn @ across, atol=1e-6)


def test_places_without_poses_are_counted_and_sessions_told_apart() -> None:
    places = [*_places(5), *_places(3, "run2"), *_places(2, "run3", poses=False)]
    text = _texts(fig.draw_vertices(places))
    assert "2 without a pose left out" in text
    assert "run2" in text
    assert "0 place" in _texts(fig.draw_vertices([]))


def test_strips_show_right_and_wrong_by_colour_and_mark() -> None:
    places = _places()
    figure = fig.draw_strips(_estimates(places)[:2], lambda _: _image(), radius=2.0, places=places)
    text = _texts(figure)
    assert "\N{CHECK MARK}" in text
    assert "\N{BALLOT X}" in text
    edges = {
        tuple(np.round(spine.get_edgecolor()[:3], 3))
        for axes in figure.axes
        for spine in axes.spines.values()
    }
    for outcome in (Outcome.CORRECT, Outcome.WRONG):
        hexadecimal = COLOURS[outcome].lstrip("#")
        colour = tuple(round(int(hexadecimal[i : i + 2], 16) / 255, 3) for i in (0, 2, 4))
        assert colour in edges


def test_the_trajectory_counts_each_kind() -> None:
    places = _places()
    text = _texts(fig.draw_trajectory(_estimates(places), places, radius=2.0))
    for line in ("correct (3)", "wrong (3)", "(3)", "place in the memory (20)"):
        assert line in text
    assert fig.draw_trajectory([], [], radius=2.0).axes


def test_matches_number_their_candidates_and_mark_the_truth() -> None:
    places = _places()
    text = _texts(fig.draw_matches(_estimates(places)[0], places, radius=2.0, k=3))
    assert re.search(r" 1 +0\.900", text)
    assert "true position" in text
    assert " 4  " not in text
    bare = _texts(fig.draw_matches(_estimates(places, poses=False)[0], places))
    assert "true position" not in bare


def test_the_similarity_matrix_fits_its_axes() -> None:
    matrix = np.random.default_rng(0).normal(size=(9, 20))
    places = _places()
    frames = [estimate.frame for estimate in _estimates(places)]
    figure = fig.draw_similarity(matrix, frames=frames, places=places, radius=2.0)
    assert figure.axes[0].images[0].get_array().shape == (9, 20)
    for bad in (matrix[0], matrix[:0]):
        with pytest.raises(SettingError):
            fig.draw_similarity(bad)
    with pytest.raises(SettingError, match="items for the axis"):
        fig.draw_similarity(matrix, frames=frames[:3])


def test_scores_split_right_from_wrong() -> None:
    places = _places()
    text = _texts(fig.draw_scores(_estimates(places), places, radius=2.0))
    assert "correct (3)" in text
    assert "wrong (3)" in text
    assert fig.draw_scores(_estimates(places, poses=False), places, radius=None).axes


def test_odd_names_and_missing_images_are_drawn(tmp_path: Path) -> None:
    place = Place("s", 0, ODD_NAME)
    estimate = Estimate(Frame(ODD_NAME, "q", 0), (Candidate(place, 0.5, 1),))
    empty = Estimate(Frame("e.png", "q", 1), ())
    for figure in (
        fig.draw_strips([estimate, empty], no_images, radius=None),
        fig.draw_matches(estimate, [place]),
        fig.draw_trajectory([estimate, empty], [place], radius=2.0),
    ):
        assert fig.save(figure, tmp_path / "x.png").stat().st_size > 2000


def test_the_same_figure_has_the_same_bytes() -> None:
    draw = lambda: fig.to_png(fig.draw_vertices(_places()))  # noqa: E731
    assert draw() == draw()


def test_the_page_of_windows_stands_alone_surest_failures_first(tmp_path: Path) -> None:
    frame = Frame(ODD_NAME, "q", 0, read=_image)
    bare = Frame("<b>.png", "run1", 0)
    windows = [
        fig.ShownWindow([frame], [bare], distance, right, has_match)
        for distance, right, has_match in (
            (0.1, True, True), (0.3, False, True), (0.2, False, True), (0.4, False, False),
        )
    ]  # fmt: skip
    path = fig.write_sequence_page(
        tmp_path / "page.html", title="A & B", summary=[("recall@1", "50 %")], windows=windows
    )
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert not re.search(r'(src|href)="(?!data:image/jpeg)', text)
    assert "A &amp; B" in text
    assert "&lt;b&gt;.png" in text
    assert "4 of 4 are shown" in text
    assert re.findall(r"distance ([\d.]+)", text) == ["0.2000", "0.3000", "0.4000", "0.1000"]


def test_evidence_is_drawn_with_its_peak_and_the_truth() -> None:
    places = _places()
    table = PlaceTable.from_arrays(
        [place.pose.position[:2] for place in places], yaw=[0.3] * len(places)
    )
    fusion = create("heatmap", table)
    for _ in range(3):
        fusion.update(Evidence([5, 6, 15], [0.9, 0.8, 0.5], level=(0.0, 0.1)))
    figure = fig.draw_evidence(
        fusion.heat, places, frame=Frame("q.png", "run", 0, pose=Pose(5.0, 2.0))
    )
    text = _texts(figure)
    assert "9 candidates of 3 frames" in text
    assert "newest frame q.png" in text
    assert "peak" in text
    assert "true position" in text
    [picture] = figure.axes[1].images
    left, right, lower, upper = picture.get_extent()
    array = picture.get_array()
    row, column = np.unravel_index(np.argmax(array), array.shape)
    x = left + (column + 0.5) * (right - left) / array.shape[1]
    y = lower + (row + 0.5) * (upper - lower) / array.shape[0]
    assert math.dist((x, y), fusion.heat.peak) < 0.5, "the brightest cell is at the peak"
    fusion.reset()
    assert fusion.heat is None
