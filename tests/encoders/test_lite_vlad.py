"""The default encoder: parts against plain versions, laws, errors, and recall on real images."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders import FittableEncoder
from placememory.errors import (
    EncoderError,
    EncoderMismatchError,
    ImageError,
    SettingError,
    WeightsError,
)
from placememory.frames import list_frames

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from placememory.encoders import lite, lite0, vlad  # noqa: E402
from placememory.encoders.catalogue import LITE0_WEIGHTS  # noqa: E402
from placememory.encoders.weights import find_weights  # noqa: E402
from tests.encoders.pictures import smooth_images  # noqa: E402


@pytest.fixture(scope="module")
def trunk() -> lite0.Trunk:
    return lite0.load_trunk(find_weights(LITE0_WEIGHTS))


@pytest.fixture(scope="module")
def fitted() -> FittableEncoder:
    encoder = encoders.create("lite-vlad", words=8, precision="float32")
    assert isinstance(encoder, FittableEncoder)
    return encoder.fit(smooth_images(6))


@pytest.mark.parametrize("size", [(64, 64), (240, 320), (176, 320)])
def test_the_folded_trunk_computes_the_same(trunk: lite0.Trunk, size: tuple[int, int]) -> None:
    x = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        plain, folded = trunk(x), lite0.FoldedTrunk(trunk).eval()(x)
    assert plain.shape == (2, 112, size[0] // 16, size[1] // 16)
    assert (plain - folded).abs().max() < 1e-3 * plain.abs().max()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"_conv_stem.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="weights of another network"):
        encoders.create("lite-vlad", weights=path)
    path.write_bytes(b"garbage")
    with pytest.raises(WeightsError, match="cannot read"):
        encoders.create("lite-vlad", weights=path)


def test_vlad_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 20, 6)).astype(np.float32)
    words = rng.normal(size=(4, 6)).astype(np.float32)
    found = vlad.vlad(torch.from_numpy(features), torch.from_numpy(words)).numpy()
    for image, descriptor in zip(features, found, strict=True):
        parts = np.zeros((4, 6))
        for feature in image:
            nearest = int(((words - feature) ** 2).sum(axis=1).argmin())
            parts[nearest] += feature - words[nearest]
        norms = np.linalg.norm(parts, axis=1, keepdims=True)
        parts = np.where(norms > 0, parts / np.maximum(norms, 1e-12), 0.0).ravel()
        np.testing.assert_allclose(descriptor, parts / np.linalg.norm(parts), atol=1e-5)


def test_local_features_drop_the_border_and_average() -> None:
    maps = torch.rand((1, 5, 7, 9), generator=torch.Generator().manual_seed(1))
    features = lite.local_features(maps)
    assert features.shape == (1, (7 - 3) * (9 - 3), 5)
    spoiled = maps.clone()
    spoiled[:, :, 0], spoiled[:, :, -1] = 9.0, -9.0
    spoiled[..., 0], spoiled[..., -1] = 9.0, -9.0
    torch.testing.assert_close(lite.local_features(spoiled), features)
    assert lite.local_features(maps[:, :, :3]).shape == (1, 3 * 9, 5)


def test_descriptors_are_unit_and_depend_on_nothing_but_the_image(fitted: FittableEncoder) -> None:
    images = [*smooth_images(3), *smooth_images(2, 200, 120), *smooth_images(1, 33, 500)]
    together = fitted.encode(images)
    assert together.shape == (6, 8 * 112)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    for image, row in zip(images, together, strict=True):
        np.testing.assert_array_equal(fitted.encode([image])[0], row)


def test_no_images_and_one_colour(fitted: FittableEncoder) -> None:
    assert fitted.encode([]).shape == (0, 8 * 112)
    black = fitted.encode([np.zeros((48, 64, 3), np.uint8)])
    assert np.isfinite(black).all()
    assert np.linalg.norm(black) == pytest.approx(1.0, abs=1e-5)


def test_what_is_no_image_is_refused(fitted: FittableEncoder) -> None:
    with pytest.raises(ImageError):
        fitted.encode([np.zeros((4, 4, 2), np.uint8)])


def test_grey_and_alpha_images_are_converted(fitted: FittableEncoder) -> None:
    [image] = smooth_images(1, 48, 64)
    grey = image[..., 0]
    rgb = np.stack([grey] * 3, axis=2)
    rows = fitted.encode([grey, grey[..., None], rgb, np.dstack([rgb, grey])])
    np.testing.assert_array_equal(rows, np.repeat(rows[:1], 4, axis=0))
    with pytest.raises(ImageError, match=r"values of 0 to 1 with \(255 \* image\)"):
        fitted.encode([rgb / 255.0])


def test_fit_encode_gives_what_encode_gives() -> None:
    encoder = encoders.create("lite-vlad", words=8, precision="float32")
    assert isinstance(encoder, FittableEncoder)
    images = smooth_images(5)
    fitted, descriptors = encoder.fit_encode(images)
    np.testing.assert_array_equal(descriptors, fitted.encode(images))
    assert not encoder.is_fitted
    assert fitted.is_fitted
    with pytest.raises(EncoderError, match="no vocabulary yet"):
        encoder.encode(images)
    with pytest.raises(EncoderError, match="no images"):
        encoder.fit([])


def test_fitting_again_gives_the_same_card_and_a_seed_another(fitted: FittableEncoder) -> None:
    for seed, same in ((0, True), (1, False)):
        encoder = encoders.create("lite-vlad", words=8, seed=seed, precision="float32")
        assert isinstance(encoder, FittableEncoder)
        assert (encoder.fit(smooth_images(6)).card.hash == fitted.card.hash) is same


def test_an_encoder_is_rebuilt_from_its_card(fitted: FittableEncoder) -> None:
    card = encoders.EncoderCard.from_bytes(fitted.card.to_bytes())
    again = encoders.from_card(card, precision="float32")
    np.testing.assert_array_equal(again.encode(smooth_images(2)), fitted.encode(smooth_images(2)))


def test_a_card_of_other_weights_is_refused(fitted: FittableEncoder) -> None:
    foreign = fitted.card.replace(weights_sha256="0" * 64)
    with pytest.raises(EncoderMismatchError, match="weights_sha256"):
        encoders.from_card(foreign)


def test_embed_equals_encode(fitted: FittableEncoder) -> None:
    on_torch = encoders.from_card(fitted.card, device="torch", precision="float32")
    [image] = smooth_images(1, 240, 320)
    x = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() - 127.0) / 128.0
    np.testing.assert_allclose(on_torch.embed(x).numpy(), fitted.encode([image]), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "lite-vald"}, EncoderError, "did you mean 'lite-vlad'"),
        ({"words": 1}, EncoderError, "words is a whole number from 2"),
        ({"words": "many"}, EncoderError, "words is a whole number from 2"),
        ({"colour": 1}, EncoderError, "no setting 'colour'"),
        ({"precision": "int3"}, SettingError, "precision is .int3.; give one of"),
        ({"device": "toaster"}, SettingError, "unknown device"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        encoders.create(**{"name": "lite-vlad", **arguments})


def test_random_weights_are_another_encoder(fitted: FittableEncoder) -> None:
    random = encoders.create("lite-vlad", "random", words=8)
    assert random.card.hash != encoders.create("lite-vlad", words=8).card.hash
    assert random.card.weights_sha256 == "random"


@pytest.mark.real
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("seed", [0, 1])
def test_recall_on_realsmooth_images(shared_data: Path, precision: str, seed: int) -> None:
    """Corridor R@1 >= 88 and R@5 >= 99 percent, and the loop R@1 >= 95, whatever the seed."""
    corridor = shared_data / "corridor"
    reference, query = list_frames(corridor / "ref"), list_frames(corridor / "query")
    with (corridor / "gt.csv").open() as file:
        truth = {row["query"]: set(row["ref_ok"].split()) for row in csv.DictReader(file)}
    first, fifth = _recalls(reference, query, truth, precision, seed)
    assert first >= 0.88
    assert fifth >= 0.99
    loop = list_frames(shared_data / "rtabmap-loop/images")
    with (shared_data / "rtabmap-loop/gt.csv").open() as file:
        rows = list(csv.DictReader(file))
    truth = {row["frame"]: set(row["earlier_frames_of_same_place"].split()) for row in rows}
    first, _ = _recalls(loop[:40], loop[40:], truth, precision, seed)
    assert first >= 0.95


def _recalls(reference, query, truth, precision, seed) -> tuple[float, float]:
    encoder = encoders.create("lite-vlad", precision=precision, seed=seed)
    assert isinstance(encoder, FittableEncoder)
    fitted, places = encoder.fit_encode([frame.image() for frame in reference])
    order = np.argsort(-(fitted.encode([frame.image() for frame in query]) @ places.T), axis=1)
    hits = [
        [reference[row].name in truth[frame.name] for row in found[:5]]
        for frame, found in zip(query, order, strict=True)
    ]
    return float(np.mean([h[0] for h in hits])), float(np.mean([any(h) for h in hits]))
