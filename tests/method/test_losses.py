"""Losses per image, against the definitions and torch's own."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairbench.method.losses import cross_entropy, kl_divergence, margin


def logits(seed: int, *, count: int = 5, classes: int = 4) -> Tensor:
    return 5 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 10**6))
def test_kl_is_the_definition_with_the_reference_first(seed: int) -> None:
    """KL(reference || logits) = sum p log(p / q); not the other direction, and no mean over classes."""
    q, p = logits(seed).double().softmax(1), logits(seed + 1).double().softmax(1)
    expected = (p * (p / q).log()).sum(1)
    torch.testing.assert_close(kl_divergence(logits(seed), logits(seed + 1)).double(), expected, rtol=1e-3, atol=1e-4)


def test_kl_of_a_distribution_with_itself_is_zero_whatever_the_offset() -> None:
    assert kl_divergence(logits(0) + 7, logits(0)).abs().max() < 1e-5


def test_kl_agrees_with_torch() -> None:
    expected = F.kl_div(logits(1).log_softmax(1), logits(2).softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(kl_divergence(logits(1), logits(2)), expected)


def test_kl_carries_gradient_through_both_sides() -> None:
    """Stopping it at the clean prediction is the best-known mistake in reproductions of TRADES."""
    both = [logits(1).requires_grad_(True), logits(2).requires_grad_(True)]
    kl_divergence(*both).sum().backward()  # type: ignore[no-untyped-call]
    assert all(side.grad is not None and side.grad.abs().sum() > 0 for side in both)


def test_extreme_logits_stay_finite() -> None:
    extreme = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = kl_divergence(extreme, extreme.detach().flip(1)) + cross_entropy(extreme, torch.tensor([1]))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite().all()
    assert extreme.grad is not None
    assert extreme.grad.isfinite().all()


@pytest.mark.parametrize("function", [cross_entropy, margin])
def test_one_value_per_image(function: object) -> None:
    assert callable(function)
    assert function(logits(0), torch.tensor([0, 1, 2, 3, 0])).shape == (5,)


def test_cross_entropy_by_hand() -> None:
    value = cross_entropy(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0])).item()
    assert value == pytest.approx(math.log(math.e**2 + math.e + 1) - 2)


def test_half_precision_logits_are_computed_in_full_precision() -> None:
    half = logits(3).bfloat16()
    labels = torch.tensor([0, 1, 2, 3, 0])
    assert cross_entropy(half, labels).dtype == kl_divergence(half, half).dtype == torch.float32
    torch.testing.assert_close(cross_entropy(half, labels), cross_entropy(half.float(), labels), rtol=0, atol=0)


@given(seed=st.integers(0, 10**6))
def test_margin_is_positive_exactly_where_the_prediction_is_wrong(seed: int) -> None:
    values, labels = logits(seed, count=8), torch.arange(8) % 4
    assert torch.equal(margin(values, labels) > 0, values.argmax(dim=1) != labels)


def test_margin_by_hand() -> None:
    values = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert margin(values, torch.tensor([0, 1, 2])).tolist() == [-1.0, 2.0, 1.0]
