"""The default encoder on every engine: the same card, words, descriptors and answers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders import FittableEncoder, catalogue
from placememory.encoders.graph import Graph
from placememory.encoders.lite_vlad import VladEncoder, fit_words, vlad
from placememory.encoders.weights import find_weights
from placememory.errors import EncoderError, MissingExtraError, SettingError, WeightsError
from placememory.frames import Frame, list_frames
from placememory.memory import PlaceMemory
from placememory.memory.build import build
from tests.encoders.pictures import smooth_images

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="the extra 'torch' is missing")
ENGINES = [
    pytest.param("torch", marks=needs_torch),
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(find_spec("openvino") is None, reason="no extra 'openvino'"),
    ),
]
SIZES = [(240, 320), (480, 640), (97, 121), (720, 200), (33, 500)]
EQUAL = 1e-5


def _make(device: str, **options: int) -> VladEncoder:
    encoder = encoders.create("lite-vlad", device=device, precision="float32", **options)
    assert isinstance(encoder, VladEncoder)
    assert encoder.engine == ("onnxruntime" if device == "cpu" else device)
    assert encoder.engine in repr(encoder)
    return encoder


@pytest.fixture(scope="module")
def ours() -> VladEncoder:
    return _make("cpu").fit(smooth_images(8))


@pytest.mark.parametrize("device", ENGINES)
def test_cards_and_vocabularies_agree(device: str) -> None:
    first, second = _make("cpu", words=16), _make(device, words=16)
    assert first.card == second.card
    assert first.card.hash == second.card.hash
    images = smooth_images(6)
    np.testing.assert_allclose(first.fit(images).words, second.fit(images).words, atol=EQUAL)


@pytest.mark.parametrize("device", ENGINES)
@pytest.mark.parametrize("size", SIZES)
def test_descriptors_agree_at_every_size(ours, device: str, size: tuple[int, int]) -> None:
    theirs = encoders.from_card(ours.card, device=device, precision="float32")
    images = smooth_images(2, *size, seed=3)
    np.testing.assert_allclose(ours.encode(images), theirs.encode(images), atol=EQUAL)


@pytest.mark.real
@pytest.mark.parametrize("device", ENGINES)
def test_real_images_get_the_same_words_descriptors_and_neighbours(
    shared_data: Path, device: str
) -> None:
    reference = [f.image() for f in list_frames(shared_data / "corridor/ref")]
    query = [f.image() for f in list_frames(shared_data / "corridor/query")[::5]]
    ours, places = _make("cpu").fit_encode(reference)
    theirs, same_places = _make(device).fit_encode(reference)
    np.testing.assert_allclose(ours.words, theirs.words, atol=EQUAL)
    np.testing.assert_allclose(places, same_places, atol=EQUAL)
    theirs = encoders.from_card(ours.card, device=device, precision="float32")
    rows, same_rows = ours.encode(query), theirs.encode(query)
    np.testing.assert_allclose(rows, same_rows, atol=EQUAL)
    order = [np.argsort(-(r @ p.T), axis=1) for r, p in ((rows, places), (same_rows, same_places))]
    np.testing.assert_array_equal(order[0][:, :5], order[1][:, :5])


@needs_torch
@pytest.mark.parametrize(("first", "then"), [("torch", "cpu"), ("cpu", "torch")])
def test_a_memory_of_one_engine_answers_on_the_other(tmp_path: Path, first: str, then: str) -> None:
    images = smooth_images(12, seed=1)
    frames = [Frame(f"{i}.png", "run", i, read=lambda i=i: images[i]) for i in range(12)]
    build(tmp_path / "m", frames, encoder=_make(first, words=16)).close()
    with PlaceMemory.open(tmp_path / "m") as memory:
        answers = [
            memory.search(memory.encoder(device=device, precision="float32").encode(images), k=3)
            for device in (first, then)
        ]
        for mine, other in zip(*answers, strict=True):
            assert [c.place.id for c in mine] == [c.place.id for c in other]
            np.testing.assert_allclose(
                [c.similarity for c in mine], [c.similarity for c in other], atol=EQUAL
            )
        more = [Frame("new.png", "later", 0, read=lambda: images[0])]
        encoder = memory.encoder(device=then, precision="float32")
    with build(tmp_path / "m", more, encoder=encoder) as memory:
        assert len(memory) == 13


@needs_torch
def test_the_graph_in_the_package_is_the_published_network() -> None:
    import torch

    from placememory.encoders import lite, lite0

    network = lite0.load_trunk(find_weights(catalogue.LITE0_WEIGHTS))
    graph = Graph(find_weights(catalogue.LITE_TRUNK))
    assert graph.metadata["licence"] == catalogue.LITE_TRUNK.licence == "Apache-2.0"
    for size in ((64, 64), (208, 368)):
        image = np.random.default_rng(2).integers(0, 256, (1, *size, 3), dtype=np.uint8)
        x = (torch.from_numpy(image).permute(0, 3, 1, 2).float() - 127.0) / 128.0
        with torch.inference_mode():
            wanted = lite.local_features(network(x)).numpy()
        np.testing.assert_allclose(graph.run(image), wanted, atol=EQUAL)


@needs_torch
def test_vlad_in_numpy_and_torch_agree() -> None:
    import torch

    from placememory.encoders.vlad import vlad as on_torch

    rng = np.random.default_rng(0)
    features, words = (rng.normal(size=(n, 6)).astype(np.float32) for n in (40, 5))
    words[4] = 50.0  # a word that no feature is near to
    wanted = on_torch(torch.from_numpy(features[None]), torch.from_numpy(words))[0].numpy()
    np.testing.assert_allclose(vlad(features, words), wanted, atol=1e-6)
    assert np.isfinite(vlad(words, words)).all()  # no residual anywhere


def test_threads_change_no_bit(ours, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [*smooth_images(9), *smooth_images(3, 200, 120)]
    together = ours.encode(images)
    monkeypatch.setattr("placememory.encoders.lite_vlad.count_cores", lambda: 1)
    monkeypatch.setattr("placememory.encoders.graph.count_cores", lambda: 1)
    alone = encoders.from_card(ours.card)
    np.testing.assert_array_equal(np.concatenate([alone.encode([i]) for i in images]), together)


@pytest.mark.parametrize("device", ["cpu", *ENGINES[1:]])
def test_threads_that_come_and_go_share_an_engine(device: str) -> None:
    encoder = _make(device)
    images = smooth_images(6, 64, 64)
    first = list(encoder.find_features(images))
    for _ in range(25):
        np.testing.assert_array_equal(list(encoder.find_features(images)), first)


def test_what_reads_images_lazily_is_fitted_one_after_another() -> None:
    taken: list[int] = []

    def images():
        for i, image in enumerate(smooth_images(20)):
            taken.append(i)
            yield image

    encoder = _make("cpu", words=8)
    first = next(iter(encoder.find_features(images())))
    assert first.shape[1] == catalogue.LITE_CHANNELS
    assert len(taken) < 20
    fitted, rows = encoder.fit_encode(images())
    assert rows.shape == (20, fitted.card.dim)


def test_too_few_features_for_the_words() -> None:
    with pytest.raises(EncoderError, match="64 words cannot be fitted on 1 local features"):
        fit_words([np.ones((1, 4), np.float32)], k=64, seed=0)


@pytest.mark.parametrize(
    ("name", "device", "precision", "message"),
    [
        ("lite-vlad", "onnxruntime", "bfloat16", "runs in float32 on ONNX Runtime"),
        ("lite-vlad", "onnxruntime", "int3", "precision is 'int3'"),
        pytest.param(
            "cosplace", "onnxruntime", "auto", "onnxruntime runs exported", marks=needs_torch
        ),
        pytest.param("cosplace", "openvino", "auto", "placememory export", marks=needs_torch),
    ],
)
def test_what_an_engine_cannot_do(name: str, device: str, precision: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        encoders.create(name, device=device, precision=precision)


def test_openvino_that_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"placememory\[openvino\]"):
        encoders.create("lite-vlad", device="openvino")


@pytest.mark.skipif(find_spec("openvino") is None, reason="no extra 'openvino'")
def test_openvino_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="OpenVINO cannot read it"):
        Graph(path, "openvino")
    with pytest.raises(SettingError, match="float16"):
        encoders.create("lite-vlad", device="openvino", precision="float16")
    rough = encoders.create("lite-vlad", device="openvino", precision="bfloat16", words=8)
    assert isinstance(rough, FittableEncoder)
    images = smooth_images(4)
    fitted = rough.fit(images)
    exact = encoders.from_card(fitted.card)
    assert (fitted.encode(images) * exact.encode(images)).sum(axis=1).min() > 0.9
