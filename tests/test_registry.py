"""One registry: a folder's modules or a table, entry points, and what is registered."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

import placememory._registry as registry
from placememory._registry import Registry, unknown_name
from placememory.errors import EncoderError, SettingError
from placememory.frames.poses import formats, tum

PACKAGE = "placememory.frames.poses"


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Packages that add two formats, one of them broken, and try to replace a third."""
    points = [
        EntryPoint("aaa", "json", PACKAGE),
        EntryPoint("broken", "no_such_package.formats", PACKAGE),
        EntryPoint("tum", "csv", PACKAGE),
    ]
    monkeypatch.setattr(
        registry, "entry_points", lambda *, group: points if group == PACKAGE else []
    )
    return Registry(PACKAGE, "pose format")


def test_each_public_module_is_one_method() -> None:
    found = Registry(PACKAGE, "pose format")
    assert found.names() == sorted(found.builtin) == formats()
    assert found.builtin["csv-table"] == f"{PACKAGE}.csv_table"
    assert not any(name.startswith(("_", "-")) for name in found.names())
    assert found.load("tum") is tum
    assert isinstance(found.load("csv-table"), ModuleType)


def test_entry_points_add_methods_and_replace_none(third_party, caplog) -> None:
    assert third_party.names()[0] == "aaa"
    assert third_party.load("aaa") is sys.modules["json"]
    assert third_party.load("tum") is tum
    assert "the pose format 'tum' (csv) is ignored" in caplog.text


def test_a_broken_package_breaks_only_itself(third_party, caplog) -> None:
    with pytest.raises(SettingError, match=r"'broken' cannot be loaded from no_such_package\.form"):
        third_party.load("broken")
    assert [name for name, _ in third_party.load_all()] == ["aaa", *formats()]
    assert "repair or remove the package" in caplog.text


def test_unknown_names_and_settings() -> None:
    found = Registry("placememory.matching", "matcher", error=EncoderError)
    with pytest.raises(EncoderError, match=r"no matcher is called 'seqslm'; .* mean 'seqslam'"):
        found.load("seqslm")
    with pytest.raises(EncoderError, match="nearest has no setting 'blok'"):
        found.create("nearest", blok=3)
    assert unknown_name("no", "x", []) == "no 'x'; known: none"


def test_what_is_registered_joins_and_replaces_nothing_built_in() -> None:
    found = Registry(PACKAGE, "pose format", builtin={"tum": tum})
    found.register("mine", found)
    found.register("mine", 3)
    assert (found.names(), found.load("mine")) == (["mine", "tum"], 3)
    assert found.load("tum") is tum
    with pytest.raises(SettingError, match="'tum' is the name of a built-in pose format"):
        found.register("tum", 3)
    with pytest.raises(SettingError, match="needs a name"):
        found.register("", 3)


def test_listing_imports_no_method() -> None:
    code = (
        "import sys; from placememory import encoders; encoders.infos(); encoders.names();"
        "print('torch' in sys.modules, 'timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
