"""A folder is a registry; entry points add to it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

import placememory._registry as registry
from placememory._registry import discover, load
from placememory.frames.poses import formats, tum

PACKAGE = "placememory.frames.poses"


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch):
    """A package that adds one format and replaces another."""
    points = [
        EntryPoint("aaa", "json", PACKAGE),
        EntryPoint("tum", "csv", PACKAGE),
    ]
    monkeypatch.setattr(
        registry, "entry_points", lambda *, group: points if group == PACKAGE else []
    )
    discover.cache_clear()
    yield
    discover.cache_clear()


def test_each_public_module_is_one_method() -> None:
    found = discover(PACKAGE)
    assert list(found) == sorted(found) == formats()
    assert found["csv-table"] == f"{PACKAGE}.csv_table"
    assert not any(name.startswith(("_", "-")) for name in found)
    assert load(PACKAGE, "tum") is tum
    assert isinstance(load(PACKAGE, "csv-table"), ModuleType)


def test_entry_points_join(third_party) -> None:
    found = discover(PACKAGE)
    assert next(iter(found)) == "aaa"
    assert load(PACKAGE, "aaa") is sys.modules["json"]
    assert found["tum"] == "csv"
    assert found["kitti"] == f"{PACKAGE}.kitti"


def test_an_unknown_method() -> None:
    with pytest.raises(KeyError, match="bag"):
        load(PACKAGE, "bag")
    with pytest.raises(ModuleNotFoundError):
        discover("placememory.none")


def test_listing_imports_no_method() -> None:
    code = (
        "import sys; from placememory._registry import discover; "
        "discover('placememory.encoders'); print('torch' in sys.modules, 'timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
