"""The draw of a review: what it covers, and that inventions are found as often as the documentation says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairbench.submission.drawing import chance, draw

ROOT = Path(__file__).resolve().parents[2]


def verdicts(robust: list[int], images: int) -> pd.DataFrame:
    """Classes with that many robust images of so many."""
    labels = np.repeat(np.arange(len(robust)), images)
    right = np.concatenate([np.arange(images) < count for count in robust])
    wrong = (labels + 1) % len(robust)
    return pd.DataFrame(
        {
            "index": np.arange(len(labels)),
            "label": labels,
            "clean": labels,
            "pgd20": np.where(right, labels, wrong),
            "autoattack": np.where(right, labels, wrong),
        }
    )


UNEQUAL = verdicts([700, 600, 500, 400, 300, 300, 250, 200, 150, 100], 1000)


def test_the_same_share_of_every_class_and_a_few_others() -> None:
    found = draw(UNEQUAL, attack="autoattack", classes=10, limit=100, seed=3)
    assert found.claimed.tolist() == [20, 18, 15, 12, 9, 9, 8, 6, 5, 3]
    others = len(found.positions) - int(found.claimed.sum())
    assert 25 <= others <= 35
    assert (np.diff(found.positions) > 0).all()


def test_a_seed_draws_the_same_and_another_one_others() -> None:
    first, again, other = (draw(UNEQUAL, attack="autoattack", classes=10, limit=100, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.positions, again.positions)
    assert not np.array_equal(first.positions, other.positions)


@pytest.mark.parametrize(("robust", "limit"), [([0, 0], 10), ([3, 0], 100), ([10, 10], 100), ([1, 10], 1)])
def test_few_images(robust: list[int], limit: int) -> None:
    found = draw(verdicts(robust, 10), attack="autoattack", classes=2, limit=limit, seed=0)
    assert min(limit, sum(robust)) <= int(found.claimed.sum()) <= min(limit + 2, sum(robust))


@pytest.mark.parametrize("spread", ["even", "one class", "few"])
def test_inventions_are_found_as_often_as_it_says(spread: str) -> None:
    """Two percent of 3,500 robust verdicts, invented anywhere; 2,000 draws of a hundred."""
    robust = np.flatnonzero(UNEQUAL["autoattack"] == UNEQUAL["label"])
    invented = {"even": robust[::50], "one class": robust[:70], "few": robust[-70:]}[spread]
    seen = 0
    for seed in range(2_000):
        found = draw(UNEQUAL, attack="autoattack", classes=10, limit=100, seed=seed)
        seen += bool(np.intersect1d(found.positions, invented, assume_unique=True).size)
    stated = chance(share=0.02, claimed=len(robust), drawn=100)
    assert stated == pytest.approx(1 - (1 - 100 / 3500) ** 70)
    deviation = np.sqrt(stated * (1 - stated) / 2_000)
    assert seen / 2_000 > stated - 3 * deviation
    if spread == "even":
        assert seen / 2_000 < stated + 0.05, "the bound is no understatement either"


def test_what_the_documentation_says() -> None:
    """However large the test set, a hundred images and 2 % invented verdicts."""
    assert chance(share=0.02, claimed=1_000_000, drawn=100) == pytest.approx(0.865, abs=5e-4)
    assert chance(share=0.02, claimed=400, drawn=100) == pytest.approx(0.90, abs=5e-3)
    assert pytest.approx(0.9975, abs=5e-4) == 1 - (1 - 0.865) ** 3
    text = " ".join((ROOT / ".github" / "SECURITY.md").read_text(encoding="utf-8").split())
    assert re.search(r"2 % .* at least 86.5 % .* three seeds 99.7 %", text)
    assert chance(share=0.0, claimed=10, drawn=5) == 0


def test_an_invention_without_a_place_to_hide() -> None:
    assert chance(share=0.02, claimed=50, drawn=50) == 1
