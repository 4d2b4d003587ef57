"""Encoders through ``torch.hub``: ``torch.hub.load(REPOSITORY, "salad")``.

Each published encoder is an entry point; it gives a :class:`placememory.encoders.Encoder`, whose
``encode`` takes images (H, W, 3) uint8 RGB and gives unit rows, and whose ``card`` says what it is.
Arguments are those of :func:`placememory.encoders.create`: ``weights`` (a file, or ``"random"``),
``device``, ``precision``, and the encoder's options.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))  # of a checkout that is not installed

from placememory.encoders import create, infos

dependencies = ["torch", "timm", "numpy", "PIL", "pydantic", "safetensors"]


def _entry(name: str, text: str) -> partial:
    entry = partial(create, name)
    entry.__doc__ = f"{text}; see placememory.encoders.create for its arguments."
    return entry


globals().update(
    {one.name.replace("-", "_"): _entry(one.name, one.origin) for one in infos() if one.weights}
)
