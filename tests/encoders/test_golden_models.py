"""Published encoders against outputs recorded from the reference implementations."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders import Preprocess
from placememory.encoders.checkpoint import read_checkpoint
from placememory.encoders.device import choose_device
from placememory.errors import WeightsError
from tests.encoders.recorded import Recorded, shapes_of, torch

MODELS = [
    ("cosplace_resnet18_512", "cosplace", {}, 2e-5),
    ("eigenplaces_resnet50_2048", "eigenplaces", {"backbone": "resnet50", "dim": 2048}, 2e-5),
    ("eigenplaces_vgg16_512", "eigenplaces", {"backbone": "vgg16", "dim": 512}, 2e-5),
    ("casevpr_ep_r18gem", "eigenplaces", {"size": 384}, 2e-5),
    ("mixvpr_resnet50_4096", "mixvpr", {}, 5e-5),
    ("boq_resnet50_16384", "boq-resnet50", {}, 2e-5),
    ("casevpr_netvlad_wpca4096", "netvlad-wpca", {}, 2e-5),
]


def _saved(recorded: Recorded, path: Path, wrapper: str) -> Path:
    state = recorded.state()
    if wrapper == "plain":
        torch.save(state, path)
    else:
        wrapped = {f"module.{key}": value for key, value in state.items()}
        torch.save({"model_state_dict": wrapped, "epoch": 3}, path)
    return path


@pytest.mark.real
@pytest.mark.parametrize(("record", "name", "options", "bound"), MODELS, ids=lambda v: str(v))
def test_equals_the_reference(golden, tmp_path, record, name, options, bound) -> None:
    recorded = Recorded(golden, record)
    wrapper = "wrapped" if record.startswith("casevpr") else "plain"
    encoder = encoders.create(name, _saved(recorded, tmp_path / "w.pth.tar", wrapper), **options)
    assert encoder.card.dim == recorded.facts["descriptor_dim"]
    if record != "casevpr_ep_r18gem":  # that layout is accepted, and renamed
        assert shapes_of(encoder.module) == recorded.shapes
    for kind in recorded.kinds:
        found = encoder.embed(recorded.input(kind))
        assert recorded.error(f"{kind}/descriptor", found) <= bound


@pytest.mark.real
@pytest.mark.parametrize(
    ("record", "name", "frames"),
    [
        ("jist_resnet18_seqgem", "jist", "frame_desc"),
        ("casevpr_hvpr_seqnet", "seqnet", "img_desc"),
    ],
)
def test_sequence_encoders_equal_the_reference(golden, tmp_path, record, name, frames) -> None:
    recorded = Recorded(golden, record)
    encoder = encoders.create(name, _saved(recorded, tmp_path / "w.pth", "wrapped"))
    assert shapes_of(encoder.module) == recorded.shapes
    for kind in recorded.kinds:
        windows = recorded.input(kind).unflatten(0, (-1, 5))
        found = [encoder.embed_window(window) for window in windows]
        of_frames = torch.cat([window[0] for window in found])
        of_sequences = torch.stack([window[1] for window in found])
        assert recorded.error(f"{kind}/{frames}", of_frames) <= 2e-5
        assert recorded.error(f"{kind}/seq_desc", of_sequences) <= 2e-5
        if f"{kind}/single_img_desc" in recorded.outputs:
            alone = encoder.embed(windows[0][:1])
            assert recorded.error(f"{kind}/single_img_desc", alone) <= 2e-5
    if name == "jist":  # a floor of zero for the frames' values would be noticed
        encoder.module.seq_gem.floor = 0.0
        for window in windows:
            assert torch.isfinite(encoder.embed_window(window)[1]).all()
        changed = torch.stack([encoder.embed_window(window)[1] for window in windows])
        assert recorded.error("blocks/seq_desc", changed) > 2e-5


@pytest.mark.real
def test_a_wrong_epsilon_or_exponent_is_noticed(golden, tmp_path) -> None:
    recorded = Recorded(golden, "eigenplaces_resnet50_2048")
    path = _saved(recorded, tmp_path / "w.pth", "plain")
    encoder = encoders.create("eigenplaces", path, backbone="resnet50", dim=2048)
    for part in encoder.module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eps = 1e-3
    found = encoder.embed(recorded.input("blocks"))
    assert recorded.error("blocks/descriptor", found) > 1e-3
    recorded = Recorded(golden, "casevpr_ep_r18gem")
    encoder = encoders.create("eigenplaces", _saved(recorded, path, "plain"))
    with torch.no_grad():
        encoder.module.aggregation[1].p.fill_(3.0)
    found = encoder.embed(recorded.input("blocks"))
    assert recorded.error("blocks/descriptor", found) > 1e-2


@pytest.mark.real
@pytest.mark.parametrize("size", ["down", "up"])
@pytest.mark.parametrize(
    ("recorded", "resize_on", "bound"),
    [
        ("casevpr_input_transform", "tensor", 1e-5),
        ("casevpr_input_transform_boq", "tensor", 1e-5),
        ("casevpr_input_transform_vgt", "image", 1e-6),
        ("normalise_then_tensor_resize", "normalised", 1e-5),
    ],
)
def test_preprocessing_equals_the_reference(golden: Path, size, recorded, resize_on, bound) -> None:
    arrays = np.load(golden / "preprocess/preprocess.npz")
    expected = arrays[f"{recorded}/{size}"]
    interpolation = "bicubic" if recorded.endswith("boq") else "bilinear"
    size = expected.shape[1:]
    preprocess = Preprocess(size=size, resize_on=resize_on, interpolation=interpolation)
    device = choose_device("cpu", "float32")
    found = device.normalise(preprocess.resize(arrays["image_rgb"])[None], preprocess)
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


class _Runs:
    """What a file that was made to do harm holds."""

    def __reduce__(self):
        return os.system, ("touch harm",)


class _Settings(dict):
    """Something a training program keeps in its checkpoints."""


def test_nothing_but_tensors_is_unpickled(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "settings": _Runs()}, path)
    with pytest.raises(WeightsError, match="could run code"):
        encoders.create("cosplace", path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_training_checkpoints_are_read_past_what_else_they_hold(tmp_path: Path, zipped) -> None:
    state = {"module.a": torch.ones(2)}
    content = {"epoch": 3, "recalls": np.array([1.5]), "best": np.float64(2.5), "state_dict": state}
    if zipped:
        foreign = {"settings": _Settings(a=1), "options": argparse.Namespace(b=2), "dir": tmp_path}
        content = {**foreign, **content}
    path = tmp_path / "last.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert read_checkpoint(path)["a"].tolist() == [1.0, 1.0]


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
def matlab_file(golden: Path, tmp_path_factory) -> Path:
    """A file in the layout of the MATLAB release, with the golden parameters."""
    scipy = pytest.importorskip("scipy.io", reason="the extra 'torch' is not installed")
    recorded = Recorded(golden, "hloc_netvlad")
    facts = recorded.facts
    arrays = {key: value.numpy() for key, value in recorded.state().items()}
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
def test_netvlad_equals_hloc(golden: Path, matlab_file: Path) -> None:
    recorded = Recorded(golden, "hloc_netvlad")
    encoder = encoders.create("netvlad", matlab_file)
    assert shapes_of(encoder.module) == recorded.shapes
    mean = torch.tensor(recorded.facts["golden_average_image"])[:, None, None]
    images = recorded.fill.unit_range(recorded.input("blocks").numpy())
    x = torch.from_numpy(images) * 255.0 - mean
    assert recorded.error("blocks/descriptor", encoder.embed(x)) <= 2e-5
    assert recorded.error("blocks/vlad", encoder.module.vlad(x)) <= 2e-5
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
    found = device.normalise(preprocess.resize(arrays["image_rgb"])[None], preprocess)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-5)
    small = np.zeros((20, 30, 3), np.uint8)
    assert device.normalise(small[None], preprocess).shape[-2:] == (20, 30)
