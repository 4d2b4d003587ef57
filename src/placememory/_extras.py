"""Imports of optional dependencies, with an error that says what to install."""

from __future__ import annotations

import importlib
from typing import Any

from placememory.errors import MissingExtraError


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
