"""Keys as fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.outcomes.metrics import ClassAccuracies
from fairbench.statistics import KEYS, exact_value


def seeds(*correct: list[int], counts: list[int]) -> list[ClassAccuracies]:
    """One for every list of correct images."""
    return [ClassAccuracies(counts=np.array(counts), correct=np.array(one)) for one in correct]


def test_worst_counts_that_round_apart_tie() -> None:
    """In floating point the first was above the second, by round-off alone."""
    first = seeds([9, 30], [9, 30], [15, 30], counts=[54, 54])
    second = seeds([8, 50], [9, 50], [16, 50], counts=[54, 54])
    assert exact_value(first, "worst") == exact_value(second, "worst") == Fraction(33, 162)
    assert exact_value(first, "average") < exact_value(second, "average")


def test_classes_of_other_sizes_and_absent_ones() -> None:
    (one,) = seeds([1, 0, 2, 3], counts=[3, 0, 5, 4])
    assert exact_value([one], "worst") == Fraction(1, 3)
    assert exact_value([one], "average") == (Fraction(1, 3) + Fraction(2, 5) + Fraction(3, 4)) / 3
    assert exact_value([one], "average+worst") == exact_value([one], "average") + Fraction(1, 3)


@pytest.mark.parametrize("key", KEYS)
@given(data=st.data())
def test_they_are_the_keys(key: str, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=12))
    runs = [[data.draw(st.integers(0, n)) for n in counts] for _ in range(3)]
    found = seeds(*runs, counts=counts)
    expected = np.mean([KEYS[key](np.sort(one.values)) for one in found])
    assert float(exact_value(found, key)) == pytest.approx(expected)
