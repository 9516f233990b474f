"""GAIRAT's weight of an image by hand."""

import pytest
import torch

from fairbench_methods.parts.geometry_weight import geometry_weight


def test_fixture_f4() -> None:
    """K = 10, lambda = -1, kappa = 0 .. 10; to half a unit of the last printed digit."""
    expected = [0.99966, 0.99753, 0.98201, 0.88080, 0.5, 0.11920, 0.01799, 0.00247, 0.00034, 0.00005, 0.00001]
    found = geometry_weight(torch.arange(11), steps=10)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=5e-6)


@pytest.mark.parametrize("shift", [-1.0, -10.0])
def test_small_weights_have_full_precision(shift: float) -> None:
    """Computed as it is written, 1 + tanh(-6) is right to two digits only, and 1 + tanh(-15) is zero."""
    kappa = torch.arange(11)
    exact = 1 / (1 + (-2 * (shift + 5 * (1 - 2 * kappa.double() / 10))).exp())
    found = geometry_weight(kappa, steps=10, shift=shift)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("tanh", {0: 0.999665, 5: 0.119203, 10: 0.00000614}),
        ("sigmoid", {0: 0.982014, 5: 0.268941, 10: 0.002473}),
        ("discrete", {0: 1.0, 5: 6 / 11, 10: 1 / 11}),
    ],
)
def test_the_three_functions(function: str, expected: dict[int, float]) -> None:
    found = geometry_weight(torch.tensor(list(expected)), steps=10, function=function)
    assert found.tolist() == pytest.approx(list(expected.values()), rel=1e-3)


def test_an_odd_number_of_steps_is_not_halved_with_rounding() -> None:
    """The code divides by floor(K / 2); by the formula only kappa / K counts."""
    for function in ("tanh", "sigmoid"):
        few, many = (torch.arange(0, steps + 1, steps // 5) for steps in (5, 10))
        assert torch.equal(
            geometry_weight(few, steps=5, function=function), geometry_weight(many, steps=10, function=function)
        )
