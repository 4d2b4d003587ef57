"""A Milvus server that is killed in the middle of a write loses nothing that was confirmed.

Run by ``test_milvus_server.py``, in the namespaces of the server that it starts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import MemoryStoreError
from placememory.memory import PlaceMemory
from tests.conftest import make_descriptors, make_frames

FOLDER = os.environ.get("PLACEMEMORY_TEST_MILVUS_DATA")
BATCH, DIM, MOST = 50, 32, 400
_WRITER = f"""
import sys
from placememory.memory import PlaceMemory
from tests.conftest import make_card, make_descriptors, make_frames
descriptors = make_descriptors({BATCH * MOST}, {DIM})
with PlaceMemory.create(sys.argv[1], encoder=make_card({DIM})) as memory:
    for start in range(0, {BATCH * MOST}, {BATCH}):
        memory.add(make_frames({BATCH}, start=start), descriptors[start : start + {BATCH}])
        print(start + {BATCH}, flush=True)
"""


def test_a_killed_server_loses_nothing_that_was_confirmed() -> None:
    if FOLDER is None:
        pytest.skip("there is no server to kill; test_milvus_server.py has one")
    folder = Path(FOLDER)
    confirmed = _kill_both(int((folder / "pid").read_text()))
    (folder / "ready").unlink()
    port = os.environ["PLACEMEMORY_TEST_MILVUS_NEXT_PORT"]  # the old one is not free at once
    started = [os.environ["SERVER_PYTHON"], "tests/memory/start_milvus.py", FOLDER, port]
    log = (folder / "again").open("wb")
    server = subprocess.Popen(started, stdout=log, stderr=subprocess.STDOUT)
    try:
        while not (folder / "ready").exists():
            assert server.poll() is None, (folder / "again").read_text()[-3000:]
            time.sleep(0.2)
        with _open(f"http://127.0.0.1:{port}/killed", server) as memory:
            count = len(memory)
            assert count >= confirmed
            assert count % BATCH == 0
            expected = make_descriptors(BATCH * MOST, DIM)[:count]
            np.testing.assert_array_equal(memory.descriptors, expected)
            memory.add(make_frames(BATCH, start=count), make_descriptors(BATCH, DIM))
            assert len(memory) == count + BATCH
            memory.check()
    finally:
        server.terminate()
        server.wait()
        log.close()


def _kill_both(server: int) -> int:
    """Kill server and writer after some batches; how many places were confirmed."""
    uri = f"{os.environ['PLACEMEMORY_TEST_MILVUS']}/killed"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, uri], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as writer:
        assert writer.stdout is not None
        confirmed = 0
        for line in writer.stdout:
            confirmed = int(line)
            if confirmed >= 6 * BATCH:
                os.kill(server, signal.SIGKILL)
                writer.kill()
                break
        rest = [int(line) for line in writer.stdout if line.strip().isdigit()]
    assert confirmed >= 6 * BATCH
    return max([confirmed, *rest])


def _open(uri: str, server: subprocess.Popen[bytes]) -> PlaceMemory:
    """Open a memory as soon as the server has loaded it again."""
    while True:
        try:
            memory = PlaceMemory.open(uri)
            memory.search(make_descriptors(1, DIM))
        except MemoryStoreError:
            assert server.poll() is None, "the server stopped again"
            time.sleep(0.5)
        else:
            return memory
