"""A robot's view of a memory that a Milvus server holds: times, memory and answers, as JSON.

benchmarks/scale.py runs it in a process of its own, so that the memory is of this client only.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pymilvus  # noqa: F401 - its import is not part of opening

from placememory.frames import Frame
from placememory.localization import Localizer
from placememory.memory import Candidates, PlaceMemory, Where

K, OPENINGS = 10, 9
WARM_SECONDS = 11.0  # after a write is new, answers wait for it
T = TypeVar("T")


def main() -> None:
    """Open, search with every filter, and write."""
    uri, queries = sys.argv[1], np.load(sys.argv[2])
    filters = {name: Where(**given) for name, given in json.loads(sys.argv[3]).items()}
    before = megabytes()
    opening = []
    for _ in range(OPENINGS):
        seconds, memory = timed(lambda: PlaceMemory.open(uri))
        memory.close()
        opening.append(seconds)
    memory = PlaceMemory.open(uri)
    known, sessions = timed(memory.sessions)
    first, _ = timed(lambda: memory.search(queries[:1], K))
    facts: dict[str, object] = {
        "before": before,
        "open": statistics.median(opening),
        "sessions": known,
        "counted": sum(sessions.values()),
        "first": first,
        "current": timed(memory.is_current)[0],
    }
    time.sleep(WARM_SECONDS)
    answers = {}
    for name, where in filters.items():
        found = [timed(lambda q=q, w=where: memory.search(q, K, w)[0]) for q in queries]
        facts[name] = statistics.median(seconds for seconds, _ in found)
        answers[name] = [rows_of(candidates) for _, candidates in found]
    facts["make a localizer"], robot = timed(lambda: Localizer(memory, verify=None))
    steps = [timed(lambda q=q: robot.observe(descriptor=q))[0] for q in queries]
    facts["a frame of it"] = statistics.median(steps)
    facts["its slowest frame"] = max(steps)
    frames = [Frame(f"{i}.png", "added", i) for i in range(100)]
    facts["add 100"] = timed(lambda: memory.add(frames, queries[np.arange(100) % len(queries)]))[0]
    facts["remove 100"] = timed(lambda: memory.remove("added"))[0]
    facts["peak"] = megabytes()
    memory.close()
    print(json.dumps({"facts": facts, "answers": answers}))


def rows_of(candidates: Candidates) -> list[int]:
    """Rows of the map, which the benchmark has given as vertex ids."""
    return [candidate.place.vertex_id or 0 for candidate in candidates]


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds that a call took, and what it gave."""
    begin = time.perf_counter()
    given = call()
    return time.perf_counter() - begin, given


def megabytes() -> float:
    """Most memory that this process has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
