"""The README and the docs are true: links lead somewhere, commands exist, Python runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from placememory.cli.app import app
from placememory.frames import list_frames, read_image, read_poses
from placememory.samples import render_building
from tests.conftest import run_command

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_commands_and_options_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"^ {4}(placememory .*)$", text, re.MULTILINE):
        words = re.sub(r"\s#.*", "", line).split()
        assert words[1] in commands, line
        command = commands[words[1]]
        inner = getattr(command, "commands", {})  # of some, "show" may be left out
        command = inner.get((*words, "", "")[2], inner.get("show", command))
        known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
        for word in words[2:]:
            if word.startswith("-"):
                assert word.split("=")[0] in known, line
    for target in re.findall(r"(?:`|^ {4})make ([a-z]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_every_command_is_in_the_readme_and_has_an_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        assert f"`{name}`" in readme, name
        if name != "encoders":
            assert f"placememory {name}" in (command.help or ""), f"{name} has no example"


def test_the_python_of_the_guide_runs(office, building, tmp_path: Path, monkeypatch) -> None:
    """The block of the guide, on the sample building."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run1").symlink_to(building.mapping)
    (tmp_path / "run2").symlink_to(building.query)
    (tmp_path / "photo.jpg").symlink_to(next(building.query.glob("*.png")))
    for page in (ROOT / "README.md", ROOT / "docs/guide.md"):
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        printed: list[tuple[object, ...]] = []
        names: dict[str, object] = {"print": lambda *values, to=printed: to.append(values)}
        for code in sorted(blocks, key=lambda block: "Localizer" in block):  # it uses the others
            exec(compile(code, str(page), "exec"), names)
        assert len(names["candidates"]) == 5
        if len(blocks) > 1:
            located = [pose for pose, _, _ in (line for line in printed if len(line) == 3)]
            assert len(located) > 10
            assert names["estimate"].verdict == "unknown"  # the run ends off the map
            assert names["estimate"].in_memory is None


ELSEWHERE = (" 0 ", "http://", "tcp://", "mixvpr")
"""In commands of the guide that need a camera, a server, or weights."""


def test_the_guide_works_from_top_to_bottom(building, tmp_path: Path, monkeypatch) -> None:
    """Each command of README and guide, as a reader types it, where run1/ and run2/ are runs."""
    monkeypatch.chdir(tmp_path)
    _lay_out(building)
    without = ELSEWHERE if find_spec("milvus_lite") else (*ELSEWHERE, "milvus-lite")
    for page in ("README.md", "docs/guide.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for line in re.findall(r"^ {4}(placememory .*)$", text, re.MULTILINE):
            command = re.sub(r"\s+#.*", "", line)
            if not any(word in f"{command} " for word in without):
                command = command.replace("--dim 512", "--dim 16")  # there are not so many places
                run_command(*shlex.split(command)[1:])
        if page == "README.md":
            Path("office.memory").unlink()
    assert Path("global-feats.h5").exists()


@pytest.mark.parametrize("page", sorted((ROOT / "docs/how-to").glob("*.md")), ids=_ids)
def test_a_how_to_works_from_top_to_bottom(
    page: Path, office, building, tmp_path: Path, monkeypatch
) -> None:
    """Its commands and its Python, as a reader types them."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(office, "office.memory")
    if page.stem in ("bag", "from-rtabmap", "from-milvus"):
        Path("office.memory").unlink()  # it is made there
    _lay_out(building, towns=False)
    text = page.read_text(encoding="utf-8")
    without = ELSEWHERE if find_spec("milvus_lite") else (*ELSEWHERE, "milvus-lite", "--index")
    needed = {"bag": "rosbags", "phone-video": "av"}.get(page.stem)
    if needed is not None:
        pytest.importorskip(needed, reason=f"{needed} is not installed")
        {"bag": _make_bags, "phone-video": _make_videos}[page.stem](building)
    for line in re.findall(r"^ {4}(placememory .*)$", text, re.MULTILINE):
        command = re.sub(r"\s+#.*", "", line)
        if not any(word in f"{command} " for word in (*without, "--colmap")):
            run_command(*shlex.split(command)[1:])
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, str(page), "exec"), {"print": lambda *_: None})


def _make_bags(building) -> None:
    """A robot's camera and transforms, as an MCAP file."""
    from tests.frames.bags.write import Messages, write_bag

    for name, folder in (("run1", building.mapping), ("run2", building.query)):
        made, rows = Messages("mcap"), []
        for frame in read_poses(folder / "vertices.csv").join(list_frames(folder))[0]:
            pose, stamp = frame.pose, frame.stamp
            rows.append(("/tf", stamp, made.tf(
                made.transform(stamp, "map", "base_link", pose.x, pose.y, pose.yaw)
            )))  # fmt: skip
            rows.append(("/cam", stamp, made.rgb(stamp, frame.image())))
        [file] = write_bag(Path(f"bags/{name}"), "mcap", rows).glob("*.mcap")
        shutil.copy(file, f"{name}.mcap")


def _make_videos(building) -> None:
    """Two walks with a phone, and the trajectory of the first."""
    import av

    for name, folder in (("walk", building.mapping), ("walk2", building.query)):
        lines = []
        with av.open(f"{name}.mp4", "w") as container:
            stream = container.add_stream("mpeg4", rate=2)
            frames = read_poses(folder / "vertices.csv").join(list_frames(folder))[0]
            stream.height, stream.width, _ = frames[0].image().shape
            for i, frame in enumerate(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image(), "rgb24")))
                quaternion = " ".join(map(str, frame.pose.quaternion))
                lines.append(f"{i / 2} {frame.pose.x} {frame.pose.y} 0 {quaternion}\n")
            container.mux(stream.encode())
        Path(f"{name}.tum").write_text("".join(lines))


