"""How right the verdicts of the online localizer are: every fusion, with and without verification.

The real sequences and the rendered building (seed 0), each as it is and with a stretch of the map
left out, so that frames are off the map. Every run goes through the :class:`Localizer` on a memory
that is built by the pipeline. Descriptors, checks and the building are kept in the folder. Run
(needs the extras ``demo`` and ``verify``):

    OMP_NUM_THREADS=1 python benchmarks/localization.py [--folder FOLDER] [--only NAME]
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _localization_runs import SINGLE, Answer, Run
from _localization_sets import Scene, building, listed, tower_walks
from _real import DATA, corridor, loop
from _tables import machine, markdown

from placememory.metrics.located import LocatedFrames

METHODS = ("single frame", "frequency", "spatial", "heatmap", "bayes")
COLUMNS = (
    "method", "verify", "best right %", "located %", "precision %", "right / located", "95 %",
    "median error", "calibration error", "false off the map", "ms verify",
)  # fmt: skip


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/placememory-localization"))
    parser.add_argument("--only", default="", help="sets whose name has this")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    print(machine())
    print(f"a frame alone is located from {SINGLE:g} spreads of similarity on")
    for scene in scenes(given.folder, given.only):
        print(f"\n**{scene.name}**: {scene.words()}\n")
        print(markdown(COLUMNS, list(rows(scene, given.folder))), flush=True)


def scenes(folder: Path, only: str) -> Iterator[Scene]:
    """All sets whose name has a text, those beside the checkout where they are there."""
    known = [lambda: building(folder / "building")]
    if DATA.is_dir():
        known = [lambda: listed(corridor()), lambda: listed(loop()), tower_walks, *known]
    for make in known:
        yield from (scene for scene in make() if only in scene.name)


def rows(scene: Scene, folder: Path) -> Iterator[list[object]]:
    """A row for each method, without and with verification."""
    run = Run(scene, folder)
    for method in METHODS:
        if method in ("spatial", "heatmap") and not scene.placed:
            yield [method, "", *["-"] * (len(COLUMNS) - 2)]
            continue
        for verify in (False, True):
            print(f"{scene.name}: {method}{', verified' * verify}", file=sys.stderr, flush=True)
            answers, milliseconds = run.answers(method, verify=verify)
            yield [method, "yes" if verify else "no", *measured(scene, answers),
                   f"{milliseconds:.0f}" if verify else ""]  # fmt: skip
    run.close()


def measured(scene: Scene, answers: list[Answer]) -> list[str]:
    """The cells of a run: all but its name and its time."""
    metric, errors, wrong, hits = LocatedFrames(scene.radius), [], 0, 0
    for at, answer in enumerate(answers):
        if not scene.counted[at]:
            continue
        error, right = scene.judge(at, answer.row, answer.position)
        on_map = bool(scene.good[at].any())
        metric.update(
            located=answer.located,
            probability=answer.probability,
            error=0.0 if right else math.inf,
            on_map=on_map,
        )
        hits += right and on_map
        wrong += answer.located and not on_map
        errors += [error] if answer.located and on_map else []
    result = metric.compute()
    interval = result.precision
    known = [error for error in errors if math.isfinite(error)]
    return [
        f"{100 * hits / result.on_map:.0f}",
        f"{100 * result.located.value:.0f}",
        "-" if not interval.count else f"{100 * interval.value:.1f}",
        f"{round(interval.count * interval.value) if interval.count else 0} / {interval.count}",
        "-" if not interval.count else f"{100 * interval.low:.0f} to {100 * interval.high:.0f}",
        f"{np.median(known):.{scene.digits}f} {scene.unit}" if known else "-",
        f"{result.calibration_error:.2f}",
        f"{wrong} / {result.off_map}" if result.off_map else "",
    ]


if __name__ == "__main__":
    main()
