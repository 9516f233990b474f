"""WAT: the player's weights by hand, the round of the game that gives its costs, and TRADES where they are equal."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairbench import load_suite
from fairbench.attacks import Ball, measured_logits, pgd
from fairbench.method.class_means import ClassMeans
from fairbench.method.contract import Batch, Method, Validation
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench.training.passes import PGD_AT_UNITS, PassCounter
from fairbench_methods.parts import trades_halves
from fairbench_methods.parts.trades_halves import boundary_attack
from fairbench_methods.trades import TRADES
from fairbench_methods.wat import WAT, hedge_weights
from fixture_types import Call

RISKS = (1.5, 1.2, 2.0, 2.8, 2.2, 1.9, 1.6, 1.4, 1.2, 1.3)
"""Fixture F15; class 3 is the worst, by 0.6."""


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def with_mean(risks: Sequence[float]) -> Tensor:
    return doubles(*risks, sum(risks) / len(risks))


def split(*batches: Batch) -> Validation:
    return Validation(statistics=None, batches=lambda: iter(batches))


@pytest.fixture
def charged(prepare: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[..., WAT]:
    """A method after rounds of the game with given costs."""

    def play(rounds: Sequence[Tensor], **options: Any) -> WAT:
        recipe = options.pop("recipe", None)
        method: WAT = prepare(WAT(**options), classes=len(rounds[0]) - 1, recipe=recipe)
        left = iter(rounds)
        monkeypatch.setattr(WAT, "validation_costs", lambda _self, _validation: next(left))
        for epoch in range(1, len(rounds) + 1):
            method.begin_epoch(epoch, split())
        return method

    return play


class TestWeights:
    def test_fixture_f14(self, charged: Call) -> None:
        """Three classes, two rounds; the weights sum to C."""
        method = charged([doubles(1, 2, 3, 2), doubles(1.5, 1.5, 2.5, 11 / 6)])
        torch.testing.assert_close(method.weights(), doubles(0.652506, 0.721130, 0.880791, 0.745573), rtol=0, atol=1e-6)
        assert method.weights().sum().item() == pytest.approx(3)

    @pytest.mark.parametrize(("epochs", "worst", "average"), [(1, 1.0127, 0.9081), (10, 2.3877, 0.8028)])
    def test_fixture_f15(self, charged: Call, epochs: int, worst: float, average: float) -> None:
        weights = charged([with_mean(RISKS)] * epochs).weights()
        assert weights[3].item() == pytest.approx(worst, abs=1e-4)
        assert weights[-1].item() == pytest.approx(average, abs=1e-4)

    @pytest.mark.parametrize(("epochs", "share"), [(50, 0.918), (100, 0.997)])
    def test_constant_costs_lock_on_to_one_class(self, epochs: int, share: float) -> None:
        """No decay, no window: that is the method, and why its weights are logged."""
        weights = hedge_weights(epochs * with_mean(RISKS), rate=0.1)
        assert weights.argmax() == 3
        assert weights[3].item() / 10 == pytest.approx(share, abs=1e-3)

    def test_rate_zero_keeps_all_weights_equal(self, charged: Call) -> None:
        method = charged([doubles(1, 2, 30, 2)] * 3, rate=0.0)
        torch.testing.assert_close(method.weights(), torch.full((4,), 3 / 4, dtype=torch.float64))

    @given(st.lists(st.floats(0, 50), min_size=3, max_size=12), st.sampled_from([-1e5, 700.0, 1e5, 1e9]))
    def test_a_constant_cost_changes_nothing(self, costs: list[float], constant: float) -> None:
        """Also where the exponential as written overflows, which float32 does at 88 and float64 at 710."""
        shifted = hedge_weights(doubles(*costs) + constant, rate=0.1)
        torch.testing.assert_close(shifted, hedge_weights(doubles(*costs), rate=0.1), rtol=1e-5, atol=1e-12)
        assert shifted.sum().item() == pytest.approx(len(costs) - 1)

    @pytest.mark.parametrize(("epochs", "factor"), [(100, 1), (50, 2), (10, 4), (1000, 0.25)])
    def test_the_rate_follows_the_length_if_asked(self, charged: Call, epochs: int, factor: float) -> None:
        recipe = replace(load_suite("digits").recipe, epochs=epochs)
        scaled = charged([with_mean(RISKS)], rate_scaling="length", recipe=recipe).weights()
        torch.testing.assert_close(scaled, hedge_weights(with_mean(RISKS), rate=0.1 * factor))
        torch.testing.assert_close(
            charged([with_mean(RISKS)], recipe=recipe).weights(), hedge_weights(with_mean(RISKS), rate=0.1)
        )

    def test_a_mixture_counts_the_average_like_the_sum_of_the_classes(self, charged: Call) -> None:
        """The code's average action counts C times more: w_k = C p_k belongs to a mean of which a class is 1/C."""
        code, mixture = (charged([with_mean(RISKS)] * 3, avg_scale=scale).weights() for scale in ("code", "mixture"))
        torch.testing.assert_close(mixture, code / doubles(*[1] * 10, 10))

    def test_the_history_shows_the_weights_of_the_epoch(self, charged: Call) -> None:
        method = charged([doubles(1, 2, 3, 2), doubles(1.5, 1.5, 2.5, 11 / 6)])
        assert method.end_epoch(2) == {
            "weight": pytest.approx([0.652506, 0.721130, 0.880791], abs=1e-6),
            "average_weight": pytest.approx(0.745573, abs=1e-6),
        }


