"""Fields of CaseVPR's JSON files: read strictly, so that none is dropped without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from placememory._io import read_json
from placememory._registry import unknown_name
from placememory.errors import SettingError
from placememory.evaluation.config import StrictModel, describe_fields

S = TypeVar("S", bound=StrictModel)
_EXTRA = "extra_forbidden"


def read_object(path: Path, what: str) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        SettingError: It cannot be read, or holds something else.
    """
    content = read_json(path, SettingError)
    if not isinstance(content, dict):
        raise SettingError(f"{path}: {what} is an object, not a {type(content).__name__}")
    return content


def validate_fields(model: type[S], values: Any, path: Path, what: str) -> S:
    """Values of a JSON file as fields; what is ``null`` counts as left out.

    Raises:
        SettingError: A field is missing, unknown (the nearest known one is named) or wrong.
    """
    try:
        return model.model_validate(without_null(values))
    except ValidationError as error:
        unknown = [
            _describe_unknown(model, [str(part) for part in problem["loc"]])
            for problem in error.errors()
            if problem["type"] == _EXTRA
        ]
        words = "; ".join(unknown) or describe_fields(error)
        raise SettingError(f"{path}: this is no {what}: {words}") from error


def refuse(path: Path, refused: dict[str, tuple[bool, str]]) -> None:
    """Refuse fields that are understood but not honoured.

    Args:
        path: Of the file.
        refused: Whether it is set to what is not honoured, and why it is not, by field.

    Raises:
        SettingError: One of them is set; all of those are named.
    """
    words = [f"{name}: {why}" for name, (is_set, why) in refused.items() if is_set]
    if words:
        raise SettingError(f"{path}: {'; '.join(words)}")


def without_null(values: Any) -> Any:
    """Values without those that are ``None``, at any depth."""
    if isinstance(values, dict):
        return {k: without_null(v) for k, v in values.items() if v is not None}
    if isinstance(values, list):
        return [without_null(v) for v in values]
    return values


def merge(base: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """Settings with some replaced, at any depth.

    Example:
        >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in changed.items():
        inner = merged.get(key)
        deeper = isinstance(inner, dict) and isinstance(value, dict)
        merged[key] = merge(inner, value) if deeper else value  # type: ignore[arg-type]
    return merged


def _describe_unknown(model: type[StrictModel], place: list[str]) -> str:
    """An unknown field, with the nearest of those that are known beside it."""
    where: type[StrictModel] | None = model
    for part in place[:-1]:
        if where is not None and not part.isdigit():
            field = where.model_fields.get(part)
            where = None if field is None else _inner(field.annotation)
    if where is None:
        return f"{'.'.join(place)}: no field of CaseVPR is called so"
    known = list(where.model_fields)
    above = "".join(f"{part}." for part in place[:-1])
    return unknown_name(f"{above}{place[-1]}: no field is called", place[-1], known)


def _inner(annotation: Any) -> type[StrictModel] | None:
    """The fields within an annotation, as of a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner(part))), None)
