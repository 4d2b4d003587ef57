"""Make encoders by name, or again from the card that a memory holds; add encoders of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from placememory._registry import Registry
from placememory.encoders.base import Encoder, check_encoder
from placememory.encoders.card import EncoderCard, EncoderInfo, Option, Options
from placememory.encoders.catalogue import FAMILIES
from placememory.encoders.compressed import CompressedEncoder, components_of
from placememory.encoders.lite_vlad import LiteVladMethod
from placememory.encoders.network import RANDOM, NetworkMethod, Recipe
from placememory.encoders.onnx import SUFFIX, open_onnx
from placememory.encoders.weights import LocatedWeights, expected_path
from placememory.errors import EncoderError, EncoderMismatchError

DEFAULT_ENCODER = "lite-vlad"
"""The encoder that is taken where none is named."""

_COMMON = ("weights", "device", "precision")


class _Factory:
    """A class or function that makes encoders, as a method.

    Raises:
        EncoderError: A parameter has no default that could stand on a card.
    """

    def __init__(self, name: str, factory: Callable[..., Any]) -> None:
        if not callable(factory):
            raise EncoderError(
                f"the encoder {name!r} is made by a class or function, not by {factory!r}"
            )
        self._name = name
        self._factory = factory
        parameters = [
            parameter
            for parameter in inspect.signature(factory).parameters.values()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        self._common = [p.name for p in parameters if p.name in _COMMON]
        options = {p.name: p.default for p in parameters if p.name not in _COMMON}
        for option, default in options.items():
            if not isinstance(default, int | float | str):
                raise EncoderError(
                    f"the option {option!r} of the encoder {name!r} needs a default: a number, a "
                    "word or a flag"
                )
        summary = (inspect.getdoc(factory) or "").partition("\n")[0]
        self.info = EncoderInfo(name=name, summary=summary, options=options)

    def create(
        self, weights: str | Path | None, *, device: str, precision: str, options: Options
    ) -> Encoder:
        """See :func:`create`; weights, device and precision are passed where they are taken.

        Raises:
            EncoderError: Weights are given but not taken, or what was made is no encoder of
                this name.
        """
        if weights is not None and "weights" not in self._common:
            raise EncoderError(f"the encoder {self._name!r} takes no weights")
        common = {"weights": weights, "device": device, "precision": precision}
        made = self._factory(**{key: common[key] for key in self._common}, **options)
        encoder = check_encoder(made)
        if encoder.card.name != self._name:
            raise EncoderError(
                f"the encoder {self._name!r} has a card with the name {encoder.card.name!r}; a "
                "memory finds its encoder again by that name, so they must be equal"
            )
        return encoder


def _recipe_of(family: str) -> Callable[[EncoderInfo, Options], Recipe]:
    """The function ``recipe`` of a family's module, which is imported when it is called."""

    def recipe(info: EncoderInfo, options: Options) -> Recipe:
        found: Recipe = import_module(f"placememory.encoders.{family}").recipe(info, options)
        return found

    return recipe


_KINDS: dict[str, type[NetworkMethod]] = {DEFAULT_ENCODER: LiteVladMethod}
ENCODERS = Registry(
    "placememory.encoders",
    "encoder",
    builtin={
        info.name: _KINDS.get(info.name, NetworkMethod)(info, _recipe_of(family))
        for family, infos in FAMILIES.items()
        for info in infos
    },
    adapt=lambda name, made: made if isinstance(made, NetworkMethod) else _Factory(name, made),
    error=EncoderError,
)


def names() -> list[str]:
    """Names of all encoders: ours, those of installed packages, those registered.

    Example:
        >>> "lite-vlad" in names()
        True
    """
    return ENCODERS.names()


def info(name: str) -> EncoderInfo:
    """Facts of an encoder, without loading its weights.

    Raises:
        EncoderError: No encoder has this name.
    """
    found: EncoderInfo = ENCODERS.load(name).info
    return found


def infos() -> list[EncoderInfo]:
    """Facts of all encoders; those that cannot be loaded are left out with a warning."""
    return [method.info for _, method in ENCODERS.load_all()]


