"""A model is left exactly as it was found."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from fairbench.attacks import frozen


def test_parameters_need_no_gradient_and_all_is_in_eval_mode_inside(small_net: nn.Module) -> None:
    with frozen(small_net):
        assert not any(parameter.requires_grad for parameter in small_net.parameters())
        assert not any(module.training for module in small_net.modules())


@pytest.mark.parametrize("fails", [False, True])
def test_every_flag_is_restored_also_after_an_exception(small_net: nn.Module, fails: bool) -> None:
    """A partly frozen, partly evaluating model stays so."""
    first, norm = small_net[0], small_net[1]  # type: ignore[index]  # it is a Sequential
    first.bias.requires_grad_(False)
    norm.eval()
    flags = [p.requires_grad for p in small_net.parameters()]
    modes = [module.training for module in small_net.modules()]
    images = torch.rand(2, 3 if fails else 1, 4, 4)  # a wrong number of channels fails inside
    with nullcontext() if not fails else pytest.raises(RuntimeError), frozen(small_net):
        small_net(images)
    assert [p.requires_grad for p in small_net.parameters()] == flags
    assert [module.training for module in small_net.modules()] == modes


def test_train_mode_keeps_modes(small_net: nn.Module) -> None:
    with frozen(small_net, train_mode=True):
        assert all(module.training for module in small_net.modules())
        before = small_net[1].running_mean.clone()  # type: ignore[index]
        small_net(torch.rand(4, 1, 4, 4))
        assert not torch.equal(before, small_net[1].running_mean)  # type: ignore[index]


def test_statistics_stay_as_they_were_where_a_module_refuses_eval_mode(small_net: nn.Module) -> None:
    norm = small_net[1]  # type: ignore[index]
    norm.train = lambda _mode=True: norm
    before = {name: value.clone() for name, value in small_net.state_dict().items()}
    with frozen(small_net):
        assert norm.training
        small_net(torch.rand(4, 1, 4, 4))
    assert all(torch.equal(value, before[name]) for name, value in small_net.state_dict().items())