class TestLoss:
    def test_the_first_epoch_is_twice_trades(self, prepare: Call, make_batch: Call) -> None:
        """I20, exactly, in loss and gradient."""
        losses, gradients = [], []
        for method in (prepare(WAT()), prepare(TRADES())):
            losses.append(method.loss(make_batch()))
            gradients.append(torch.autograd.grad(losses[-1], list(method.model.parameters())))
        assert torch.equal(losses[0], 2 * losses[1])
        assert all(torch.equal(mine, 2 * base) for mine, base in zip(*gradients, strict=True))

    @pytest.mark.parametrize("classes", [2, 3, 10, 100])
    def test_rate_zero_is_a_multiple_of_trades(self, classes: int, prepare: Call, make_batch: Call) -> None:
        """I19: 2C / (C + 1), from the second epoch on; the mixture is TRADES itself."""
        batch, held_out = make_batch(classes=classes), split(make_batch(seed=5, classes=classes))
        expected = prepare(TRADES(), classes=classes).loss(batch)
        for scale, factor in (("code", 2 * classes / (classes + 1)), ("mixture", 1.0)):
            method = prepare(WAT(rate=0.0, avg_scale=scale), classes=classes)
            method.begin_epoch(1, held_out)
            assert method.costs.min() > 0
            torch.testing.assert_close(method.loss(batch), factor * expected, rtol=1e-6, atol=0)

    def test_the_validation_round_does_not_touch_the_noise_of_training(self, prepare: Call, make_batch: Call) -> None:
        """Its attack draws from the method's own generator, so the same attack meets TRADES and WAT."""
        method = prepare(WAT())
        own, noise = method.setup.generator.get_state(), method.noise.get_state()
        method.begin_epoch(1, split(make_batch()))
        assert torch.equal(method.noise.get_state(), noise)
        assert not torch.equal(method.setup.generator.get_state(), own)

    def test_each_image_counts_by_its_class_and_by_the_average(
        self, prepare: Call, make_batch: Call, make_net: Call
    ) -> None:
        """By hand: the class part and the average part, each divided by the batch size."""
        method, batch = prepare(WAT(beta=2.0), classes=3), make_batch(6, classes=3, labels=[0, 0, 0, 1, 1, 2])
        method.begin_epoch(1, split(make_batch(classes=3)))
        method.costs.copy_(doubles(5, 9, 20, 12))
        weights = 3 * (0.1 * method.costs).exp() / (0.1 * method.costs).exp().sum()
        net = make_net(3)
        attacked = boundary_attack(
            net, batch.images, batch.labels, threat=method.threat, generator=prepare(WAT(), classes=3).noise
        )
        clean, adversarial = net.train()(batch.images), net(attacked.images)
        risks = cross_entropy(clean, batch.labels) + 2 * kl_divergence(adversarial, clean)
        expected = sum(weights[batch.labels[i]] * risks[i] for i in range(6)) / 6 + weights[3] * risks.sum() / 6
        assert method.loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


