"""Nested random subsets with every class in its share."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fairbench.data.stratified import ranks_within_class, stratified_subset

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda labels: np.asarray(labels, dtype=np.int64))


def test_the_draw_is_pinned() -> None:
    """A change would judge other images under the same name."""
    assert stratified_subset(np.arange(40) % 4, limit=8).tolist() == [9, 16, 17, 22, 23, 32, 38, 39]


@given(labels=LABELS, limit=st.integers(1, 70))
def test_a_subset_is_as_even_as_the_classes_allow(labels: np.ndarray, limit: int) -> None:
    chosen = stratified_subset(labels, limit=limit)
    assert len(chosen) == min(limit, len(labels))
    assert (np.diff(chosen) > 0).all()
    counts, taken = np.bincount(labels, minlength=5), np.bincount(labels[chosen], minlength=5)
    for k in range(5):
        if taken[k] < counts[k]:  # a class that has images left has no fewer than any other, but for one
            assert taken[k] >= taken.max() - 1


@given(labels=LABELS, limit=st.integers(1, 70))
def test_subsets_are_nested(labels: np.ndarray, limit: int) -> None:
    assert set(stratified_subset(labels, limit=limit)) <= set(stratified_subset(labels, limit=limit + 1))


@given(labels=LABELS, data=st.data())
def test_the_order_within_a_class_does_not_depend_on_who_is_left(labels: np.ndarray, data: st.DataObject) -> None:
    positions = np.arange(len(labels))
    left = np.asarray(sorted(data.draw(st.sets(st.sampled_from(positions.tolist()), min_size=1))))
    whole = ranks_within_class(labels, positions, name="test")[left]
    part = ranks_within_class(labels[left], left, name="test")
    for k in np.unique(labels[left]):
        members = labels[left] == k
        assert np.argsort(whole[members]).tolist() == np.argsort(part[members]).tolist()
        assert sorted(part[members]) == list(range(int(members.sum())))


def test_another_name_is_another_draw() -> None:
    labels, indices = np.zeros(50, dtype=np.int64), np.arange(50)
    assert (
        ranks_within_class(labels, indices, name="a").tolist() != ranks_within_class(labels, indices, name="b").tolist()
    )
