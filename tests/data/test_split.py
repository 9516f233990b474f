"""The held-out split is stratified, fixed for good, and the same wherever it is drawn."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairbench.data.split import hold_out

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=200).map(lambda labels: np.array(labels, dtype=np.int64))
SHARES = st.sampled_from([Fraction(1, 7), Fraction(6, 100), Fraction(29, 100), Fraction(3, 10), Fraction(1, 2)])


@given(labels=LABELS, share=SHARES)
def test_every_image_is_on_exactly_one_side_and_every_class_gives_its_share(
    labels: np.ndarray, share: Fraction
) -> None:
    kept, held = hold_out(labels, share=float(share), name="validation")
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(labels)))
    assert np.all(np.diff(kept) > 0)
    assert np.all(np.diff(held) > 0)
    for label in np.unique(labels):
        exact = math.floor(share * int((labels == label).sum()) + Fraction(1, 2))  # half up, in exact arithmetic
        assert (labels[held] == label).sum() == max(1, exact)


@given(labels=LABELS)
def test_a_class_is_split_without_regard_to_the_others(labels: np.ndarray) -> None:
    _, held = hold_out(labels, share=0.3, name="validation")
    alone = labels == labels[0]
    _, held_alone = hold_out(labels[alone], share=0.3, name="validation")
    assert np.array_equal(np.flatnonzero(alone)[held_alone], held[labels[held] == labels[0]])


def test_the_draw_is_pinned_for_all_machines_and_library_versions() -> None:
    labels = np.arange(100, dtype=np.int64) % 4
    _, held = hold_out(labels, share=0.1, name="validation")
    assert held.tolist() == [5, 6, 12, 19, 23, 54, 70, 73, 80, 83, 89, 92]


def test_another_name_is_another_split() -> None:
    labels = np.zeros(100, dtype=np.int64)
    _, validation = hold_out(labels, share=0.3, name="validation")
    _, test = hold_out(labels, share=0.3, name="digits test")
    assert not np.array_equal(validation, test)


@pytest.mark.parametrize(("share", "size", "held"), [(0.29, 50, 15), (0.06, 5000, 300), (0.06, 4, 1), (1 / 7, 126, 18)])
def test_shares_are_rounded_half_up(share: float, size: int, held: int) -> None:
    _, rows = hold_out(np.zeros(size, dtype=np.int64), share=share, name="validation")
    assert len(rows) == held
