"""Every matcher with the default encoder on the real sequences, against the single frame.

Recall@1 is over the frames that were searched and have a true match; the difference to `nearest`
(the single frame) is over the frames both searched, with a 95 % interval. Run:

    python benchmarks/sequences.py
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

from _real import DATA
from _tables import machine, markdown

from placememory import matching
from placememory.evaluation import (
    DatasetConfig,
    EncoderConfig,
    Evaluation,
    Pair,
    Pipeline,
    RunSummary,
    Settings,
    compare,
    evaluate,
    finished_runs,
)

WINDOWS = (5, 10)
BASE = "lite-vlad/nearest"


def main() -> None:
    """Print the table."""
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: the real sequences stand beside the checkout")
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        sets = {"corridor": corridor(Path(folder)), "loop": loop(Path(folder))}
        outcomes = evaluate(evaluation(sets, Path(folder)), figures=False)
        failed = [outcome.error for outcome in outcomes if outcome.error]
        if failed:
            sys.exit("\n".join(failed))
        runs = finished_runs(Path(folder) / "runs")
        print(markdown(COLUMNS, [row for run in runs for row in rows_of(run, runs)]))


COLUMNS = (
    "set",
    "window",
    "matcher",
    "queries",
    "R@1 %",
    "95 %",
    "AP %",
    "against the single frame",
)


def evaluation(sets: dict[str, DatasetConfig], folder: Path) -> Evaluation:
    """Every matcher on every set, for each window."""
    return Evaluation(
        name="sequences",
        output=folder / "runs",
        cache=folder / "cache",
        datasets=sets,
        encoders={"lite-vlad": EncoderConfig(encoder="lite-vlad", precision="float32")},
        pipelines=tuple(Pipeline(encoder="lite-vlad", matcher=name) for name in matching.names()),
        settings=Settings(candidates=5),
        variants={f"window {length}": {"window": length} for length in WINDOWS},
    )


def rows_of(run: RunSummary, runs: list[RunSummary]) -> list[list[object]]:
    """The run's line."""
    name = run.config["dataset"]["name"]
    recall = run.metrics["recall_at_1"]
    variant = run.config["variant"]
    base = next(
        r for r in runs if r.question == run.question and r.answerer == f"{BASE} ({variant})"
    )
    found = compare(run, base) if base is not run else None
    gap = (
        ""
        if found is None
        else (
            f"{100 * found.difference.value:+.1f} "
            f"[{100 * found.difference.low:+.1f}, {100 * found.difference.high:+.1f}]"
        )
    )
    average = run.metrics["precision_recall"]["average_precision"]["value"]
    return [
        [
            name, run.config["settings"]["window"], run.config["pipeline"]["matcher"],
            recall["counted"],
            f"{100 * recall['value']:.1f}",
            f"{100 * recall['low']:.1f} to {100 * recall['high']:.1f}",
            f"{100 * average:.1f}", gap,
        ]
    ]  # fmt: skip


def corridor(folder: Path) -> DatasetConfig:
    """Two walks; the frame with the same number, give or take two, is right."""
    source = DATA / "corridor"
    with (source / "gt.csv").open(encoding="utf-8") as file:
        truth = [(row["query"], row["ref_ok"].split()) for row in csv.DictReader(file)]
    return _pair(folder / "corridor", source / "ref", source / "query", truth)


def loop(folder: Path) -> DatasetConfig:
    """Frames 1 to 40 are the map, those from 41 on the queries."""
    images = sorted((DATA / "rtabmap-loop/images").glob("*.jpg"), key=lambda p: int(p.stem))
    with (DATA / "rtabmap-loop/gt.csv").open(encoding="utf-8") as file:
        rows = {r["frame"]: r["earlier_frames_of_same_place"].split() for r in csv.DictReader(file)}
    mapped = {path.name for path in images[:40]}
    truth = [(p.name, [n for n in rows.get(p.name, []) if n in mapped]) for p in images[40:]]
    home = folder / "loop"
    for name, part in (("reference", images[:40]), ("query", images[40:])):
        (home / name).mkdir(parents=True)
        for path in part:
            (home / name / path.name).symlink_to(path)
    return _pair(home, home / "reference", home / "query", truth)


def _pair(
    home: Path, reference: Path, query: Path, truth: list[tuple[str, list[str]]]
) -> DatasetConfig:
    """The middle of the right frames, and how far the others are from it."""
    home.mkdir(exist_ok=True)
    names = sorted((p.name for p in reference.glob("*.jpg")), key=lambda n: int(Path(n).stem))
    number = {name: i for i, name in enumerate(names)}
    with (home / "correspondences.csv").open("w", encoding="utf-8") as file:
        file.write("query,reference,tolerance\n")
        for name, right in truth:
            rows = sorted(number[r] for r in right)
            middle = rows[len(rows) // 2] if rows else ""
            reach = max((abs(row - middle) for row in rows), default=0) if rows else 0
            file.write(f"{name},{middle},{reach}\n")
    return DatasetConfig(
        root=home,
        layout="folder-pair",
        options={
            "reference": str(reference),
            "query": str(query),
            "correspondences": "correspondences.csv",
        },
        pairs=(Pair(reference="reference", query="query"),),
        radius=2,
    )


if __name__ == "__main__":
    main()
