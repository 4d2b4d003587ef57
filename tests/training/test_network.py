"""Which parameters are trained, that the others stand still, and that windows stay apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from placememory.encoders import create, info, names
from placememory.encoders.cricavpr import CaseNet
from placememory.errors import EncoderError, SettingError, WeightsError
from placememory.training.config import EncoderChoice, Optimization
from placememory.training.network import Parts
from placememory.training.step import create_optimizer
from placememory.training.trainer import Trainer
from tests.training.made import training

# What of an encoder takes little memory to train, and the shape of a small window.
SMALL = (1, 64, 64)
STEPS: dict[str, tuple[str | tuple[str, ...], tuple[int, int, int]]] = {
    "boq-resnet50": ("head", SMALL),
    "casenet-224": ("adapters", (1, 224, 224)),
    "cosplace": ("all", SMALL),
    "eigenplaces": ("last:1", SMALL),
    "jist": ("all", (2, 64, 64)),
    "lite-net": ("all", (1, 96, 128)),
    "lite-seq": ("head", (2, 96, 128)),
    "mixvpr": ("last:1", (1, 320, 320)),
    "netvlad": (("netvlad.*",), SMALL),
    "salad": ("head", (1, 140, 140)),
    "seqvlad": ("all", (2, 64, 64)),
    "svpr": ("head", (5, 384, 384)),
}


def parts_of(name: str, train: str | tuple[str, ...] = "head", **choice: object) -> Parts:
    options: dict[str, object] = {
        "anyloc": {"model": "vits14", "layer": 9},
        "seqvlad": {"backbone": "r18l3"},
    }.get(name, {})
    encoder = create(name, "random", precision="float32", **options)
    return Parts(encoder, EncoderChoice(name=name, train=train, **choice))


@pytest.mark.parametrize("name", sorted(set(names()) - set(STEPS)))
def test_every_other_encoder_has_a_head_or_is_fitted(name: str) -> None:
    """Those that are large, or share their network with one above."""
    if info(name).needs_fit:
        with pytest.raises(EncoderError, match="fitted on the images"):
            parts_of(name)
        return
    parts = parts_of(name)
    assert parts.trunk_name is not None
    assert 0 < parts.counts()[0] < sum(parts.counts())


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_encoder_takes_a_step(name: str) -> None:
    train, shape = STEPS[name]
    parts = parts_of(name, train)
    assert parts.trunk_name is not None
    before = {key: value.clone() for key, value in parts.state().items()}
    parts.train()
    length, *size = shape
    _, windows = parts.net(torch.randn(2, length, 3, *size, generator=_seeded()))
    assert windows.shape[0] == 2
    (windows * torch.randn(windows.shape, generator=_seeded())).sum().backward()
    wanted = set(parts.trained)
    grads = {n for n, p in parts.network.named_parameters() if p.grad is not None}
    assert grads == wanted
    optimizer = create_optimizer(parts, Optimization(lr=1e-2))
    optimizer.step()
    changed = {k for k, v in parts.state().items() if not torch.equal(v, before[k])}
    assert changed
    assert changed <= wanted


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def casenet() -> Parts:
    return parts_of("casenet-224")


def chosen(parts: Parts, train: str | tuple[str, ...], **choice: object) -> set[str]:
    from placememory.training.network import choose_parameters

    wanted = EncoderChoice(name="casenet-224", train=train, **choice)
    return set(choose_parameters(parts.network, parts.trunk_name, wanted))


def test_what_of_casenet_is_trained(casenet: Parts) -> None:
    every = {name for name, _ in casenet.network.named_parameters()}
    head = {name for name in every if name.startswith("pooling.")}
    adapters = {name for name in every if ".adapter." in name}
    last = {name for name in every if name.startswith("encoder.blocks.11.")}
    assert chosen(casenet, "all") == every
    assert chosen(casenet, "head") == head
    assert chosen(casenet, "adapters") == head | adapters
    assert chosen(casenet, "adapters", adapter_blocks=1) == head | adapters & last
    assert chosen(casenet, "last:1") == head | last
    assert chosen(casenet, "last:99") >= {n for n in every if n.startswith("encoder.blocks.")}
    assert chosen(casenet, ("*.p", "encoder.norm.*")) == {
        "pooling.aggregation.1.p", "encoder.norm.weight", "encoder.norm.bias",
    }  # fmt: skip


def test_casenet_is_trained_as_in_the_reference(casenet: Parts) -> None:
    """11.79 M parameters: the last block's adapter and all of the pooling."""
    names_ = chosen(casenet, "adapters", adapter_blocks=1)
    count = sum(p.numel() for n, p in casenet.network.named_parameters() if n in names_)
    assert round(count / 1e6, 2) == 11.79


