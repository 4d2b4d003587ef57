"""Disks that fill up under every writing command or cannot be written, as small file systems.

What was written stays readable and whole, the error says that the disk is full, and the command
finishes once there is room.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
_NAMESPACE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
_MOUNT = 'mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@"'
_COMMAND = """
import os, subprocess, sys
from pathlib import Path
from placememory.errors import MemoryNotFoundError, MemoryStoreError, MemoryUnfinishedError
from placememory.memory import PlaceMemory
from tests.crash.commands import COMMANDS

command, folder = COMMANDS[sys.argv[1]], Path(sys.argv[2])
target = str(folder / "target")
command.prepare(folder)

def resize(size):
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)

space = os.statvfs(folder)
resize((space.f_blocks - space.f_bfree) * space.f_frsize + int(sys.argv[3]))
try:
    command.run(folder, target)
    raise AssertionError("there was room enough")
except MemoryStoreError as error:
    assert "full" in str(error) or "No space" in str(error), error
try:
    with PlaceMemory.open(target) as memory:
        memory.check()
except (MemoryNotFoundError, MemoryUnfinishedError):
    pass
resize("64m")
command.run(folder, target)
with PlaceMemory.open(target) as memory:
    command.check(folder, memory)
    memory.check()
assert {p.name for p in folder.iterdir()} <= {"a", "b", "target"}, list(folder.iterdir())
"""
_LINES = """
import json, sys
from pathlib import Path
from placememory.errors import PlaceMemoryError
from placememory.frames import Frame
from placememory.localization import Estimate, RunWriter

folder = Path(sys.argv[2])
(folder / "ballast").write_bytes(bytes(63 << 20))
try:
    with RunWriter(folder / "out", radius=2.0) as writer:
        for i in range(100_000):
            writer.write(Estimate(Frame(f"{i:06d}.png", "run", i), ()))
    raise AssertionError("there was room enough")
except PlaceMemoryError as error:
    assert "No space" in str(error), error
lines = (folder / "out" / "estimates.jsonl").read_text().splitlines(keepends=True)
assert len(lines) > 100 and all(json.loads(line) and line.endswith("\\n") for line in lines)
"""
_READ_ONLY = """
import subprocess, sys
from pathlib import Path
import pytest
from placememory.errors import MemoryStoreError
from placememory.memory import PlaceMemory
from tests.conftest import make_descriptors, make_frames
from tests.crash.commands import DIM, make_source

folder = Path(sys.argv[2])
path = folder / "office.memory"
make_source(path, count=50)

def mount(how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)

mount("ro")
for readonly in (True, False):
    with PlaceMemory.open(path, readonly=readonly) as reader:
        assert len(reader) == 50 and len(reader.descriptors) == 50
        with pytest.raises(MemoryStoreError, match="written"):
            reader.check_writable()
        mount("rw")
        with PlaceMemory.open(path) as writer:
            writer.add(make_frames(5, f"more {readonly}"), make_descriptors(5, DIM))
        mount("ro")
        assert not reader.is_current()
        before = len(reader)
        reader.refresh()
        assert len(reader) == before + 5 and reader.is_current()
    mount("rw")
    with PlaceMemory.open(path) as writer:
        writer.remove(f"more {readonly}")
    mount("ro")
assert [p.name for p in folder.iterdir()] == ["office.memory"]
"""


def _run(script: str, folder: Path, *arguments: str) -> None:
    """Run a script with a file system of 64 MB mounted on a folder, for it alone."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare (package util-linux) is needed")
    tried = subprocess.run(
        [*_NAMESPACE, "sh", "-c", _MOUNT, str(folder), "true"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip("this machine does not allow mounts in a namespace")
    python = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(
        [*_NAMESPACE, "sh", "-c", _MOUNT, str(folder), *python],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("room", [100_000, 500_000])
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("remove", "build")])
def test_a_command_finishes_when_there_is_room_again(name: str, room: int, tmp_path: Path) -> None:
    if name == "upgrade" and room > 100_000:
        pytest.skip("the memory is smaller than that")
    _run(_COMMAND, tmp_path, name, str(tmp_path), str(room))


def test_results_end_with_a_whole_line(tmp_path: Path) -> None:
    _run(_LINES, tmp_path, "lines", str(tmp_path))


def test_a_reader_on_a_read_only_medium_sees_changes(tmp_path: Path) -> None:
    _run(_READ_ONLY, tmp_path, "reading", str(tmp_path))
