"""Our errors form one tree, which the module's docstring draws."""

from __future__ import annotations

import inspect
import re

import pytest

from placememory import errors
from placememory._registry import require
from placememory.errors import MissingExtraError, PlaceMemoryError

CLASSES = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}


@pytest.mark.parametrize("name", CLASSES)
def test_each_error_is_ours_and_documented(name: str) -> None:
    assert issubclass(CLASSES[name], PlaceMemoryError)
    assert CLASSES[name].__doc__


def test_the_drawing_is_true() -> None:
    drawn, parents = {}, []
    for line in errors.__doc__.splitlines():
        if found := re.search(r"\b[A-Z]\w+Error\b", line[:45]):
            depth = (found.start() - 4) // 4
            parents[depth:] = [found.group()]
            drawn[found.group()] = parents[depth - 1] if depth else "Exception"
    assert drawn == {name: kind.__base__.__name__ for name, kind in CLASSES.items()}


def test_a_missing_extra_names_the_command() -> None:
    with pytest.raises(MissingExtraError, match=r"^Robots need .*'nothere'.*placememory\[torch\]'"):
        require("nothere.at_all", extra="torch", purpose="Robots")


def test_a_module_that_is_broken_itself_is_not_called_missing(tmp_path, monkeypatch) -> None:
    (tmp_path / "halfthere.py").write_text("import nothere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nothere"):
        require("halfthere", extra="torch", purpose="Robots")
