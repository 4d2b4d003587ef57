"""Encoders: images to descriptors. Each method is one file in this folder, found by its name."""

from placememory.encoders._base import Encoder, FittableEncoder
from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._create import create, from_card, info, names
from placememory.encoders._network import NetworkEncoder, load_weights, network_encoder
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._sequence import (
    SequenceEncoder,
    SequenceStream,
    StreamDescriptors,
    WindowDescriptors,
)
from placememory.encoders._weights import WeightsFile

DEFAULT_ENCODER = "lite-vlad"
"""The encoder that is taken where none is named."""

__all__ = [
    "DEFAULT_ENCODER",
    "Encoder",
    "EncoderCard",
    "EncoderInfo",
    "FittableEncoder",
    "NetworkEncoder",
    "Option",
    "Preprocess",
    "SequenceEncoder",
    "SequenceStream",
    "StreamDescriptors",
    "WeightsFile",
    "WindowDescriptors",
    "create",
    "from_card",
    "info",
    "load_weights",
    "names",
    "network_encoder",
]
