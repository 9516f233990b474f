"""Measuring: what the attack would see, and a network that does not notice."""

from dataclasses import replace

import torch
from torch import nn

from fairbench.attacks import measured_logits
from fairbench.protocol.threat import Threat


def test_it_is_the_eval_mode_forward_without_gradient(small_net: nn.Module, threat: Threat) -> None:
    """Batch norm neither uses nor updates the batch's statistics; modes, gradients and random numbers stay."""
    images = torch.rand(8, 1, 4, 4)
    expected = small_net.eval()(images).detach()
    small_net.train()
    before = {name: value.clone() for name, value in small_net.state_dict().items()}
    state = torch.get_rng_state()
    found = measured_logits(small_net, images, threat=threat)
    assert torch.equal(found, expected)
    assert not torch.equal(small_net(images), expected)
    small_net.load_state_dict(before)
    measured_logits(small_net, images, threat=threat)
    assert all(torch.equal(value, before[name]) for name, value in small_net.state_dict().items())
    assert all(module.training for module in small_net.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in small_net.parameters())
    assert not found.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


def test_it_has_the_precision_of_the_attack(small_net: nn.Module, threat: Threat) -> None:
    """Training forwards may be bf16 while the attack is fp32; both sides of a KL must be alike."""
    images = torch.rand(8, 1, 4, 4)
    full = measured_logits(small_net, images, threat=threat)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(measured_logits(small_net, images, threat=threat), full)
    half = measured_logits(small_net, images, threat=replace(threat, attack_precision="bf16"))
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
