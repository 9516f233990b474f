"""Compute is counted, not guessed."""

import pytest
import torch
from torch import nn

from fairbench.training.passes import PassCounter, Passes


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def test_a_training_step_is_one_forward_and_one_weight_backward(net: nn.Module) -> None:
    with PassCounter(net) as counter:
        net(torch.rand(5, 4)).sum().backward()
    assert counter.passes == Passes(forwards=5, weight_backwards=5)
    assert counter.passes.units == 5 + 2 * 5


def test_input_gradients_of_a_frozen_network_are_cheaper(net: nn.Module) -> None:
    net.requires_grad_(False)
    images = torch.rand(5, 4, requires_grad=True)
    with PassCounter(net) as counter:
        torch.autograd.grad(net(images).sum(), images)
    assert counter.passes == Passes(forwards=5, input_backwards=5)
    assert counter.passes.units == 10


def test_forwards_without_gradient_are_forwards_only(net: nn.Module) -> None:
    with PassCounter(net) as counter, torch.no_grad():
        net(torch.rand(7, 4))
        net(torch.rand(2, 4))
    assert counter.passes == Passes(forwards=9)


def test_a_forward_that_nobody_differentiates_costs_one(net: nn.Module) -> None:
    with PassCounter(net) as counter:
        net(torch.rand(7, 4))
    assert counter.passes == Passes(forwards=7)


def test_counts_continue_and_stop_at_the_end(net: nn.Module) -> None:
    """Given passes are added to, for a training in several sittings; nothing is counted outside."""
    passes = Passes(forwards=100)
    with PassCounter(net, passes):
        net(torch.rand(1, 4))
    net(torch.rand(50, 4))
    assert passes.forwards == 101


def test_it_stops_after_an_exception(net: nn.Module) -> None:
    counter = PassCounter(net)
    with pytest.raises(RuntimeError), counter:
        net(torch.rand(1, 5))
    net(torch.rand(50, 4))
    assert counter.passes.forwards == 0


def test_results_are_unchanged(net: nn.Module) -> None:
    images = torch.rand(3, 4)
    expected = net(images)
    with PassCounter(net):
        assert torch.equal(net(images), expected)
