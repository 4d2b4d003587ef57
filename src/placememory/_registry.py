"""One registry for everything that has several methods: ours, and those that others add."""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from placememory.errors import MissingExtraError, PlaceMemoryError, SettingError

_log = logging.getLogger(__name__)


class Registry:
    """Methods of one kind by name; nothing is imported before it is asked for.

    Built-in methods are the public modules of a package: ``csv_table.py`` is the method
    ``csv-table``; or they are given as a table. An installed package adds methods by entry points
    in the group that has the package's name; it cannot replace a built-in one.

    Args:
        package: Dotted name of the package, which is also the entry-point group.
        kind: What a method is, for messages: ``matcher``.
        builtin: Methods by name, in place of the package's modules.
        adapt: Called with a name and what was registered, or added by a package, under it; gives
            the method.
        error: Raised for unknown names and settings.

    Example:
        >>> formats = Registry("placememory.frames.poses", "pose format")
        >>> formats.load("tum").__name__
        'placememory.frames.poses.tum'
        >>> formats.load("tom")
        Traceback (most recent call last):
        ...
        placememory.errors.SettingError: no pose format is called 'tom'; known: colmap, coordinates,
        csv-table, euroc, g2o, hloc, kitti, maplab, nclt, odm, tartanair, tum; did you mean 'tum'?
    """

    def __init__(
        self,
        package: str,
        kind: str,
        *,
        builtin: Mapping[str, Any] | None = None,
        adapt: Callable[[str, Any], Any] | None = None,
        error: type[PlaceMemoryError] = SettingError,
    ) -> None:
        self.package = package
        self.kind = kind
        self._given = builtin
        self._adapt = adapt or (lambda _name, method: method)
        self._error = error
        self._registered: dict[str, Any] = {}

    @cached_property
    def builtin(self) -> dict[str, Any]:
        """Built-in methods by name: the given object, or the import path of a module."""
        if self._given is not None:
            return dict(self._given)
        folder = importlib.import_module(self.package)
        return {
            module.name.replace("_", "-"): f"{self.package}.{module.name}"
            for module in pkgutil.iter_modules(folder.__path__)
            if not module.name.startswith("_")
        }

    @cached_property
    def plugins(self) -> dict[str, EntryPoint]:
        """Methods of installed packages, by name."""
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.package):
            if point.name in self.builtin:
                _log.warning(
                    "the %s %r (%s) is ignored: a built-in one has this name",
                    self.kind, point.name, point.value,
                )  # fmt: skip
            else:
                found.setdefault(point.name, point)
        return found

    def refresh(self) -> None:
        """Look for installed packages again."""
        self.__dict__.pop("plugins", None)

    def register(self, name: str, method: Any) -> None:
        """Add a method in this process, or replace one that was registered before.

        Raises:
            PlaceMemoryError: The name is empty, or that of a built-in method.
        """
        if not name or name in self.builtin:
            raise self._error(
                f"{name!r} is the name of a built-in {self.kind}; choose another one"
                if name
                else f"a {self.kind} needs a name"
            )
        self._registered[name] = self._adapt(name, method)

    def names(self) -> list[str]:
        """Names of all methods, sorted; nothing is imported."""
        return sorted({*self.builtin, *self.plugins, *self._registered})

    def check_name(self, name: str) -> None:
        """Refuse a name that no method has.

        Raises:
            PlaceMemoryError: No method has this name; the message lists them.
        """
        if name not in self._registered and name not in self.builtin and name not in self.plugins:
            raise self._error(unknown_name(f"no {self.kind} is called", name, self.names()))

    def load(self, name: str) -> Any:
        """A method: the registered object, or the module or object that is imported.

        Raises:
            PlaceMemoryError: No method has this name, or the package that adds it cannot be
                imported.
        """
        self.check_name(name)
        if name in self._registered:
            return self._registered[name]
        if name in self.builtin:
            found = self.builtin[name]
            return found if self._given is not None else importlib.import_module(found)
        point = self.plugins[name]
        try:
            return self._adapt(name, point.load())
        except MissingExtraError:
            raise
        except Exception as error:
            raise self._error(
                f"the {self.kind} {name!r} cannot be loaded from {point.value} ({error}); repair "
                "or remove the package that adds it"
            ) from error

    def load_all(self) -> Iterator[tuple[str, Any]]:
        """All methods by name; those that cannot be loaded are left out with a warning."""
        for name in self.names():
            try:
                method = self.load(name)
            except self._error as error:
                _log.warning("%s", error)
            else:
                yield name, method

    def settings_of(self, name: str, *, skip: int = 0) -> list[str]:
        """Names of the settings of a method's ``create``, without its first ``skip`` arguments.

        Raises:
            PlaceMemoryError: No method has this name.
        """
        return list(inspect.signature(self.load(name).create).parameters)[skip:]

    def create(self, name: str, *arguments: Any, **settings: Any) -> Any:
        """Call a method's ``create``.

        Args:
            name: Of the method.
            arguments: Its first arguments.
            settings: Its settings, by name.

        Raises:
            PlaceMemoryError: No method has this name, or it has no such setting.
        """
        self.check_settings(name, settings, self.settings_of(name, skip=len(arguments)))
        return self.load(name).create(*arguments, **settings)

    def check_settings(self, name: str, given: Iterable[str], known: Iterable[str]) -> None:
        """Refuse settings that a method does not have.

        Raises:
            PlaceMemoryError: One is not known; the message lists them.
        """
        known = list(known)
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise self._error(unknown_name(f"{name} has no setting", unknown[0], known, "it has"))


def unknown_name(what: str, name: str, known: Iterable[str], listed: str = "known") -> str:
    """The message for a name that is not known, with the nearest one that is.

    Example:
        >>> unknown_name("no split is called", "dusc", ["dawn", "dusk"])
        "no split is called 'dusc'; known: dawn, dusk; did you mean 'dusk'?"
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{what} {name!r}; {listed}: {', '.join(known) or 'none'}{hint}"


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
