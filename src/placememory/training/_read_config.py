"""Read a configuration, change it, and bring its paths to where it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from placememory.errors import SettingError
from placememory.experiments._config import read_yaml, validated
from placememory.training._config import Source, Training


def read_training(path: Path, changes: tuple[str, ...] = ()) -> Training:
    """Read a training from YAML, or from CaseVPR's training JSON.

    Args:
        path: Of the file; paths in it are relative to its folder.
        changes: ``key=value`` each, with dots: ``optimization.lr=1e-4``; values are YAML.

    Raises:
        SettingError: The file cannot be read, or a field is missing, unknown or of a wrong value;
            the message names file and fields.
    """
    if path.suffix.lower() == ".json":
        from placememory.training.casevpr_json import read_casevpr_training

        values = read_casevpr_training(path)
    else:
        values = _yaml(path)
    return checked(changed(values, changes), path)


def checked(values: Any, path: Path) -> Training:
    """Values as a training, its paths made absolute.

    Raises:
        SettingError: A field is missing, unknown or of a wrong value.
    """
    return _resolved(validated(Training, values, path), path.resolve().parent)


def changed(values: Any, changes: tuple[str, ...]) -> Any:
    """Values with some replaced.

    Raises:
        SettingError: A change is not ``key=value``, or a key leads through a value.

    Example:
        >>> changed({"optimization": {"epochs": 9}}, ("optimization.epochs=5", "seed=3"))
        {'optimization': {'epochs': 5}, 'seed': 3}
    """
    for change in changes:
        key, equals, text = change.partition("=")
        *above, last = key.strip().split(".")
        table = values
        for name in above:
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if not equals or not isinstance(table, dict):
            raise SettingError(
                f"{change!r} changes nothing; write key=value, as optimization.lr=1e-4"
            )
        table[last] = _value(text)
    return values


def _value(text: str) -> Any:
    """A YAML value; a text that is none, such as ``*.bias``, as it stands."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _yaml(path: Path) -> Any:
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise SettingError(f"{path}: a configuration is a table of fields")
    return values


def _resolved(training: Training, base: Path) -> Training:
    def placed(sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(s.model_copy(update={"root": base / s.root}) for s in sources)

    data = training.data.model_copy(
        update={
            "train": placed(training.data.train),
            "validation": placed(training.data.validation),
            "test": placed(training.data.test),
        }
    )
    files = {name: getattr(training.encoder, name) for name in ("weights", "trunk")}
    placed_files = {n: f if f in (None, "random") else str(base / f) for n, f in files.items()}
    encoder = training.encoder.model_copy(update=placed_files)
    return training.model_copy(
        update={"output": base / training.output, "data": data, "encoder": encoder}
    )
