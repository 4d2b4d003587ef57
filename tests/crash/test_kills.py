"""``kill -9`` at any moment of any writing command.

Then the memory opens whole or says that it is unfinished, the command finishes when it is given
again, and nothing is lost or there twice.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import threading
from pathlib import Path

import pytest

from placememory.errors import MemoryDamagedError, MemoryNotFoundError, MemoryUnfinishedError
from placememory.memory import PlaceMemory
from tests.conftest import make_descriptors
from tests.crash.commands import COMMANDS, COUNT, DIM, FULL, IN_PLACE, LITE

KILLS = 12 if FULL else 2
_SECONDS = {
    "add": 1.0,
    "build": 1.5,
    "copy": 0.4,
    "merge": 0.6,
    "prune": 1.5,
    "replace": 1.2,
    "remove": 0.15,
    "upgrade": 0.2,
}
"""About what each takes on a quiet machine: kills are spread over that time."""

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["tests.crash.commands"])


@pytest.mark.parametrize("store", ["sqlite", "lite"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_is_finished_by_the_next_one(
    name: str, store: str, tmp_path: Path
) -> None:
    if store == "lite":
        pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
        if name in IN_PLACE:
            pytest.skip("begins with a memory in a file")
        if not FULL and name != "copy":
            pytest.skip("run by: make crash")
    command, dice = COMMANDS[name], random.Random(f"{name} {store}")
    start = tmp_path / "start"
    start.mkdir()
    command.prepare(start)
    for kill in range(KILLS):
        folder = tmp_path / f"{kill}"
        shutil.copytree(start, folder)
        target = str(folder / "target") if store == "sqlite" else f"{LITE}{folder / 'target'}"
        _kill(name, folder, target, dice.random())
        _open_or_hear_why(target)
        command.run(folder, target)
        with PlaceMemory.open(target) as memory:
            command.check(folder, memory)
            memory.check()
        assert not {p.name for p in folder.iterdir()} - {"a", "b", "target"}
        shutil.rmtree(folder)


@pytest.mark.parametrize("kill", range(60 if FULL else 6))
def test_a_cut_off_write_whose_journal_was_lost_is_noticed(kill: int, tmp_path: Path) -> None:
    COMMANDS["replace"].prepare(tmp_path)
    target = tmp_path / "target"
    _kill("replace", tmp_path, str(target), random.Random(kill).random())
    (tmp_path / "target-journal").unlink(missing_ok=True)
    written = {row.tobytes() for seed in (4, 9) for row in make_descriptors(COUNT, DIM, seed)}
    try:
        with PlaceMemory.open(target) as memory:
            memory.check()
            assert len(memory) == COUNT
            assert {row.tobytes() for row in memory.descriptors} <= written
    except MemoryDamagedError:
        pass


def _kill(name: str, folder: Path, target: str, share: float) -> None:
    """Run a command in a process of its own, and kill it about ``share`` of the way through."""
    process = _FORK.Process(target=_run, args=(name, folder, target, _SECONDS[name] * share))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode


def _run(name: str, folder: Path, target: str, seconds: float) -> None:
    """The command, killed ``seconds`` after it began."""
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    COMMANDS[name].run(folder, target)
    os._exit(0)


def _open_or_hear_why(target: str) -> None:
    """It opens whole, or it is not there, or it says that it is unfinished."""
    try:
        with PlaceMemory.open(target) as memory:
            memory.check()
            assert len(memory) == memory.manifest.count == len(memory.descriptors)
    except (MemoryNotFoundError, MemoryUnfinishedError):
        pass
