"""Data sets: traverses with images and true positions, one file per layout.

A layout is a module in this folder (or one named by an entry point in the group
``placememory.datasets``) with ``matches(root)``, which says whether a folder looks like it, and
``create(root, **options)``, which gives a :class:`Dataset`. Its docstring draws the folder;
``DATA_SETS``, ``LICENCE`` and ``ADDRESS`` say for which data sets it is.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from placememory._registry import Registry
from placememory.datasets._files import read_table
from placememory.datasets._traverse import Dataset, PositionUnit, Traverse
from placememory.errors import DatasetError

_LAYOUTS = Registry(__name__, "layout")

__all__ = [
    "Dataset",
    "LayoutInfo",
    "PositionUnit",
    "Traverse",
    "describe_layout",
    "find_layout",
    "layouts",
    "open_dataset",
    "read_table",
]


def layouts() -> list[str]:
    """Names of all layouts, ours and those of installed packages.

    Example:
        >>> layouts()
        ['folder-pair', 'gsv-cities', 'manifest', 'msls', 'nordland', 'robotcar', 'ros-images',
        'utm-folders']
    """
    return _LAYOUTS.names()


@dataclass(frozen=True, slots=True)
class LayoutInfo:
    """What a layout is for.

    Attributes:
        name: As :func:`open_dataset` takes it.
        text: What the folder looks like.
        data_sets: Names of published ones; empty for data of one's own.
        licence: Of the data sets.
        address: Where they are described.
    """

    name: str
    text: str
    data_sets: tuple[str, ...] = ()
    licence: str = ""
    address: str = ""


def describe_layout(name: str) -> LayoutInfo:
    """What a layout is for, and what its folder looks like.

    Raises:
        SettingError: No layout has this name.

    Example:
        >>> describe_layout("msls").licence
        'CC BY-NC-SA 4.0'
    """
    layout = _LAYOUTS.load(name)
    return LayoutInfo(
        name,
        inspect.getdoc(layout) or "",
        tuple(getattr(layout, "DATA_SETS", ())),
        getattr(layout, "LICENCE", ""),
        getattr(layout, "ADDRESS", ""),
    )


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
    dataset: Dataset = _LAYOUTS.create(name, Path(root), **options)
    return dataset


def find_layout(root: Path | str) -> str:
    """Find the layout of a folder from the names in it.

    Raises:
        DatasetError: There is no such folder, or none or several of the layouts fit.
    """
    path = Path(root)
    if not path.exists():
        raise DatasetError(f"{path}: there is no such folder")
    found = [name for name, layout in _LAYOUTS.load_all() if layout.matches(path)]
    if len(found) == 1:
        return found[0]
    what = f"the layouts {' and '.join(found)} both fit" if found else "no known layout fits"
    raise DatasetError(
        f"{path}: {what}; give the layout, one of {', '.join(found or layouts())} "
        "(docs/concepts/datasets.md draws them)"
    )
