"""Installed megabytes of placememory and of each extra: ``python tools/sizes.py``.

Counted in this environment, so of what is installed here: the files of each package that an extra
brings and the core does not.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

_CORE = "placememory"


def main() -> None:
    """Print a table."""
    own = distribution(_CORE)
    core = _closure(_CORE, ())
    print(f"core: {_megabytes(core):.0f} MB", file=sys.stderr)
    for extra in own.metadata.get_all("Provides-Extra") or []:
        more = _closure(_CORE, (extra,)) - core
        print(f"{extra}: {_megabytes(more):.0f} MB", file=sys.stderr)


def _closure(name: str, extras: tuple[str, ...]) -> set[str]:
    """Normalised names of a package and all that it needs here."""
    found: set[str] = set()
    waiting = [(name, extras)]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        key = (_normal(name), extras)
        if key in seen or (one := _find(name)) is None:
            continue
        seen.add(key)
        found.add(_normal(name))
        for line in one.requires or []:
            need = Requirement(line)
            chosen = [{"extra": extra} for extra in ("", *extras)]
            if need.marker is None or any(need.marker.evaluate(values) for values in chosen):
                waiting.append((need.name, tuple(sorted(need.extras))))
    return found


def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _megabytes(names: set[str]) -> float:
    paths = {
        one.locate_file(file)
        for name in names
        if (one := _find(name)) is not None
        for file in one.files or ()
    }
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
