"""The set an attack may search."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairbench.attacks import Ball
from fairbench.protocol.threat import Norm

NORMS: tuple[Norm, ...] = ("Linf", "L2")


@pytest.mark.parametrize("norm", NORMS)
@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 10))
def test_projections_and_starts_lie_in_ball_and_box(norm: Norm, seed: int, scale: float) -> None:
    """Also for pixels at 0 and 1, for a radius per image, and for points far outside."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(6, 2, 3, 3, generator=generator).mul(1.6).sub(0.3).clamp(0, 1)
    ball = Ball(norm, centre, torch.rand(6, generator=generator) * 0.3)
    points = centre + scale * torch.randn(centre.shape, generator=generator)
    assert ball.contains(ball.project(points, torch.arange(6))).all()
    assert ball.contains(ball.uniform(generator)).all()


@pytest.mark.parametrize("norm", NORMS)
def test_projection_is_idempotent_and_leaves_inner_points_alone(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    ball = Ball(norm, torch.rand(5, 1, 4, 4, generator=generator, dtype=torch.float64), 0.1)
    inner = (ball.centre + 0.01 * torch.randn(ball.centre.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    rows = torch.arange(5)
    torch.testing.assert_close(ball.project(inner, rows), inner, rtol=0, atol=1e-15)
    outer = ball.project(ball.centre + 1, rows)
    torch.testing.assert_close(ball.project(outer, rows), outer, rtol=0, atol=1e-15)


@pytest.mark.parametrize("norm", NORMS)
def test_rows_choose_the_centre_and_radius_of_each_point(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(5, 1, 4, 4, generator=generator)
    ball = Ball(norm, centre, torch.linspace(0.01, 0.2, 5))
    points, rows = torch.rand(centre.shape, generator=generator), torch.tensor([1, 4])
    whole = ball.project(points, torch.arange(5))
    assert torch.equal(ball.project(points[rows], rows), whole[rows])


def test_uniform_starts_fill_the_ball() -> None:
    """L-inf noise reaches nearly the radius on both sides with mean 0; L2 lengths follow r^(1/pixels)."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.full((2000, 1, 2, 2), 0.5)
    noise = Ball("Linf", centre, 0.1).uniform(generator) - centre
    assert noise.min() < -0.099
    assert noise.max() > 0.099
    assert abs(noise.mean()) < 0.002
    lengths = (Ball("L2", centre, 0.1).uniform(generator) - centre).flatten(1).norm(dim=1) / 0.1
    assert abs((lengths**4).mean() - 0.5) < 0.03


@pytest.mark.parametrize("norm", NORMS)
def test_contains_refuses_what_is_outside(norm: Norm) -> None:
    centre = torch.zeros(4, 1, 1, 1) + torch.tensor([0.5, 0.5, 0.0, 0.5]).view(-1, 1, 1, 1)
    points = centre + torch.tensor([0.1, 0.11, -0.01, torch.nan]).view(-1, 1, 1, 1)
    assert Ball(norm, centre, 0.1).contains(points).tolist() == [True, False, False, False]
