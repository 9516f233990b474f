"""The worst mixture of classes: by hand, by its properties, and against a general solver."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import NonlinearConstraint, minimize
from scipy.special import softmax
from torch import Tensor

from fairbench_methods.worst_mixture import worst_mixture

BY_HAND = (0.2, -0.1, -0.4, -0.6)

briefly = settings(max_examples=40, deadline=None)

radii = st.floats(1e-3, 2)
several_scores = st.lists(st.integers(-1000, 1000).map(lambda n: n / 1000), min_size=2, max_size=12)
unequal_scores = several_scores.filter(lambda scores: len(set(scores)) > 1)


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def divergence(mixture: Tensor) -> float:
    """KL(u || q)."""
    return float(-(len(mixture) * mixture).log().mean())


@pytest.mark.parametrize(
    ("radius", "expected", "nu"),
    [
        (0.1, (0.442481, 0.245926, 0.170284, 0.141308), 0.575356),
        (0.5, (0.710034, 0.145894, 0.081300, 0.062772), 0.277584),
    ],
)
def test_fixture_f18(radius: float, expected: tuple[float, ...], nu: float) -> None:
    scores, mixture = doubles(*BY_HAND), worst_mixture(doubles(*BY_HAND), radius=radius)
    torch.testing.assert_close(mixture, doubles(*expected), rtol=0, atol=1e-6)
    # q_c (nu - a_c) is the same Z for every class
    found = (mixture[0] * scores[0] - mixture[1:] * scores[1:]) / (mixture[0] - mixture[1:])
    torch.testing.assert_close(found, torch.full_like(found, nu), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("radius", "largest"), [(0.1, 0.282), (0.5, 0.575), (1.0, 0.764)])
def test_fixture_f19(radius: float, largest: float) -> None:
    """What one class of ten can receive at most."""
    mixture = worst_mixture(torch.eye(10)[3], radius=radius)
    assert mixture[3].item() == pytest.approx(largest, abs=5e-4)
    assert mixture.argmax() == 3


@briefly
@given(several_scores)
def test_radius_zero_is_the_uniform_mixture(scores: list[float]) -> None:
    mixture = worst_mixture(doubles(*scores), radius=0.0)
    assert torch.equal(mixture, torch.full_like(mixture, 1 / len(scores)))


@briefly
@given(st.integers(1, 100), st.floats(-1, 1), radii)
def test_equal_scores_are_the_uniform_mixture(classes: int, score: float, radius: float) -> None:
    mixture = worst_mixture(torch.full((classes,), score, dtype=torch.float64), radius=radius)
    torch.testing.assert_close(mixture, torch.full_like(mixture, 1 / classes))


@briefly
@given(unequal_scores, radii)
def test_it_is_a_mixture_on_the_border_of_the_ball(scores: list[float], radius: float) -> None:
    mixture = worst_mixture(doubles(*scores), radius=radius)
    assert mixture.min() > 0
    assert mixture.sum().item() == pytest.approx(1)
    assert divergence(mixture) == pytest.approx(radius, rel=1e-6)


@briefly
@given(several_scores, radii)
def test_a_higher_score_gets_a_higher_share(scores: list[float], radius: float) -> None:
    values = doubles(*scores)
    mixture = worst_mixture(values, radius=radius)
    assert (mixture[values.argsort()].diff() >= -1e-12).all()
    assert ((values[:, None] > values) <= (mixture[:, None] > mixture)).all()
    assert ((values[:, None] == values) <= torch.isclose(mixture[:, None], mixture)).all()


@briefly
@given(unequal_scores, radii, st.floats(-10, 10), st.floats(1e-3, 1e3))
def test_shift_and_scale_of_the_scores_do_not_matter(
    scores: list[float], radius: float, shift: float, scale: float
) -> None:
    values = doubles(*scores)
    expected = worst_mixture(values, radius=radius)
    torch.testing.assert_close(worst_mixture(scale * values + shift, radius=radius), expected, rtol=1e-6, atol=1e-9)


@briefly
@given(unequal_scores, st.just(0.0) | st.floats(1e-12, 1), st.just(0.0) | st.floats(1e-12, 1))
def test_a_larger_ball_is_worse(scores: list[float], first: float, second: float) -> None:
    values = doubles(*scores)
    small, large = (worst_mixture(values, radius=r) @ values for r in sorted((first, second)))
    assert small <= large + 1e-9


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_general_solver_finds_the_same(classes: int, radius: float, seed: int) -> None:
    """The program as stated, by sequential quadratic programming over the logarithms of the shares."""
    scores = torch.randn(classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ball = NonlinearConstraint(lambda x: -np.log(classes * softmax(x)).mean(), -np.inf, radius)
    found = minimize(
        lambda x: -softmax(x) @ scores.numpy(), x0=np.zeros(classes), constraints=[ball], method="SLSQP", tol=1e-12
    )
    # Whether it reports success depends on its version: at this tolerance the last line search may find nothing better.
    mixture = worst_mixture(scores, radius=radius)
    assert -found.fun == pytest.approx(float(mixture @ scores), abs=1e-8)
    torch.testing.assert_close(mixture, torch.from_numpy(softmax(found.x)), rtol=0, atol=1e-5)


@briefly
@given(unequal_scores, radii, st.data())
def test_absent_classes_take_no_part(scores: list[float], radius: float, data: st.DataObject) -> None:
    """The mixture of the others is as if the absent ones did not exist, whatever their score."""
    present = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any)))
    values = doubles(*scores).masked_fill(~present, data.draw(st.sampled_from([-1e6, 0.0, 1e6, torch.nan])))
    mixture = worst_mixture(values, radius=radius, present=present)
    assert not mixture[~present].any()
    torch.testing.assert_close(mixture[present], worst_mixture(doubles(*scores)[present], radius=radius))


@pytest.mark.parametrize("classes", [100, 1000])
@pytest.mark.parametrize("radius", [1e-9, 0.5, 20.0])
def test_many_classes_and_extreme_radii(classes: int, radius: float) -> None:
    """log(nu - max a) then goes down to -20000, where nu itself equals max a in floating point."""
    scores = torch.randn(classes, generator=torch.Generator().manual_seed(0))
    mixture = worst_mixture(scores, radius=radius)
    assert mixture.isfinite().all()
    assert mixture.sum().item() == pytest.approx(1)
    assert divergence(mixture) == pytest.approx(radius, rel=1e-3)
    assert mixture.argmax() == scores.argmax()


def test_no_gradient_flows_through_it() -> None:
    scores = doubles(*BY_HAND).requires_grad_(True)
    assert not worst_mixture(scores, radius=0.5).requires_grad