def register(name: str, factory: Callable[..., Any]) -> None:
    """Add an encoder of your own in this process.

    A memory that was built with it opens again while the encoder is registered. An installed
    package adds encoders by entry points in the group ``placememory.encoders``.

    Args:
        name: As on the encoder's card; registering again replaces what was registered.
        factory: A class or function. What it returns has ``card`` (:class:`EncoderCard`) and
            ``encode(images)``, which maps a list of N (H, W, 3) uint8 RGB images to (N, D) float32
            unit rows; nothing else is needed. Its parameters are the encoder's options, and have
            defaults; ``weights``, ``device`` and ``precision`` are passed to parameters that are
            called so.

    Raises:
        EncoderError: The name is that of a built-in encoder, or the factory cannot serve.

    Example:
        >>> import numpy as np
        >>> class MeanColour:
        ...     card = EncoderCard(name="mean-colour", dim=3)
        ...     def encode(self, images):
        ...         rows = np.float32([image.mean(axis=(0, 1)) + 1 for image in images])
        ...         return rows / np.linalg.norm(rows, axis=1, keepdims=True)
        >>> register("mean-colour", MeanColour)
        >>> create("mean-colour").encode([np.full((4, 4, 3), 9, np.uint8)]).shape
        (1, 3)
    """
    ENCODERS.register(name, factory)


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
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; or what shall run it on the processor:
            ``torch``, or ``onnxruntime`` or ``openvino``, which run ``lite-vlad`` with its
            published weights, and exported encoders. ``cpu`` takes ONNX Runtime where it can,
            else torch.
        precision: ``float32``, ``bfloat16`` or ``float16`` of the network, never of descriptors;
            ``auto`` is float32 but where a method on torch may take bfloat16, on a processor that
            computes in it.
        options: Options of the method (see :func:`info`).

    Raises:
        EncoderError: No encoder has this name, or it has no such option or option value.
        WeightsError: Weights are missing or not the right ones; nothing is ever made random
            silently.
        MissingExtraError: torch is not installed.
    """
    method = ENCODERS.load(name)
    if is_exported(weights):
        return open_onnx(
            Path(str(weights)), name, device=device, precision=precision, options=options
        )
    known = method.info.options
    ENCODERS.check_settings(name, options, known)
    encoder: Encoder = method.create(
        weights, device=device, precision=precision, options={**known, **options}
    )
    return encoder


def locate_weights(
    name: str, weights: str | Path | None = None, **options: Option
) -> LocatedWeights | None:
    """Find where the weights of an encoder are, or would be; nothing is loaded or fetched.

    Args:
        name: One of :func:`names`.
        weights: As for :func:`create`.
        options: Options of the method.

    Returns:
        The place; ``None`` for random weights, and for a method that has none.

    Raises:
        EncoderError: No encoder has this name, or an option has an impossible value.
        MissingExtraError: The package that carries the weights is not installed.

    Example:
        >>> locate_weights("salad").path.name, locate_weights("salad", "random")
        ('dino_salad.ckpt', None)
    """
    method = ENCODERS.load(name)
    if weights is not None:
        return None if weights == RANDOM else LocatedWeights(Path(weights))
    if not isinstance(method, NetworkMethod):
        return None
    ENCODERS.check_settings(name, options, method.info.options)
    published = method.published({**method.info.options, **options})
    return None if published is None else LocatedWeights(expected_path(published), published)


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
    if (parts := components_of(card)) is not None:
        before, mean, axes = parts
        encoder = from_card(before, weights, device=device, precision=precision)
        return CompressedEncoder(encoder, mean, axes)
    known = info(card.name).options
    options = {name: value for name, value in card.options.items() if name in known}
    encoder = create(card.name, weights, device=device, precision=precision, **options)
    if card.fitted and not is_exported(weights) and hasattr(encoder, "with_fitted"):
        encoder = encoder.with_fitted(card.fitted)
    if encoder.card.hash != card.hash:
        different = ", ".join(encoder.card.differences(card))
        raise EncoderMismatchError(
            f"the encoder {card.name!r} of this installation differs from the one on the card "
            f"({different}); use the version of placememory and the weights that made it"
        )
    return encoder


def resolve(encoder: Encoder | str | None) -> Encoder:
    """The encoder itself, the one of a name, or the default one for ``None``.

    Raises:
        EncoderError: No encoder has this name, or the object is no encoder.
    """
    if encoder is None or isinstance(encoder, str):
        return create(encoder or DEFAULT_ENCODER)
    return check_encoder(encoder)


def can_make_elsewhere(name: str) -> bool:
    """Whether other processes know an encoder: not if it was registered in this one.

    Example:
        >>> can_make_elsewhere("lite-vlad")
        True
    """
    return name in ENCODERS.builtin or name in ENCODERS.plugins


def is_exported(weights: str | Path | None) -> bool:
    """Whether weights are an exported encoder."""
    return weights is not None and Path(weights).suffix.lower() == SUFFIX