def test_the_site_is_whole(tmp_path: Path) -> None:
    """A broken link, a name that is not there or a page that is nowhere fails."""
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "localize" in (tmp_path / "reference/commands/index.html").read_text()
    listed = (tmp_path / "reference/api/placememory.localization/index.html").read_text()
    assert "Localizer" in listed


def _lay_out(building, towns: bool = True) -> None:
    """The files that the guide speaks of."""
    other = render_building("other", frames=24, seed=1)
    for name, folder in (
        ("run1", building.mapping),
        ("db", building.mapping),
        ("run2", building.query),
        ("queries", building.query),
        ("evening", other.query),
        ("night", other.query),
    ):
        shutil.copytree(folder, name)
    for image in Path("night").glob("*.png"):  # other images than those of the evening
        Image.fromarray((0.8 * read_image(image)).astype(np.uint8)).save(image)
    shutil.copy(next(building.query.glob("*.png")), "photo.jpg")
    shutil.copy(building.map_yaml, "map.yaml")
    shutil.copy(building.map_yaml.with_suffix(".pgm"), "map.pgm")
    _, *rows = Path("night/vertices.csv").read_text().splitlines()
    cells = [row.split(", ") for row in rows]
    lines = [f"{int(row[1]) * 1e-9:.9f} {' '.join(row[2:9])}\n" for row in cells]
    Path("odometry.tum").write_text("".join(lines))
    names = sorted(path.name for path in Path("db").glob("*.png"))
    lines = [f"{i} 1 0 0 0 {i} 0 0 1 {name}\n\n" for i, name in enumerate(names, start=1)]
    Path("rtabmap_rgb").mkdir()
    poses = ["#timestamp x y z qx qy qz qw id\n"]
    for i, frame in enumerate(read_poses("night/vertices.csv").join(list_frames("night"))[0]):
        seconds = f"{frame.stamp * 1e-9:.6f}"
        shutil.copy(Path("night") / frame.name, f"rtabmap_rgb/{seconds}.png")
        numbers = " ".join(map(str, (*frame.pose.position, *frame.pose.quaternion)))
        poses.append(f"{seconds} {numbers} {i}\n")
    Path("rtabmap_camera_poses.txt").write_text("".join(poses))
    Path("sparse").mkdir()
    Path("sparse/images.txt").write_text("".join(lines))
    for name in ("north", "south") if towns else ():
        run_command("build", f"{name}.memory", "run1", "--session", name)
