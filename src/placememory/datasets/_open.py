"""Open data sets by the name of their layout."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Any

from placememory._registry import discover, load
from placememory.datasets._traverse import Dataset
from placememory.errors import DatasetError, SettingError

_PACKAGE = __package__ or "placememory.datasets"


def layouts() -> list[str]:
    """Names of all layouts, ours and those of installed third parties.

    Example:
        >>> layouts()
        ['folder-pair', 'manifest', 'msls', 'nordland', 'robotcar', 'ros-images', 'utm-folders']
    """
    return list(discover(_PACKAGE))


def open_dataset(layout: str | None, root: Path | str, **options: Any) -> Dataset:
    """Open a data set.

    Args:
        layout: One of :func:`layouts`; ``None`` looks at the folders (:func:`find_layout`).
        root: The folder of the data set.
        options: Options of the layout.

    Raises:
        SettingError: No layout has this name, or it has no such option.
        DatasetError: There is no such folder, or it has no known layout.
    """
    name = find_layout(root) if layout is None else layout
    if name not in discover(_PACKAGE):
        close = difflib.get_close_matches(name, layouts(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SettingError(f"no layout is called {name!r}; known: {', '.join(layouts())}{hint}")
    create = load(_PACKAGE, name).create
    known = [option for option in inspect.signature(create).parameters if option != "root"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        listed = ", ".join(known) or "none"
        raise SettingError(f"{name} has no option {unknown[0]!r}; it has: {listed}")
    dataset: Dataset = create(Path(root), **options)
    return dataset


def find_layout(root: Path | str) -> str:
    """Tell the layout of a folder from the names in it.

    Raises:
        DatasetError: There is no such folder, or none or several of the layouts fit.
    """
    path = Path(root)
    if not path.exists():
        raise DatasetError(f"{path}: there is no such folder")
    found = [name for name in layouts() if load(_PACKAGE, name).matches(path)]
    if len(found) == 1:
        return found[0]
    what = f"the layouts {' and '.join(found)} both fit" if found else "no known layout fits"
    raise DatasetError(
        f"{path}: {what}; say which one it is, out of {', '.join(found or layouts())} "
        "(docs/concepts/datasets.md draws them)"
    )
