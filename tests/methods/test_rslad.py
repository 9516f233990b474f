"""RSLAD: the teacher's soft labels everywhere."""

import copy

import pytest
import torch
from torch import Tensor

from fairbench.attacks import measured_logits
from fairbench.method.losses import kl_divergence
from fairbench.training.passes import PassCounter
from fairbench_methods.absld import ABSLD
from fairbench_methods.rslad import RSLAD
from fixture_types import Call


def test_the_loss_by_its_parts(prepare: Call, make_batch: Call) -> None:
    """One tenth of 5/6 of the adversarial and 1/6 of the natural divergence, both from the teacher on clean images."""
    method, batch = prepare(RSLAD()), make_batch()
    logits: list[Tensor] = []
    method.model.register_forward_hook(lambda net, _in, out: logits.append(out.detach()) if net.training else None)
    loss = method.loss(batch)
    target = method.setup.prerequisites["teacher"](batch.images)
    adversarial, natural = (kl_divergence(out, target).mean().item() for out in logits)
    assert adversarial > natural  # the attack did something
    assert loss.item() == pytest.approx((5 / 6 * adversarial + 1 / 6 * natural) / 10, rel=1e-5)


def test_adversarial_images_are_forwarded_first(prepare: Call, make_batch: Call) -> None:
    """Two batches for batch norm, attacked in eval mode before."""
    method, batch = prepare(RSLAD()), make_batch()
    seen: list[tuple[bool, bool]] = []
    method.model.register_forward_pre_hook(
        lambda net, inputs: seen.append((net.training, torch.equal(inputs[0], batch.images)))
    )
    method.loss(batch)
    assert seen == [(False, False)] * 10 + [(True, False), (True, True)]


def test_labels_are_not_used(prepare: Call, make_batch: Call) -> None:
    losses = [prepare(RSLAD()).loss(make_batch(4, labels=labels)) for labels in ([0, 1, 2, 3], [9, 9, 9, 9])]
    assert torch.equal(losses[0], losses[1])


def test_the_teacher_sees_the_clean_images_once(prepare: Call, make_batch: Call) -> None:
    """On attacked ones this would be AdaAD."""
    method, batch = prepare(RSLAD()), make_batch()
    seen: list[Tensor] = []
    method.setup.prerequisites["teacher"].register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0]))
    method.loss(batch)
    (images,) = seen
    assert torch.equal(images, batch.images)


def test_the_attack_ascends_the_divergence_from_the_teacher(prepare: Call, make_batch: Call) -> None:
    """Next to the image at first, at the border of the ball at last, and further from the teacher there."""
    method, batch = prepare(RSLAD()), make_batch()
    seen: list[Tensor] = []
    method.model.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach()))
    method.loss(batch)
    start, attacked = seen[0], seen[10]
    assert (start - batch.images).abs().max() < 0.006
    assert (attacked - batch.images).abs().max().item() == pytest.approx(8 / 255)
    target = method.setup.prerequisites["teacher"](batch.images)
    before, after = (
        kl_divergence(measured_logits(method.model, images, threat=method.threat), target)
        for images in (batch.images, attacked)
    )
    assert (after > before).all()


def test_teacher_as_student_has_nothing_to_learn(prepare: Call, make_batch: Call, make_net: Call) -> None:
    """I16: loss 0 and gradient about 0 without an attack, batch norm in eval on both sides."""
    net = make_net()
    method = prepare(RSLAD(), model=net, teacher=copy.deepcopy(net), epsilon=1e-9)
    net.eval()
    loss = method.loss(make_batch())
    assert loss.item() == pytest.approx(0, abs=1e-7)
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    assert max(gradient.abs().max().item() for gradient in gradients) < 1e-5


@pytest.mark.parametrize("mode", ["separate", "product", "shared_adv"])
def test_absld_with_temperatures_of_one_is_rslad_bit_for_bit(prepare: Call, same_training: Call, mode: str) -> None:
    """I17, over several steps."""
    assert same_training(prepare(ABSLD(temperature_mode=mode)), prepare(RSLAD()))


def test_absld_with_other_temperatures_is_not_rslad(prepare: Call, same_training: Call) -> None:
    """The identity above can fail."""
    absld = prepare(ABSLD())
    absld.adversarial[0] = 0.99
    assert not same_training(absld, prepare(RSLAD()))


def test_cost(prepare: Call, make_batch: Call, step: Call) -> None:
    """26 units, and one forward of the teacher."""
    method = prepare(RSLAD())
    with PassCounter(method.model) as student, PassCounter(method.setup.prerequisites["teacher"]) as teacher:
        step(method, make_batch(16))
    assert student.passes.units == 26 * 16
    assert teacher.passes.units == 16


def test_a_teacher_is_needed() -> None:
    (need,) = RSLAD().prerequisites()
    assert (need.role, need.method) == ("teacher", "trades")
