"""Several targets at once: who is attacked with which ranks, and whose point is kept."""

import pytest
import torch
from torch import Tensor

from fairbench.attacks.standard.found import Found
from fairbench.attacks.standard.targets import Pairs, target_by_target


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (0, [([0, 1, 2, 3], [0]), ([1, 2, 3], [1]), ([1, 2, 3], [2]), ([1, 2, 3], [3]), ([1, 2, 3], [4])]),
        (6, [([0, 1, 2, 3], [0]), ([1, 2, 3], [1, 2]), ([1, 2, 3], [3, 4])]),
        (100, [([0, 1, 2, 3], [0]), ([1, 2, 3], [1, 2, 3, 4])]),
    ],
)
def test_the_first_target_comes_alone(rows: int, expected: list[tuple[list[int], list[int]]]) -> None:
    """Whom it breaks is not aimed at again; then as many ranks are joined as fit."""
    calls: list[tuple[list[int], list[int]]] = []
    images = torch.zeros(4, 1, 1, 1)

    def attack(left: Tensor, ranks: range) -> Found:
        calls.append((left.tolist(), list(ranks)))
        return Found(images=images[left] + 1, broken=left == 0)

    found = target_by_target(attack, images, targets=5, rows=rows)
    assert calls == expected
    assert found.broken.tolist() == [True, False, False, False]


def test_it_ends_when_nobody_is_left() -> None:
    calls: list[range] = []

    def attack(left: Tensor, ranks: range) -> Found:
        calls.append(ranks)
        return Found(images=torch.zeros(len(left), 1, 1, 1), broken=torch.ones(len(left), dtype=torch.bool))

    assert target_by_target(attack, torch.zeros(3, 1, 1, 1), targets=9, rows=100).broken.all()
    assert calls == [range(1)]
    assert target_by_target(attack, torch.zeros(0, 1, 1, 1), targets=9).images.shape == (0, 1, 1, 1)
    assert calls == [range(1)]


def test_the_lowest_rank_that_breaks_an_image_is_kept() -> None:
    """A higher rank is through first, leaves with those above it, and is overruled by a lower one later."""
    pairs = Pairs(torch.zeros(2, 1, 1, 1), ranks=3)
    assert pairs.image.tolist() == [0, 1, 0, 1, 0, 1]
    stay = pairs.broken(torch.tensor([False, False, True, False, False, False]), torch.full((6, 1, 1, 1), 7.0))
    assert stay.tolist() == [0, 1, 3, 5]
    assert pairs.image.tolist() == [0, 1, 1, 1]
    stay = pairs.broken(torch.tensor([True, False, False, False]), torch.full((4, 1, 1, 1), 8.0))
    assert stay.tolist() == [1, 2, 3]
    assert pairs.found.images.flatten().tolist() == [8, 0]
    assert pairs.found.broken.tolist() == [True, False]


def test_of_two_ranks_through_at_once_the_lower_one_counts() -> None:
    pairs = Pairs(torch.zeros(1, 1, 1, 1), ranks=3)
    points = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
    assert pairs.broken(torch.tensor([False, True, True]), points).tolist() == [0]
    assert pairs.found.images.item() == 2
