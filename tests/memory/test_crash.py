"""``kill -9`` in the middle of writing loses at most the batch in flight."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from placememory.memory import PlaceMemory
from tests.conftest import make_descriptors, make_frames

ROOT = Path(__file__).resolve().parents[2]
BATCH, BATCHES, DIM = 20, 200, 256
_WRITER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from placememory.memory import PlaceMemory
from tests.conftest import make_card, make_descriptors, make_frames
descriptors = make_descriptors({BATCH * BATCHES}, {DIM})
with PlaceMemory.create(sys.argv[1], encoder=make_card({DIM})) as memory:
    for i in range({BATCHES}):
        part = slice(i * {BATCH}, (i + 1) * {BATCH})
        memory.add(make_frames({BATCH}, start=i * {BATCH}), descriptors[part])
        print(i, flush=True)
"""


@pytest.mark.parametrize("kind", ["sqlite", "lite"])
@pytest.mark.parametrize("after", [0, 3, 17])
def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path, kind: str, after: int) -> None:
    if kind == "lite":
        pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
    uri = f"milvus-lite:{tmp_path / 'm'}" if kind == "lite" else str(tmp_path / "m")
    acknowledged = _kill_writer_after(uri, after)
    with PlaceMemory.open(uri) as memory:
        count = len(memory)
        assert count >= BATCH * (acknowledged + 1)
        assert count % BATCH == 0
        assert count < BATCH * BATCHES
        np.testing.assert_array_equal(
            memory.descriptors, make_descriptors(BATCH * BATCHES, DIM)[:count]
        )
        memory.add(make_frames(BATCH, start=count), make_descriptors(BATCH, DIM))
        assert len(memory) == count + BATCH


def _kill_writer_after(uri: str, after: int) -> int:
    """Start a writer, kill it after some batches; the last batch it said was done."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, uri], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        last = -1
        for line in process.stdout:
            last = int(line)
            if last >= after:
                os.kill(process.pid, signal.SIGKILL)
                break
        rest = [int(line) for line in process.stdout if line.strip().isdigit()]
    assert process.returncode == -signal.SIGKILL
    return max([last, *rest])
