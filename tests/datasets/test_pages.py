"""The Python of the pages on data sets and measuring runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.datasets.test_layouts import (
    gsv,
    msls,
    nordland,
    pair,
    picture,
    robotcar,
    ros,
    utm,
    write,
)

PAGES = Path(__file__).resolve().parents[2] / "docs/concepts"


@pytest.mark.parametrize("page", ["datasets.md", "evaluation.md"])
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch) -> None:
    robotcar(tmp_path / "oxford", "1/queries")
    robotcar(tmp_path / "oxford", "train/queries", numbers=(3, 5))
    nordland(tmp_path / "nordland", "winter")
    ros(tmp_path / "campus", "day1114")
    utm(tmp_path / "pitts30k", "images/test/database")
    msls(tmp_path / "msls")
    gsv(tmp_path / "gsv")
    write(pair(tmp_path / "office", 1) / "correspondences.csv", "query,reference", "0,00.png")
    picture(tmp_path / "garden/monday/0001.jpg")
    [table] = re.findall(r"```\n(image,traverse.*?)```", (PAGES / "datasets.md").read_text(), re.S)
    write(tmp_path / "garden/manifest.csv", *table.splitlines())
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
