"""Fractions of a training and learning rates."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench import Recipe, load_suite
from fairbench.schedule import acts_from, drops_from, learning_rate


@pytest.mark.parametrize(
    ("fraction", "epochs", "epoch"),
    [(0.909, 110, 100), (0.955, 110, 105), (0.5, 200, 100), (0.41, 120, 49), (0.5, 5, 3), (0.018, 110, 2), (0.0, 9, 0)],
)
def test_fractions_act_from_the_rounded_epoch(fraction: float, epochs: int, epoch: int) -> None:
    """round(f E), halves up, as the methods specification tabulates it."""
    assert acts_from(fraction, epochs) == epoch


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
