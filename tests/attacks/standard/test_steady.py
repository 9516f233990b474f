"""Batches filled up: the same bits for an image in any company."""

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks.standard.steady import LEAST, steady


@pytest.mark.parametrize("count", range(1, 10))
def test_rows_and_their_gradients_do_not_depend_on_the_batch(count: int) -> None:
    """Of a network whose products a single row, or the rest of a division by four, would round otherwise."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 100), nn.ReLU(), nn.Linear(100, 10))
        images = torch.rand(64, 3, 8, 8)
    net.requires_grad_(False)

    def run(rows: Tensor) -> tuple[Tensor, Tensor]:
        points = rows.clone().requires_grad_()
        logits = steady(net)(points)
        (gradient,) = torch.autograd.grad(logits.square().sum(), points)
        return logits, gradient

    logits, gradients = run(images)
    some = slice(64 - count, 64)
    alone = run(images[some])
    assert torch.equal(alone[0], logits[some])
    assert torch.equal(alone[1], gradients[some])


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, LEAST), (LEAST, LEAST), (17, 20), (20, 20)])
def test_only_what_is_missing_is_filled_up(count: int, expected: int) -> None:
    seen: list[int] = []

    def model(points: Tensor) -> Tensor:
        seen.append(len(points))
        return points.flatten(1)

    images = torch.rand(count, 1, 2, 2)
    assert torch.equal(steady(model)(images), images.flatten(1))
    assert seen == [expected]
