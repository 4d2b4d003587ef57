"""Make encoders by name, or again from the card that a memory keeps."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from placememory._registry import discover, load
from placememory.encoders._base import Encoder
from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._onnx import SUFFIX, open_onnx
from placememory.errors import EncoderError, EncoderMismatchError

_PACKAGE = __package__ or "placememory.encoders"


def names() -> list[str]:
    """Names of all encoders, ours and those of installed third parties.

    Example:
        >>> "lite-vlad" in names()
        True
    """
    return list(discover(_PACKAGE))


def info(name: str) -> EncoderInfo:
    """What is known of an encoder without loading its weights.

    Raises:
        EncoderError: No encoder has this name.
    """
    result: EncoderInfo = _module(name).INFO
    return result


def create(
    name: str,
    weights: str | Path | None = None,
    *,
    device: str = "cpu",
    precision: str = "auto",
    **options: Option,
) -> Encoder:
    """Make an encoder.

    Args:
        name: One of :func:`names`.
        weights: ``None`` for the published weights (checked by SHA-256), a path, or ``"random"``.
            The path may be that of an exported encoder (``.onnx``), which needs no torch.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``float32``, ``bfloat16`` or ``float16`` of the network, never of descriptors;
            ``auto`` takes bfloat16 on a processor that computes in it, else float32.
        options: Options of the method (see :func:`info`).

    Raises:
        EncoderError: No encoder has this name, or it has no such option or option value.
        WeightsError: Weights are missing or not the right ones; nothing is ever made random
            silently.
        MissingExtraError: torch is not installed.
    """
    known = info(name).options
    if is_exported(weights):
        return open_onnx(
            Path(str(weights)), name, device=device, precision=precision, options=options
        )
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise EncoderError(
            f"{name} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}"
        )
    encoder: Encoder = _module(name).create(
        weights, device=device, precision=precision, options={**known, **options}
    )
    return encoder


def from_card(
    card: EncoderCard,
    weights: str | Path | None = None,
    *,
    device: str = "cpu",
    precision: str = "auto",
) -> Encoder:
    """Make the encoder that a card describes, fitted state included.

    Raises:
        EncoderMismatchError: What this installation makes is not what the card says.
        EncoderError: This installation does not know the method.
    """
    encoder = create(card.name, weights, device=device, precision=precision, **card.options)
    if card.fitted and not is_exported(weights):
        encoder = encoder.with_fitted(card.fitted)
    if encoder.card.hash != card.hash:
        different = ", ".join(encoder.card.differences(card))
        raise EncoderMismatchError(
            f"the encoder {card.name!r} of this installation differs from the one on the card "
            f"({different}); use the version of placememory and the weights that made it"
        )
    return encoder


def is_exported(weights: str | Path | None) -> bool:
    """Whether weights are an exported encoder."""
    return weights is not None and Path(weights).suffix.lower() == SUFFIX


def _module(name: str) -> Any:
    if name not in discover(_PACKAGE):
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise EncoderError(f"no encoder is called {name!r}; known: {', '.join(names())}{hint}")
    return load(_PACKAGE, name)
