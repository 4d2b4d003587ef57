"""Encoders of one's own: registered in the process, used by name, found again by their card."""

from __future__ import annotations

import numpy as np
import pytest

import placememory
from placememory import encoders
from placememory.encoders import EncoderCard, resolve_encoder
from placememory.encoders.registry import ENCODERS
from placememory.errors import EncoderError, EncoderMismatchError

IMAGE = np.full((6, 8, 3), (10, 20, 200), np.uint8)


class Toy:
    """Mean colour, scaled."""

    def __init__(self, gain: float = 1.0, device: str = "cpu") -> None:
        self.card = EncoderCard(name="toy", dim=3, options={"gain": gain, "kind": "mean"})
        self.device = device

    def encode(self, images):
        rows = np.float32([image.mean(axis=(0, 1)) for image in images])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setattr(ENCODERS, "_registered", {})


def test_a_class_with_card_and_encode_is_enough() -> None:
    placememory.register_encoder("toy", Toy)
    assert "toy" in encoders.names()
    found = encoders.info("toy")
    assert (found.summary, found.options) == ("Mean colour, scaled.", {"gain": 1.0})
    made = encoders.create("toy", gain=2.0, device="cuda:3")
    assert made.card.options["gain"] == 2.0
    assert made.device == "cuda:3"
    assert encoders.from_card(made.card).card == made.card
    assert resolve_encoder("toy").encode([IMAGE]).shape == (1, 3)
    assert resolve_encoder(made) is made


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(EncoderError, match="'salad' is the name of a built-in encoder"):
        placememory.register_encoder("salad", Toy)
    with pytest.raises(EncoderError, match="made by a class or function, not by 3"):
        placememory.register_encoder("toy", 3)
    with pytest.raises(EncoderError, match="option 'gain' of the encoder 'toy' needs a default"):
        placememory.register_encoder("toy", lambda gain: Toy(gain))
    placememory.register_encoder("other", Toy)
    with pytest.raises(EncoderError, match="'other' has a card with the name 'toy'"):
        encoders.create("other")
    placememory.register_encoder("toy", Toy)
    with pytest.raises(EncoderError, match="'toy' takes no weights"):
        encoders.create("toy", "weights.pth")
    with pytest.raises(EncoderError, match=r"toy has no setting 'gian'; .* did you mean 'gain'"):
        encoders.create("toy", gian=1)
    with pytest.raises(EncoderMismatchError, match=r"\(dim\)"):
        encoders.from_card(EncoderCard(name="toy", dim=4, options={"gain": 1.0, "kind": "mean"}))
    placememory.register_encoder("none", object)
    with pytest.raises(EncoderError, match="not object"):
        encoders.create("none")


def test_what_is_given_as_an_encoder() -> None:
    for wrong in (3, object(), Toy):
        with pytest.raises(EncoderError, match="an encoder is an object with card"):
            resolve_encoder(wrong)
    with pytest.raises(EncoderError, match="did you mean 'lite-vlad'"):
        resolve_encoder("lite-vald")
    assert resolve_encoder(None).card.name == encoders.DEFAULT_ENCODER
