"""Which class is the worst."""

from itertools import pairwise

import numpy as np
import pytest

from fairbench.outcomes.metrics import ClassAccuracies, Vector
from fairbench.statistics import candidate_set, worst_class_counts
from fixture_types import Count


def test_candidates_of_the_reference_vector(reference: Vector, count: Count) -> None:
    assert candidate_set(count(reference, images=1000)) == {2, 3, 4, 5, 6}


def test_a_clear_worst_class_is_the_only_candidate(count: Count) -> None:
    assert candidate_set(count([0.6, 0.2, 0.5], images=1000)) == {1}


def test_absent_classes_are_no_candidates() -> None:
    counts = np.array([100, 0, 100])
    assert candidate_set(ClassAccuracies(counts=counts, correct=np.array([90, 0, 20]))) == {2}
    assert candidate_set(ClassAccuracies(counts=0 * counts, correct=0 * counts)) == frozenset()


def test_a_lower_level_never_has_more_candidates(reference: Vector, count: Count) -> None:
    found = [candidate_set(count(reference, images=1000), level=level) for level in (0.5, 0.8, 0.95, 0.999)]
    assert all(smaller <= larger for smaller, larger in pairwise(found))


def test_the_worst_class_is_counted_over_seeds(count: Count) -> None:
    seeds = [count(profile, images=10) for profile in ([0.1, 0.2, 0.9], [0.3, 0.2, 0.9], [0.2, 0.3, 0.9])]
    assert worst_class_counts(seeds).tolist() == [2, 1, 0]


def test_no_seed_has_no_worst_class() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        worst_class_counts([])
