"""Losses, and that parts and precisions change the gradient of a batch by rounding only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from placememory.encoders.device import choose_device
from placememory.errors import EncoderMismatchError, SettingError
from placememory.training.config import Loss, Mining
from placememory.training.inputs import TrunkEncoder
from placememory.training.network import Parts
from placememory.training.sampling import Batch
from placememory.training.step import JointCost, MultiSimilarityCost, TripletCost, create_cost
from placememory.training.trainer import Trainer, create_encoder, make_trunk
from tests.training.made import training


def rows(count: int, dim: int = 8, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def test_the_triplet_cost_is_torchs_summed_over_all_and_divided() -> None:
    """As the reference: the sum over triplets by batch and negatives."""
    described = rows(3 * 7)
    cost, active = TripletCost(0.3, 5)((None, described), torch.zeros(21))
    loss = torch.nn.TripletMarginLoss(margin=0.3, p=2, reduction="sum")
    sums, each = torch.zeros(()), torch.nn.TripletMarginLoss(margin=0.3, reduction="none")
    count = 0
    for query, positive, *negatives in torch.unflatten(described, 0, (3, 7)):
        q, p = (x.expand(5, -1) for x in (query, positive))
        sums = sums + loss(q, p, torch.stack(negatives))
        count += int((each(q, p, torch.stack(negatives)) > 0).sum())
    assert float(cost) == pytest.approx(float(sums) / 15, rel=1e-6)
    assert 0 < active < 1
    assert active == pytest.approx(count / 15)


def test_multi_similarity_falls_when_places_separate() -> None:
    cost, labels = MultiSimilarityCost(Loss()), torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    mixed = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    good, bad = cost((None, apart), labels), cost((None, mixed), labels)
    assert good == (0.0, 0.0)
    assert (float(bad[0]) > 0.5, bad[1]) == (True, 1.0)


def test_joint_adds_the_frames_with_their_weight() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    frames, windows = rows(12, seed=1).reshape(4, 3, 8), rows(4, seed=2)
    alone = MultiSimilarityCost(Loss())
    joint, _ = JointCost(Loss(kind="joint", frame_weight=0.25))((frames, windows), labels)
    parts = alone((None, windows), labels)[0] + 0.25 * alone((None, frames[:, -1]), labels)[0]
    assert float(joint) == pytest.approx(float(parts))


def test_joint_needs_descriptors_of_frames() -> None:
    cost = create_cost(Loss(kind="joint"), Mining())
    with pytest.raises(SettingError, match="single frames"):
        cost((None, rows(4)), torch.tensor([0, 0, 1, 1]))


CACHED = {
    "loss": {"kind": "triplet", "margin": 0.5},
    "mining": {"kind": "cached", "queries": 8, "negatives": 30, "per_query": 2},
    "optimization": {"batch": 4},
}
JOINT = {
    "encoder": {"name": "lite-seq", "options": {"words": 4, "dim": 16}},
    "data": {"length": 2},
    "loss": {"kind": "joint"},
    "mining": {"places": 2, "views": 2},
}
KINDS = [({}, "multi-similarity"), (CACHED, "triplet"), (JOINT, "joint")]


def gradient(trainer: Trainer, batch: Batch, micro: int | None) -> tuple[float, torch.Tensor]:
    """Loss and gradient of a batch that passes in parts."""
    object.__setattr__(trainer.stepper, "micro", micro)
    result = trainer.stepper.run(batch, (1, 2))
    found = [p.grad.flatten().clone() for _, p in trainer.parts.trained_parameters()]  # type: ignore[union-attr]
    trainer.optimizer.zero_grad()
    return result.loss, torch.cat(found)


@pytest.mark.parametrize("changes", [k[0] for k in KINDS], ids=[k[1] for k in KINDS])
def test_parts_do_not_change_the_gradient(tmp_path: Path, changes: dict[str, object]) -> None:
    augment = {"colour": 0.4, "crop": 0.2}
    encoder = {"train": "last:1"} if "encoder" not in changes else {}
    trainer = Trainer(training(tmp_path, **{"encoder": encoder, **changes, "augment": augment}))
    batch = next(trainer.sampler.epoch(0))
    loss, whole = gradient(trainer, batch, None)
    assert loss > 0
    assert whole.abs().max() > 1e-5
    for micro in (1, 2, 3):
        again, parts = gradient(trainer, batch, micro)
        assert again == pytest.approx(loss, rel=1e-5)
        assert (parts - whole).abs().max() <= 1e-6 + 1e-5 * whole.abs().max()


def test_half_precision_is_near(tmp_path: Path) -> None:
    plain = Trainer(training(tmp_path))
    batch = next(plain.sampler.epoch(0))
    loss, whole = gradient(plain, batch, None)
    half = Trainer(training(tmp_path, optimization={"precision": "bfloat16"}))
    near, parts = gradient(half, batch, 3)
    assert near != loss
    assert near == pytest.approx(loss, rel=0.05)
    assert torch.nn.functional.cosine_similarity(whole, parts, dim=0) > 0.98


def test_float16_does_not_train_on_a_processor(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="bfloat16"):
        Trainer(training(tmp_path, optimization={"precision": "float16"}))


def test_what_a_cached_trunk_says_is_what_it_would_say(tmp_path: Path) -> None:
    plain = Trainer(training(tmp_path))
    batch = next(plain.sampler.epoch(0))
    loss, whole = gradient(plain, batch, None)
    cached = Trainer(training(tmp_path, running={"cache_trunk": True}))
    near, parts = gradient(cached, batch, None)
    assert near == pytest.approx(loss, rel=1e-3)
    assert (parts - whole).norm() < 0.01 * whole.norm()
    windows = batch.windows[:3]
    assert np.allclose(
        plain.describe_training(windows), cached.describe_training(windows), atol=1e-3
    )
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs/trunk_cache").iterdir()}
    assert len([p for p in files if p.suffix == ".npy"]) == 3  # training, two validation sets
    Trainer(training(tmp_path, running={"cache_trunk": True}))
    assert {path: path.stat().st_mtime_ns for path in files} == files  # nothing is run again


def test_a_trunk_cache_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    config = training(tmp_path, running={"cache_trunk": True})
    whole = Trainer(config)
    for mark in (tmp_path / "runs/trunk_cache").glob("*.json"):
        mark.unlink()
    for rows_ in (tmp_path / "runs/trunk_cache").glob("*.npy"):
        rows_.write_bytes(rows_.read_bytes()[:500])
    again = Trainer(config)
    windows = whole.data.queries[:4]
    assert np.array_equal(whole.describe_training(windows), again.describe_training(windows))


def test_workers_fill_the_trunk_cache_as_one_process_does(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster'")
    alone = Trainer(training(tmp_path / "alone", running={"cache_trunk": True}))
    with distributed.LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        running = {"cache_trunk": True, "scheduler": cluster.scheduler_address}
        shared = Trainer(training(tmp_path / "shared", running=running))
        assert "describe_shard" in cluster.scheduler.task_prefixes
    windows = alone.data.queries[:4]
    assert np.array_equal(alone.describe_training(windows), shared.describe_training(windows))
    suffixes = {path.suffix for path in (tmp_path / "shared/runs/trunk_cache").iterdir()}
    assert suffixes == {".npy", ".json"}


def test_a_worker_with_another_trunk_is_refused(tmp_path: Path) -> None:
    config = training(tmp_path)
    made = create_encoder(config)
    trunk = Parts(made, config.encoder).trunk
    device = choose_device("cpu", "float32")
    card = TrunkEncoder(trunk, made.card.preprocess, device, 8).card
    assert make_trunk(card, training=config, device="cpu").card.hash == card.hash
    other = card.replace(weights_sha256="0" * 64)
    with pytest.raises(EncoderMismatchError, match=r"another one in a worker \(weights_sha256\)"):
        make_trunk(other, training=config, device="cpu")


def test_windows_are_described_as_one_by_one(tmp_path: Path) -> None:
    trainer = Trainer(training(tmp_path, **JOINT))
    windows = np.concatenate([trainer.data.queries[5:40][::-1], trainer.data.queries[:2]])
    together = trainer.describe_training(windows)
    alone = np.concatenate([trainer.describe_training(window[None]) for window in windows[::6]])
    assert np.allclose(together[::6], alone, atol=1e-5)
