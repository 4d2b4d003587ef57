"""The published tables: complete, on their page, and run again on made weights and data."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from placememory.compat.casevpr import NAMES, Reproduction
from placememory.compat.casevpr.published import COLUMNS, ROWS
from placememory.encoders import create
from placememory.errors import SettingError
from tests.compat.made import NTU, write_ep
from tests.conftest import run_command
from tests.evaluation.made import robotcar

PAGE = Path(__file__).parents[2] / "docs/reproduce-casevpr.md"


def test_the_tables_are_whole() -> None:
    """Sizes of the tables, and means that were computed from the README by others."""
    windows = [row for row in ROWS if row.table == "sequences"]
    frames = {row.name: row for row in ROWS if row.table == "frames"}
    assert [len(row.values) for row in windows] == [5] * 6
    assert {len(cell) for row in windows for cell in row.values.values()} == {3}
    assert [len(row.values) for row in frames.values()] == [8] * 27
    means = {
        "BoQ": 69.08, "CricaVPR": 63.55, "SeqVLAD": 21.03, "CricaVPR/AdaptSeq": 61.87,
        "EigenPlaces_ft+JIST": 50.01, "SeqNet": 25.94, "CaseVPR224": 68.52,
        "CaseVPR224_ft": 69.44, "CaseVPR322_ft": 71.57,
    }  # fmt: skip
    for name, mean in means.items():
        values = [value for (value,) in frames[name].values.values()]
        assert sum(values) / 8 == pytest.approx(mean, abs=0.01), name
    for row in ROWS:
        assert set(row.front.split("+")) <= set(NAMES)
    assert len({(row.table, row.name) for row in ROWS}) == len(ROWS)


def test_the_page_has_every_number() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for row in ROWS:
        cells = [" / ".join(f"{v:g}" for v in row.values[c.name]) for c in COLUMNS
                 if c.name in row.values]  # fmt: skip
        shown = [line for line in lines if line.startswith(f"| `{row.name}` |")]
        found = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown]
        assert any(cells == one[-len(cells) :] for one in found), row
    text = "\n".join(lines)
    for name, found in NAMES.items():
        assert not found.file or f"`{found.file}`" in text, name


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Oxford1 and NYL, and the weights of two encoders, as their authors lay them out."""
    pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    import torch

    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "1")
    robotcar(tmp_path / "data/oxford_robotcar", places=96, queries=8)
    made = robotcar(tmp_path / "made", places=20, queries=6, first=4)
    (tmp_path / "data/img_ntu").mkdir()
    (made / "1").rename(tmp_path / "data/img_ntu" / NTU[0])
    write_ep(tmp_path, seed=0)
    torch.manual_seed(0)
    state = {f"module.{k}": v for k, v in create("jist", "random").module.state_dict().items()}
    torch.save({"model_state_dict": state}, tmp_path / "models/r18_jist_pretrained.pth")
    return tmp_path


def test_rows_run_on_made_weights_and_data(home: Path) -> None:
    arguments = ("reproduce", "casevpr", "--weights", home / "models", "--data", home / "data",
                 "--output", home / "runs", "--only", "jist",
                 "--only", "EigenPlaces_ft/SeqSLAM")  # fmt: skip
    shown = run_command(*arguments, "--json", expect=1)  # six columns have no data
    cells = {(c["table"], c["row"], c["column"], c["measure"]): c for c in json.loads(shown.out)}
    assert len(cells) == 5 * 3 + 8 + 8
    first = cells["sequences", "JIST", "Oxford1", "R@1"]
    assert (first["published"], first["obtained"]) == (61.3, 100.0)  # the images are the same
    assert first["difference"] == 38.7
    assert first["agrees"] is False
    slam = cells["frames", "EigenPlaces_ft/SeqSLAM", "Oxford1", "precision"]
    assert (slam["published"], slam["obtained"]) == (43.41, 100.0)
    small = cells["frames", "JIST", "NYL", "precision"]
    assert small["obtained"] is None
    assert "too small for this matcher" in small["why"]
    assert "there is no such data set" in cells["frames", "JIST", "Sp2F", "precision"]["why"]
    with (home / "runs/reproduced.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(cells)
    again = run_command(*arguments, expect=1)
    assert "EigenPlaces_ft/SeqSLAM" in again.out
    assert "8 of 31 numbers were run" in again.err
    [run] = (home / "runs").glob("oxford-*seqslam*/run.json")
    [weights] = json.loads(run.read_text())["weights"]
    assert weights["file"] == str(home / "models/r18gemrbc.pth")


def test_a_check_names_what_is_missing(home: Path) -> None:
    arguments = ("reproduce", "casevpr", "--weights", home / "models", "--data", home / "data")
    shown = run_command(*arguments, "--check", "--only", "CaseVPR224_ft", expect=1)
    text = " ".join(shown.err.split())
    assert "models/casevpr_224.pth: the weights of hvpr_casevpr_224 are missing" in text
    assert "Sp2F:" in text
    assert "Oxford1:" not in text
    assert "1 rows; 7 files or data sets are missing" in text
    whole = " ".join(run_command(*arguments, "--check", expect=1).err.split())
    assert "33 rows" in whole
    for found in NAMES.values():
        if found.file and found.file not in ("r18gemrbc.pth", "r18_jist_pretrained.pth"):
            assert f"{found.file}: the weights of" in whole


def test_unknown_rows_and_systems_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="did you mean 'CaseVPR224_ft'"):
        Reproduction(tmp_path, tmp_path, only=["CaseVPR224_f"])
    shown = run_command("reproduce", "x", "--weights", tmp_path, "--data", tmp_path, expect=2)
    assert "tables of casevpr" in shown.err
