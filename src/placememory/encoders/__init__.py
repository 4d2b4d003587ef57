"""Encoders: images to descriptors. Each method is one file in this folder, found by its name."""

from placememory.encoders._base import Encoder, FittableEncoder
from placememory.encoders._card import EncoderCard, EncoderInfo, Option
from placememory.encoders._network import NetworkEncoder, load_weights, network_encoder
from placememory.encoders._preprocess import Preprocess
from placememory.encoders._sequence import (
    SequenceEncoder,
    SequenceStream,
    StreamDescriptors,
    WindowDescriptors,
)
from placememory.encoders._weights import WeightsFile
from placememory.encoders.registry import DEFAULT_ENCODER, create, from_card, info, infos, names
from placememory.encoders.registry import register as register_encoder
from placememory.encoders.registry import resolve as resolve_encoder

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
    "infos",
    "load_weights",
    "names",
    "network_encoder",
    "register_encoder",
    "resolve_encoder",
]
