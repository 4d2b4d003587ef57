"""Encoders of one's own: registered in the process, used by name, found again by their card."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest
from PIL import Image as PillowImage

import placememory
import placememory._registry as registry
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


def test_packages_add_classes_and_bad_ones_stay_apart(monkeypatch, caplog) -> None:
    group = "placememory.encoders"
    points = [
        EntryPoint("bad", "json", group),
        EntryPoint("salad", "json:dumps", group),
        EntryPoint("toy", f"{__name__}:Toy", group),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points)
    ENCODERS.refresh()
    try:
        listed = {info.name for info in encoders.infos()}
        assert "toy" in listed
        assert "bad" not in listed
        assert "'bad' cannot be loaded from json (the encoder 'bad' is made by" in caplog.text
        assert encoders.create("toy", gain=3.0).card.options["gain"] == 3.0
        assert encoders.info("salad").dim == 8448
    finally:
        ENCODERS.refresh()


def test_what_is_given_as_an_encoder() -> None:
    for wrong in (3, object(), Toy):
        with pytest.raises(EncoderError, match="an encoder is an object with card"):
            resolve_encoder(wrong)
    with pytest.raises(EncoderError, match="did you mean 'lite-vlad'"):
        resolve_encoder("lite-vald")
    assert resolve_encoder(None).card.name == encoders.DEFAULT_ENCODER


def test_a_memory_of_a_registered_encoder_opens_while_it_is_registered(tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for i, shade in enumerate((20, 120, 220)):
        colour = np.full((6, 8, 3), (shade, 20, 240 - shade), np.uint8)
        PillowImage.fromarray(colour).save(run / f"{i}.png")
    placememory.register_encoder("toy", Toy)
    with placememory.build(tmp_path / "m", run, encoder="toy") as memory:
        rows = memory.descriptors.copy()
    with placememory.open(tmp_path / "m") as memory:
        found = memory.encoder().encode([placememory.read_image(run / "1.png")])
        np.testing.assert_allclose(found[0], rows[1], atol=1e-6)
    ENCODERS._registered.clear()
    with (
        placememory.open(tmp_path / "m") as memory,
        pytest.raises(EncoderError, match="no encoder is called 'toy'"),
    ):
        memory.encoder()
