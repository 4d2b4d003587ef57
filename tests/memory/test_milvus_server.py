"""The store suite against a real Milvus server, started in namespaces of its own, and killed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER_PYTHON = Path(os.environ.get("PLACEMEMORY_MILVUS_PYTHON", ROOT / ".venv-milvus/bin/python"))
PORT = 19530
_SCRIPT = """
set -e
ip link set lo up
"$SERVER_PYTHON" tests/memory/start_milvus.py "$DATA" "$PORT" >"$DATA/log" 2>&1 &
server=$!
until [ -e "$DATA/ready" ]; do
  kill -0 $server 2>/dev/null || { tail -50 "$DATA/log"; exit 97; }
  sleep 0.2
done
export PLACEMEMORY_TEST_MILVUS="http://127.0.0.1:$PORT"
"$PYTHON" -m pytest -q -p no:cacheprovider -n 6 tests/memory/test_stores.py
export PLACEMEMORY_TEST_MILVUS_DATA="$DATA" PLACEMEMORY_TEST_MILVUS_NEXT_PORT=$((PORT + 100))
"$PYTHON" -m pytest -q -p no:cacheprovider tests/memory/test_milvus_killed.py
"""


def _why_not() -> str | None:
    """Why no server can run here, or ``None``."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "the package 'milvus' carries a server for Linux on x86-64 only"
    if not SERVER_PYTHON.is_file():
        return f"no environment with the server at {SERVER_PYTHON}; make it with: make milvus"
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare and ip (packages util-linux and iproute2) are needed"
    if subprocess.run([*_namespace(), "true"], capture_output=True, check=False).returncode:
        return "this machine does not allow namespaces of network and processes"
    return None


def _namespace() -> list[str]:
    """Network and processes of its own: when it ends, whatever the server started ends too."""
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *rights, "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def test_the_store_suite_on_a_real_server(tmp_path: Path) -> None:
    if reason := _why_not():
        pytest.skip(reason)
    environment = {
        **os.environ,
        "SERVER_PYTHON": str(SERVER_PYTHON),
        "PYTHON": sys.executable,
        "DATA": str(tmp_path),
        "PORT": str(PORT),
    }
    done = subprocess.run(
        [*_namespace(), "bash", "-c", _SCRIPT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    stores, killed = (int(count) for count in re.findall(r"(\d+) passed", done.stdout))
    assert stores >= 35
    assert killed == 1
