"""FRL: multipliers by hand, and TRADES where they are zero."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairbench import load_suite
from fairbench.attacks import Ball
from fairbench.method.contract import ClassStatistics, Validation
from fairbench_methods import frl as frl_module
from fairbench_methods.frl import FRL, class_weights, excess, projected
from fairbench_methods.parts.trades_halves import boundary_attack
from fairbench_methods.trades import TRADES
from fixture_types import Call


def validation(clean: list[float], robust: list[float]) -> Validation:
    accuracies = [torch.tensor(values, dtype=torch.float64) for values in (clean, robust)]
    statistics = ClassStatistics(counts=accuracies[0] * 0 + 100, clean=accuracies[0], robust=accuracies[1])
    return Validation(statistics=statistics, batches=lambda: iter(()))


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class TestMultipliers:
    def test_fixture_f5(self) -> None:
        """One multiplier of 0.5 among ten classes: 0.55 and nine times 0.05."""
        multipliers = torch.zeros(10, dtype=torch.float64)
        multipliers[3] = 0.5
        expected = torch.full((10,), 0.05, dtype=torch.float64)
        expected[3] = 0.55
        torch.testing.assert_close(class_weights(multipliers), expected)

    @given(
        st.lists(st.floats(-1, 2, allow_subnormal=False), min_size=2, max_size=12),
        st.floats(0, 0.99, allow_subnormal=False),
    )
    def test_weights_sum_to_one_and_stay_positive(self, values: list[float], limit: float) -> None:
        multipliers = projected(doubles(*values), limit)
        assert (multipliers >= 0).all()
        assert multipliers.sum() <= limit + 1e-12
        assert class_weights(multipliers).sum().item() == pytest.approx(1)
        assert class_weights(multipliers).min() > 0

    def test_excess_is_signed_and_above_the_class_mean(self) -> None:
        torch.testing.assert_close(excess(doubles(0.1, 0.2, 0.6), 0.05), doubles(-0.25, -0.15, 0.25))

    def test_a_class_without_validation_images_keeps_its_multiplier(self) -> None:
        torch.testing.assert_close(excess(doubles(0.1, math.nan, 0.3), 0.05), doubles(-0.15, 0, 0.05))

    def test_fixture_f6(self, prepare: Call) -> None:
        method = prepare(FRL(), classes=4)
        method.log_margin.copy_(doubles(-1, 0, 0.1, 1))
        torch.testing.assert_close(method.margins(), doubles(0.98, 1, 1.2214, 3), rtol=0, atol=1e-4)
        remargin = prepare(FRL(variant="remargin"), classes=4)
        remargin.log_margin.copy_(doubles(-1, 0, 0.1, 1))
        assert remargin.margins()[3] == 2.5

    def test_two_epochs_by_hand(self, prepare: Call) -> None:
        """Class means, the doubled boundary rate, and rescaling to the limit."""
        even = validation([0.8] * 3, [0.4] * 3).statistics
        method = prepare(FRL(tau1=0.0, tau2=0.0, rate=1.0, margin_rate=0.5, limit=0.5), classes=3, statistics=even)
        given_validation = validation([0.9, 0.8, 0.4], [0.5, 0.5, 0.1])
        # natural errors .1 .2 .6, mean .3; boundary errors .4 .3 .3, mean 1/3
        method.begin_epoch(1, given_validation)
        torch.testing.assert_close(method.natural, doubles(0, 0, 0.3))
        torch.testing.assert_close(method.boundary, doubles(2 / 15, 0, 0))
        torch.testing.assert_close(method.log_margin, doubles(1 / 30, -1 / 60, -1 / 60))
        method.begin_epoch(2, given_validation)
        torch.testing.assert_close(method.natural, doubles(0, 0, 0.5))  # .6 rescaled
        torch.testing.assert_close(method.boundary, doubles(4 / 15, 0, 0))
        torch.testing.assert_close(method.log_margin, doubles(2 / 30, -2 / 60, -2 / 60))

    def test_satisfied_constraints_keep_the_multipliers_at_zero(self, prepare: Call) -> None:
        method = prepare(FRL(), classes=3)
        for epoch in range(5):
            method.begin_epoch(epoch, validation([0.8, 0.79, 0.81], [0.4, 0.41, 0.39]))
        assert not method.natural.any()
        assert not method.boundary.any()

    @pytest.mark.parametrize(
        ("variant", "boundary", "margin"), [("both", True, True), ("reweight", True, False), ("remargin", False, True)]
    )
    def test_variants_freeze_what_they_do_not_use(
        self, prepare: Call, variant: str, boundary: bool, margin: bool
    ) -> None:
        method = prepare(FRL(variant=variant), classes=3)
        method.begin_epoch(1, validation([0.9, 0.9, 0.5], [0.6, 0.7, 0.0]))
        assert method.natural.any()
        assert bool(method.boundary.any()) == boundary
        assert bool((method.margins() != 1).any()) == margin

    @pytest.mark.parametrize(("anti_windup", "epochs_back"), [(False, 15), (True, 1)])
    def test_anti_windup(self, prepare: Call, anti_windup: bool, epochs_back: int) -> None:
        """Without it an easy class drifts far below the clip and needs many epochs to come back."""
        method = prepare(FRL(anti_windup=anti_windup, tau2=0.0, margin_rate=1.0), classes=2)
        for epoch in range(15):
            method.begin_epoch(epoch, validation([0.8, 0.8], [0.6, 0.2]))
        for epoch in range(epochs_back):
            assert method.margins()[0] <= 1, epoch
            method.begin_epoch(epoch, validation([0.8, 0.8], [0.2, 0.6]))
        method.begin_epoch(99, validation([0.8, 0.8], [0.2, 0.6]))
        assert method.margins()[0] > 1

    @pytest.mark.parametrize(("epochs", "factor"), [(40, 1), (20, 2), (2, 4), (400, 0.25)])
    def test_rates_follow_the_length_if_asked(self, prepare: Call, epochs: int, factor: float) -> None:
        recipe = replace(load_suite("cifar10").recipe, epochs=epochs)
        method = FRL(rate_scaling="length", hot_start="inline")
        method = prepare(method, recipe=recipe)
        method._first_epoch = 0
        assert method._scaled(0.05) == pytest.approx(0.05 * factor)
        assert prepare(FRL(), recipe=recipe)._scaled(0.05) == 0.05


class TestLoss:
    @pytest.mark.parametrize("normalisation", ["head", "2021"])
    def test_zero_multipliers_are_trades(self, prepare: Call, make_batch: Call, normalisation: str) -> None:
        """I12: TRADES, or half of it with the normalisation of 2021."""
        frl = prepare(FRL(beta=6.0, loss_normalisation=normalisation))
        frl.log_margin.zero_()  # satisfied constraints have lowered it already
        trades = prepare(TRADES(beta=6.0))
        expected = trades.loss(make_batch()) * (0.5 if normalisation == "2021" else 1)
        torch.testing.assert_close(frl.loss(make_batch()), expected, rtol=1e-6, atol=0)
        assert torch.equal(frl.noise.get_state(), trades.noise.get_state())

    def test_weights_are_per_image_and_normalised_separately(
        self, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        natural, boundary = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.1, 0.2, 0.4])
        monkeypatch.setattr(frl_module, "cross_entropy", lambda *_: natural)
        monkeypatch.setattr(frl_module, "kl_divergence", lambda *_: boundary)
        batch = make_batch(3, classes=2, labels=[0, 1, 1])
        for normalisation, expected in (
            ("head", (0.25 * 1 + 0.75 * 5) / 1.75 + 1.5 * (0.6 * 0.1 + 0.4 * 0.6) / 1.4),
            ("2021", (0.25 * 1 + 0.75 * 5 + 1.5 * (0.6 * 0.1 + 0.4 * 0.6)) / (1.75 + 1.4)),
        ):
            method = prepare(FRL(loss_normalisation=normalisation), classes=2)
            method.natural.copy_(doubles(0, 0.5))  # W0 = .25, .75
            method.boundary.copy_(doubles(0.2, 0))  # W1 = .6, .4
            assert method.loss(batch).item() == pytest.approx(expected)

    @pytest.mark.parametrize("batch_step", [False, True])
    def test_each_class_is_attacked_within_its_own_radius(
        self, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch, batch_step: bool
    ) -> None:
        """The released batch-wide step lets one enlarged class coarsen everybody's attack; an option here."""
        seen: dict[str, Any] = {}

        def spy(*args: Any, **settings: Any) -> Any:
            seen.update(settings)
            seen["attacked"] = boundary_attack(*args, **settings)
            return seen["attacked"]

        monkeypatch.setattr(frl_module, "boundary_attack", spy)
        method = prepare(FRL(batch_step=batch_step), classes=3)
        method.log_margin.copy_(doubles(-1, 0, 0.3))
        batch = make_batch(30, classes=3)
        method.loss(batch)
        radius = torch.tensor([0.98, 1, math.exp(0.6)])[batch.labels] * 8 / 255
        torch.testing.assert_close(seen["radius"], radius)
        torch.testing.assert_close(seen["step"], radius.max().expand(30) / 4 if batch_step else radius / 4)
        assert Ball("Linf", batch.images, radius).contains(seen["attacked"].images).all()
        moved = (seen["attacked"].images - batch.images).abs().flatten(1).amax(dim=1)
        assert moved[batch.labels == 2].max() > 8 / 255 + 1e-3


