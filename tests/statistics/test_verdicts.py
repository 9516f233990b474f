"""Verdicts that do not fit together are refused."""

from typing import Any

import numpy as np
import pytest

from fairbench.statistics import Verdicts

LABELS = np.array([0, 0, 2])
RIGHT = np.array([[True, False, True]])


def test_accuracies_keep_absent_classes() -> None:
    (found,) = Verdicts(labels=LABELS, classes=4, correct={"a": RIGHT}).accuracies("a")
    assert found.counts.tolist() == [2, 0, 1, 0]
    assert found.correct.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "correct", "message"),
    [
        (LABELS, {}, "at least one method"),
        (LABELS[:0], {"a": RIGHT[:, :0]}, "at least one method and one image"),
        (LABELS + 2, {"a": RIGHT}, "from 2 to 4, of 4 classes"),
        (LABELS - 1, {"a": RIGHT}, "from -1 to 1"),
        (LABELS, {"a": RIGHT[0]}, r"a: verdicts are \(seeds, images\) bool"),
        (LABELS, {"a": RIGHT.astype(int)}, "int64"),
        (LABELS, {"a": RIGHT[:0]}, r"got \(0, 3\)"),
        (LABELS, {"a": RIGHT, "b": RIGHT[:, :2]}, "b was judged on 2 images, the others on 3"),
    ],
)
def test_what_does_not_fit_is_refused(labels: Any, correct: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Verdicts(labels=labels, classes=4, correct=correct)
