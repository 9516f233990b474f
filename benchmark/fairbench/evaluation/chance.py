"""A model that guesses: clean accuracies that chance explains, which say nothing about robustness.

    chance_remark(judgement.rows, classes=10)       # "The clean accuracy of 9.8 % ... is not above chance."

It is taken from the average over classes, which is 1 / C for whoever answers without looking, however unequal the
classes are. Labels in another order, and images normalised otherwise than in training, end here.
"""

import math

import numpy as np
import pandas as pd

from fairbench.outcomes.metrics import average, class_accuracies

DEVIATIONS = 2.0
"""Of guessing, by which an average must exceed 1 / C."""

BEYOND_DOUBT = 2.0
"""Times 1 / C: as much is no guess, however few images there are."""


def chance_remark(rows: pd.DataFrame, *, classes: int) -> str:
    """A sentence where the clean accuracy is not above chance; "" where it is.

    Args:
        rows: verdicts, the columns of `fairbench.outcomes.store.SCHEMA`.
        classes: number of classes.
    """
    clean = class_accuracies(rows, classes, "clean")
    found, chance = average(clean.values), 1 / classes
    counts = clean.counts[clean.counts > 0]
    deviation = math.sqrt(chance * (1 - chance) * float(np.mean(1 / counts)) / len(counts))
    if found > chance + DEVIATIONS * deviation or found >= BEYOND_DOUBT * chance:
        return ""
    return f"The clean accuracy of {found:.1%}, on average over classes, is not above chance ({chance:.1%})."
