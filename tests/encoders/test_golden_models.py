"""Published encoders against outputs recorded from the reference implementations."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders import Preprocess
from placememory.errors import WeightsError

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from placememory.encoders._device import choose_device  # noqa: E402

MODELS = [
    ("cosplace_resnet18_512", "cosplace", {}, 2e-5),
    ("eigenplaces_resnet50_2048", "eigenplaces", {"backbone": "resnet50", "dim": 2048}, 2e-5),
    ("eigenplaces_vgg16_512", "eigenplaces", {"backbone": "vgg16", "dim": 512}, 2e-5),
    ("casevpr_ep_r18gem", "eigenplaces", {}, 2e-5),
    ("mixvpr_resnet50_4096", "mixvpr", {}, 5e-5),
]


@pytest.fixture(scope="module")
def fill(golden: Path) -> ModuleType:
    """The rule by which the references' parameters were made."""
    spec = importlib.util.spec_from_file_location("golden_fill", golden / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _state(fill: ModuleType, layout: list[list[object]]) -> dict[str, object]:
    """The checkpoint of a recorded layout."""
    return {
        key: torch.from_numpy(fill.fill_array(key, shape))
        if kind.startswith("float")
        else torch.zeros(shape, dtype=getattr(torch, kind))
        for key, shape, kind in layout
    }


@pytest.mark.real
@pytest.mark.parametrize(("recorded", "name", "options", "bound"), MODELS, ids=lambda v: str(v))
@pytest.mark.parametrize("wrapper", ["plain", "wrapped"])
def test_equals_the_reference(
    golden: Path, fill: ModuleType, tmp_path: Path, recorded, name, options, bound, wrapper
) -> None:
    facts = json.loads((golden / f"models/{recorded}.json").read_text())
    outputs = np.load(golden / f"models/{recorded}.npz")
    state = _state(fill, facts["state_dict"])
    path = tmp_path / "weights.pth"
    if wrapper == "plain":
        torch.save(state, path)
    else:
        wrapped = {f"module.{key}": value for key, value in state.items()}
        torch.save({"model_state_dict": wrapped, "epoch": 3}, path)
    encoder = encoders.create(name, path, **options)
    assert encoder.card.dim == facts["descriptor_dim"]
    if not recorded.startswith("casevpr"):  # that layout is accepted, and renamed
        shapes = {key: tuple(value.shape) for key, value in encoder.module.state_dict().items()}
        assert shapes == {key: tuple(shape) for key, shape, _ in facts["state_dict"]}
    kinds = ("blocks",) if wrapper == "wrapped" else ("blocks", "noise")
    for kind in kinds:
        given = facts["inputs"][kind]
        images = fill.block_images if kind == "blocks" else fill.noise_images
        found = encoder.embed(torch.from_numpy(images(given["seed"], given["shape"]))).numpy()
        expected = outputs[f"{kind}/descriptor"]
        error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert error.max() <= bound


@pytest.mark.real
@pytest.mark.parametrize("size", ["down", "up"])
@pytest.mark.parametrize(
    ("recorded", "resize_on", "bound"),
    [
        ("casevpr_input_transform", "tensor", 1e-5),
        ("casevpr_input_transform_vgt", "image", 1e-6),
        ("normalise_then_tensor_resize", "normalised", 1e-5),
    ],
)
def test_preprocessing_equals_the_reference(golden: Path, size, recorded, resize_on, bound) -> None:
    arrays = np.load(golden / "preprocess/preprocess.npz")
    expected = arrays[f"{recorded}/{size}"]
    preprocess = Preprocess(size=expected.shape[1:], resize_on=resize_on)
    device = choose_device("cpu", "float32")
    found = device.normalised(preprocess.resize(arrays["image_rgb"])[None], preprocess)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=bound)


def test_a_wrong_file_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = encoders.create("cosplace", "random").module.state_dict()
    del state["aggregation.1.p"]
    state["extra"] = torch.zeros(1)
    state["aggregation.3.bias"] = torch.zeros(7)
    torch.save(state, path)
    with pytest.raises(WeightsError) as caught:
        encoders.create("cosplace", path)
    for part in ("1 missing keys: aggregation.1.p", "extra", "(7,) instead of (512,)"):
        assert part in str(caught.value)


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "path": Path("x")}, path)
    with pytest.raises(WeightsError, match="cannot read the weights"):
        encoders.create("cosplace", path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosplace", {}, "ResNet18_512_cosplace.pth"),
        ("eigenplaces", {"backbone": "resnet50", "dim": 2048}, "ResNet50_2048_eigenplaces.pth"),
        ("eigenplaces", {"dim": 77}, "no published weights"),
        ("mixvpr", {}, "drive.google.com"),
    ],
)
def test_missing_weights_are_never_random(monkeypatch, tmp_path, name, options, message) -> None:
    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "1")
    with pytest.raises(WeightsError, match=message):
        encoders.create(name, **options)


