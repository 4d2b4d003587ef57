"""What must hold before a version is tagged: ``make release``, or ``python tools/release.py``.

The tree is clean, the changelog has the version with its date, the tag is free or here, the
documentation builds without a warning, wheel and sdist are the same bytes when built twice and hold
what they should and nothing else, and the wheel works in a fresh environment of every Python that
is here. Publishing itself is the workflow's, by the tag.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
_ALLOWED = re.compile(
    r"placememory/([\w/]+\.py|py\.typed|encoders/data/.+|memory/data/.+|samples/data/.+|serve/page/.+"
    r"|figures/templates/.+)$|placememory-[\d.]+\w*\.dist-info/.+"
)
_NEEDED = (
    "placememory/py.typed",
    "placememory/samples/data/building.zip",
    "placememory/samples/data/LICENSE-freedoom.txt",
    "placememory/serve/page/index.html",
)


def main() -> None:
    """Check all; end with the first thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--untagged", action="store_true", help="Only build, look and try.")
    given = parser.parse_args()
    version = runpy.run_path(str(ROOT / "src/placememory/_version.py"))["__version__"]
    if not given.untagged:
        check_history(version)
        run(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet")
    with tempfile.TemporaryDirectory() as folder:
        wheel, sdist = build_twice(Path(folder))
        check_contents(wheel, sdist)
        for python in PYTHONS:
            try_wheel(wheel, python, Path(folder) / python)
    say(f"{version} is ready" + ("" if given.untagged else f": git tag v{version}"))


def check_history(version: str) -> None:
    """Changelog, tag and tree."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(rf"^## {re.escape(version)} - (\d{{4}}-\d\d-\d\d)$", changelog, re.M)
    require(heading is not None, f"CHANGELOG.md has no line '## {version} - YEAR-MONTH-DAY'")
    assert heading is not None
    datetime.date.fromisoformat(heading[1])
    between = changelog[changelog.index("## Unreleased") : heading.start()].splitlines()[1:]
    require(not "".join(between).strip(), "CHANGELOG.md has unreleased changes above the version")
    require(not out("git", "status", "--porcelain"), "the tree has changes that are not committed")
    tagged = out("git", "tag", "--points-at", "HEAD").split()
    known = out("git", "tag", "--list", f"v{version}")
    require(not known or f"v{version}" in tagged, f"the tag v{version} is of another commit")


def build_twice(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist, equal in two builds."""
    stamp = out("git", "log", "-1", "--format=%ct").strip()
    hashes = []
    for name in ("one", "two"):
        command = [sys.executable, "-m", "build", "--outdir", str(folder / name), str(ROOT)]
        run(*command, env={**os.environ, "SOURCE_DATE_EPOCH": stamp}, quiet=True)
        files = sorted((folder / name).iterdir())
        hashes.append([(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files])
    require(hashes[0] == hashes[1], f"two builds differ: {hashes}")
    [wheel], [sdist] = (folder / "one").glob("*.whl"), (folder / "one").glob("*.tar.gz")
    for path in (wheel, sdist):
        say(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, the same in two builds")
    return wheel, sdist


def check_contents(wheel: Path, sdist: Path) -> None:
    """The package and nothing else; the sdist has what its tests and docs need."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    strangers = [name for name in names if not _ALLOWED.match(name)]
    require(not strangers, f"the wheel holds {strangers[:5]}")
    missing = [name for name in _NEEDED if name not in names]
    require(not missing, f"the wheel lacks {missing}")
    require(any(name.endswith("licenses/LICENSE") for name in names), "the wheel has no licence")
    with tarfile.open(sdist) as archive_of_source:
        inside = {name.partition("/")[2] for name in archive_of_source.getnames()}
    wanted = ("README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "mkdocs.yml", "Makefile",
              "tests/conftest.py", "docs/guide.md", "examples/tutorial.ipynb")  # fmt: skip
    missing = [name for name in wanted if name not in inside]
    require(not missing, f"the sdist lacks {missing}")
    hidden = [name for name in inside if "/." in f"/{name}" and not name.startswith(".")]
    require(not hidden, f"the sdist holds {hidden[:5]}")


def try_wheel(wheel: Path, python: str, folder: Path) -> None:
    """Install a wheel without extras, and use it."""
    found = find_python(python)
    if found is None:
        say(f"Python {python} is not here: not tried")
        return
    run(found, "-m", "venv", str(folder))
    tools = folder / ("Scripts" if os.name == "nt" else "bin")
    run(str(tools / "python"), "-m", "pip", "install", "--quiet", str(wheel), quiet=True)
    command = str(tools / "placememory")
    here = folder / "demo"
    run(command, "demo", "--out", str(here), quiet=True)
    photo = str(next((here / "building/query").glob("*.webp")))
    told = subprocess.run(
        [command, "query", str(here / "office.memory"), photo], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    require("vertex_" in told.stdout, f"query answered {told.stdout!r}")
    require((here / "index.html").is_file(), "the demo wrote no page")
    say(f"Python {python}: installed, demo and query work")


def find_python(version: str) -> str | None:
    """An interpreter of a version that runs."""
    others = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for name in (f"python{version}", *map(str, others)):
        path = shutil.which(name)
        if path is None:
            continue
        done = subprocess.run([path, "-V"], capture_output=True, text=True, check=False)
        if done.returncode == 0 and f" {version}." in done.stdout:
            return path
    return None


def run(*command: str, env: dict[str, str] | None = None, quiet: bool = False) -> None:
    """Run a command; its output is shown where it fails."""
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=quiet, text=True, check=False)
    if done.returncode != 0 and quiet:
        say(done.stdout + done.stderr)
    require(done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}")


def out(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def require(holds: bool, message: str) -> None:
    """End where something does not hold."""
    if not holds:
        raise SystemExit(f"not ready: {message}")


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
