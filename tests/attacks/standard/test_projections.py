"""The shortest move onto a hyperplane in the box."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyautoattack.fab_projections import projection_l2, projection_linf
from torch import Tensor

from fairbench.attacks.standard.projections import shortest_move
from fairbench.protocol.threat import Norm

NORMS: list[Norm] = ["Linf", "L2"]
LIBRARY: dict[Norm, Any] = {"Linf": projection_linf, "L2": projection_l2}


def problem(seed: int, *, rows: int = 12, pixels: int = 30, reach: float = 0.6) -> tuple[Tensor, Tensor, Tensor]:
    """Points, some pixels on the box; normals, some weights zero; gaps, of either sign, up to `reach` of the way."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(rows, pixels, generator=generator, dtype=torch.float64).mul(1.6).sub(0.3).clamp(0, 1)
    normal = torch.randn(rows, pixels, generator=generator, dtype=torch.float64)
    normal[torch.rand(rows, pixels, generator=generator) < 0.1] = 0
    sign = torch.randn(rows, 1, generator=generator, dtype=torch.float64).sign()
    whole = (normal.abs() * torch.where(sign * normal > 0, points, 1 - points)).sum(dim=1)
    share = torch.rand(rows, generator=generator, dtype=torch.float64)
    return points, normal, sign[:, 0] * whole * share * reach


def dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(dim=-1)


@pytest.mark.parametrize("norm", NORMS)
@given(seed=st.integers(0, 2**31), pixels=st.integers(2, 40), reach=st.floats(0, 0.999))
def test_the_move_is_that_of_the_library(norm: Norm, seed: int, pixels: int, reach: float) -> None:
    points, normal, gap = problem(seed, pixels=pixels, reach=reach)
    move = shortest_move(points, normal=normal, gap=gap, norm=norm)
    expected = LIBRARY[norm](points, normal, dot(normal, points) - gap)
    torch.testing.assert_close(move, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
@given(seed=st.integers(0, 2**31), reach=st.floats(0.01, 0.99))
def test_the_move_meets_the_conditions_of_a_minimum(norm: Norm, seed: int, reach: float) -> None:
    """On the hyperplane, in the box, and no pixel slower than another one unless it is stopped."""
    points, normal, gap = problem(seed, reach=reach)
    move = shortest_move(points, normal=normal, gap=gap, norm=norm)
    torch.testing.assert_close(dot(normal, move), -gap, rtol=0, atol=1e-9)
    uphill = normal * gap.sign()[:, None]
    assert (move * uphill <= 0).all()
    stopped = move.abs() >= torch.where(uphill > 0, points, 1 - points) - 1e-12
    assert ((points + move >= -1e-12) & (points + move <= 1 + 1e-12)).all()
    weighted = normal != 0
    time = move.abs() / (1 if norm == "Linf" else normal.abs().clamp_min(1e-12))
    longest = time.masked_fill(stopped, 0).amax(dim=1, keepdim=True)
    assert (time <= longest + 1e-9)[weighted].all()
    assert (time >= longest - 1e-9)[weighted & ~stopped].all()


@pytest.mark.parametrize("norm", NORMS)
def test_far_from_the_box_the_formula_is_known(norm: Norm) -> None:
    normal, gap = problem(0)[1:]
    points, gap = torch.full_like(normal, 0.5), gap / 100
    dual = dot(normal, normal.sign() if norm == "Linf" else normal)
    expected = -(gap / dual)[:, None] * (normal.sign() if norm == "Linf" else normal)
    torch.testing.assert_close(shortest_move(points, normal=normal, gap=gap, norm=norm), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_beyond_the_box_every_pixel_goes_to_its_end(norm: Norm) -> None:
    points, normal, gap = problem(1, reach=1.0)
    move = shortest_move(points, normal=normal, gap=1000 * gap.sign(), norm=norm)
    corner = torch.where(normal * gap.sign()[:, None] > 0, 0.0, 1.0).double()
    torch.testing.assert_close(points + move, torch.where(normal == 0, points, corner), rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("gap", [0.0, 0.5, -0.5, torch.inf, torch.nan])
def test_without_a_gradient_nothing_moves(gap: float, norm: Norm) -> None:
    points = torch.linspace(0, 1, 5).repeat(2, 1)
    move = shortest_move(points, normal=torch.zeros(2, 5), gap=torch.full((2,), gap), norm=norm)
    assert move.eq(0).all() or gap != gap  # noqa: PLR0124  NaN


@pytest.mark.parametrize("norm", NORMS)
def test_a_zero_gap_moves_nothing(norm: Norm) -> None:
    points, normal, gap = problem(2)
    assert shortest_move(points, normal=normal, gap=torch.zeros_like(gap), norm=norm).eq(0).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
@pytest.mark.parametrize("norm", NORMS)
def test_tiny_and_huge_gradients_are_those_of_the_library(norm: Norm, scale: float) -> None:
    """In single precision; weights up to 1e-8 do not count on L2."""
    points, normal, gap = (values.float() for values in problem(3))
    normal, gap = normal * scale, gap * scale
    move = shortest_move(points, normal=normal, gap=gap, norm=norm)
    expected = LIBRARY[norm](points.double(), normal.double(), dot(normal.double(), points.double()) - gap.double())
    torch.testing.assert_close(move.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_a_row_depends_on_no_other_row(norm: Norm) -> None:
    """Bit for bit, though the others decide how long the iteration goes on; a NaN stays in its row."""
    points, normal, gap = (values.float() for values in problem(4, rows=40, pixels=100, reach=0.95))
    whole = shortest_move(points, normal=normal, gap=gap, norm=norm)
    for rows in (*torch.split(torch.arange(40), 1), *torch.split(torch.arange(40), 7)):
        assert torch.equal(shortest_move(points[rows], normal=normal[rows], gap=gap[rows], norm=norm), whole[rows])
    gap[3] = torch.nan
    with_nan = shortest_move(points, normal=normal, gap=gap, norm=norm)
    assert torch.equal(with_nan[4:], whole[4:])


@pytest.mark.parametrize("norm", NORMS)
def test_one_normal_serves_several_points(norm: Norm) -> None:
    points, normal, gap = problem(5)
    pair = torch.stack([points, points.flip(1)], dim=1)
    gaps = torch.stack([gap, -gap], dim=1)
    moves = shortest_move(pair, normal=normal[:, None], gap=gaps, norm=norm)
    for k in range(2):
        assert torch.equal(moves[:, k], shortest_move(pair[:, k], normal=normal, gap=gaps[:, k], norm=norm))
