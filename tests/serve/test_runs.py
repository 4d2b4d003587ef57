"""Finished runs are shown as localize wrote them, and nothing else is."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image as PillowImage

from placememory.errors import InputError
from placememory.frames import read_image
from placememory.memory import PlaceMemory
from placememory.serve.models import Run, RunFrame
from placememory.serve.runs import ServedRun
from tests.conftest import run_command
from tests.serve.toy import client_of, code_of, picture, png


@pytest.fixture(scope="module")
def answers(office, building, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "answers"
    run_command(
        "localize", office, building.query, "--out", folder, "--poses", building.query_vertices,
        "--radius", "1.5", "--no-verify",
    )  # fmt: skip
    return folder


def test_the_columns_are_those_of_the_files(answers, office) -> None:
    rows = list(csv.DictReader((answers / "estimates.csv").read_text().splitlines()))
    with PlaceMemory.open(office, readonly=True) as memory:
        places = memory.places
        row_of = {place.id: row for row, place in enumerate(places)}
        run = ServedRun("evening", answers).to_dict(lambda s, i: row_of.get((s, i)))
    Run.model_validate(run)
    columns = run["columns"]
    assert run["radius"] == 1.5
    assert run["frames"] == len(rows)
    assert run["verdicts"] == Counter(row["verdict"] for row in rows)
    assert all(columns["image"])
    cells = {"name": "name", "x": "x", "y": "y", "hx": "hypothesis_x", "tx": "true_x",
             "ty": "true_y", "error": "error_m", "verdict": "verdict"}  # fmt: skip
    for i, row in enumerate(rows):
        for name, cell in cells.items():
            value = columns[name][i]
            assert row[cell] == ("" if value is None else str(value)), (i, name)
        assert (columns["x"][i] is None) == (row["verdict"] != "located")
        assert places[columns["place"][i]].name == row["place_name"]


def test_frames_and_their_images_come_one_by_one(answers, office, building) -> None:
    lines = (answers / "estimates.jsonl").read_text().splitlines()
    with (
        PlaceMemory.open(office, readonly=True) as memory,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("placememory.serve.engine.Engine.__init__", _no_engine(memory))
        with client_of(memory, runs={"evening": answers}) as client:
            [summary] = client.get("/api/runs").json()
            assert summary["frames"] == len(lines)
            for number in (0, 7, len(lines) - 1):
                frame = client.get(f"/api/runs/evening/frames/{number}").json()
                RunFrame.model_validate(frame)
                assert {k: frame[k] for k in json.loads(lines[number])} == json.loads(lines[number])
                got = client.get(f"/api/runs/evening/frames/{number}/image?width=1280")
                shown = np.asarray(PillowImage.open(io.BytesIO(got.content)), int)
                assert np.abs(shown - read_image(building.query / frame["name"])).mean() < 6
            for number in (len(lines), -1):
                missing = client.get(f"/api/runs/evening/frames/{number}")
                assert code_of(missing) == "no_such_frame"
            assert code_of(client.get("/api/runs/noon")) == "no_such_run"


def _no_engine(memory: PlaceMemory):
    """An engine without an encoder: runs need none."""

    def make(self, *_: object) -> None:
        self.memory, self._batching = memory, None

    return make


def test_only_images_that_are_listed_are_served(answers, tmp_path) -> None:
    folder, images = tmp_path / "run", tmp_path / "images"
    shutil.copytree(answers, folder)
    images.mkdir()
    (images / "a.png").write_bytes(png(picture(1)))
    (tmp_path / "secret.png").write_bytes(png(picture(2)))
    (images / ".hidden.png").write_bytes(png(picture(3)))
    first = json.loads((folder / "estimates.jsonl").read_text().splitlines()[0])
    names = ["a.png", "../secret.png", str(tmp_path / "secret.png"), ".hidden.png"]
    lines = [json.dumps({**first, "name": name}) + "\n" for name in names]
    (folder / "estimates.jsonl").write_text("".join(lines))
    run = ServedRun("evening", folder, images)
    assert run.to_dict(lambda *_: None)["columns"]["image"] == [True, False, False, False]
    assert np.array_equal(run.image(0), picture(1))
    for number in (1, 2, 3):
        with pytest.raises(Exception, match="not where it was"):
            run.image(number)


def test_a_run_that_grows_is_read_again_and_a_damaged_one_is_refused(answers, tmp_path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lines = (answers / "estimates.jsonl").read_text().splitlines(keepends=True)
    path = folder / "estimates.jsonl"
    path.write_text("".join(lines[:3]) + lines[3][:50])
    run = ServedRun("evening", folder)
    assert run.summary()["frames"] == 3
    assert run.to_dict(lambda *_: 0)["columns"]["tx"] == [None] * 3
    path.write_text("".join(lines[:5]))
    assert run.summary()["frames"] == 5
    assert run.frame(4)["name"] == json.loads(lines[4])["name"]
    for text in ("no JSON\n", "[]\n", '{"name": 3}\n', "[" * 100_000 + "\n"):
        path.write_text(lines[0] + text)
        with pytest.raises(InputError, match="line 2"):
            ServedRun("evening", folder)
        with pytest.raises(Exception, match="line 2"):
            run.summary()
    with pytest.raises(InputError, match="localize"):
        ServedRun("evening", tmp_path / "nowhere")
