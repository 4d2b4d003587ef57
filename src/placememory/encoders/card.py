"""Encoder card: identity and origin of an encoder."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.weights import WeightsFile
from placememory.errors import MemoryFormatError

Option = int | float | str | bool
Options = dict[str, Option]


class EncoderInfo(BaseModel):
    """Facts of a method before any weights are loaded; shown by ``placememory encoders``.

    Attributes:
        name: The method.
        summary: One line.
        dim: Length of a descriptor with the default options; 0 if it is not known before.
        input: Input size in words.
        licence: Of code and weights.
        origin: Paper or system.
        weights: The published file; ``None`` where the method has no weights.
        needs_fit: Whether a vocabulary or projection is fitted on the memory's own images.
        sequence: Whether it describes windows of frames.
        without_torch: Whether ONNX Runtime or OpenVINO can run it as it comes, without an export.
        options: Options with their defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str = ""
    dim: int = 0
    input: str = ""
    licence: str = ""
    origin: str = ""
    weights: WeightsFile | None = None
    needs_fit: bool = False
    sequence: bool = False
    without_torch: bool = False
    options: dict[str, Option] = Field(default_factory=dict)


class EncoderCard(BaseModel):
    """Identity of an encoder. Descriptors may be compared only if their cards' hashes are equal.

    Attributes:
        name: The method.
        dim: Length of a descriptor.
        weights_sha256: Of the weights file; ``None`` for methods without weights.
        preprocess: Resizing and normalisation.
        options: The method's options.
        batch_invariant: Whether a descriptor depends on its own image (or window) alone, whatever
            is encoded together with it.
        licence: Of code and weights; not part of the identity.
        origin: Paper or system; not part of the identity.
        fitted: Arrays fitted on images (a vocabulary, a projection), by name.

    Example:
        >>> card = EncoderCard(name="none", dim=2, preprocess=Preprocess(longest=8))
        >>> EncoderCard.from_bytes(card.to_bytes()).hash == card.hash
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    dim: int = Field(gt=0)
    weights_sha256: str | None = None
    preprocess: Preprocess | None = None
    options: dict[str, Option] = Field(default_factory=dict)
    batch_invariant: bool = True
    licence: str = ""
    origin: str = ""
    fitted: dict[str, NDArray[Any]] = Field(default_factory=dict, exclude=True, repr=False)

    @classmethod
    def of(
        cls,
        info: EncoderInfo,
        options: Options,
        *,
        dim: int,
        weights_sha256: str | None,
        preprocess: Preprocess,
        batch_invariant: bool = True,
    ) -> EncoderCard:
        """The card of a method with all its options."""
        return cls(
            name=info.name,
            dim=dim,
            weights_sha256=weights_sha256,
            preprocess=preprocess,
            options=options,
            batch_invariant=batch_invariant,
            licence=info.licence,
            origin=info.origin,
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 (64 hex digits) over everything that changes descriptors."""
        identity = self.model_dump(mode="json", exclude={"licence", "origin"})
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
        for name in sorted(self.fitted):
            array = np.ascontiguousarray(self.fitted[name])
            digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """Card and fitted arrays as one safetensors file."""
        arrays = {name: np.ascontiguousarray(array) for name, array in self.fitted.items()}
        return save_arrays(arrays, metadata={"encoder_card": self.model_dump_json()})

    @classmethod
    def from_bytes(cls, data: bytes) -> EncoderCard:
        """Inverse of :meth:`to_bytes`.

        Raises:
            MemoryFormatError: The bytes are no encoder card.
        """
        try:
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])
            values = json.loads(header["__metadata__"]["encoder_card"])
            return cls(**values, fitted=load_arrays(data))
        except (ValueError, KeyError, TypeError, ValidationError, SafetensorError) as error:
            raise MemoryFormatError(f"the encoder card cannot be read ({error})") from error

    def replace(self, **fields: Any) -> EncoderCard:
        """A card with some fields changed, and so another hash."""
        mine = {name: getattr(self, name) for name in type(self).model_fields}
        return EncoderCard(**{**mine, **fields})

    def differences(self, other: EncoderCard) -> list[str]:
        """Names of the fields in which two cards differ, for messages."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        names = [n for n in mine if mine[n] != theirs[n] and n not in ("licence", "origin")]
        return names or (["fitted state"] if self.hash != other.hash else [])