@pytest.mark.parametrize("name", ["cosplace", "mixvpr"])
def test_images_of_any_size_become_unit_descriptors(name: str) -> None:
    encoder = encoders.create(name, "random")
    images = [np.full((64, 96, 3), 90, np.uint8), np.full((100, 70, 3), 20, np.uint8)]
    found = encoder.encode(images)
    assert found.shape == (2, encoder.card.dim)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-4)
    assert encoder.encode([]).shape == (0, encoder.card.dim)


@pytest.fixture(scope="module")
def matlab_file(golden: Path, fill: ModuleType, tmp_path_factory) -> Path:
    """A file in the layout of the MATLAB release, with the golden parameters."""
    scipy = pytest.importorskip("scipy.io", reason="the extra 'torch' is not installed")
    facts = json.loads((golden / "models/hloc_netvlad.json").read_text())
    arrays = {key: fill.fill_array(key, shape) for key, shape, _ in facts["state_dict"]}
    layers = np.empty(35, dtype=object)
    for i in range(35):
        layers[i] = {"name": f"layer{i}"}
    for key in arrays:
        if key.startswith("backbone.") and key.endswith("weight"):
            number = key.split(".")[1]
            layers[int(number)]["weights"] = _cell(
                arrays[key].transpose(2, 3, 1, 0), arrays[f"backbone.{number}.bias"]
            )
    layers[30]["weights"] = _cell(
        arrays["netvlad.score_proj.weight"][:, :, 0].T[None, None],
        -arrays["netvlad.centers"][None, None],
    )
    layers[33]["weights"] = _cell(
        arrays["whiten.weight"].T[None, None], arrays["whiten.bias"][:, None]
    )
    mean = np.tile(np.float32(facts["golden_average_image"]), (4, 4, 1))
    net = {"layers": layers, "meta": {"normalization": {"averageImage": mean}}}
    path = tmp_path_factory.mktemp("netvlad") / "Pitts30K_struct.mat"
    scipy.savemat(path, {"net": net})
    return path


def _cell(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    cell = np.empty(2, dtype=object)
    cell[0], cell[1] = first, second
    return cell


@pytest.mark.real
def test_netvlad_equals_hloc(golden: Path, fill: ModuleType, matlab_file: Path) -> None:
    facts = json.loads((golden / "models/hloc_netvlad.json").read_text())
    outputs = np.load(golden / "models/hloc_netvlad.npz")
    encoder = encoders.create("netvlad", matlab_file)
    shapes = {key: tuple(value.shape) for key, value in encoder.module.state_dict().items()}
    assert shapes == {key: tuple(shape) for key, shape, _ in facts["state_dict"]}
    mean = torch.tensor(facts["golden_average_image"])[:, None, None]
    given = facts["inputs"]["blocks"]
    images = fill.unit_range(fill.block_images(given["seed"], given["shape"]))
    x = torch.from_numpy(images) * 255.0 - mean
    for found, name in (
        (encoder.embed(x), "descriptor"),
        (encoder.module.vlad(x).detach(), "vlad"),
    ):
        expected = outputs[f"blocks/{name}"]
        error = np.linalg.norm(found.numpy() - expected, axis=1)
        assert error.max() <= 2e-5
    one = (images[0].transpose(1, 2, 0) * 255.0).round().astype(np.uint8)
    whole = encoder.encode([one])[0]
    cut = encoders.create("netvlad", matlab_file, dim=256).encode([one])[0]
    np.testing.assert_allclose(cut, whole[:256] / np.linalg.norm(whole[:256]), atol=1e-6)


@pytest.mark.real
def test_damaged_matlab_files_are_refused(matlab_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mat"
    path.write_bytes(matlab_file.read_bytes()[:3_000_000])
    with pytest.raises(WeightsError, match="no complete NetVLAD release"):
        encoders.create("netvlad", path)


@pytest.mark.real
def test_area_resizing_equals_hloc(golden: Path) -> None:
    arrays = np.load(golden / "preprocess/preprocess.npz")
    expected = arrays["hloc_resize_max_80"]
    preprocess = Preprocess(
        longest=80, enlarge=False, interpolation="area", resize_on="tensor",
        mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
    )  # fmt: skip
    device = choose_device("cpu", "float32")
    found = device.normalised(preprocess.resize(arrays["image_rgb"])[None], preprocess)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-5)
    small = np.zeros((20, 30, 3), np.uint8)
    assert device.normalised(small[None], preprocess).shape[-2:] == (20, 30)
