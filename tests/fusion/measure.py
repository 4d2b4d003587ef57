"""How good the methods are: a table over a made-up world and real images. Run from the checkout:

    python -m tests.fusion.measure [FOLDER]

Descriptors and the rendered buildings are kept in FOLDER (default ``/tmp/fusion-measure``). Images
are described by the default encoder. Some sets leave out a stretch of the map, so that the robot
is off the map there. Frames at its edge (some right places left out, or 1.5 to 3 m from
the nearest place) are not counted.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from placememory import create_encoder
from placememory.frames import Frame, list_frames, read_poses
from placememory.fusion import Evidence, Odometry, PlaceTable, create
from placememory.samples import render_building
from tests.fusion._world import RADIUS, World, calibration_error

METHODS = ("single frame", "frequency", "spatial", "heatmap", "bayes")
SINGLE = 4.0  # normalised similarity from which a single frame is believed


@dataclass
class Case:
    """A run over a map.

    Attributes:
        name: What it is.
        table: The map.
        columns: (T, N) similarities.
        odometry: T motions.
        good: (T, N) whether a place is right.
        counted: (T,) whether a frame counts.
        truth: (T, 2) metres where known.
    """

    name: str
    table: PlaceTable
    columns: NDArray[np.float64]
    odometry: list[Odometry | None]
    good: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    truth: NDArray[np.float64] | None = None


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/tmp/fusion-measure")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"| set | {' | '.join(METHODS)} |")
    print("|---" * (1 + len(METHODS)) + "|")
    for case in (*made_up(), *listed(folder), *rendered(folder)):
        cells = [
            "-"
            if case.truth is None and method in ("spatial", "heatmap")
            else " / ".join(measured(case, method))
            for method in METHODS
        ]
        print(f"| {case.name} | {' | '.join(cells)} |", flush=True)


def measured(case: Case, method: str) -> list[str]:
    """Located, right of these, first hypothesis right (percent), calibration error, metres."""
    fusion = None if method == "single frame" else create(method, case.table)
    located, right, probability, metres = [], [], [], []
    for t, column in enumerate(case.columns):
        evidence = Evidence.from_column(column)
        if fusion is None:
            row, z = int(evidence.rows[0]), float(evidence.weights()[0])
            place, said = case.table.positions[row], z >= SINGLE
            p = 1.0 / (1.0 + math.exp(SINGLE - z))
        else:
            belief = fusion.update(evidence, case.odometry[t])
            row = belief.best.row if belief.best else -1
            place = belief.position or (math.nan, math.nan)
            said, p = belief.verdict == "located", belief.probability
        if case.truth is None:
            good = row >= 0 and bool(case.good[t, row])
        else:
            metres.append(math.dist(place[:2], case.truth[t]))
            good = metres[-1] <= RADIUS and bool(case.good[t].any())
        located.append(said)
        right.append(good)
        probability.append(p)
    use, on = case.counted, case.good.any(axis=1) & case.counted
    yes, hit = np.array(located), np.array(right)
    far = np.array(metres)[yes & on] if metres else np.zeros(0)
    return [
        f"{100 * (yes & on).sum() / on.sum():.0f}",
        f"{100 * (yes & use & hit).sum() / max(1, (yes & use).sum()):.1f}",
        f"{100 * (hit & on).sum() / on.sum():.0f}",
        f"{calibration_error(np.array(probability)[use], hit[use]):.2f}",
        *([f"{np.median(far):.2f} m"] if len(far) else []),
    ]


def made_up() -> Iterator[Case]:
    """The figure of eight, three times as long in frames as one world of the tests."""
    for odometry in (True, False):
        world = World(seed=11)
        s = np.arange(3.0, 3.0 * world.length, 0.8)
        run = world.run(s, 1.0, (len(s) // 2, len(s) // 2 + 40))
        apart = np.linalg.norm(world.table.positions[None] - run.poses[:, None, :2], axis=2)
        yield Case(
            f"figure of eight, {'odometry' if odometry else 'no odometry'}",
            world.table,
            run.columns,
            run.odometry if odometry else [None] * len(s),
            apart <= RADIUS,
            np.ones(len(s), dtype=np.bool_),
            run.poses[:, :2],
        )


def listed(folder: Path) -> Iterator[Case]:
    """Real sequences with lists of right places and no poses."""
    data = Path(__file__).resolve().parents[3] / "shared" / "data"
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    if not data.is_dir():
        return
    from _real import corridor, loop

    for sequence in (corridor(), loop()):
        reference, query = described(folder / sequence.name, sequence.reference, sequence.query)
        good = np.array(
            [[sequence.right(q.name, r.name) for r in sequence.reference] for q in sequence.query]
        )
        for low, high in ((0.0, 0.0), (0.4, 0.6)):
            kept = outside(len(reference), low, high)
            some = good[:, kept].sum(axis=1)
            counted = (some == good.sum(axis=1)) | (some == 0)
            table = PlaceTable.from_arrays(np.full((len(kept), 2), np.nan), order=kept)
            columns = (query @ reference[kept].T).astype(np.float64)
            name = sequence.name + (", a fifth left out" if high else "")
            nothing: list[Odometry | None] = [None] * len(query)
            yield Case(name, table, columns, nothing, good[:, kept], counted)


def rendered(folder: Path) -> Iterator[Case]:
    """The sample building: its query run visits two rooms that are not on the map."""
    for seed in (0, 1, 2):
        building = render_building(folder / f"building-{seed}", seed=seed)
        reference = posed(building.mapping, building.mapping_vertices)
        query = posed(building.query, building.query_vertices)
        one, two = described(folder / f"building-{seed}.npz", reference, query)
        noise = np.random.default_rng(seed).normal(size=two.shape) / math.sqrt(two.shape[1])
        two = two + 4.0 * noise  # poorer descriptors, as of another season
        two /= np.linalg.norm(two, axis=1, keepdims=True)
        place, truth = poses(reference), poses(query)
        kept = outside(len(one), 0.3, 0.45) if seed else np.arange(len(one))
        apart = np.linalg.norm(place[None, kept, :2] - truth[:, None, :2], axis=2)
        near = apart.min(axis=1)
        table = PlaceTable.from_arrays(place[kept, :2], yaw=place[kept, 2], order=kept)
        for odometry in (True, False):
            yield Case(
                f"building {seed}{', a stretch left out' if seed else ''}, "
                f"{'odometry' if odometry else 'no odometry'}",
                table,
                (two @ one[kept].T).astype(np.float64),
                slipping(truth, seed) if odometry else [None] * len(two),
                apart <= RADIUS,
                (near <= 1.5) | (near > 3.0),
                truth[:, :2],
            )


def outside(count: int, low: float, high: float) -> NDArray[np.int64]:
    """Rows but for a stretch."""
    rows = np.arange(count)
    return rows[(rows < int(low * count)) | (rows >= int(high * count))]


def slipping(truth: NDArray[np.float64], seed: int) -> list[Odometry | None]:
    """Odometry of a wheeled robot: 3 % too long, noise, a drifting heading."""
    draw = np.random.default_rng(seed).normal
    result: list[Odometry | None] = [None]
    for one, two in zip(truth[:-1].tolist(), truth[1:].tolist(), strict=True):
        o = Odometry.between(tuple(one), tuple(two))
        result.append(
            Odometry(
                1.03 * o.dx + draw(0, 0.04),
                o.dy + draw(0, 0.03),
                o.dyaw + draw(0.003, 0.015),
                0.08,
                0.03,
            )
        )
    return result


def described(
    cache: Path, reference: list[Frame], query: list[Frame]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Descriptors of both runs, the encoder fitted on the first."""
    cache = cache.with_suffix(".npz")
    if not cache.is_file():
        encoder, first = create_encoder("lite-vlad").fit_encode([f.image() for f in reference])
        parts = [
            encoder.encode([f.image() for f in query[i : i + 16]]) for i in range(0, len(query), 16)
        ]
        np.savez(cache, reference=first, query=np.concatenate(parts))
    with np.load(cache) as arrays:
        return arrays["reference"], arrays["query"]


def posed(images: Path, vertices: Path) -> list[Frame]:
    frames, _ = read_poses(vertices).join(list_frames(images))
    return frames


def poses(frames: list[Frame]) -> NDArray[np.float64]:
    """(N, 3) x, y, yaw."""
    return np.array([[f.pose.x, f.pose.y, f.pose.yaw] for f in frames if f.pose is not None])


if __name__ == "__main__":
    main()
