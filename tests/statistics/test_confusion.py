"""What errors turn into."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairbench.outcomes.metrics import Counts
from fairbench.statistics import confusion, error_shares, spectral_norm
from fairbench.statistics.verdicts import Labels

PREDICTED = arrays(np.int16, st.tuples(st.just(2), st.integers(0, 30)), elements=st.integers(0, 3))


@given(PREDICTED)
def test_rows_are_classes_and_errors_are_shared_out(pairs: Labels) -> None:
    labels, predictions = pairs
    found = confusion(labels, predictions, classes=5)
    assert found.sum(axis=1).tolist() == np.bincount(labels, minlength=5).tolist()
    assert np.trace(found) == (labels == predictions).sum()
    shares = error_shares(found)
    if (labels != predictions).any():
        assert shares.sum() == pytest.approx(1)
        assert shares[2] == ((labels != predictions) & (predictions == 2)).sum() / (labels != predictions).sum()
    else:
        assert np.isnan(shares).all()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[5, 0], [0, 7]], 0.0),  # no error
        ([[0, 3], [0, 7]], 1.0),  # one class always mistaken for another
        ([[3, 1, 0], [1, 3, 0], [0, 0, 9]], 0.25),
        ([[8, 1, 1], [2, 16, 2], [1, 1, 8]], 0.2),  # a tenth of (ones minus identity), whose eigenvalues are 2, -1, -1
        ([[3, 1, 0], [0, 0, 0], [2, 0, 2]], 0.5),  # a class without images still attracts errors
        ([[0, 0], [0, 0]], math.nan),
    ],
)
def test_spectral_norm(matrix: list[list[int]], expected: float) -> None:
    counts: Counts = np.array(matrix)
    assert spectral_norm(counts) == pytest.approx(expected, abs=5e-5, nan_ok=True)


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [([0, 3], [0, 0], "Every label is from 0 to 2, got 0 to 3"), ([0, 1], [-1, 0], "Every prediction .* got -1 to 0")],
)
def test_what_is_no_class_is_refused(labels: list[int], predictions: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion(np.array(labels), np.array(predictions), classes=3)
