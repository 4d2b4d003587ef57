"""YAML and JSON that are broken or meant to harm: our error, within a second, in little memory."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from placememory._io import check_file, parse_yaml, read_json, read_text, read_yaml
from placememory.compat.casevpr import read_casevpr_training
from placememory.errors import InputError, PlaceMemoryError
from placememory.evaluation.config import read_evaluation
from placememory.frames import read_bag_info, read_image
from placememory.geometry import read_camera
from placememory.maps import read_map
from placememory.training.config import read_training


def bomb(levels: int = 12) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


def merged(levels: int = 24) -> str:
    lines = ["m0: &m0 {k: 1}"]
    lines += [f"m{i}: &m{i}\n  <<: [*m{i - 1}, *m{i - 1}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


MAP = "image: map.pgm\nresolution: {}\norigin: [0, 0, 0]\n"
YAML = {
    "laughs": bomb(),
    "merges": merged(),
    "itself": "image: &a [*a, *a]\nresolution: *a\norigin: *a\n",
    "deep lists": "image: " + "[" * 5000 + "]" * 5000 + "\n",
    "deep mappings": "".join(f"{' ' * i}a:\n" for i in range(900)),
    "long number": MAP.format("9" * 10_000),
    "long hexadecimal": MAP.format("0x" + "f" * 10_000),
    "long octal": MAP.format("0" + "7" * 10_000),
    "base 60": MAP.format("1" + ":59" * 5000),
    "huge exponent": MAP.format("1e999999999"),
    "huge exponent with a point": MAP.format("1.0e+999999999"),
    "a list for a number": MAP.format("[1, 2]"),
    "a tag": MAP.format("!!python/object/apply:os.system ['true']"),
    "binary": MAP.format("!!binary '@@@'"),
    "a date": MAP.format("2020-99-99"),
    "a set for a key": "? {a: b}\n: c\n",
    "tabs": "\timage: x\n",
    "two documents": MAP.format("0.1") + "---\n" + MAP.format("0.1"),
    "zeros": "\0" * 100,
}
JSON = {
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 50_000,
    "long number": '{"fx": ' + "9" * 10_000 + "}",
    "huge exponent": '{"fx": 1e999999999, "fy": 1, "cx": 1, "cy": 1}',
    "nan": '{"fx": NaN, "fy": 1, "cx": 1, "cy": 1}',
    "text": "hello",
    "half": '{"fx": 1,',
    "a list": "[1, 2]",
}
READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    ".yaml": (read_map, read_camera, read_evaluation, read_training),
    ".json": (read_camera, read_casevpr_training, read_evaluation, read_training),
}


def check(read: Callable[[Path], object], path: Path) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(PlaceMemoryError) as raised:
        read(path)
    assert path.name in str(raised.value)
    assert len(str(raised.value)) < 2000
    assert time.process_time() - started < 5.0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert used < 300_000 * (1000 if sys.platform == "darwin" else 1)


@pytest.mark.parametrize("kind", YAML)
@pytest.mark.parametrize("read", READERS[".yaml"], ids=lambda read: read.__name__)
def test_yaml(tmp_path: Path, kind: str, read: Callable[[Path], object]) -> None:
    (tmp_path / "map.pgm").write_bytes(b"P5\n2 2\n255\n1234")
    (tmp_path / "it.yaml").write_text(YAML[kind])
    check(read, tmp_path / "it.yaml")


@pytest.mark.parametrize("kind", JSON)
@pytest.mark.parametrize("read", READERS[".json"], ids=lambda read: read.__name__)
def test_json(tmp_path: Path, kind: str, read: Callable[[Path], object]) -> None:
    (tmp_path / "it.json").write_text(JSON[kind])
    check(read, tmp_path / "it.json")


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("target", ["/dev/zero", "/dev/random", "pipe", "folder"])
def test_what_is_no_file(tmp_path: Path, suffix: str, target: str) -> None:
    path = tmp_path / f"it{suffix}"
    if target == "pipe":
        os.mkfifo(path)
    elif target == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
    for read in READERS[suffix]:
        check(read, path)


@pytest.mark.parametrize("target", ["/dev/zero", "pipe"])
def test_a_map_whose_image_is_no_file(tmp_path: Path, target: str) -> None:
    if target == "pipe":
        os.mkfifo(tmp_path / "map.pgm")
    else:
        (tmp_path / "map.pgm").symlink_to(target)
    (tmp_path / "map.yaml").write_text(MAP.format(0.1))
    check(read_map, tmp_path / "map.yaml")
    with pytest.raises(InputError):
        read_image(tmp_path / "map.pgm")


@pytest.mark.parametrize("kind", ["laughs", "deep lists", "itself", "long number"])
def test_the_metadata_of_a_bag(tmp_path: Path, kind: str) -> None:
    (tmp_path / "run_0.mcap").write_bytes(b"")
    (tmp_path / "metadata.yaml").write_text(YAML[kind])
    check(read_bag_info, tmp_path / "metadata.yaml")


def test_files_that_are_too_large(tmp_path: Path) -> None:
    for name, read in (("a.yaml", read_yaml), ("a.json", read_json)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 40)  # holes, no blocks
        check(lambda path, read=read: read(path, InputError), tmp_path / name)


def test_what_may_be_read_is(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: [1, 2]}\nother:\n  <<: *base\n  a: 2\nlist: [*base, *base]\n"
    found = parse_yaml(text, "x", InputError)
    assert found["other"] == {"a": 2, "b": [1, 2]}
    assert found["list"] == [found["base"]] * 2
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps({"a": [[1.5]]}), encoding="utf-8")
    assert read_json(tmp_path / "a.json", InputError) == {"a": [[1.5]]}
    (tmp_path / "a.txt").write_bytes("ä".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.txt: cannot be read \('utf-8'"):
        read_text(tmp_path / "a.txt", InputError)
    (tmp_path / "link").symlink_to(tmp_path / "a.json")
    check_file(tmp_path / "link", InputError)
