"""TRADES: its two terms by hand, and its attack."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench_methods.trades import TRADES
from fixture_types import Call


def test_fixture_f1() -> None:
    """CE, KL and L(beta = 6) by hand; the gradient through the clean prediction is not stopped."""
    clean = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    attacked = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    natural, boundary = cross_entropy(clean, torch.tensor([0])), kl_divergence(attacked, clean)
    assert natural.item() == pytest.approx(0.407606, abs=1e-6)
    assert boundary.item() == pytest.approx(0.432260, abs=1e-6)
    assert (natural + 6 * boundary).item() == pytest.approx(3.001166, abs=2e-6)
    boundary.sum().backward()  # type: ignore[no-untyped-call]
    assert clean.grad is not None
    torch.testing.assert_close(
        clean.grad, torch.tensor([[0.415445, -0.336623, -0.078822]], dtype=torch.float64), rtol=0, atol=1e-5
    )
    assert attacked.grad is not None
    assert attacked.grad.abs().min() > 0


def test_beta_zero_is_standard_training(prepare: Call, make_net: Call, make_batch: Call) -> None:
    """I2."""
    method, batch, net = prepare(TRADES(beta=0)), make_batch(), make_net()
    assert torch.equal(method.loss(batch), cross_entropy(net(batch.images), batch.labels).mean())


def test_repeating_the_batch_leaves_the_loss_unchanged(prepare: Call, make_batch: Call) -> None:
    """Sum over classes, mean over images: the trap of element-wise means divides beta by the number of classes."""
    once, twice = prepare(TRADES(), epsilon=1e-7), prepare(TRADES(), epsilon=1e-7)
    batch = make_batch()
    images, labels = batch.images.repeat(2, 1, 1, 1), batch.labels.repeat(2)
    torch.testing.assert_close(once.loss(batch), twice.loss(replace(batch, images=images, labels=labels)))


def test_the_gradient_flows_through_both_predictions(prepare: Call, make_batch: Call) -> None:
    """Stopping it at the clean prediction is the best known bug of TRADES re-implementations."""
    method, batch = prepare(TRADES()), make_batch()
    logits: list[Tensor] = []
    method.model.register_forward_hook(lambda _net, _in, out: logits.append(out))
    loss = method.loss(batch)
    clean, adversarial = logits[-2:]
    gradient = torch.autograd.grad(loss, clean)[0]
    detached = (cross_entropy(clean, batch.labels) + 6 * kl_divergence(adversarial, clean.detach())).mean()
    assert (gradient - torch.autograd.grad(detached, clean)[0]).norm() > 0.1 * gradient.norm()


def test_clean_and_adversarial_images_are_two_batches_for_batch_norm(prepare: Call, make_batch: Call) -> None:
    method = prepare(TRADES())
    before = int(method.model.features[1].num_batches_tracked)
    method.loss(make_batch())
    assert int(method.model.features[1].num_batches_tracked) == before + 2


def test_the_attack_compares_with_the_prediction_in_eval_mode(prepare: Call, make_batch: Call) -> None:
    """The constant side is computed once, in the mode of the attack, before the two forwards of the loss."""
    method, batch = prepare(TRADES()), make_batch()
    modes: list[tuple[bool, bool]] = []
    method.model.register_forward_hook(lambda net, _in, out: modes.append((net.training, out.requires_grad)))
    method.loss(batch)
    assert modes == [(False, False)] + [(False, True)] * 10 + [(True, True)] * 2


def test_the_start_is_the_image_plus_a_little_gaussian_noise(prepare: Call, make_batch: Call) -> None:
    """A uniform start is a different, usually stronger attack; every image's noise has deviation 0.001."""
    method, batch = prepare(TRADES()), make_batch(64)
    seen: list[Tensor] = []
    method.model.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach()))
    method.loss(batch)
    assert torch.equal(seen[0], batch.images)  # the constant side
    noise = seen[1] - batch.images
    assert noise.std().item() == pytest.approx(0.001, rel=0.1)
    assert noise.abs().max() < 0.006
