"""AdaAD: an attack that goes through both networks, and RSLAD's where the teacher is constant."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks import Ball, measured_logits
from fairbench.method.losses import kl_divergence
from fairbench.protocol.recipe import Recipe
from fairbench.training.passes import PassCounter
from fairbench_methods.adaad import AdaAD, SideBySide, disagreement, disagreement_attack
from fairbench_methods.parts.distillation import soft_label_attack
from fixture_types import Call


class Constant(nn.Module):
    """Gives the same logits for a batch, whatever its images."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, _images: Tensor) -> Tensor:
        return self.logits


def generators() -> tuple[torch.Generator, torch.Generator]:
    return torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)


class TestAttack:
    @pytest.mark.parametrize("classes", [2, 10, 100])
    def test_a_constant_teacher_makes_it_rslads_bit_for_bit(
        self, make_net: Call, make_batch: Call, threat: Any, classes: int
    ) -> None:
        """I15."""
        student, batch = make_net(classes), make_batch(classes=classes)
        target = measured_logits(make_net(classes, seed=99), batch.images, threat=threat)
        first, second = generators()
        ours = disagreement_attack(
            student, Constant(target), batch.images, batch.labels, threat=threat, generator=first
        )
        rslad = soft_label_attack(
            student, batch.images, batch.labels, teacher_logits=target, threat=threat, generator=second
        )
        assert torch.equal(ours.images, rslad.images)
        assert torch.equal(first.get_state(), second.get_state())

    def test_the_gradient_flows_through_both_networks(self, make_net: Call, make_batch: Call) -> None:
        """Of the whole objective; a detached teacher would give another one."""
        student, teacher = make_net().eval(), make_net(seed=99).eval()
        images = make_batch().images.requires_grad_()
        both, labels = SideBySide(student, teacher), torch.zeros(12, dtype=torch.long)

        def gradient(value: Tensor) -> Tensor:
            found: Tensor = torch.autograd.grad(value.sum(), images)[0]
            return found

        whole = gradient(disagreement(both(images), labels))
        expected = kl_divergence(student(images), teacher(images))
        detached = kl_divergence(student(images), teacher(images).detach())
        torch.testing.assert_close(whole, gradient(expected))
        assert (whole - gradient(detached)).abs().max() > 0.1 * whole.abs().max()

    def test_it_finds_more_disagreement_than_rslad(self, make_net: Call, make_batch: Call, threat: Any) -> None:
        """Which is what it looks for."""
        student, teacher, batch = make_net(), make_net(seed=99).eval(), make_batch(64)
        first, second = generators()
        target = measured_logits(teacher, batch.images, threat=threat)
        ours = disagreement_attack(student, teacher, batch.images, batch.labels, threat=threat, generator=first)
        rslad = soft_label_attack(
            student, batch.images, batch.labels, teacher_logits=target, threat=threat, generator=second
        )
        found = [
            kl_divergence(
                measured_logits(student, attacked.images, threat=threat),
                measured_logits(teacher, attacked.images, threat=threat),
            ).mean()
            for attacked in (ours, rslad)
        ]
        assert found[0] > found[1]

    def test_a_copy_of_the_teacher_has_no_gradient_to_follow(self, make_net: Call, make_batch: Call) -> None:
        """Only rounding noise, whose sign would still move the image: the gradient is what must be small."""
        teacher = make_net().eval()
        images = make_batch().images.requires_grad_()
        both = SideBySide(copy.deepcopy(teacher), teacher)
        loss = disagreement(both(images), torch.zeros(12, dtype=torch.long)).sum()
        assert torch.autograd.grad(loss, images)[0].abs().max() < 1e-6

    def test_both_networks_are_left_as_they_were(self, make_net: Call, make_batch: Call, threat: Any) -> None:
        """Attacked in eval mode; modes, gradients and buffers come back."""
        student, teacher, batch = make_net().train(), make_net(seed=99).eval().requires_grad_(False), make_batch()
        states = [copy.deepcopy(net.state_dict()) for net in (student, teacher)]
        modes: list[bool] = []
        student.register_forward_hook(lambda net, _in, _out: modes.append(net.training))
        disagreement_attack(student, teacher, batch.images, batch.labels, threat=threat, generator=generators()[0])
        assert modes == [False] * 10
        assert all(module.training for module in student.modules())
        assert not any(module.training for module in teacher.modules())
        assert all(p.requires_grad and p.grad is None for p in student.parameters())
        assert all(not p.requires_grad and p.grad is None for p in teacher.parameters())
        for net, state in zip((student, teacher), states, strict=True):
            assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())

    @pytest.mark.parametrize("factor", [1.0, 2.0])
    def test_the_radius_and_the_step_grow_together(self, prepare: Call, make_batch: Call, factor: float) -> None:
        """`adaad_eps16` is factor 2."""
        method, batch = prepare(AdaAD(radius_factor=factor)), make_batch()
        seen: list[Tensor] = []
        method.model.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach()))
        method.loss(batch)
        start, first, attacked = seen[0], seen[1], seen[11]  # seen[10] is the clean batch of the loss
        assert (start - batch.images).abs().max() < 0.006
        assert (first - start).abs().max().item() == pytest.approx(factor * 2 / 255, rel=1e-4)
        assert (attacked - batch.images).abs().max().item() == pytest.approx(factor * 8 / 255, rel=1e-4)
        assert Ball("Linf", batch.images, factor * 8 / 255).contains(attacked).all()


