"""Groups of parameters, their rates, and the schedule."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from placememory.encoders import create
from placememory.training.config import EncoderChoice, Optimization
from placememory.training.network import Parts
from placememory.training.step import create_optimizer, factor, set_rates


@pytest.fixture(scope="module")
def parts() -> Parts:
    encoder = create("cosplace", "random", precision="float32", dim=32)
    return Parts(encoder, EncoderChoice(name="cosplace", train="all"))


def groups(parts: Parts, settings: Optimization) -> dict[str, tuple[float, float]]:
    """Rate and decay of each parameter."""
    names = {id(p): n for n, p in parts.network.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in create_optimizer(parts, settings).param_groups
        for p in group["params"]
    }


def test_biases_norms_and_exponents_do_not_decay(parts: Parts) -> None:
    found = groups(parts, Optimization(weight_decay=0.1))
    assert set(found) == set(parts.trained)
    parameters = dict(parts.network.named_parameters())
    for name, (_, decay) in found.items():
        assert decay == (0.1 if parameters[name].ndim > 1 else 0.0), name
    assert {n for n, (_, decay) in found.items() if decay} >= {"aggregation.3.weight"}


@pytest.mark.parametrize(
    ("name", "part"), [("seqvlad", "aggregator.centroids"), ("lite-net", "head.words")]
)
def test_centroids_do_not_decay(name: str, part: str) -> None:
    options = {"backbone": "r18l3"} if name == "seqvlad" else {}
    encoder = create(name, "random", precision="float32", **options)
    found = groups(Parts(encoder, EncoderChoice(name=name)), Optimization(weight_decay=0.1))
    assert found[part][1] == 0.0


def test_deeper_blocks_learn_slower(parts: Parts) -> None:
    found = groups(parts, Optimization(lr=1.0, trunk_lr=0.5, layer_decay=0.1))
    assert found["aggregation.3.weight"][0] == 1.0
    for block, rate in (("7.", 0.5), ("6.", 0.05), ("5.", 0.005)):
        rates = [r for n, (r, _) in found.items() if n.startswith(f"backbone.{block}")]
        assert rates == pytest.approx([rate] * len(rates))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_rates_follow_the_share(parts: Parts, name: str) -> None:
    optimizer = create_optimizer(parts, Optimization(optimizer=name, lr=0.4, layer_decay=0.5))
    assert isinstance(optimizer, torch.optim.SGD) == (name == "sgd")
    set_rates(optimizer, 0.25)
    assert {round(g["lr"] / g["base_lr"], 9) for g in optimizer.param_groups} == {0.25}


@given(
    st.integers(1, 300),
    st.floats(0, 0.9),
    st.sampled_from(["cosine", "step", "constant"]),
)
def test_a_schedule_rises_and_then_only_falls(total: int, warmup: float, kind: str) -> None:
    settings = Optimization(schedule=kind, warmup=warmup)
    shares = [factor(step, total, settings) for step in range(total)]
    top = round(warmup * total)
    assert all(0 < share <= 1 for share in shares)
    assert all(a < b for a, b in pairwise(shares[:top]))
    assert all(a >= b for a, b in pairwise(shares[top:]))
    if top < total:
        assert shares[top] == 1.0


def test_the_ends_of_schedules() -> None:
    settings = Optimization(warmup=0.0, schedule="step")
    assert [round(factor(s, 9, settings), 3) for s in (0, 2, 3, 6, 8)] == [1, 1, 0.1, 0.01, 0.01]
    assert factor(8, 9, Optimization(warmup=0.0, schedule="constant")) == 1.0
    assert factor(99, 100, Optimization(warmup=0.0)) < 1e-3
