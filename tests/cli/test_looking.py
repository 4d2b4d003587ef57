"""``figures`` and ``demo``: the files that people look at."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from placememory.samples import Building
from tests.conftest import run_command

pytest.importorskip("matplotlib", reason="the extra 'figures' is not installed")


def test_figures_of_a_memory_alone_and_with_queries(
    office: Path, building: Building, tmp_path: Path
) -> None:
    run_command("figures", office, "--out", tmp_path / "a")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["vertices.png"]
    run_command(
        "figures", office, building.query, "--poses", building.query_vertices,
        "--out", tmp_path / "b", "--radius", 3, "--every", 6,
    )  # fmt: skip
    names = {p.relative_to(tmp_path / "b").as_posix() for p in (tmp_path / "b").rglob("*.png")}
    assert {"vertices.png", "trajectory.png", "similarity.png", "scores.png"} <= names
    assert "strips/retrieval_000.png" in names
    assert any(name.startswith("matches/") for name in names)
    for name in names:
        with PillowImage.open(tmp_path / "b" / name) as image:
            assert min(image.size) > 300


def test_the_demo_renders_another_evening(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("vizdoom", reason="the extra 'demo' is not installed")
    monkeypatch.setattr("placememory.cli.demo.FRAMES", 30)
    monkeypatch.setattr("placememory.cli.demo.find_spec", lambda _: None)
    run_command("demo", "--out", tmp_path / "demo", "--seed", 3)
    assert len(list((tmp_path / "demo/building/mapping").glob("*.png"))) == 30


def test_the_demo_needs_no_matplotlib(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("placememory.cli.demo.find_spec", lambda _: None)
    monkeypatch.setattr("placememory.figures.report.find_spec", lambda _: None)
    printed = run_command("demo", "--out", tmp_path / "demo")
    assert "placememory[figures]" in printed.err
    assert not list(tmp_path.rglob("demo/*.png"))
    assert not (tmp_path / "demo/figures").exists()
    _look_in_a_browser(tmp_path / "demo/index.html", tmp_path / "page.png")
    run_command("demo", "--out", tmp_path / "demo")  # again, over what is there


def test_the_demo_runs_from_start_to_end(tmp_path: Path) -> None:
    printed = run_command("demo", "--out", tmp_path / "demo")
    page = tmp_path / "demo/index.html"
    assert str(page) in printed.out
    assert "recall@1" in printed.out
    assert "95% interval" in printed.out
    metrics = json.loads((tmp_path / "demo/answers/metrics.json").read_text())
    assert metrics["recall"]["recall@1"]["value"] > 0.8
    assert metrics["recall"]["counted"] < metrics["recall"]["queries"]
    assert metrics["located"]["precision"]["value"] > 0.9
    assert metrics["located"]["false_locations"] == 0.0
    assert "Located off the map" in page.read_text(encoding="utf-8")
    _look_in_a_browser(page, tmp_path / "page.png")


def _look_in_a_browser(page: Path, picture: Path) -> None:
    """Render the page headless where Chromium is installed; an empty page would be one colour."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        return
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    subprocess.run(
        [browser, *flags, f"--user-data-dir={picture.parent / 'profile'}",
         f"--screenshot={picture}", "--window-size=1200,2000", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    with PillowImage.open(picture) as image:
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 24)) > 500
