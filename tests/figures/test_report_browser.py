"""The report of a run in a real browser: one file, alone, readable, every frame to click."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from placememory import Candidate, Estimate, Frame, LocalizedRun, Place, PlaceMemory, Pose
from placememory.fusion import Belief, Hypothesis
from placememory.localization import Summary
from placememory.maps import OccupancyGrid
from placememory.samples import Building
from tests.chromium import Page, chromium
from tests.conftest import make_card, make_descriptors, run_command

pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")

from placememory.figures import write_report


@pytest.fixture(scope="module")
def report(building: Building, office: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the building's query run."""
    folder = tmp_path_factory.mktemp("report")
    run_command(
        "localize", office, building.query, "--out", folder / "out", "--poses",
        building.query_vertices, "--radius", 2, "--report", folder / "report",
    )  # fmt: skip
    return folder / "report" / "index.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def _data(path: Path) -> dict[str, Any]:
    """What is embedded in a page."""
    found = re.search(r"window\.PLACEMEMORY = (.*);</script>", path.read_text(encoding="utf-8"))
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def _run(folder: Path, frames: int, *, name: str = "frame", noise: bool = True) -> Path:
    """The report of a made-up run over 200 places, every tenth frame of it located wrongly."""
    path = folder / "made.memory"
    rng = np.random.default_rng(1)

    def image() -> np.ndarray:
        shape = (120, 160, 3)
        return rng.integers(0, 256, shape, np.uint8) if noise else np.full(shape, 90, np.uint8)

    with PlaceMemory.create(path, encoder=make_card(8)) as memory:
        places = [
            Place("one & two", i, f"{i}.png", pose=Pose.from_yaw(0.5 * i, 0, 0)) for i in range(200)
        ]
        memory.add(places, make_descriptors(200))
        estimates = []
        for i in range(frames):
            place = memory.places[i * 200 // frames]
            assert place.pose is not None
            row = i * 200 // frames
            where = (place.pose.x + (9.0 if i % 10 == 0 else 0.1), 0.0)
            belief = Belief(
                "unknown" if i % 10 == 3 else "located",
                (Hypothesis(row, place.id, 0.9, where, 0.0),), 0.9, 0.0, 0.0, 3,
            )  # fmt: skip
            candidates = tuple(
                Candidate(memory.places[(row + k) % 200], 0.9 - 0.01 * k, k + 1) for k in range(10)
            )
            true = None if i % 10 == 3 else place.pose
            frame = Frame(f"{name} {i}.png", "run", i, stamp=i * 10**8, pose=true, read=image)
            estimates.append(Estimate(frame, candidates, belief))
        summary = Summary()
        for estimate in estimates:
            summary.add(estimate)
        run = LocalizedRun(tuple(estimates), list(memory.places), summary)
        return write_report(
            folder / "report", memory, run, radius=2.0, title="A & <b>",
            grid=OccupancyGrid(np.ones((40, 400)), 0.25, (-1.0, -5.0, 0.3), negate=True),
            notes=["within <2> m"], image_of=lambda _: image(),
        )  # fmt: skip


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [(1280, 800), (360, 740)])
def test_the_report_is_complete_accessible_and_loads_nothing(
    page: Page, report: Path, size: tuple[int, int], dark: bool
) -> None:
    page.look(*size, dark=dark, phone=size[0] < 500)
    page.open(report.as_uri())
    page.wait("frame.answer")
    for tab in ("run", "numbers", "places"):
        page.run(f"document.getElementById('tab-{tab}').click()")
        page.settle()
        assert page.faults() == [], tab
        wide, window = page.run("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window, tab
    assert page.run("[$('tab-photo').hidden, $('tab-live').hidden]") == [True, True]
    assert page.requests == [report.as_uri()]
    assert page.complaints == []


def test_frames_are_clicked_on_the_map_worst_first_and_say_what_the_files_say(
    page: Page, report: Path, building: Building
) -> None:
    page.look()
    page.open(report.as_uri())
    page.wait("frame.answer")
    frames = len(list(building.query.glob("*.png")))
    assert page.run("run.count") == frames
    assert f"{frames} frames in " in page.run("document.querySelector('h1').innerText")
    lines = [
        json.loads(line)
        for line in (report.parents[1] / "out/estimates.jsonl").read_text().splitlines()
    ]
    assert page.run("run.verdict") == [line["verdict"] for line in lines]
    located = [i for i, line in enumerate(lines) if line["pose"] is not None]
    assert page.run("[...run.x].map((x, i) => Number.isNaN(x) ? -1 : i).filter(i => i >= 0)") == (
        located
    )
    i = located[len(located) // 2]
    spot = page.run(
        f"(b => [b.left + map.across(run.px[{i}]), b.top + map.down(run.py[{i}])])"
        "(map.element.getBoundingClientRect())"
    )
    page.click(*spot)
    page.wait(f"frame.answer.name === {json.dumps(lines[i]['name'])}")
    shown = page.run("$('frame-answer').innerText")
    assert f"probability {lines[i]['probability']:.2f}" in shown
    assert page.run("frame.answer.candidates.map(c => [c.session, places.index[c.row]])") == [
        [c["session"], c["index"]] for c in lines[i]["candidates"][:6]
    ]
    page.wait(
        "[...document.querySelectorAll('#frame-answer .pair img')].every(i => i.naturalWidth > 50)"
    )
    page.open(f"{report.as_uri()}#frame={i + 1}")
    page.wait(f"frame.answer && frame.answer.name === {json.dumps(lines[i]['name'])}")
    page.settle()
    assert not page.run("map.element.dataset.drawn").startswith("0 places")
    page.run("order.value = 'worst'; order.onchange()")
    kinds = page.run("rows.map(i => run.kind[i])")
    assert kinds == sorted(kinds)
    assert len(set(kinds)) > 1
    page.run("document.getElementById('play').click()")
    page.wait("rows.indexOf(chosen) > 3")
    page.run("document.getElementById('play').click()")
    assert "Precision of located" in page.run("$('numbers').textContent")
    assert page.complaints == []


def test_the_map_lies_where_its_yaml_says(page: Page, report: Path, building: Building) -> None:
    page.look()
    page.open(report.as_uri())
    page.wait("map.ground")
    known = page.run("[...places.x].map((x, i) => map.isFree(x, places.y[i]))")
    assert np.mean(known) > 0.95  # the robot drove where the map is free
    assert np.mean(page.run("[...places.x].map((x, i) => map.isFree(x + 40, places.y[i]))")) < 0.5


def test_odd_names_are_text_and_a_frame_without_a_position_is_not_drawn(
    page: Page, tmp_path: Path
) -> None:
    path = _run(tmp_path, 40, name="</script><img src=x onerror=alert(1)>")
    data = _data(path)
    assert data["run"]["columns"]["outcome"].count("wrong") == 4
    assert data["map"]["image"]["origin"] == [-1.0, -5.0, 0.3]
    page.look()
    page.open(path.as_uri())
    page.wait("frame.answer && map.ground")
    assert page.run("document.title") == "A & <b>"
    assert "within <2> m" in page.run("$('notes').textContent")
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0
    assert page.run("run.kindName(chosen)") == "wrong"
    page.run("document.querySelector('[data-kind=unknown]').click()")
    page.settle()
    assert page.run("map.element.dataset.drawn").endswith(", 0 frames")
    assert "4 frames were not located" in page.run("$('map-note').innerText")
    assert page.run("map.isFree(0, 0)") is False  # white means occupied here
    assert page.complaints == []


def test_two_thousand_frames_are_a_small_file_whose_images_are_of_what_matters(
    page: Page, tmp_path: Path
) -> None:
    path = _run(tmp_path, 2000)  # noise, which compresses worst
    assert path.stat().st_size < 3_500_000
    data = _data(path)
    shown = [key for key in data["images"] if key.startswith("api/runs/")]
    rows = sorted(int(key.split("/")[4]) for key in shown)
    outcomes = data["run"]["columns"]["outcome"]
    wrong = [row for row in range(2000) if outcomes[row] == "wrong"]
    assert len(rows) > 50
    assert len(wrong) == 200
    assert set(rows) <= set(wrong) or set(wrong) <= set(rows)
    assert any(
        f"Images of {len(rows):,} of 2,000 frames" in note for note in data["report"]["notes"]
    )
    page.look()
    page.open(path.as_uri())
    page.wait("frame.answer")
    assert page.run("document.querySelectorAll('*').length") < 500
    hidden = next(row for row in range(2000) if row not in rows)
    page.run(f"chooseFrame({hidden})")
    page.wait(f"frame.answer.name === 'frame {hidden}.png'")
    assert "not in this file" in page.run("$('frame-answer').innerText")


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        _run(tmp_path / name, 12, noise=False).read_bytes() for name in ("first", "second")
    )
    assert first == second


def test_frames_answered_alone_and_an_empty_run_have_a_page(
    page: Page, office: Path, building: Building, tmp_path: Path
) -> None:
    run_command(
        "localize", office, building.query, "--out", tmp_path / "out", "--poses",
        building.query_vertices, "--fusion", "none", "--report", tmp_path / "report",
    )  # fmt: skip
    page.look()
    page.open((tmp_path / "report/index.html").as_uri())
    page.wait("frame.answer")
    kinds = set(page.run("[...run.kind].map((_, i) => run.kindName(i))"))
    assert "correct" in kinds
    assert kinds <= {"wrong", "off-map", "correct", "alone"}
    assert page.run("[...run.x].every(Number.isNaN)")  # a frame alone has no pose
    assert page.complaints == []
    page.open(_run(tmp_path, 0).as_uri())
    assert "0 frames" in page.run("$('counted').innerText")
    assert page.complaints == []
