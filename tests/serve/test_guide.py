"""The commands of docs/serve.md do what it says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from placememory.serve.faults import CODES
from tests.serve.test_process import Process

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/serve.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_commands_for_curl_work(office, building, tmp_path) -> None:
    shutil.copy(sorted(building.query.glob("*.png"))[5], tmp_path / "photo.png")
    stream = "none"
    commands = re.findall(r"^ {4}(curl .*)$", PAGE, re.MULTILINE)
    assert len(commands) >= 6
    with Process(office) as served:
        for line in commands:
            command = line.replace("http://127.0.0.1:8000", served.address)
            command = command.replace("/ID", f"/{stream}").replace("curl", "curl -sS --fail", 1)
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done.stderr, done.stdout)
            answer = json.loads(done.stdout) if done.stdout else None
            if line.endswith("/api/streams'") and "POST" in line:
                stream = answer["id"]
            elif answer is not None and "localize" in line:
                assert answer["candidates"]
        assert stream != "none"


def test_every_code_of_an_error_is_in_the_docs() -> None:
    source = "".join(p.read_text() for p in (ROOT / "src/placememory/serve").glob("*.py"))
    codes = set(re.findall(r'(?:Refusal|cls)\(\s*\d+,\s*"(\w+)"', source))
    codes |= {code for _, _, code in CODES}
    assert len(codes) > 20
    assert not {code for code in codes if f"`{code}`" not in PAGE}