class TestRound:
    def test_costs_are_class_means_in_eval_mode(
        self, prepare: Call, make_batch: Call, make_net: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Unbalanced classes over uneven batches; the average is over images, not over classes."""
        seen: dict[str, Any] = {}

        def spy(model: Any, images: Tensor, labels: Tensor, **settings: Any) -> Any:
            found = pgd(model, images, labels, **settings)
            seen.setdefault("settings", []).append(settings)
            seen.setdefault("attacked", []).append(found.images)
            assert Ball("Linf", images, 8 / 255).contains(found.images).all()
            return found

        monkeypatch.setattr(trades_halves, "pgd", spy)
        method = prepare(WAT(), classes=3)
        batches = [make_batch(5, labels=[0, 0, 0, 0, 1]), make_batch(2, labels=[2, 1], seed=1)]
        costs = method.validation_costs(split(*batches))
        net = make_net(3).eval()
        risks, means = [], ClassMeans(3)
        with torch.no_grad():
            for batch, attacked in zip(batches, seen["attacked"], strict=True):
                clean, adversarial = net(batch.images), net(attacked)
                risks.append(cross_entropy(clean, batch.labels) + 6 * kl_divergence(adversarial, clean))
                means.add(batch.labels, risks[-1])
        expected = torch.cat([means.mean(), torch.cat(risks).double().mean()[None]])
        torch.testing.assert_close(costs, expected, rtol=1e-6, atol=1e-9)
        assert costs[-1].item() != pytest.approx(costs[:-1].mean().item(), rel=1e-3)
        for settings, batch in zip(seen["settings"], batches, strict=True):
            assert (settings["loss"], settings["start"]) == (kl_divergence, "gaussian")
            assert torch.equal(settings["target"], measured_logits(net, batch.images, threat=method.threat))

    def test_the_first_epoch_plays_no_round(self, prepare: Call) -> None:
        """The weights of the first epoch are 1, and its validation pass would be thrown away."""

        def refuse() -> Any:
            raise AssertionError

        method = prepare(WAT())
        method.begin_epoch(0, Validation(statistics=None, batches=refuse))
        assert not method.costs.any()
        assert method.weights().tolist() == [1.0] * 11

    def test_costs_add_up_over_rounds(self, prepare: Call, make_batch: Call) -> None:
        method, twin = prepare(WAT()), prepare(WAT())
        held_out = split(make_batch(40))
        rounds = [twin.validation_costs(held_out) for _ in range(2)]
        for epoch in (1, 2):
            method.begin_epoch(epoch, held_out)
        torch.testing.assert_close(method.costs, rounds[0] + rounds[1])
        assert not torch.equal(rounds[0], rounds[1])  # each with noise of its own

    def test_a_class_without_validation_images_is_charged_the_average(self, prepare: Call, make_batch: Call) -> None:
        """It is neither forgotten nor favoured, and no NaN reaches the weights."""
        method = prepare(WAT(), classes=4)
        method.begin_epoch(1, split(make_batch(6, labels=[0, 0, 1, 3, 3, 3])))
        assert method.costs.isfinite().all()
        assert method.costs[2] == method.costs[-1]
        method.begin_epoch(2, split())
        assert method.weights().isfinite().all()
        assert method.loss(make_batch(8, classes=4)).isfinite()

    def test_the_model_is_left_alone(self, prepare: Call, make_batch: Call) -> None:
        """Gradients, buffers and modes are those of the training."""
        method = prepare(WAT())
        method.loss(make_batch()).backward()
        gradients = [parameter.grad.clone() for parameter in method.model.parameters()]
        state = {name: value.clone() for name, value in method.model.state_dict().items()}
        method.begin_epoch(1, split(make_batch(seed=3)))
        assert all(torch.equal(value, state[name]) for name, value in method.model.state_dict().items())
        found = [parameter.grad for parameter in method.model.parameters()]
        assert all(torch.equal(mine, before) for mine, before in zip(found, gradients, strict=True))
        assert all(parameter.requires_grad for parameter in method.model.parameters())
        assert all(module.training for module in method.model.modules())

    def test_an_interruption_does_not_reset_the_game(
        self, prepare: Call, make_batch: Call, same_training: Call
    ) -> None:
        """The released code saves none of it."""
        first = prepare(WAT())
        for epoch in (1, 2):
            first.begin_epoch(epoch, split(make_batch(30)))
        resumed = prepare(WAT())
        resumed.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
        resumed.setup.generator.set_state(first.setup.generator.get_state())
        for method in (first, resumed):
            method.begin_epoch(3, split(make_batch(30)))
        assert torch.equal(first.weights(), resumed.weights())
        assert same_training(first, resumed)


def test_cost(prepare: Call, make_batch: Call, step: Call) -> None:
    """TRADES' 27 units per image, and 22 per validation image: with a 6 % split 1.24 times PGD-AT, of 1.25 published.

    22 = one clean forward, ten attack steps, one forward of the attacked image.
    """
    method: Method = prepare(WAT())
    with PassCounter(method.model) as training:
        step(method, make_batch(16))
    with PassCounter(method.model) as playing:
        method.begin_epoch(1, split(make_batch(16), make_batch(4)))
    assert training.passes.units == 27 * 16
    assert playing.passes.units == 22 * 20
    multiple = (training.passes.units / 16 + playing.passes.units / 20 * 0.06 / 0.94) / PGD_AT_UNITS
    assert multiple == pytest.approx(1.235, abs=1e-3)
