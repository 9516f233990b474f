"""Fractions of a training and learning rates."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench import Recipe, load_suite
from fairbench.method.schedule import acts_from, begins_at, drops_from, learning_rate


@pytest.mark.parametrize(
    ("fraction", "epochs", "epoch"),
    [(0.909, 110, 100), (0.955, 110, 105), (0.5, 200, 100), (0.41, 120, 49), (0.5, 5, 3), (0.018, 110, 2), (0.0, 9, 0)],
)
def test_fractions_act_from_the_rounded_epoch(fraction: float, epochs: int, epoch: int) -> None:
    """round(f E), halves up, as the methods specification tabulates it."""
    assert acts_from(fraction, epochs) == epoch


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_halves_are_rounded_up_in_decimals_too(thousandths: int, epochs: int) -> None:
    """In floating point 0.41 * 150 falls short of 61.5."""
    exact = math.floor(Fraction(thousandths, 1000) * epochs + Fraction(1, 2))
    assert acts_from(thousandths / 1000, epochs) == exact


@given(st.integers(1, 60), st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(sorted))
def test_every_learning_rate_keeps_an_epoch(epochs: int, fractions: list[float]) -> None:
    """The peak first, then as many of the lower ones as there are epochs."""
    recipe = Recipe(epochs=epochs, schedule="steps", drops=tuple(fractions))
    drops = [0, *drops_from(recipe)]
    assert drops == sorted(set(drops))
    stages = min(epochs, len(drops))
    assert sum(drop < epochs for drop in drops) == stages
    later = [acts_from(fraction, epochs) for fraction in fractions]
    if all(first < second for first, second in pairwise([0, *later, epochs])):
        assert drops[1:] == later  # there is room: nothing moves


@given(st.integers(1, 500), st.floats(0, 1))
def test_every_stage_keeps_an_epoch(epochs: int, fraction: float) -> None:
    """A stage begins where it acts from, except that the last epoch is always its own."""
    assert begins_at(fraction, epochs) == min(acts_from(fraction, epochs), epochs - 1)
    assert 0 <= begins_at(fraction, epochs) < epochs


@pytest.mark.parametrize(("fraction", "epochs", "epoch"), [(0.5, 1, 0), (0.95, 10, 9), (1.0, 10, 9), (0.41, 120, 49)])
def test_a_stage_begins_at_the_last_epoch_at_the_latest(fraction: float, epochs: int, epoch: int) -> None:
    assert begins_at(fraction, epochs) == epoch


def test_the_cifar10_suite_drops_at_100_and_105() -> None:
    recipe = load_suite("cifar10").recipe
    assert drops_from(recipe) == (100, 105)
    rates = [learning_rate(recipe, step=epoch * 10, steps_per_epoch=10) for epoch in (0, 99, 100, 104, 105, 109)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0, 0.99))
def test_one_cycle_rises_to_its_peak_and_falls_towards_zero(epochs: int, steps: int, warmup: float) -> None:
    recipe = Recipe(epochs=epochs, schedule="one-cycle", warmup=warmup, learning_rate=0.2)
    rates = [learning_rate(recipe, step=step, steps_per_epoch=steps) for step in range(epochs * steps)]
    peak = rates.index(max(rates))
    assert all(0 < rate <= 0.2 + 1e-12 and math.isfinite(rate) for rate in rates)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_one_cycle_has_no_drops() -> None:
    assert drops_from(replace(load_suite("cifar10-fast").recipe, drops=(0.5,))) == ()
