"""ABSLD: temperatures by hand, and RSLAD where they are 1."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fairbench import load_suite
from fairbench.attacks import measured_logits
from fairbench.method.contract import Method
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench_methods import absld as absld_module
from fairbench_methods.absld import ABSLD
from fairbench_methods.parts.distillation import soft_label_attack, soft_label_loss
from fixture_types import Call

RISKS = torch.tensor([1.0, 0.6, 1.6, 2.4, 1.8, 1.5, 1.2, 0.9, 0.7, 0.8], dtype=torch.float64)


def rslad(method: Method, batch: Any, teacher: Any) -> Tensor:
    """The base method, written out; one forward per image set, adversarial first."""
    target = measured_logits(teacher, batch.images, threat=method.threat)
    attacked = soft_label_attack(
        method.model,
        batch.images,
        batch.labels,
        teacher_logits=target,
        threat=method.threat,
        generator=method.noise,
    )
    attacked_logits, clean_logits = method.model(attacked.images), method.model(batch.images)
    return soft_label_loss(attacked_logits, clean_logits, attacked_target=target, clean_target=target).mean()


class TestDistillation:
    def test_fixture_f8(self) -> None:
        """Teacher (2,1,0), student uniform: KL 0.266217; the reduction is a constant 1/10, not 1/C."""
        student, teacher = torch.ones(1, 3), torch.tensor([[2.0, 1.0, 0.0]])
        assert kl_divergence(student, teacher).item() == pytest.approx(0.266217, abs=1e-6)
        assert kl_divergence(student, teacher).item() / 3 == pytest.approx(0.088739, abs=1e-6)
        loss = soft_label_loss(student, student, attacked_target=teacher, clean_target=teacher)
        assert loss.item() == pytest.approx(0.0266217, abs=1e-7)

    def test_the_adversarial_term_weighs_five_sixths(self) -> None:
        uniform, teacher = torch.ones(1, 3), torch.tensor([[2.0, 1.0, 0.0]])
        loss = soft_label_loss(uniform, teacher, attacked_target=teacher, clean_target=teacher)
        assert loss.item() == pytest.approx(0.0266217 * 5 / 6, abs=1e-7)

    def test_classes_without_probability_change_nothing(self) -> None:
        """The CIFAR-100 path gives the CIFAR-10 loss if 90 classes have no mass on either side."""
        generator = torch.Generator().manual_seed(0)
        student, teacher = torch.randn(2, 4, 10, generator=generator)
        wide = [torch.cat([logits, torch.full((4, 90), -1e4)], dim=1) for logits in (student, teacher)]
        narrow = soft_label_loss(student, student, attacked_target=teacher, clean_target=teacher)
        torch.testing.assert_close(
            soft_label_loss(wide[0], wide[0], attacked_target=wide[1], clean_target=wide[1]), narrow
        )

    def test_teacher_as_student_has_nothing_to_learn(self, prepare: Call, make_batch: Call, make_net: Call) -> None:
        """I16: loss 0 and gradient about 0 without an attack, batch norm in eval on both sides."""
        net = make_net()
        method = prepare(ABSLD(), model=net, teacher=copy.deepcopy(net), epsilon=1e-9)
        net.eval()
        loss = method.loss(make_batch())
        assert loss.item() == pytest.approx(0, abs=1e-7)
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        assert max(gradient.abs().max().item() for gradient in gradients) < 1e-5


class TestTemperatures:
    def test_fixture_f9(self, prepare: Call) -> None:
        """Labels and KL of the teacher (2,1,0) against a uniform student at temperatures 0.5 and 2."""
        method = prepare(ABSLD(), classes=3)
        method.adversarial.fill_(0.5)
        method.natural.fill_(2.0)
        logits = torch.tensor([[2.0, 1.0, 0.0]])
        sharp, soft = method.targets(logits, torch.tensor([0]))
        torch.testing.assert_close(sharp.softmax(1), torch.tensor([[0.866813, 0.117310, 0.015876]]), rtol=0, atol=1e-6)
        torch.testing.assert_close(soft.softmax(1), torch.tensor([[0.506480, 0.307196, 0.186324]]), rtol=0, atol=1e-6)
        student = torch.zeros(1, 3)
        assert kl_divergence(student, sharp).item() == pytest.approx(0.657555, abs=1e-6)
        assert kl_divergence(student, soft).item() == pytest.approx(0.078421, abs=1e-6)

    @pytest.mark.parametrize(("tau", "own"), [(0.5, 0.977), (1, 0.761), (2, 0.394), (5, 0.186), (25, 0.114)])
    def test_fixture_f10(self, prepare: Call, tau: float, own: float) -> None:
        method = prepare(ABSLD())
        method.adversarial.fill_(tau)
        logits = torch.tensor([[4.0, 2.0, 1.0] + [0.0] * 7])
        assert method.targets(logits, torch.tensor([0]))[0].softmax(1)[0, 0].item() == pytest.approx(own, abs=6e-4)

    def test_fixture_f11(self) -> None:
        """One update by hand; then the hardest class falls to 0.5 within 6 and the easiest reaches 5 after 71."""
        method = ABSLD()
        taus = [torch.ones(10, dtype=torch.float64)]
        for _ in range(1000):
            taus.append(method.moved(taus[-1], RISKS, rate=0.1))
        expected = [1.02174, 1.05652, 0.96957, 0.9, 0.95217, 0.97826, 1.00435, 1.03043, 1.04783, 1.03913]
        torch.testing.assert_close(taus[1], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-5)
        assert taus[4][3] > 0.5
        assert taus[6][3] == 0.5
        assert taus[70][1] < 5
        assert taus[71][1] == 5
        path = torch.stack(taus)
        assert path.min() == 0.5
        assert path.max() == 5
        assert (path[:, 3].diff() <= 0).all()
        assert (path[:, 1].diff() >= 0).all()

    def test_equal_risks_change_nothing(self) -> None:
        taus = torch.linspace(0.5, 5, 4, dtype=torch.float64)
        assert torch.equal(ABSLD().moved(taus, torch.full((4,), 1.5, dtype=torch.float64), rate=0.1), taus)

    def test_a_class_without_images_keeps_its_temperature(self) -> None:
        taus = torch.ones(3, dtype=torch.float64)
        risks = torch.tensor([1.0, math.nan, 3.0], dtype=torch.float64)
        expected = torch.tensor([1.1, 1.0, 0.9], dtype=torch.float64)
        torch.testing.assert_close(ABSLD().moved(taus, risks, rate=0.1), expected)

    @pytest.mark.parametrize(
        ("mode", "expected"),
        [("separate", [2.0, 0.5]), ("product", [1.0, 1.0]), ("shared_adv", [2.0, 2.0])],
    )
    def test_modes(self, prepare: Call, mode: str, expected: list[float]) -> None:
        """The released code aliases both temperatures into one product; the teacher's logits are never written to."""
        method = prepare(ABSLD(temperature_mode=mode), classes=2)
        method.adversarial.copy_(torch.tensor([1.0, 2.0]))
        method.natural.copy_(torch.tensor([1.0, 0.5]))
        logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]])
        for target, tau in zip(method.targets(logits, torch.tensor([1, 0])), expected, strict=True):
            torch.testing.assert_close(target, torch.tensor([[3.0 / tau, 1.0 / tau], [3.0, 1.0]]))
        assert torch.equal(logits, torch.tensor([[3.0, 1.0], [3.0, 1.0]]))

    @pytest.mark.parametrize("mode", ["separate", "product", "shared_adv"])
    def test_the_attack_uses_the_adversarial_target(
        self, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        seen: list[Tensor] = []

        def spy(*args: Any, teacher_logits: Tensor, **settings: Any) -> Any:
            seen.append(teacher_logits)
            return soft_label_attack(*args, teacher_logits=teacher_logits, **settings)

        monkeypatch.setattr(absld_module, "soft_label_attack", spy)
        method, batch = prepare(ABSLD(temperature_mode=mode)), make_batch()
        method.adversarial.copy_(torch.linspace(0.5, 5, 10))
        method.natural.copy_(torch.linspace(5, 0.5, 10))
        method.loss(batch)
        teacher = method.setup.prerequisites["teacher"]
        expected = method.targets(measured_logits(teacher, batch.images, threat=method.threat), batch.labels)[0]
        assert torch.equal(seen[0], expected)


class TestTraining:
    @pytest.mark.parametrize("mode", ["separate", "product", "shared_adv"])
    def test_the_first_epoch_is_rslad_bit_for_bit(
        self, prepare: Call, make_batch: Call, make_net: Call, mode: str
    ) -> None:
        """I17: attack, loss, gradient and batch norm."""
        ours, base, teacher = (prepare(ABSLD(temperature_mode=mode)) for _ in range(2)), None, make_net(seed=99).eval()
        method, base = ours
        batch = make_batch()
        losses = method.loss(batch), rslad(base, batch, teacher)
        assert torch.equal(*losses)
        gradients = [
            torch.autograd.grad(loss, list(m.model.parameters()))
            for loss, m in zip(losses, (method, base), strict=True)
        ]
        assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))
        states = method.model.state_dict(), base.model.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_risks_are_class_means_of_the_training_logits(self, prepare: Call, make_batch: Call) -> None:
        """Means, not the released sums, which an unbalanced class would tilt; hard labels; no gradient."""
        method = prepare(ABSLD(), classes=3)
        logits: list[Tensor] = []
        method.model.register_forward_hook(lambda net, _in, out: logits.append(out.detach()) if net.training else None)
        batches = [make_batch(6, classes=3, seed=seed, labels=[0, 0, 0, 0, 1, 1]) for seed in (0, 1)]
        for batch in batches:
            method.loss(batch)
        for risk, which in ((method._adversarial_risk, 0), (method._natural_risk, 1)):
            values = torch.cat([cross_entropy(logits[2 * i + which], b.labels) for i, b in enumerate(batches)])
            labels = torch.cat([batch.labels for batch in batches])
            expected = torch.stack([values[labels == c].double().mean() for c in range(3)])
            torch.testing.assert_close(risk.mean(), expected, equal_nan=True)
        logged = method.end_epoch(0)
        assert logged["adversarial_temperature"] == method.adversarial.tolist()
        assert all(math.isfinite(value) for values in logged.values() for value in values)
        assert not method._adversarial_risk.counts.any()

    def test_the_class_with_the_higher_risk_gets_sharper_labels(self, prepare: Call, make_batch: Call) -> None:
        method = prepare(ABSLD(), classes=2)
        method.model.head.bias.data.copy_(torch.tensor([50.0, 0.0]))  # class 1 fails
        method.loss(make_batch(8, classes=2, labels=[0, 1] * 4))
        method.end_epoch(0)
        assert method.adversarial[1] < 1 < method.adversarial[0]

    def test_many_images_do_not_make_a_class_hard(self, prepare: Call) -> None:
        """The released sums would: here the rare class has the higher mean and the lower sum."""
        method = prepare(ABSLD(), classes=2)
        for risk in (method._adversarial_risk, method._natural_risk):
            risk.add(torch.tensor([0] * 10 + [1]), torch.tensor([0.5] * 10 + [2.0]))
        method.end_epoch(0)
        assert method.adversarial.tolist() == method.natural.tolist() == pytest.approx([1.1, 0.9])

    def test_the_rate_falls_with_the_learning_rate(self, prepare: Call) -> None:
        """As in the release: at a milestone first the rate, then the temperatures; epoch 74 is followed by the drop."""
        recipe = replace(load_suite("cifar10").recipe, epochs=100, drops=(0.75, 0.9))
        moves = []
        for epoch in (0, 73, 74, 88, 89):
            method = prepare(ABSLD(), classes=2, recipe=recipe)
            method._adversarial_risk.add(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
            method.end_epoch(epoch)
            moves.append(round(method.adversarial[0].item() - 1, 9))
            assert method.natural.tolist() == [1, 1]
        assert moves == [0.1, 0.1, 0.01, 0.01, 0.001]

    @pytest.mark.parametrize(("scaling", "move"), [("none", 0.1), ("length", 0.3)])
    def test_the_rate_follows_the_length_if_asked(self, prepare: Call, scaling: str, move: float) -> None:
        """E_ref = 300; with one-cycle there are no drops."""
        recipe = replace(load_suite("cifar10-fast").recipe, epochs=100)
        method = prepare(ABSLD(rate_scaling=scaling), classes=2, recipe=recipe)
        method._adversarial_risk.add(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
        method.end_epoch(98)
        assert method.adversarial.tolist() == pytest.approx([1 + move, 1 - move])

    def test_a_teacher_is_needed(self) -> None:
        (need,) = ABSLD().prerequisites()
        assert (need.role, need.method) == ("teacher", "trades")
