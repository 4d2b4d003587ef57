"""Encoders: images to descriptors. Each method is one file in this folder, found by its name."""

from placememory.encoders._base import Encoder, FittableEncoder
from placememory.encoders._card import EncoderCard, EncoderInfo
from placememory.encoders._create import create, from_card, info, names
from placememory.encoders._preprocess import Preprocess

__all__ = [
    "Encoder",
    "EncoderCard",
    "EncoderInfo",
    "FittableEncoder",
    "Preprocess",
    "create",
    "from_card",
    "info",
    "names",
]
