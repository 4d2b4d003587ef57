"""What changes with the size of a map; all in ratios within one run, on one thread.

python benchmarks/scale.py search      # exact search: 100,000 x 3584 and 1,000,000 x 512
python benchmarks/scale.py opening     # a memory file of 100,000 and of 1,000,000 x 512
python benchmarks/scale.py filtering   # an update of the Bayes filter at 100,000 and 1,000,000
python benchmarks/scale.py search --rounds 20 --size 100000x3584
python benchmarks/scale.py milvus --server http://127.0.0.1:19530   # 1,000,000 x 128 in a server

The rows are descriptors of the default encoder of the real frames of ie-tower beside the checkout,
scaled: between consecutive frames more are interpolated, with 0.3 of a random frame-to-frame
difference and 0.15 of noise. Shorter rows are the same after a PCA. Queries are the real frames of
another walk. Where the frames are absent, walks on random directions take their place.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _real import DATA, tower
from _tables import machine, markdown

import placememory
from placememory._types import Rows, Vectors
from placememory.encoders import EncoderCard, Preprocess
from placememory.frames import Frame, Pose
from placememory.fusion import Evidence, MapProfile, Odometry, PlaceTable, Rest, create
from placememory.memory import Place, PlaceMemory, Where
from placememory.memory.codes import Codes
from placememory.memory.rows import PlaceRows
from placememory.memory.search import products, top_k

SIZES = ("100000x3584", "1000000x512")
SEED, K, BATCH, DIM, AT_HAND = 0, 10, 16, 3584, 4096
STORED = Path(__file__).parent / "output" / "scale.npz"


def main() -> None:
    """Run the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=41, help="queries of each comparison")
    parser.add_argument("--size", action="append", help="ROWSxDIM; may be given several times")
    parser.add_argument("--server", help="a Milvus server; tests/memory/start_milvus.py runs one")
    parser.add_argument("--written", help="name of what an earlier call has written there")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {unknown.pop()!r}; there are: {', '.join(PARTS)}")
    if os.environ.get("OMP_NUM_THREADS") != "1":  # read when NumPy is imported
        one = {**os.environ, "OMP_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, *sys.argv], one)
    print(f"{machine()}\n")
    for part in options.parts or [part for part in PARTS if part != "milvus" or options.server]:
        PARTS[part](options)


def search(options: argparse.Namespace) -> None:
    """Exact search through 8-bit codes against the product of the same float32 rows."""
    rows = []
    for size in options.size or SIZES:
        count, dim = (int(number) for number in size.split("x"))
        rows += search_one(count, dim, options.rounds)
    print("\nTimes faster than the float32 product of all rows, medians; reading is max(codes).\n")
    columns = ("places x dim", "what", "product ms", "float32 search", "search by codes")
    columns += ("codes against float32", "reading the codes", "same answer")
    print(markdown(columns, rows))


def search_one(count: int, dim: int, rounds: int) -> list[list[object]]:
    """Rows of the table for one size."""
    matrix, queries = make_map(count, dim)
    begin = time.perf_counter()
    codes = Codes.of(matrix)
    print(f"{count} x {dim}: coded in {time.perf_counter() - begin:.1f} s", flush=True)
    rng = np.random.default_rng(SEED)
    asked = queries[rng.permutation(len(queries))[: rounds * BATCH]]
    for query in asked[:3]:
        check(matrix, query, top_k(matrix, query[None], K, codes=codes)[0])
    share = count // 40
    filters: dict[str, Rows | None] = {
        "one query": None,
        "one of 40 sessions": np.arange(7 * share, 8 * share),
        "a tenth, scattered": np.flatnonzero(rng.random(count) < 0.1),
        "half, scattered": np.flatnonzero(rng.random(count) < 0.5),
        f"{BATCH} at once": None,
    }
    table = []
    for name, rows in filters.items():
        many = BATCH if "at once" in name else 1
        times, equal = [], 0
        for i in range(min(rounds, len(asked) // many)):
            part = asked[i * many : (i + 1) * many]
            seconds, answers = race(
                {
                    "product": lambda part=part: (
                        matrix @ part[0] if len(part) == 1 else part @ matrix.T
                    ),
                    "reading": lambda: codes.values.max(),
                    "float32": lambda part=part, rows=rows: top_k(matrix, part, K, rows),
                    "codes": lambda part=part, rows=rows: top_k(matrix, part, K, rows, codes),
                }
            )
            times.append(seconds)
            equal += all(
                np.array_equal(a, b)
                for one, other in zip(answers["float32"], answers["codes"], strict=True)
                for a, b in zip(one, other, strict=True)
            )
        middle = {
            name: statistics.median(t["product"] / t[name] for t in times) for name in seconds
        }
        table.append(
            [
                f"{count:,} x {dim}",
                name,
                f"{1e3 * statistics.median(t['product'] for t in times):.1f}",
                f"{middle['float32']:.2f}",
                f"{middle['codes']:.2f}",
                f"{statistics.median(t['float32'] / t['codes'] for t in times):.2f}",
                f"{middle['reading']:.2f}",
                f"{equal}/{len(times)}",
            ]
        )
    return table


def milvus(options: argparse.Namespace) -> None:
    """A memory in a Milvus server against exact search in this process."""
    if not options.server:
        raise SystemExit("milvus: give --server")
    rows = []
    for size in options.size or ["1000000x128"]:
        count, dim = (int(number) for number in size.split("x"))
        name = options.written or f"scale_{count}_{dim}_{int(time.time())}"
        rows += served_one(f"{options.server}/{name}", count, dim, options.rounds)
    print(
        markdown(
            ("places x dim", "what", "in the server", "exact search here", "same answer"), rows
        )
    )


def served_one(uri: str, count: int, dim: int, rounds: int) -> list[list[object]]:
    """Rows of the table for one size; the memory is left in the server."""
    matrix, queries = make_map(count, dim)
    asked = queries[np.random.default_rng(SEED).permutation(len(queries))[:rounds]]
    places = walks(count)
    if not PlaceMemory.exists(uri):
        write_served(uri, places, matrix)
    middle = places[count // 2].pose
    assert middle is not None
    filters: dict[str, dict[str, Any]] = {
        "no filter": {},
        "one of 40 sessions": {"session": "walk07"},
        "a stretch of time, 10 %": {"stamp": (0, count * 10**8)},
        "within 10 m": {"near": (middle.x, middle.y), "radius": 10.0},
        "within 2 m, one floor": {"near": (middle.x, middle.y), "radius": 2.0, "floor": "f0"},
    }
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "queries.npy"
        np.save(stored, asked)
        script = Path(__file__).with_name("served.py")
        command = [sys.executable, str(script), uri, str(stored), json.dumps(filters)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told = json.loads(done.stdout)
    facts, table = told["facts"], []
    held = PlaceRows(places, matrix)
    for name, given in filters.items():
        allowed = Where(**given).rows(held) if given else None
        seconds, same, total = [], 0, 0
        for query, found in zip(asked, told["answers"][name], strict=True):
            begin = time.perf_counter()
            [(exact, _)] = top_k(matrix, query[None], K, allowed)
            seconds.append(time.perf_counter() - begin)
            same, total = same + (exact.tolist() == found), total + 1
        label = name if allowed is None else f"{name} ({len(allowed):,} places)"
        here = f"{1e3 * statistics.median(seconds):.1f} ms"
        table.append([label, f"{1e3 * facts[name]:.1f} ms", here, f"{same}/{total} in order"])
    steps = ("make a localizer", "a frame of it", "its slowest frame")
    for name in ("open", "sessions", "current", "first", *steps, "add 100", "remove 100"):
        table.append([name, f"{1e3 * facts[name]:.0f} ms", "", ""])
    grown = f"{facts['peak']:.0f} MB, {facts['peak'] - facts['before']:.0f} MB above the imports"
    table.append(["memory of the client", grown, "", ""])
    return [[f"{count:,} x {dim}", *row] for row in table]


def write_served(uri: str, places: Sequence[Place], matrix: Vectors) -> None:
    """Write a memory, and say how long it took."""
    card = EncoderCard(name="scaled", dim=matrix.shape[1], preprocess=Preprocess(longest=8))
    begin = time.perf_counter()
    with PlaceMemory.create(uri, encoder=card) as memory:
        for start in range(0, len(places), 50_000):
            part = slice(start, start + 50_000)
            memory.add(places[part], matrix[part])
    seconds = time.perf_counter() - begin
    print(f"{uri}: {len(places):,} places written in {seconds:.0f} s", flush=True)


def walks(count: int) -> list[Place]:
    """Places of 40 sessions, each a walk to and fro on one of five floors, a frame every 0.1 s."""
    share = count // 40
    return [
        Place(
            f"walk{i // share:02d}",
            i % share,
            f"{i:07d}.png",
            stamp=i * 10**9,
            vertex_id=i,
            pose=Pose.from_yaw((i % share) / share * 500.0, 3.0 * (i // share), 0.0),
            floor=f"f{i // share % 5}",
        )
        for i in range(count)
    ]


def race(calls: Mapping[str, Callable[[], object]]) -> tuple[dict[str, float], dict[str, object]]:
    """Seconds of this thread, which other processes do not lengthen, and answers of calls."""
    seconds, answers = {}, {}
    for name, call in calls.items():
        begin = time.thread_time()
        answers[name] = call()
        seconds[name] = time.thread_time() - begin
    return seconds, answers


def check(matrix: Vectors, query: Vectors, answer: tuple[Rows, Vectors]) -> None:
    """Compare an answer with all products in float64."""
    exact = np.clip(products(matrix, query), -1, 1).astype(np.float32)
    order = np.lexsort((np.arange(len(exact)), -exact))[: len(answer[0])]
    if not (np.array_equal(order, answer[0]) and np.array_equal(exact[order], answer[1])):
        raise AssertionError(f"{answer} is not {order}")


def make_map(count: int, dim: int) -> tuple[Vectors, Vectors]:
    """Rows (count, dim) of a scaled map, and real queries (Q, dim)."""
    gallery, walks, queries = descriptors()
    if dim < gallery.shape[1]:
        _, axes = np.linalg.eigh(gallery @ gallery.T)
        basis, _ = np.linalg.qr(gallery.T @ axes[:, -dim:])
        gallery, queries = unit(gallery @ basis), unit(queries @ basis)
    starts = np.flatnonzero(walks[1:] == walks[:-1])
    steps = unit(gallery[starts + 1] - gallery[starts])
    rng = np.random.default_rng(SEED)
    matrix = np.empty((count, dim), np.float32)
    place = np.arange(count) * len(starts) / count
    for start in range(0, count, 10_000):
        at = place[start : start + 10_000]
        first, along = starts[at.astype(int)], (at % 1.0).astype(np.float32)[:, None]
        rows = unit((1 - along) * gallery[first] + along * gallery[first + 1])
        rows += 0.3 * steps[rng.integers(len(steps), size=len(at))]
        rows += 0.15 * unit(rng.standard_normal(rows.shape, dtype=np.float32))
        matrix[start : start + 10_000] = unit(rows)
    return matrix, queries


def descriptors() -> tuple[Vectors, Rows, Vectors]:
    """Descriptors of the map's frames, the numbers of their walks, and those of the queries."""
    if not (DATA / "ie-tower").is_dir():
        print("no real frames beside the checkout: random directions", flush=True)
        rng = np.random.default_rng(SEED)
        corners = unit(rng.standard_normal((1200, DIM), dtype=np.float32))
        noise = rng.standard_normal((500, DIM), dtype=np.float32)
        return corners, np.arange(1200) // 20, unit(corners[:500] + 0.05 * noise)
    if not STORED.exists():
        sequence = tower(1)
        frames = [
            Frame(frame.name, frame.name.partition("_frame_")[0], i, read=frame.read)
            for i, frame in enumerate(sequence.reference)
        ]
        with tempfile.TemporaryDirectory() as folder:
            memory = placememory.build(Path(folder) / "memory", frames)
            asked = memory.encoder().encode([frame.image() for frame in sequence.query])
            names = [place.session for place in memory.places]
            walks = np.unique(names, return_inverse=True)[1]
            STORED.parent.mkdir(parents=True, exist_ok=True)
            np.savez(STORED, gallery=memory.descriptors, walks=walks, queries=asked)
            memory.close()
    stored = np.load(STORED)
    return stored["gallery"], stored["walks"], stored["queries"]


def unit(rows: Vectors) -> Vectors:
    """Rows brought to unit norm, in place where they may be."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32, copy=False)


OPENED = ("100000x512", "1000000x512")
_OPEN = """
import json, sys, time
from pathlib import Path
import numpy as np
import placememory
from placememory.memory import PlaceMemory
queries = np.load(sys.argv[2])

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

before, begin = resident(), time.perf_counter()
used = time.process_time()
with PlaceMemory.open(sys.argv[1], readonly=True) as memory:
    opened, worked = time.perf_counter() - begin, time.process_time() - used
    rss = [resident() - before]
    seconds = []
    for query in queries:
        begin = time.process_time()
        memory.search(query, k=10)
        seconds.append(time.process_time() - begin)
    rss.append(resident() - before)
    begin = time.process_time()
    matrix = memory.descriptors
    read = time.process_time() - begin
    begin = time.process_time()
    for query in queries:
        matrix @ query
    product = (time.process_time() - begin) / len(queries)
print(json.dumps({"opened": opened, "worked": worked, "rss": rss, "searches": seconds,
                  "read": read, "product": product}))
"""


def opening(options: argparse.Namespace) -> None:
    """Opening a memory file and the first searches, each in a process of its own."""
    rows = []
    for size in options.size or OPENED:
        count, dim = (int(number) for number in size.split("x"))
        with tempfile.TemporaryDirectory(dir=STORED.parent) as folder:
            path = Path(folder) / "map.memory"
            queries, built, grown = write_memory(path, count, dim)
            np.save(Path(folder) / "queries.npy", queries[:15])
            command = [sys.executable, "-c", _OPEN, str(path), str(Path(folder) / "queries.npy")]
            runs = [
                json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
                for _ in range(3)
            ]
            found = min(runs, key=lambda run: run["opened"])
            later = statistics.median(found["searches"][1:])
            rows.append(
                [
                    f"{count:,} x {dim}",
                    f"{path.stat().st_size / 1e6:,.0f}",
                    f"{1e6 * built / count:.0f}",
                    f"{grown:.0f}",
                    f"{found['opened']:.3f}",
                    f"{found['worked']:.3f}",
                    f"{found['rss'][0]:.0f}",
                    f"{found['searches'][0]:.2f}",
                    f"{1e3 * later:.1f}",
                    f"{found['product'] / later:.1f}",
                    f"{found['rss'][1]:.0f}",
                    f"{found['read']:.1f}",
                ]
            )
    print("\nOpening and searching without reading the descriptors; 15 queries, best of 3.\n")
    columns = ("places x dim", "file MB", "us a place to add", "MB more while adding", "open s")
    columns += ("of it processor s", "MB then", "first search s", "later ms")
    columns += ("against the product of all rows", "MB then", "reading all descriptors s")
    print(markdown(columns, rows))


def write_memory(path: Path, count: int, dim: int) -> tuple[Vectors, float, float]:
    """Write a map; gives queries, the seconds it took and how much memory it took, MB."""
    matrix, queries = make_map(count, dim)
    card = EncoderCard(name="scaled", dim=dim)
    before, begin = resident(), time.perf_counter()
    with PlaceMemory.create(path, encoder=card) as memory:
        for start in range(0, count, 1024):
            numbers = range(start, min(start + 1024, count))
            places = [
                Place(f"run{i // 5000:04d}", i % 5000, f"{i:08d}.jpg", i * 10**8, pose=pose_at(i))
                for i in numbers
            ]
            memory.add(places, matrix[start : start + 1024])
        grown = resident() - before
    return queries, time.perf_counter() - begin, grown


def resident() -> float:
    """Memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def pose_at(i: int) -> Pose:
    """Poses along streets of 5,000 places, half a metre apart."""
    return Pose.from_yaw(0.5 * (i % 5000), 3.0 * (i // 5000), 0.0)


def filtering(options: argparse.Namespace) -> None:
    """An update of the Bayes filter, with the similarities given."""
    rows = []
    for size in options.size or ("100000x64", "1000000x64"):
        count, dim = (int(number) for number in size.split("x"))
        matrix, _ = make_map(count, dim)
        for held in (count, AT_HAND):
            for motion in (None, Odometry(1.0, 0.0, 0.0)):
                rows.append([f"{count:,}", f"{held:,}", *filter_one(matrix, held, motion, options)])
    print("\nAn update of `bayes`, the similarities given, processor time.\n")
    columns = ("places", "at hand", "odometry", "made in s", "first five ms", "later ms")
    columns += ("least ms", "float32 product of 512 columns, ms")
    print(markdown(columns, rows))


def filter_one(
    matrix: Vectors, held: int, motion: Odometry | None, options: argparse.Namespace
) -> list[str]:
    """Times of a filter with some places at hand, the others the rest of the map."""
    (count, dim), first = matrix.shape, (len(matrix) - held) // 2
    number = first + np.arange(held)
    positions = np.column_stack([0.5 * (number % 5000), 3.0 * (number // 5000)])
    table = PlaceTable.from_arrays(
        positions, yaw=np.zeros(held), session=number // 5000, order=number % 5000
    )
    rest = Rest(count - held, np.arange(0, held, 4)) if held < count else None
    rows = matrix[first : first + held]
    begin = time.process_time()
    fusion = create("bayes", table, MapProfile(rows, table, rest=rest))
    ready = time.process_time() - begin
    rng, updates, products_ = np.random.default_rng(SEED), [], []
    for i in range(options.rounds):
        noise = unit(rng.standard_normal((1, dim), dtype=np.float32))[0]
        view = unit((matrix[count // 2 + 2 * i] + 0.2 * noise)[None])[0]
        evidence = Evidence.from_column(rows @ view, stamp=float(i))
        evidence = replace(evidence, descriptor=view)
        seconds, _ = race(
            {
                "product": partial(np.matmul, matrix, view),
                "update": partial(fusion.update, evidence, motion if i else None),
            }
        )
        updates.append(seconds["update"])
        products_.append(seconds["product"])
    settled = updates[10:]
    return [
        "no" if motion is None else "yes",
        f"{ready:.1f}",
        f"{1e3 * statistics.median(updates[:5]):.1f}",
        f"{1e3 * statistics.median(settled):.1f}",
        f"{1e3 * min(settled):.1f}",
        f"{1e3 * statistics.median(products_) * 512 / dim:.0f}",
    ]


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "search": search,
    "opening": opening,
    "filtering": filtering,
    "milvus": milvus,
}


if __name__ == "__main__":
    main()
