"""Which images a search for pairs is about: by prefix, by list, or all; as hloc selects them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from placememory.errors import InputError
from placememory.memory.features_h5 import FeatureReader

Names = Path | str | Iterable[str]
_SHOWN = 3


def select_names(
    features: FeatureReader, prefix: str | Sequence[str] | None, listed: Names | None, what: str
) -> list[str]:
    """Names by prefix, else of a list, else all; each once.

    Args:
        features: The files.
        prefix: One prefix, several, or none.
        listed: Names, a list file, a pattern of list files, or none.
        what: What the images are, for messages.

    Raises:
        InputError: Nothing is selected, a name is unknown, or a list file cannot be read.
    """
    if prefix is not None:
        prefixes = (prefix,) if isinstance(prefix, str) else tuple(prefix)
        names = [name for name in features.names if name.startswith(prefixes)]
        if not names:
            raise InputError(f"no {what} image has a name that begins with {' or '.join(prefixes)}")
        return names
    if listed is None:
        return features.names
    names = list(dict.fromkeys(_listed(listed)))
    if not names:
        raise InputError(f"the list of {what} images is empty")
    features.check_names(names)
    return names


def _listed(names: Names) -> list[str]:
    """Names of an iterable, or of hloc's list files."""
    if not isinstance(names, str | Path):
        return list(names)
    path = Path(names)
    files = [path] if path.exists() else sorted(path.parent.glob(path.name))
    if not files:
        raise InputError(f"{path}: there is no such list of images")
    try:
        lines = [line for file in files for line in file.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the list of images ({error})") from error
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def check_writable(names: Iterable[str]) -> None:
    """Check that names fit into a pairs file: two fields with a blank between, in UTF-8.

    Raises:
        InputError: Some do not; the message names them.
    """
    bad = [name for name in names if name.split() != [name] or not _is_utf8(name)]
    if bad:
        raise InputError(
            f"{len(bad)} names hold a blank, or are no UTF-8, which a pairs file cannot keep: "
            f"{', '.join(map(repr, bad[:_SHOWN]))}; rename the images"
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
