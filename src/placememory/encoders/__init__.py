"""Encoders: images to descriptors.

The built-in ones are listed in ``catalogue``; the networks of a family are one module, which is
imported, and torch with it, when one of them is made. ``docs/adding-an-encoder.md`` shows how to
add one.
"""

from placememory.encoders.base import Descriptors, Encoder, FittableEncoder, check_encoder
from placememory.encoders.batching import (
    BATCH,
    BadFrames,
    encode_frames,
    encode_windows,
    fit_on_sample,
)
from placememory.encoders.bits import attach_bits, count_bits, read_bits
from placememory.encoders.card import EncoderCard, EncoderInfo, Option, Options
from placememory.encoders.compressed import (
    CompressedEncoder,
    components_of,
    compress_card,
    fit_components,
    fit_projection,
    save_projection,
    shorten,
    with_projection,
)
from placememory.encoders.network import NetworkMethod, Recipe, TorchEncoder, load_weights
from placememory.encoders.pca import read_projection
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.registry import (
    DEFAULT_ENCODER,
    create,
    from_card,
    info,
    infos,
    locate_weights,
    names,
)
from placememory.encoders.registry import register as register_encoder
from placememory.encoders.registry import resolve as resolve_encoder
from placememory.encoders.sequence import (
    SequenceEncoder,
    SequenceStream,
    StreamDescriptors,
    WindowDescriptors,
)
from placememory.encoders.shards import Workers, encode_shards, make_like
from placememory.encoders.weights import LocatedWeights, WeightsFile

__all__ = [
    "BATCH",
    "DEFAULT_ENCODER",
    "BadFrames",
    "CompressedEncoder",
    "Descriptors",
    "Encoder",
    "EncoderCard",
    "EncoderInfo",
    "FittableEncoder",
    "LocatedWeights",
    "NetworkMethod",
    "Option",
    "Options",
    "Preprocess",
    "Recipe",
    "SequenceEncoder",
    "SequenceStream",
    "StreamDescriptors",
    "TorchEncoder",
    "WeightsFile",
    "WindowDescriptors",
    "Workers",
    "attach_bits",
    "check_encoder",
    "components_of",
    "compress_card",
    "count_bits",
    "create",
    "encode_frames",
    "encode_shards",
    "encode_windows",
    "fit_components",
    "fit_on_sample",
    "fit_projection",
    "from_card",
    "info",
    "infos",
    "load_weights",
    "locate_weights",
    "make_like",
    "names",
    "read_bits",
    "read_projection",
    "register_encoder",
    "resolve_encoder",
    "save_projection",
    "shorten",
    "with_projection",
]
