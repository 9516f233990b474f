"""A clean accuracy that guessing explains is remarked on, and no other."""

import numpy as np
import pandas as pd
import pytest

from fairbench.evaluation.chance import chance_remark


def rows(counts: list[int], correct: list[int]) -> pd.DataFrame:
    """Clean verdicts in which exactly that many images of every class are right."""
    labels = np.repeat(np.arange(len(counts)), counts)
    position = np.concatenate([np.arange(count) for count in counts])
    clean = np.where(position < np.asarray(correct)[labels], labels, (labels + 1) % len(counts))
    return pd.DataFrame({"label": labels, "clean": clean})


@pytest.mark.parametrize(
    ("counts", "correct"),
    [
        ([5] * 10, [0] * 10),  # labels in another order
        ([5] * 10, [0] * 9 + [5]),  # one class for everything
        ([900, 50, 50], [900, 0, 0]),  # the same, where it is right nine times in ten
        ([1000] * 10, [104] * 10),
        ([5, 5, 0], [2, 1, 0]),  # a class without images is none that could be guessed
    ],
)
def test_guessing_is_remarked_on(counts: list[int], correct: list[int]) -> None:
    remark = chance_remark(rows(counts, correct), classes=len(counts))
    assert remark.startswith("The clean accuracy of ")
    assert "is not above chance" in remark


@pytest.mark.parametrize(
    ("counts", "correct"),
    [
        ([5] * 10, [5] * 10),
        ([1] * 3, [1] * 3),  # three images that are right are few, and yet no guess
        ([1000] * 10, [120] * 10),
        ([10] * 2, [8, 9]),
    ],
)
def test_a_model_that_sees_something_is_not(counts: list[int], correct: list[int]) -> None:
    assert not chance_remark(rows(counts, correct), classes=len(counts))
