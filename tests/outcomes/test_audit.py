"""Who is audited, and what an audit without a break proves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.evaluation.audit_sample import audit_sample
from fairbench.outcomes.audit import Audit, missed_at_most


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    share=st.floats(0.01, 1.0),
)
def test_every_class_is_audited_in_its_share(counts: list[int], share: float) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    sampled = audit_sample(labels, np.arange(len(labels)), share=share)
    for label, count in enumerate(counts):
        assert sampled[labels == label].sum() == math.ceil(round(share * count, 9))


def test_a_tenth_of_thirty_is_three() -> None:
    assert audit_sample(np.zeros(30, dtype=np.int64), np.arange(30), share=0.1).sum() == 3


def test_nobody_left_is_nobody_audited() -> None:
    assert audit_sample(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), share=0.1).tolist() == []


@pytest.mark.parametrize(
    ("survivors", "audited", "missed"), [(0, 0, 0), (10, 10, 0), (10, 1, 9), (1, 1, 0), (250, 25, 26), (5000, 300, 48)]
)
def test_the_bound_of_one_class(survivors: int, audited: int, missed: int) -> None:
    assert missed_at_most(survivors, audited) == missed


@given(survivors=st.integers(1, 300), data=st.data())
def test_the_bound_is_the_largest_number_that_can_stay_hidden(survivors: int, data: st.DataObject) -> None:
    """Counted by binomial coefficients: samples that avoid all m of them, among all samples."""
    audited = data.draw(st.integers(1, survivors))

    def hidden(m: int) -> float:
        return math.comb(survivors - m, audited) / math.comb(survivors, audited)

    m = missed_at_most(survivors, audited)
    assert hidden(m) >= 0.05 - 1e-12
    assert m == survivors - audited or hidden(m + 1) < 0.05 + 1e-12


@given(classes=st.lists(st.tuples(st.integers(0, 200), st.floats(0.05, 1.0)), min_size=1, max_size=5), data=st.data())
def test_the_bound_over_all_classes_covers_any_spread(classes: list[tuple[int, float]], data: st.DataObject) -> None:
    """One break more than the bound, wherever it lies, would have been seen with 95 %."""
    survivors = tuple(count for count, _ in classes)
    audited = tuple(math.ceil(share * count) for count, share in classes)
    audit = Audit(survivors=survivors, audited=audited, breaks=0)
    unseen = [found - seen for found, seen in zip(survivors, audited, strict=True)]
    bound = audit.missed_at_most_in_all
    assert 0 <= bound <= sum(unseen)
    if bound == sum(unseen):
        return
    missed, probability = bound + 1, 1.0
    for found, seen, free in zip(survivors, audited, unseen, strict=True):
        here = data.draw(st.integers(0, min(missed, free)))
        missed -= here
        probability *= math.comb(found - here, seen) / math.comb(found, seen)
    assert missed > 0 or probability <= 0.05


def test_the_record_holds_what_was_seen_and_what_it_bounds() -> None:
    audit = Audit(survivors=(250, 10, 0), audited=(25, 1, 0), breaks=0)
    assert audit.plain() == {
        "survivors": [250, 10, 0],
        "audited": [25, 1, 0],
        "breaks": 0,
        "missed_at_most": [26, 9, 0],
        "missed_at_most_in_all": 28,
    }
