"""Which class is the worst."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from fairbench.outcomes.metrics import Vector
from fairbench.statistics import candidate_set, worst_class_counts
from fairbench.statistics.verdicts import Bits, Labels
from fixture_types import Count


def verdicts(profile: Sequence[float] | Vector, *, images: int, seeds: int = 1) -> tuple[Bits, Labels]:
    """Exactly that share of every class is right, the same images for every seed."""
    labels = np.repeat(np.arange(len(profile)), images)
    correct = np.tile(np.arange(images), len(profile)) < np.round(np.array(profile)[labels] * images)
    return correct[None].repeat(seeds, axis=0), labels


def test_candidates_of_the_reference_vector(reference: Vector) -> None:
    """By hand, above class 2 (31.1 %): 4 is 2.8 and 5 is 5.8 points; 2.539 standard errors (one of nine) are 5.4."""
    assert candidate_set(*verdicts(reference, images=1000)) == {2, 3, 4}


def test_a_clear_worst_class_is_the_only_candidate() -> None:
    assert candidate_set(*verdicts([0.6, 0.2, 0.5], images=1000, seeds=3)) == {1}


def test_absent_classes_are_no_candidates() -> None:
    correct, labels = verdicts([0.9, 0.2], images=100)
    assert candidate_set(correct, 2 * labels) == {2}
    assert candidate_set(correct[:, :100], labels[:100]) == {0}


def test_one_image_of_each_class_says_nothing() -> None:
    assert candidate_set(*verdicts([1, 0, 1], images=1)) == {0, 1, 2}


def test_a_lower_level_never_has_more_candidates(reference: Vector) -> None:
    found = [candidate_set(*verdicts(reference, images=1000), level=level) for level in (0.5, 0.8, 0.95, 0.999)]
    assert all(smaller <= larger for smaller, larger in pairwise(found))


def test_seeds_that_disagree_leave_more_candidates() -> None:
    """Two classes, 30 and 40 %, and each seed has the order the other way round by ten points more or less."""
    labels = np.repeat([0, 1], 1000)
    place = np.tile(np.arange(1000), 2)
    low, high = [300, 250, 350], [400, 450, 350]
    correct = np.stack([place < np.where(labels == 0, a, b) for a, b in zip(low, high, strict=True)])
    assert candidate_set(correct, labels) == {0, 1}
    assert candidate_set(correct[:1], labels) == {0}


def test_the_worst_class_is_counted_over_seeds(count: Count) -> None:
    seeds = [count(profile, images=10) for profile in ([0.1, 0.2, 0.9], [0.3, 0.2, 0.9], [0.2, 0.3, 0.9])]
    assert worst_class_counts(seeds).tolist() == [2, 1, 0]


def test_no_seed_has_no_worst_class() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        worst_class_counts([])
