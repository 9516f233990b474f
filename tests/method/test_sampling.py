"""What a method may say of the classes that its next batch is drawn from."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fairbench.errors import UserError
from fairbench.method.sampling import class_shares


def method_saying(shares: Any, *, classes: int = 3) -> Any:
    return SimpleNamespace(sampling=lambda: shares, classes=classes)


def test_most_say_nothing() -> None:
    assert class_shares(method_saying(None)) is None


def test_shares_come_as_doubles_without_gradient() -> None:
    found = class_shares(method_saying(torch.tensor([1.0, 0, 3], requires_grad=True)))
    assert found is not None
    assert (found.dtype, found.requires_grad, found.tolist()) == (torch.float64, False, [1, 0, 3])


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([1, 2, 3], r"sampling\(\) = list is not allowed; allowed: a tensor of shape \(3,\), or None"),
        (torch.ones(4), r"a tensor of shape \(4,\) is not allowed"),
        (torch.tensor([1.0, -0.5, 1]), r"\(1, -0.5, 1\) is not allowed; allowed: finite numbers of 0 or more"),
        (torch.tensor([1.0, torch.nan, 1]), "nan"),
        (torch.zeros(3), "not all of them 0"),
    ],
)
def test_anything_else_is_refused(shares: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        class_shares(method_saying(shares))