class TestLoss:
    @pytest.mark.parametrize(("share", "scale"), [(1.0, 0.1), (0.7, 0.1), (1.0, 1.0)])
    def test_the_loss_by_its_parts(self, prepare: Call, make_batch: Call, share: float, scale: float) -> None:
        """The teacher speaks on the image that the student sees, attacked or clean; clean images come first."""
        method, batch = prepare(AdaAD(attacked_share=share, scale=scale)), make_batch()
        seen: list[tuple[Tensor, Tensor]] = []
        method.model.register_forward_hook(
            lambda net, inputs, out: seen.append((inputs[0], out.detach())) if net.training else None
        )
        loss = method.loss(batch)
        teacher = method.setup.prerequisites["teacher"]
        (clean, _), (attacked, _) = seen
        assert torch.equal(clean, batch.images)
        assert not torch.equal(attacked, batch.images)
        natural, adversarial = (kl_divergence(out, teacher(images)).mean().item() for images, out in seen)
        assert loss.item() == pytest.approx(scale * (share * adversarial + (1 - share) * natural), rel=1e-5)

    @pytest.mark.parametrize(("epoch", "second_stage"), [(29, False), (30, True)])
    def test_the_two_stages_of_adaiad(self, prepare: Call, make_batch: Call, epoch: int, *, second_stage: bool) -> None:
        """T^2 KL at T = 30, then (1 - P_T(y|x')^0.1) KL(P_S(x) || P_S(x')) as well; written out in probabilities."""
        method, batch = prepare(AdaAD(variant="adaiad"), epoch=epoch), make_batch()
        seen: list[tuple[Tensor, Tensor]] = []
        method.model.register_forward_hook(
            lambda net, inputs, out: seen.append((inputs[0], out.detach().double())) if net.training else None
        )
        loss = method.loss(batch)
        (_, clean), (images, attacked) = seen
        teacher = method.setup.prerequisites["teacher"](images).double()
        hot, hot_student = (teacher / 30).softmax(1), (attacked / 30).softmax(1)
        distilled = 900 * (hot * (hot / hot_student).log()).sum(1).mean()
        trust = teacher.softmax(1)[torch.arange(12), batch.labels] ** 0.1
        p, q = clean.softmax(1), attacked.softmax(1)
        own = ((1 - trust) * (p * (p / q).log()).sum(1)).mean()
        assert own > 1e-3
        expected = distilled + own if second_stage else distilled
        assert loss.item() == pytest.approx(expected.item(), abs=2e-4)

    def test_a_short_training_has_a_second_stage(self, prepare: Call) -> None:
        recipe = Recipe(epochs=1, schedule="one-cycle")
        assert prepare(AdaAD(variant="adaiad"), recipe=recipe)._introspective

    def test_the_students_own_clean_prediction_is_not_detached(self, prepare: Call, make_batch: Call) -> None:
        """AdaIAD's second stage sends a gradient through the clean forward, its first does not."""
        for epoch, learns in ((29, False), (30, True)):
            method, batch = prepare(AdaAD(variant="adaiad"), epoch=epoch), make_batch()
            logits: list[Tensor] = []
            method.model.register_forward_hook(
                lambda net, _in, out, to=logits: to.append(out) if net.training else None
            )
            (gradient,) = torch.autograd.grad(method.loss(batch), logits[:1], allow_unused=True)
            assert (gradient is not None and bool(gradient.any())) == learns

    def test_the_search_is_the_same_for_both_variants(self, prepare: Call, make_batch: Call) -> None:
        images: list[Tensor] = []
        for variant in ("adaad", "adaiad"):
            method = prepare(AdaAD(variant=variant), epoch=50)
            method.model.register_forward_pre_hook(
                lambda net, inputs: images.append(inputs[0]) if net.training else None
            )
            method.loss(make_batch())
        assert torch.equal(images[1], images[3])


def test_cost(prepare: Call, make_batch: Call, step: Call) -> None:
    """26 units, and 12 forwards and 10 input gradients of the teacher: the clean branch is computed, as released."""
    method = prepare(AdaAD())
    with PassCounter(method.model) as student, PassCounter(method.setup.prerequisites["teacher"]) as teacher:
        step(method, make_batch(16))
    assert student.passes.units == 26 * 16
    assert (teacher.passes.forwards, teacher.passes.input_backwards) == (12 * 16, 10 * 16)
    assert teacher.passes.weight_backwards == 0


def test_a_teacher_is_needed() -> None:
    (need,) = AdaAD().prerequisites()
    assert (need.role, need.method) == ("teacher", "trades")
