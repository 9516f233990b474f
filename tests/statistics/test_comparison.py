"""Numbers made of two vectors."""

import math

import numpy as np
import pytest

from fairbench.statistics import attack_gap, boundary_error, class_gain, largest
from fairbench.statistics.comparison import rho_of

BASELINE = (0.2131, 0.4980)
CLEAN = np.array([0.9, 0.8, np.nan, 0.6])
ROBUST = np.array([0.5, 0.2, np.nan, 0.3])


@pytest.mark.parametrize(
    ("worst", "average", "expected"), [(0.2855, 0.4630, 0.27), (0.3053, 0.4905, 0.42), (0.1782, 0.4589, -0.24)]
)
def test_rho_of_the_reference_rows(worst: float, average: float, expected: float) -> None:
    assert round(rho_of(worst, average, BASELINE), 2) == expected


@pytest.mark.parametrize(("worst", "shown"), [(0.0499, False), (0.05, True), (0.0133, False), (math.nan, False)])
def test_rho_is_shown_from_five_percent_on(worst: float, shown: bool) -> None:
    assert math.isnan(rho_of(0.2, 0.5, (worst, 0.5))) is not shown


def test_errors_and_gains_per_class() -> None:
    assert boundary_error(CLEAN, ROBUST) == pytest.approx([0.4, 0.6, np.nan, 0.3], nan_ok=True)
    assert class_gain(ROBUST, CLEAN) == pytest.approx([-0.4, -0.6, np.nan, -0.3], nan_ok=True)
    assert attack_gap(ROBUST + 0.02, ROBUST) == pytest.approx([0.02, 0.02, np.nan, 0.02], nan_ok=True)


def test_the_largest_is_named_with_its_class() -> None:
    assert largest(boundary_error(CLEAN, ROBUST)) == pytest.approx((1, 0.6))


def test_no_data_has_no_largest_class() -> None:
    with pytest.raises(ValueError, match="All-NaN"):
        largest(np.full(2, np.nan))
