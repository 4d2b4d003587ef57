"""The report of an online run in a real browser: complete, alone, readable, worst frames first."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from placememory.samples import Building
from tests.conftest import run_command

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--disable-background-networking", "--no-first-run", "--virtual-time-budget=5000",
)  # fmt: skip
_PROBE = """
<script>addEventListener('load', () => {
  const all = q => [...document.querySelectorAll(q)];
  document.documentElement.dataset.probe = JSON.stringify({
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    resources: performance.getEntriesByType('resource').map(r => r.name)
      .filter(name => !name.startsWith('data:')),
    images: all('img').map(i => [i.alt, i.naturalWidth, i.naturalHeight]),
    headings: all('h1, h2').map(h => h.textContent),
    labels: all('.label').map(p => p.textContent),
    cards: all('.card').map(c => [c.dataset.verdict, c.querySelector('.head').textContent]),
    pictures: all('.card').map(c => [...c.querySelectorAll('figcaption b')])
      .map(names => names.map(b => b.textContent)),
    width: [document.documentElement.scrollWidth, innerWidth],
    cut: all('h1, h2, p, th, td, button, figcaption, .head, .key span')
      .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline')
      .map(e => e.textContent),
    faint: all('h1, h2, p, td, .head b, .head span, figcaption b, button, .key span')
      .filter(e => contrast(e) < 4.5).map(e => [e.textContent, contrast(e)]),
  });
});
function contrast(e) {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let under = e;
  const back = x => rgb(getComputedStyle(x).backgroundColor);
  while (under.parentElement && back(under)[3] === 0) under = under.parentElement;
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back(under))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    """A Chromium; skips where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"none of {', '.join(_NAMES)} is installed")
    return found


@pytest.fixture(scope="module")
def report(building: Building, office: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the building's query run."""
    folder = tmp_path_factory.mktemp("report")
    run_command(
        "localize", office, building.query, "--out", folder / "out", "--poses",
        building.query_vertices, "--radius", 2, "--report", folder / "report",
    )  # fmt: skip
    return folder / "report" / "index.html"


def probed(browser: str, page: Path, folder: Path, *flags: str) -> dict[str, Any]:
    """What a browser without network makes of the page, told by a script added at its end."""
    copy = folder / "probed.html"
    copy.write_text(page.read_text(encoding="utf-8") + _PROBE, encoding="utf-8")
    command = [
        browser, *_FLAGS, f"--user-data-dir={folder / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND", *flags, "--dump-dom", copy.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert told is not None, done.stdout[-500:] + done.stderr[-500:]
    found: dict[str, Any] = json.loads(html.unescape(told[1]))
    return found


@pytest.mark.parametrize("size", ["1280,2400", "500,2000"])
def test_the_report_is_complete_and_readable(
    browser: str, report: Path, tmp_path: Path, size: str
) -> None:
    found = probed(browser, report, tmp_path, f"--window-size={size}")
    assert found["resources"] == []
    assert len(found["images"]) > 3
    assert [image for image in found["images"] if image[1] < 20 or image[2] < 20] == []
    assert found["headings"][1:] == ["Figures", "Frames, worst first"]
    assert found["labels"] == ["Verdicts, each frame with those before it", "Each frame alone"]
    assert found["width"][0] <= found["width"][1]
    assert found["cut"] == []
    assert found["faint"] == []


def test_the_cards_are_the_frames_worst_first(
    browser: str, report: Path, building: Building, tmp_path: Path
) -> None:
    found = probed(browser, report, tmp_path)
    frames = len(list(building.query.glob("*.png")))
    assert len(found["cards"]) == frames
    assert f"{frames} frames in " in found["headings"][0]
    order = ["wrong", "off-map", "not-judged", "missed", "rejected", "correct"]
    ranks = [order.index(kind) for kind, _ in found["cards"]]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) > 1
    for kind in set(ranks):
        said = [
            float(re.findall(r"probability ([\d.]+)", head)[0])
            for rank, (_, head) in zip(ranks, found["cards"], strict=True)
            if rank == kind
        ]
        assert said == sorted(said, reverse=order[kind] != "correct")
    for pictures in found["pictures"]:
        assert pictures[0] == "Query"
        assert pictures[1:] in (
            ["Most likely place"],
            ["Most likely place", "Best of this frame alone"],
            ["Best of this frame alone"],
            [],
        )


def test_the_report_is_dark_where_that_is_preferred_and_still_readable(
    browser: str, report: Path, tmp_path: Path
) -> None:
    found = probed(browser, report, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert found["dark"]
    assert found["faint"] == []
