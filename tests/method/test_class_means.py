"""Per-class means over an epoch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from fairbench.method.class_means import ClassMeans

batches = st.lists(st.lists(st.tuples(st.integers(0, 4), st.floats(-100, 100, width=32)), min_size=1), min_size=1)


@given(batches)
def test_means_over_batches_are_means_over_everything(given_batches: list[list[tuple[int, float]]]) -> None:
    """Whatever the sizes of batches and classes; a class without images is NaN."""
    means = ClassMeans(5)
    for batch in given_batches:
        labels, values = zip(*batch, strict=True)
        means.add(torch.tensor(labels), torch.tensor(values))
    pooled = [pair for batch in given_batches for pair in batch]
    for c, mean in enumerate(means.mean().tolist()):
        own = [value for label, value in pooled if label == c]
        if own:
            assert abs(mean - sum(own) / len(own)) < 1e-9 * 100
        else:
            assert mean != mean  # noqa: PLR0124  NaN


def test_sums_are_exact_where_single_precision_is_not() -> None:
    means = ClassMeans(1)
    values = torch.full((1000,), 0.1)
    for _ in range(100):
        means.add(torch.zeros(1000, dtype=torch.long), values)
    assert means.mean().dtype == torch.float64
    assert abs(means.mean().item() - values[0].double().item()) < 1e-12


def test_no_gradient_is_kept() -> None:
    means = ClassMeans(2)
    means.add(torch.tensor([0, 1]), torch.ones(2, requires_grad=True) * 2)
    assert not means.mean().requires_grad


def test_reset_forgets() -> None:
    means = ClassMeans(2)
    means.add(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
    means.reset()
    means.add(torch.tensor([0]), torch.tensor([5.0]))
    assert means.counts.tolist() == [1, 0]
    assert means.mean()[0] == 5


def test_state_survives_a_restart_in_the_middle_of_an_epoch() -> None:
    first, second = ClassMeans(3), ClassMeans(3)
    first.add(torch.tensor([0, 1, 1]), torch.tensor([1.0, 2.0, 3.0]))
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    for means in (first, second):
        means.add(torch.tensor([2, 1]), torch.tensor([7.0, 0.5]))
    assert torch.equal(first.mean(), second.mean())
