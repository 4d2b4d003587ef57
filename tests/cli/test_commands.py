"""Commands end to end, as a user runs them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from placememory.frames import read_poses
from placememory.memory import PlaceMemory
from placememory.samples import Building
from tests.conftest import run_command

pytestmark = pytest.mark.usefixtures("office")


def test_info_tells_what_is_there(office: Path, building: Building) -> None:
    facts = json.loads(run_command("info", office, "--json").out)
    count = len(list(building.mapping.glob("*.png")))
    assert facts["places"] == facts["with_a_pose"] == count
    assert facts["sessions"] == {"mapping": count}
    assert facts["encoder"] == "lite-vlad"
    assert facts["map"] == str(building.map_yaml.resolve())
    assert "lite-vlad" in run_command("info", office).out


def test_query_finds_the_same_image_and_times_itself(office: Path, building: Building) -> None:
    image = sorted(building.mapping.glob("*.png"))[11]
    printed = json.loads(run_command("query", office, image, "-k", 3, "--json").out)
    [answer] = printed["answers"]
    best = answer["candidates"][0]
    assert best["name"] == image.name
    assert best["similarity"] == pytest.approx(1.0, abs=1e-3)
    assert best["pose"]["frame_id"] == "map"
    assert len(answer["candidates"]) == 3
    assert {"load_ms", "encode_ms_per_image", "search_ms_per_image"} <= printed["timing"].keys()
    shown = run_command("query", office, image, "-k", 2)
    assert image.name in shown.out
    assert "encode" in shown.err


def test_query_compares_exact_with_milvus(office: Path, building: Building) -> None:
    pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
    images = sorted(building.query.glob("*.png"))[:2]
    shown = run_command("query", office, *images, "--compare")
    assert "Milvus vertex" in shown.out
    assert "of 10 ranks are the same" in shown.err
    both = json.loads(run_command("query", office, images[0], "--compare", "--json").out)
    assert both["compare"][0]["exact"] == both["answers"][0]["candidates"]


def test_query_filters(office: Path, building: Building) -> None:
    image = sorted(building.query.glob("*.png"))[5]
    none = run_command("query", office, image, "--in-session", "other", "--json")
    assert json.loads(none.out)["answers"][0]["candidates"] == []
    near = run_command("query", office, image, "--near", "20,5", "--within", 6, "--json")
    for candidate in json.loads(near.out)["answers"][0]["candidates"]:
        assert np.hypot(candidate["pose"]["x"] - 20, candidate["pose"]["y"] - 5) <= 6


def test_localize_writes_its_files(office: Path, building: Building, tmp_path: Path) -> None:
    shown = run_command(
        "localize", office, building.query, "--out", tmp_path / "out",
        "--poses", building.query_vertices, "--radius", 3, "--heading", 60,
        "--matcher", "band-dp", "--report", tmp_path / "report",
    )  # fmt: skip
    assert "recall@1" in shown.out
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"index.html", "map.png", "timeline.png", "reliability.png"}
    page = (tmp_path / "report/index.html").read_text()
    assert "Precision of located" in page
    assert f'"frames":{len(list(building.query.glob("*.png")))},' in page
    count = len(list(building.query.glob("*.png")))
    with (tmp_path / "out/estimates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    recall = metrics["recall"]
    assert recall["queries"] == count
    assert recall["counted"] < count  # the stretch off the map
    assert recall["recall@1"]["value"] > 0.8
    assert recall["recall@1"]["low"] <= recall["recall@1"]["value"] <= recall["recall@1"]["high"]
    right = sum(row["correct"] == "1" for row in rows)
    assert right == round(recall["recall@1"]["value"] * recall["counted"])
    assert metrics["similarity_per_rank"]["1"]["mean"] > metrics["similarity_per_rank"]["5"]["mean"]
    with (tmp_path / "out/test_to_vertex_matches.csv").open() as file:
        table = list(csv.DictReader(file))
    vertices = {p.name: p.vertex_id for p in PlaceMemory.open(office).places}
    for row in table:
        assert int(row["rank_1_vertex"]) == vertices[row["rank_1_train_img"]]
    trajectory = read_poses(tmp_path / "out/trajectory.tum")
    located = [row for row in rows if row["verdict"] == "located"]
    assert len(trajectory.records) == len(located) > count / 2
    assert all(row["x"] == "" for row in rows if row["verdict"] != "located")
    lines = (tmp_path / "out/estimates.jsonl").read_text().splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == [row["verdict"] for row in rows]
    verdicts = metrics["located"]
    assert verdicts["on_map"] >= recall["counted"]  # position alone
    assert verdicts["precision"]["value"] > 0.9
    assert trajectory.records[0].pose is not None
    assert trajectory.records[0].pose.x == pytest.approx(float(located[0]["x"]), abs=1e-5)


def test_localize_without_poses_names_places(office: Path, building: Building, tmp_path) -> None:
    bare = tmp_path / "bare.memory"
    run_command("build", bare, building.mapping)
    shown = run_command("localize", bare, building.query, "--out", tmp_path / "o", "--every", 9)
    assert "not scored" in shown.out
    with (tmp_path / "o/estimates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["place_name"] and not row["x"] for row in rows)
    assert (tmp_path / "o/trajectory.tum").read_text() == ""


def test_localize_warns_when_the_map_frames_differ(
    office: Path, building: Building, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.csv"
    with moved.open("w") as file:
        file.write("vertex_id,x,y\n")
        for record in read_poses(building.query_vertices).records:
            assert record.pose is not None
            file.write(f"{record.vertex_id},{30 - record.pose.y},{record.pose.x - 7}\n")
    shown = run_command(
        "localize", office, building.query, "--out", tmp_path / "o", "--poses", moved, "--radius", 2
    )
    assert "map frames seem to differ" in shown.err
    assert json.loads((tmp_path / "o/metrics.json").read_text())["map_frames"]["differ"]


def test_extract_pairs_export_and_build_from_features(
    office: Path, building: Building, tmp_path: Path
) -> None:
    db, queries = tmp_path / "db.h5", tmp_path / "q.h5"
    run_command("extract", building.mapping, "--out", db, "--full")
    run_command("extract", building.query, "--out", queries, "--like", db, "--full", "--every", 5)
    again = run_command("extract", building.mapping, "--out", db, "--full")
    assert "0 images described, 40 were there already" in again.err
    run_command("pairs", queries, "--db", db, "--out", tmp_path / "pairs.txt", "-k", 4)
    pairs = [line.split() for line in (tmp_path / "pairs.txt").read_text().splitlines()]
    assert len(pairs) == 4 * len({query for query, _ in pairs})
    run_command("export", office, tmp_path / "export.h5", "--full")
    with h5py.File(db) as ours, h5py.File(tmp_path / "export.h5") as exported:
        name = sorted(p.name for p in building.mapping.glob("*.png"))[3]
        np.testing.assert_allclose(
            ours[name]["global_descriptor"][()], exported[name]["global_descriptor"][()], atol=1e-6
        )
    run_command(
        "build", tmp_path / "h5.memory", "--features", db, "--poses", building.mapping_vertices
    )
    image = sorted(building.query.glob("*.png"))[10]
    first, second = (
        json.loads(run_command("query", memory, image, "--json").out)["answers"][0]["candidates"]
        for memory in (office, tmp_path / "h5.memory")
    )
    assert [c["name"] for c in first] == [c["name"] for c in second]


def test_merge_remove_and_copy(office: Path, building: Building, tmp_path: Path) -> None:
    second = tmp_path / "both.memory"
    shutil.copy(office, second)
    run_command("build", second, building.query, "--session", "evening")
    run_command("remove", second, "--session", "mapping")
    shown = run_command("merge", tmp_path / "all.memory", office, second)
    assert "in 2 sessions" in shown.err
    lite = f"milvus-lite:{tmp_path / 'lite'}"
    copied = run_command("copy", tmp_path / "all.memory", lite, "--index", "flat")
    assert "recall@10 100.0 %" in copied.err
    image = sorted(building.query.glob("*.png"))[10]
    for extra in ([], ["--index", "flat"]):
        answer = json.loads(run_command("query", lite, image, "--json", *extra).out)["answers"][0]
        assert answer["candidates"][0]["session"] == "evening"
    assert "has no session" in run_command("remove", second, "--session", "x", expect=2).err


def test_encoders_lists_and_shows() -> None:
    listed = json.loads(run_command("encoders", "--json").out)
    [lite] = [e for e in listed if e["name"] == "lite-vlad"]
    assert (lite["dim"], lite["weights_present"]) == (3584, "in a package")
    assert "Apache-2.0" in run_command("encoders", "show", "lite-vlad").out
    assert "checked" in run_command("encoders", "fetch", "lite-vlad").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nothing.memory"], "there is no such memory"),
        (["build", "x.memory", "nowhere"], "there is no such folder"),
        (["build", "x.memory"], "give the SOURCE"),
        (["build", "x.memory", "{run}", "--encoder", "magic"], "no encoder is called"),
        (["build", "x.memory", "{run}", "--poses", "no.csv"], "cannot be read"),
        (["build", "x.memory", "{run}", "--map", "no.yaml"], "no.yaml: cannot be read"),
        (["build", "x.memory", "{run}", "--set", "words"], "key=value"),
        (["build", "{office}", "{run}", "--set", "words=8"], "options"),
        (["query", "{office}", "no.png"], "there is no such image"),
        (["query", "{office}", "{run}", "--near", "1,2"], "both the position and the radius"),
        (["query", "{office}", "--index", "flat", "{image}"], "only a Milvus store"),
    ],
)
def test_bad_usage_is_explained(
    office: Path, building: Building, tmp_path: Path, arguments: list[str], message: str
) -> None:
    places = {
        "run": building.mapping,
        "office": office,
        "image": next(building.mapping.glob("*.png")),
    }
    filled = [argument.format(**places) for argument in arguments]
    work = tmp_path / "x.memory"
    filled = [str(work) if argument == "x.memory" else argument for argument in filled]
    code = 1 if "magic" in filled or "words=8" in filled else 2
    assert message in run_command(*filled, expect=code).err
    assert not work.exists()


def test_arguments_in_the_wrong_place_are_told(office: Path, building: Building) -> None:
    image = next(building.query.glob("*.png"))
    for command in ("query", "localize", "figures", "calibrate"):
        swapped = run_command(command, image, office, expect=2)
        assert f"the memory comes first: {office} {image}" in swapped.err, command
    folder = run_command("query", office, building.query, expect=2)
    assert "is a folder; query takes images" in folder.err
    both = run_command("build", office, image, "--images", image, expect=2)
    assert "give one of them" in both.err


def test_a_run_has_a_folder_by_default(office: Path, building: Building, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        run_command("localize", office, building.query, "--every", 20, "--no-verify")
    assert (tmp_path / "answers/query/estimates.jsonl").exists()


def test_a_query_with_its_true_pose(office: Path, building: Building) -> None:
    image = sorted(building.query.glob("*.png"))[10]
    shown = run_command("query", office, image, "--poses", building.query_vertices)
    assert "truly at" in shown.out
    assert "off [m]" in shown.out
    told = json.loads(
        run_command("query", office, image, "--poses", building.query_vertices, "--json").out
    )
    assert set(told["answers"][0]["true_pose"]) >= {"x", "y"}


def test_figures_of_all_queries_with_their_scores(
    office: Path, building: Building, tmp_path: Path
) -> None:
    command = ("figures", office, building.query, "--every", 14, "--poses", building.query_vertices)
    shown = run_command(*command, "--all", "--out", tmp_path)
    assert len(list((tmp_path / "matches").glob("*.png"))) == 3
    assert "deviation" in shown.out
