"""The exact McNemar test and Holm's correction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import holm, holm_pairs, mcnemar


@pytest.mark.parametrize(("only", "expected"), [((40, 20), 0.013489), ((0, 5), 0.0625), ((18, 18), 1), ((0, 0), 1)])
def test_reference_values(only: tuple[int, int], expected: float) -> None:
    assert round(float(mcnemar(*only)), 6) == expected


@given(st.integers(0, 300), st.integers(0, 300))
def test_agreement_with_the_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1
    assert mcnemar(first, second) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 1)))
def test_holm_lies_between_no_correction_and_bonferroni_and_follows_its_arguments(
    p_values: Vector,
) -> None:
    adjusted = holm(p_values)
    assert np.all(adjusted >= p_values)
    assert np.all(adjusted <= np.minimum(1, p_values * len(p_values)))
    order = np.random.default_rng(len(p_values)).permutation(len(p_values))
    assert holm(p_values[order]) == pytest.approx(adjusted[order])


def test_pairs_are_corrected_together_once() -> None:
    p_values = np.array([[1, 0.01, 0.04], [0.01, 1, 0.03], [0.04, 0.03, 1]])
    assert holm_pairs(p_values) == pytest.approx(np.array([[1, 0.03, 0.06], [0.03, 1, 0.06], [0.06, 0.06, 1]]))
