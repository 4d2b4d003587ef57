"""A folder is a registry: each public module in it is one method; others join by entry points."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from placememory.errors import MissingExtraError


@cache
def discover(package: str) -> dict[str, str]:
    """Names and import paths of the methods of a package.

    A module ``lite_vlad.py`` in the package is the method ``lite-vlad``; modules whose name starts
    with ``_`` are not methods. A third party adds a method with an entry point in the group that
    has the package's name. Nothing is imported.

    Args:
        package: Dotted name of the package, which is also the entry-point group.

    Returns:
        Method name to module path, sorted by name.

    Example:
        >>> "tum" in discover("placememory.frames.poses")
        True
    """
    folder = importlib.import_module(package)
    found = {
        module.name.replace("_", "-"): f"{package}.{module.name}"
        for module in pkgutil.iter_modules(folder.__path__)
        if not module.name.startswith("_")
    }
    found.update({point.name: point.value for point in entry_points(group=package)})
    return dict(sorted(found.items()))


def load(package: str, name: str) -> Any:
    """Import the module that implements a method (see :func:`discover`).

    Raises:
        KeyError: No method has this name.
    """
    return importlib.import_module(discover(package)[name])


def require(module: str, *, extra: str, purpose: str) -> Any:
    """Import an optional module.

    Args:
        module: Dotted name of the module.
        extra: The extra of this package that installs it.
        purpose: What needs it, as the start of a sentence ("Video files").

    Returns:
        The imported module.

    Raises:
        MissingExtraError: The module is not installed; the message names the pip command.

    Example:
        >>> require("json", extra="torch", purpose="Encoders").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} need the package {module.split('.')[0]!r}, which is not installed. "
            f"Install it with: pip install 'placememory[{extra}]'"
        ) from error