def test_depths_of_casenet(casenet: Parts) -> None:
    depths = {n: casenet.depth_of(n) for n, _ in casenet.network.named_parameters()}
    assert depths["pooling.aggregation.1.p"] is None
    assert depths["encoder.norm.weight"] == 0
    assert depths["encoder.blocks.11.adapter.D_fc1.weight"] == 0
    assert depths["encoder.blocks.0.norm1.weight"] == 11
    assert depths["encoder.cls_token"] == 12


def test_a_window_does_not_depend_on_its_batch(casenet: Parts) -> None:
    network = casenet.network
    assert isinstance(network, CaseNet)
    assert not network.mixes_sequences
    casenet.train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    states = torch.randn(3, 5, 14, 768, generator=_seeded())
    together = network.window(states)[1]
    alone = torch.cat([network.window(one[None])[1] for one in states])
    assert torch.allclose(together, alone, atol=1e-6)
    network.mixes_sequences = True  # as the reference trains
    assert not torch.allclose(network.window(states)[1], alone, atol=1e-3)
    network.mixes_sequences = False


@pytest.mark.parametrize("batchnorm", ["frozen", "trained"])
def test_what_is_frozen_stands_still(tmp_path: Path, batchnorm: str) -> None:
    """Parameters, batch statistics and dropout, bit for bit, over some steps."""
    choice = {"train": "last:1", "batchnorm": batchnorm}
    trainer = Trainer(training(tmp_path, encoder=choice, optimization={"steps_per_epoch": 2}))
    before = {key: value.clone() for key, value in trainer.parts.state().items()}
    for batch in trainer.sampler.epoch(0):
        trainer.stepper.run(batch, (0,))
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
    after = trainer.parts.state()
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    statistics = {key for key in after if "running" in key or "num_batches" in key}
    last = {key for key in statistics if key.startswith("backbone.7.")}
    assert set(trainer.parts.trained) <= changed
    assert changed - set(trainer.parts.trained) == (last if batchnorm == "trained" else set())


def test_frozen_dropout_drops_nothing_and_a_trained_one_does(casenet: Parts) -> None:
    casenet.train()
    assert any(m.training for m in casenet.network.modules() if isinstance(m, torch.nn.Dropout))
    assert not any(m.training for m in casenet.trunk.modules())
    casenet.eval()
    assert not any(m.training for m in casenet.network.modules())


def test_a_pattern_that_names_nothing_is_refused() -> None:
    with pytest.raises(SettingError, match="backbone, aggregation"):
        parts_of("cosplace", "no.such")


def test_a_trunk_is_loaded_from_its_publishers_file(casenet: Parts, tmp_path: Path) -> None:
    """DINOv2's file has no adapters; they stay as they are."""
    published = {
        key: value + 1.0
        for key, value in casenet.trunk.state_dict().items()
        if "adapter" not in key
    }
    torch.save(published, tmp_path / "dinov2_vitb14_pretrain.pth")
    parts = parts_of("casenet-224", trunk=str(tmp_path / "dinov2_vitb14_pretrain.pth"))
    for key, value in parts.trunk.state_dict().items():
        expected = published.get(key, casenet.trunk.state_dict()[key])
        assert torch.equal(value, expected), key


def test_a_trunk_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="not weights of this trunk"):
        parts_of("cosplace", trunk=str(path))


def test_a_state_without_its_trunk_is_whole(tmp_path: Path) -> None:
    """What is written while the trunk is cached loads as any checkpoint does."""
    parts = parts_of("cosplace")
    keys = set(parts.state())
    parts.take_out_trunk()
    assert set(parts.state()) == keys
    save_file(parts.state(), tmp_path / "whole.safetensors")
    assert set(load_file(tmp_path / "whole.safetensors")) == keys
    parts.load(parts.state())
    create("cosplace", tmp_path / "whole.safetensors")
