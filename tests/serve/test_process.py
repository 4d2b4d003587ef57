"""The real process: it starts, streams, survives what is no HTTP, and ends in order."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import checks
from websockets.sync.client import connect

from tests.conftest import run_command
from tests.serve.toy import png

SETTINGS = settings(
    max_examples=50, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
LONG = 300.0  # seconds: nothing here is timed, this only ends a test that hangs


class Process:
    """``placememory serve`` with a free port."""

    def __init__(self, *arguments: object) -> None:
        self.running = subprocess.Popen(
            [sys.executable, "-m", "placememory", "serve", *map(str, arguments), "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.said: list[str] = []
        assert self.running.stderr is not None
        for line in self.running.stderr:
            self.said.append(line)
            if found := re.search(r"at (http://\S+:(\d+))/(\?token=\S+)?", line):
                self.address, self.query = found[1], found[3] or ""
                self.port = int(found[2])
                break
        else:
            raise AssertionError("".join(self.said))
        self._reader = Thread(target=lambda: self.said.extend(self.running.stderr))
        self._reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.running.kill()
        self.running.wait()
        self._reader.join()
        self.running.stderr.close()

    def end(self, kind: signal.Signals = signal.SIGTERM) -> int:
        self.running.send_signal(kind)
        return self.running.wait(LONG)


@pytest.fixture(scope="module")
def process(office) -> Iterator[Process]:
    with Process(office, "--max-megabytes", "1", "--max-rate", "0") as started:
        yield started


def test_a_stream_is_listened_to_by_events_and_fed_by_websocket(process, building) -> None:
    frames = sorted(building.query.glob("*.png"))[:6]
    with httpx.Client(base_url=process.address, timeout=LONG) as client:
        stream = client.post("/api/streams").json()["id"]
        address = f"{process.address}/api/streams/{stream}".replace("http", "ws")
        with (
            client.stream("GET", f"/api/streams/{stream}/events") as events,
            connect(address, open_timeout=LONG) as socket_,
        ):
            lines = events.iter_lines()
            assert next(lines) == ": here"
            sent = []
            for i, path in enumerate(frames):
                socket_.send(json.dumps({"stamp": i * 10**9}))
                socket_.send(path.read_bytes())
                sent.append(json.loads(socket_.recv(LONG)))
            httpx.delete(f"{process.address}/api/streams/{stream}").raise_for_status()
            told = list(lines)
    data = [json.loads(line[6:]) for line in told if line.startswith("data: ")]
    assert data == [*sent, {}]
    assert [line for line in told if line.startswith("event")] == [
        *["event: estimate"] * len(frames),
        "event: end",
    ]


def test_requests_made_up_from_the_openapi_are_answered_as_it_says(process) -> None:
    """None of a thousand is answered by a failure, or by something else than promised."""
    stream = httpx.post(f"{process.address}/api/streams", timeout=LONG).json()["id"]
    seen: Counter[str] = Counter()

    def check(case) -> None:
        seen[case.operation.label] += 1
        if case.operation.label.endswith(("/frames", "/save")):
            case.path_parameters["stream_id"] = stream
        case.call_and_validate(
            timeout=LONG,
            checks=[
                checks.not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
        )

    schema = schemathesis.openapi.from_url(f"{process.address}/openapi.json")
    for found in schema.get_all_operations():
        for mode in schemathesis.GenerationMode:
            made_up = found.ok().as_strategy(generation_mode=mode)
            with suppress(Unsatisfiable):  # nothing is wrong where there is nothing to give
                given(made_up)(SETTINGS(lambda case: check(case)))()
    assert len(seen) == len(list(schema.get_all_operations())) >= 18
    assert seen.total() >= 1000, seen


def test_what_is_no_request_does_not_end_it(process, building) -> None:
    """Truncated uploads, noise, headers that lie; each connection is cut somewhere."""
    image = next(building.query.glob("*.png")).read_bytes()
    whole = (
        b"POST /api/localize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
        b"Content-Length: " + str(len(image)).encode() + b"\r\n\r\n" + image
    )
    chunked = (
        b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n"
    )
    lies = whole.replace(b"Content-Length: ", b"Content-Length: -")
    upgrade = (
        b"GET /api/streams/x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + b"\xff" * 50
    )
    rng = random.Random(0)
    for i in range(300):
        data = [whole, chunked, lies, upgrade, rng.randbytes(400)][i % 5]
        data = data[: rng.randrange(1, len(data))] if i % 2 else data
        with socket.create_connection(("127.0.0.1", process.port), LONG) as connection:
            connection.sendall(data)
            if i % 3:
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(LONG if i % 5 == 0 and not i % 2 else 0.01)
                try:
                    got = connection.recv(100)
                except OSError:
                    got = b""
                assert b" 500 " not in got
    with httpx.Client(base_url=process.address, timeout=LONG) as client:
        assert client.get("/api/health").json()["status"] == "ok"
        text = client.get("/metrics").text
    assert 'status="500"' not in text
    assert process.running.poll() is None
    assert "Traceback" not in "".join(process.said)


def test_it_ends_in_order_and_says_what_it_needs(office, tmp_path) -> None:
    with Process(office, "--host", "0.0.0.0") as served:
        [token] = re.findall(r"^token: (\S+)$", "".join(served.said), re.MULTILINE)
        assert len(token) >= 32
        assert served.query == f"?token={token}"
        address = f"http://127.0.0.1:{served.port}"
        assert httpx.get(f"{address}/api/health", timeout=LONG).status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{address}/api/health", headers=headers, timeout=LONG)
        assert answer.json()["places"] == 40
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = run_command("serve", office, "--port", port, expect=2).err
            assert f"{port} cannot be listened on" in said
        assert served.end(signal.SIGINT) == 0
        assert "Traceback" not in "".join(served.said)
    for arguments, text in (
        (["--run", f"x={tmp_path}"], "placememory localize wrote"),
        (["--run", f"a/b={tmp_path}"], "slash"),
        (["--images", f"x={tmp_path}"], "no run of that name"),
        (["--images", tmp_path / "none"], "no such folder"),
        (["--map", tmp_path / "map.yaml"], "map.yaml"),
        (["--max-megabytes", "0"], "max_megabytes"),
        (["--token", "two\nlines"], "ASCII"),
    ):
        assert text in run_command("serve", office, "--port", 0, *arguments, expect=2).err


def test_runs_and_images_of_the_command_line(office, building, tmp_path: Path) -> None:
    """A run whose images have moved is shown with --images."""
    run_command("localize", office, building.query, "--out", tmp_path / "evening", "--no-verify")
    metrics = json.loads((tmp_path / "evening/metrics.json").read_text())
    assert metrics["source"] == str(building.query.resolve())
    (tmp_path / "evening/metrics.json").unlink()
    moved = tmp_path / "moved"
    moved.mkdir()
    first = sorted(building.query.glob("*.png"))[0]
    (moved / first.name).write_bytes(png_of(first))
    arguments = ("--run", tmp_path / "evening", "--images", f"evening={moved}", "--token", "x")
    with Process(office, *arguments) as served:
        with httpx.Client(base_url=served.address, timeout=LONG, params={"token": "x"}) as client:
            columns = client.get("/api/runs/evening").json()["columns"]
            assert columns["image"].count(True) == 1
            at = columns["name"].index(first.name)
            assert client.get(f"/api/runs/evening/frames/{at}/image").status_code == 200
        assert served.end() == 0


def png_of(path: Path) -> bytes:
    from placememory.frames import read_image

    return png(read_image(path))