class TestStage:
    @pytest.mark.parametrize(("epochs", "stage"), [(110, 40), (40, 14), (30, 11), (1, 1), (2, 1), (25, 9)])
    def test_fine_tuning_is_short_slow_and_constant(self, epochs: int, stage: int) -> None:
        base = replace(load_suite("cifar10-fast").recipe, epochs=epochs, averaging="ema")
        recipe = FRL().recipe(base)
        assert (recipe.epochs, recipe.schedule, recipe.drops) == (stage, "steps", ())
        assert recipe.learning_rate == pytest.approx(0.01 * base.learning_rate)
        assert recipe.averaging == "ema"
        assert [need.role for need in FRL().prerequisites()] == ["hot start"]

    def test_inline_is_trades_until_seventy_percent(self, prepare: Call, same_training: Call) -> None:
        recipe = replace(load_suite("digits").recipe, epochs=10)
        method = FRL(hot_start="inline")
        assert method.recipe(recipe) == recipe
        assert method.prerequisites() == ()
        unfair = validation([0.9] * 9 + [0.2], [0.6] * 9 + [0.1])
        method = prepare(method, recipe=recipe, epoch=6, statistics=unfair.statistics)
        assert not method.natural.any()
        assert same_training(method, prepare(TRADES(beta=6.0)))
        method.begin_epoch(7, unfair)
        assert method.natural[9] > 0
        assert not same_training(method, prepare(TRADES(beta=6.0), model=None))

    def test_inline_leaves_at_least_one_epoch(self, prepare: Call) -> None:
        recipe = replace(load_suite("digits").recipe, epochs=1)
        assert prepare(FRL(hot_start="inline"), recipe=recipe)._fine_tuning
