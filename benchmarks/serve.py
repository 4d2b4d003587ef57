"""The service against calling the Localizer in a loop: images a second, and latency of 8 clients.

    python benchmarks/serve.py              # without local features; with them: --verify

A rendered building of 120 places and its query run of 126 images (PNG, 320x240; with ``--verify``
every third of them), each localised by itself: in a loop in this process (decode the bytes,
``Localizer.reset``, ``observe``), then by one client and by 8 clients of ``placememory serve`` in a
process of its own. The three take turns; medians of the rounds, and of each round's ratio to its
loop. Needs the extras ``serve`` and ``demo``.
"""

from __future__ import annotations

import argparse
import http.client
import io
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from _tables import machine, markdown

import placememory as pm
from placememory.frames.images import decode_image
from placememory.samples import render_building


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--verify", action="store_true", help="compare images by local features")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        building = render_building(Path(folder) / "building", frames=120)
        uri = Path(folder) / "office.memory"
        pm.build(uri, building.mapping, poses=building.mapping_vertices).close()
        images = [path.read_bytes() for path in sorted(building.query.glob("*.png"))]
        part = images[::3] if given.verify else images  # a comparison takes long
        rows = measure(uri, part, given.rounds, given.clients, verify=given.verify)
    print(f"{machine()}\n")
    columns = ("system", "images/s", "of the loop", "p50 ms", "p99 ms")
    print(markdown(columns, rows))


def measure(
    uri: Path, images: Sequence[bytes], rounds: int, clients: int, *, verify: bool
) -> list[list[str]]:
    """A row each for the loop, one client and many."""
    systems = {"Localizer in a loop": 0, "1 client": 1, f"{clients} clients": clients}
    took: dict[str, list[list[float]]] = {name: [] for name in systems}
    wall: dict[str, list[float]] = {name: [] for name in systems}
    with pm.open(uri, readonly=True) as memory, serving(uri, verify=verify) as port:
        localizer = pm.Localizer(memory, verify="auto" if verify else None)
        loop(localizer, images)  # warm
        ask(port, images, clients)
        for _ in range(rounds):
            for name, count in systems.items():
                started = time.perf_counter()
                each = ask(port, images, count) if count else loop(localizer, images)
                wall[name].append(time.perf_counter() - started)
                took[name].append(each)
    [first, *_] = systems
    rows = []
    for name in systems:
        milliseconds = 1e3 * np.concatenate(took[name])
        ratio = statistics.median(a / b for a, b in zip(wall[first], wall[name], strict=True))
        rows.append(
            [
                name,
                f"{len(images) / statistics.median(wall[name]):.1f}",
                f"{100 * ratio:.0f} %",
                *(f"{np.percentile(milliseconds, q):.0f}" for q in (50, 99)),
            ]
        )
    return rows


def loop(localizer: pm.Localizer, images: Sequence[bytes]) -> list[float]:
    """Seconds of each image, one after another in this process."""
    seconds = []
    for data in images:
        started = time.perf_counter()
        localizer.reset()
        localizer.observe(decode_image(io.BytesIO(data), "image", exif=True)).to_dict()
        seconds.append(time.perf_counter() - started)
    return seconds


def ask(port: int, images: Sequence[bytes], clients: int) -> list[float]:
    """Seconds of each image, sent by clients at the same time."""

    def send(part: Sequence[bytes]) -> list[float]:
        seconds = []
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for data in part:
            started = time.perf_counter()
            connection.request("POST", "/api/localize", data, {"Content-Type": "image/png"})
            answer = connection.getresponse()
            answer.read()
            seconds.append(time.perf_counter() - started)
            if answer.status != 200:
                raise RuntimeError(f"status {answer.status}")
        connection.close()
        return seconds

    with ThreadPoolExecutor(clients) as pool:
        parts = pool.map(send, [images[i::clients] for i in range(clients)])
        return [second for part in parts for second in part]


@contextmanager
def serving(uri: Path, *, verify: bool) -> Iterator[int]:
    """The port of a service in a process of its own."""
    option = "--verify" if verify else "--no-verify"
    command = [sys.executable, "-m", "placememory", "serve", str(uri), "--port", "0", option]
    with subprocess.Popen(
        [*command, "--max-rate", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = (re.search(r"at http://\S+:(\d+)/", line) for line in process.stderr)
        found = next((line for line in lines if line), None)
        if found is None:
            raise RuntimeError("the service did not start")
        try:
            yield int(found[1])
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
