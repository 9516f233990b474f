"""Standard training: clean images, one forward, nothing else."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fairbench.method.losses import cross_entropy
from fairbench.training.passes import PassCounter
from fairbench_methods.pgd_at import PGDAT
from fairbench_methods.standard import Standard
from fairbench_methods.trades import TRADES
from fixture_types import Call


def test_loss_is_the_mean_cross_entropy_of_the_clean_batch(prepare: Call, make_net: Call, make_batch: Call) -> None:
    method, batch, net = prepare(Standard()), make_batch(), make_net()
    seen: list[Tensor] = []
    method.model.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0]))
    assert torch.equal(method.loss(batch), cross_entropy(net(batch.images), batch.labels).mean())
    (images,) = seen
    assert images is batch.images


def test_it_draws_no_noise(prepare: Call, make_batch: Call, step: Call) -> None:
    method = prepare(Standard())
    noise, own = method.noise.get_state(), method.setup.generator.get_state()
    step(method, make_batch())
    assert torch.equal(method.noise.get_state(), noise)
    assert torch.equal(method.setup.generator.get_state(), own)


def test_it_costs_one_forward_and_one_backward_with_weights(prepare: Call, make_batch: Call, step: Call) -> None:
    method = prepare(Standard())
    with PassCounter(method.model) as counter:
        step(method, make_batch(16))
    assert counter.passes.units == 3 * 16
    assert counter.passes.input_backwards == 0


@pytest.mark.parametrize("robust", [PGDAT(), TRADES(beta=0)], ids=["pgd-at without a radius", "trades without beta"])
def test_robust_methods_end_here(robust: Any, prepare: Call, make_batch: Call) -> None:
    """I1 and I2: what is left of them without an attack, or without a price on it."""
    expected = prepare(Standard()).loss(make_batch())
    assert torch.equal(prepare(robust, epsilon=1e-12).loss(make_batch()), expected)
