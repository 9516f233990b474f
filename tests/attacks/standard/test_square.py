"""Square: the library's verdicts from the library's noise, image by image; a window per image of its own otherwise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.standard import square as module
from fairbench.attacks.standard.found import Found
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.attacks.standard.square import square
from fairbench.attacks.standard.windows import Bumps, Squares, windows
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.threat import Norm
from fairbench.training.passes import PassCounter
from fixture_types import Call

NORMS: list[Norm] = ["Linf", "L2"]


def attack(
    case: Any,
    *,
    rows: Tensor | None = None,
    noise: Any = None,
    queries: int = 60,
    block: int = module.BLOCK,
    together: int = 0,
    every: bool = False,
) -> Found:
    """Attack some rows of a case, in that order; all by default."""
    rows = case.indices if rows is None else rows
    return square(
        case.model,
        case.images[rows],
        case.labels[rows],
        indices=rows,
        threat=case.threat,
        noise=noise or ImageNoise(0),
        queries=queries,
        block=block,
        rows=together,
        every=every,
    )


# The library is the reference.


@pytest.mark.parametrize(("classes", "batch_norm"), [(2, False), (3, True), (4, False), (10, True), (20, False)])
@pytest.mark.parametrize("norm", NORMS)
def test_verdicts_are_those_of_the_library(
    *,
    norm: Norm,
    classes: int,
    batch_norm: bool,
    make_case: Call,
    library: Callable[..., Tensor],
    library_noise: Call,
) -> None:
    case = make_case(norm, classes=classes, batch_norm=batch_norm)
    expected = library("square", case, settings=AutoAttackSettings(square_queries=300))
    found = attack(case, noise=library_noise(norm), queries=300, block=1)
    assert torch.equal(found.broken, expected)
    assert 0 < expected.sum() < len(expected)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 6), (2, 10, 15), (3, 16, 16), (2, 9, 7)], ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_verdicts_on_images_of_other_shapes(
    norm: Norm, shape: tuple[int, int, int], make_case: Call, library: Callable[..., Tensor], library_noise: Call
) -> None:
    case = make_case(norm, shape=shape)
    expected = library("square", case, settings=AutoAttackSettings(square_queries=100))
    assert torch.equal(attack(case, noise=library_noise(norm), queries=100, block=1).broken, expected)
    assert expected.any()


@pytest.mark.usefixtures("rows_by_four")
@pytest.mark.parametrize("norm", NORMS)
def test_the_points_of_all_queries_are_those_of_the_library(
    norm: Norm,
    make_case: Call,
    library: Callable[..., Tensor],
    library_noise: Call,
) -> None:
    """Bit for bit through two thousand queries and seven window sizes, on images that nobody breaks."""
    case, points = make_case(norm, shape=(3, 16, 16), count=4), []
    handicap = 50 * nn.functional.one_hot(case.labels, 10)

    def unbreakable(images: Tensor) -> Tensor:
        points.append(images.clone())  # the library writes into its own
        logits: Tensor = case.model(images) + handicap[: len(images)]
        return logits

    guarded = replace(case, model=unbreakable)
    library("square", guarded, settings=AutoAttackSettings(square_queries=2100))
    theirs = points[2:-2]  # without the clean images and the checks at the end
    points.clear()
    attack(guarded, noise=library_noise(norm), queries=2100, block=1, every=True)
    assert len(points) == len(theirs) == 2101
    assert torch.equal(torch.stack(points), torch.stack(theirs))


def sides_of_the_library(shape: tuple[int, int, int], norm: Norm, queries: Sequence[int]) -> list[int]:
    """By the library's own schedule and its formulas."""
    library = SquareAttack(nn.Identity(), n_queries=10000, norm=norm, eps=0.1, resc_schedule=False)
    channels, height, width = shape
    sides = []
    for query in queries:
        wanted = round(math.sqrt(library.p_selection(query) * channels * height * width / channels))
        side = max(wanted, 1) if norm == "Linf" else max(wanted, 3) | 1
        sides.append(min(side, height, width))
    return sides


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 20, 28), (3, 224, 224), (1, 2, 2)], ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_the_schedule_of_window_sizes(norm: Norm, shape: tuple[int, int, int]) -> None:
    sides = module._sides(windows(norm, shape), height=shape[1], width=shape[2], queries=10000)
    assert sides == sides_of_the_library(shape, norm, range(10000))


def test_the_schedule_on_cifar_images() -> None:
    sides = module._sides(windows("Linf", (3, 32, 32)), height=32, width=32, queries=5000)
    changes = {query: side for query, side in enumerate(sides) if query == 0 or sides[query - 1] != side}
    assert changes == {0: 29, 11: 20, 51: 14, 201: 10, 501: 7, 1001: 5, 2001: 4, 4001: 3}


@pytest.mark.parametrize("side", range(1, 13))
def test_bumps_are_those_of_the_library(side: int) -> None:
    library = SquareAttack(nn.Identity(), norm="L2", eps=0.1, device="cpu")
    ours = Bumps((1, 32, 32))._turned(torch.tensor([0.2, 0.9]), side)
    upright, turned = ours
    assert torch.equal(upright.T, turned)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        drawn = [library.eta(side) for _ in range(12)]
    for bump in drawn:
        assert any(torch.allclose(bump, one, rtol=0, atol=1e-6) for one in ours)
    assert torch.allclose(ours.flatten(1).norm(dim=1), torch.ones(2))


# Its own noise.


@pytest.mark.parametrize("norm", NORMS)
def test_an_image_is_attacked_alike_in_any_company(norm: Norm, make_case: Call) -> None:
    """Whole, one by one, in sevens and in another order: the same bits. Blocks end while images leave."""
    case = make_case(norm)
    whole = attack(case, queries=230)
    order = torch.randperm(len(case.images), generator=torch.Generator().manual_seed(1))
    for rows in (*case.indices.split(1), *case.indices.split(7), order):
        part = attack(case, rows=rows, queries=230)
        assert torch.equal(part.broken, whole.broken[rows])
        assert torch.equal(part.images, whole.images[rows])
    assert 0 < whole.broken.sum() < len(order)


@pytest.mark.parametrize("norm", NORMS)
def test_fewer_queries_are_the_first_of_more(norm: Norm, make_case: Call) -> None:
    case = make_case(norm)
    few, many = attack(case, queries=130), attack(case, queries=160)
    assert not (few.broken & ~many.broken).any()
    assert torch.equal(few.images[few.broken], many.images[few.broken])


@pytest.mark.parametrize("norm", NORMS)
def test_claims_hold_and_the_rest_is_clean(norm: Norm, make_case: Call) -> None:
    case = make_case(norm)
    found = attack(case)
    assert Ball(norm, case.images, case.threat.epsilon).contains(found.images).all()
    assert torch.equal(case.model(found.images).argmax(dim=1) != case.labels, found.broken)
    assert torch.equal(found.images[~found.broken], case.images[~found.broken])


@pytest.mark.parametrize("norm", NORMS)
def test_another_seed_breaks_about_as_many(norm: Norm, make_case: Call, library: Callable[..., Tensor]) -> None:
    case = make_case(norm, count=200)
    expected = int(library("square", case, settings=AutoAttackSettings(square_queries=200)).sum())
    counts = [int(attack(case, noise=ImageNoise(seed), queries=200).broken.sum()) for seed in range(3)]
    assert all(abs(count - expected) <= 20 for count in counts)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    query=st.integers(0, 5000),
    seed=st.integers(0, 9),
)
def test_a_square_lies_in_the_image_and_every_image_has_its_own(
    shape: tuple[int, int, int], query: int, seed: int
) -> None:
    squares = Squares(shape)
    (side,) = module._sides(squares, height=shape[1], width=shape[2], queries=query + 1)[query:]
    uniform = ImageNoise(seed).uniform("square", 0, indices=torch.arange(40), shape=(1, squares.numbers))
    rows, columns = squares.plan(uniform.transpose(0, 1), torch.tensor([side]))
    moved = rows * columns  # (1, images, channels, height, width)
    assert (moved.abs().sum(dim=(3, 4)) == side**2).all()
    assert set(moved.flatten().tolist()) <= {-1, 0, 1}
    names = squares.named(uniform.transpose(0, 1), torch.tensor([side]))[0]
    assert ((names >= 0) & (names < squares.names)).all()
    alike = (moved[0, :, None] == moved[0]).flatten(2).all(dim=2)
    assert torch.equal(names[:, None] == names, alike)
    if shape[1] - side > 1:
        assert len({tuple(row.tolist()) for row in moved[0, :, 0].abs().sum(dim=2)}) > 1


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 2, 2), (3, 3, 5), (2, 4, 1), (1, 30, 3), (3, 7, 12), (1, 14, 30), (2, 28, 20)], ids=str
)
@pytest.mark.parametrize("norm", NORMS)
def test_any_image_size(norm: Norm, shape: tuple[int, int, int]) -> None:
    """The start moves every image, and no query leaves the ball."""
    images = torch.full((3, *shape), 0.5)
    ball = Ball(norm, images, 0.2)
    moves, noise = windows(norm, shape), ImageNoise(1)
    uniform = noise.uniform("square", "start", indices=torch.arange(3), shape=moves.start_shape)
    points = moves.start(ball, uniform)
    assert points.shape == images.shape
    assert ((points - images).abs().amax(dim=(1, 2, 3)) > 0.01).all()
    sides = module._sides(moves, height=shape[1], width=shape[2], queries=60)
    drawn = noise.uniform("square", 0, indices=torch.arange(3), shape=(60, moves.numbers))
    planned = moves.plan(drawn.transpose(0, 1), torch.tensor(sides))
    for query, side in enumerate(sides):
        points = moves.change(ball, points, [part[query] for part in planned], side)
        assert ball.contains(points).all()


def test_a_tie_is_a_break_if_the_prediction_says_so(make_case: Call) -> None:
    def constant(points: Tensor) -> Tensor:
        return torch.zeros(len(points), 10)

    case = replace(make_case(count=4), model=constant, labels=torch.tensor([0, 1, 0, 2]))
    assert attack(case).broken.tolist() == [False, True, False, True]


@pytest.mark.parametrize("norm", NORMS)
def test_a_tie_does_not_end_the_search(norm: Norm, make_case: Call) -> None:
    """Logits in steps of a half often tie, and the library would stop there."""
    case = make_case(norm, count=60, epsilon={"Linf": 0.03, "L2": 0.2}[norm])
    model: nn.Module = case.model

    def coarse(points: Tensor) -> Tensor:
        logits: Tensor = (8 * model(points)).round() / 2
        return logits

    labels = coarse(case.images).argmax(dim=1)
    found = attack(replace(case, model=coarse, labels=labels), queries=200)
    assert torch.equal(coarse(found.images).argmax(dim=1) != labels, found.broken)
    points = found.images[found.broken]
    assert len(points) > 0
    tied = (coarse(case.images).topk(2).values.diff(dim=1) == 0).squeeze(1)
    assert (tied & found.broken).any()  # these began in a tie


# Cost and side effects.


@pytest.mark.usefixtures("rows_by_four")
@pytest.mark.parametrize("norm", NORMS)
def test_passes_of_a_survivor(norm: Norm, make_case: Call) -> None:
    """One for the start and one for each query; the clean pass and the verification are the caller's."""
    case = make_case(norm, count=4, epsilon=1e-4)
    with PassCounter(case.model) as counter:
        assert not attack(case, queries=50, every=True).broken.any()
    assert (counter.passes.forwards, counter.passes.input_backwards) == (4 * 51, 0)


@pytest.mark.usefixtures("rows_by_four")
def test_broken_images_cost_no_more(line: nn.Module, make_case: Call) -> None:
    """An image of a single pixel falls to the start, which moves it by the radius in either direction, or never."""
    images = torch.tensor([0.55] * 8 + [0.9] * 4).view(-1, 1, 1, 1)
    case = replace(make_case(epsilon=0.1), model=line, images=images, labels=torch.ones(12, dtype=torch.long))
    with PassCounter(line) as counter:
        found = attack(case, queries=30)
    assert found.broken.tolist() == [True] * 8 + [False] * 4
    assert 4 + 8 <= counter.passes.forwards <= 31 * 4 + 8 * 15
    with PassCounter(line) as counter:
        assert attack(case, rows=torch.arange(8), queries=5000).broken.all()
    assert counter.passes.forwards <= 8 * 15


@pytest.mark.parametrize("together", [0, 24, 50, 100, 400])
@pytest.mark.parametrize("norm", NORMS)
def test_queries_asked_together_find_what_one_after_the_other_finds(norm: Norm, together: int, make_case: Call) -> None:
    """The same bits, whether or not windows that cannot be better are asked about, while images leave."""
    case = make_case(norm, epsilon={"Linf": 0.04, "L2": 0.3}[norm])
    one_by_one = attack(case, queries=330, every=True)
    with PassCounter(case.model) as counter:
        found = attack(case, queries=330, together=together)
    assert torch.equal(found.images, one_by_one.images)
    assert torch.equal(found.broken, one_by_one.broken)
    assert 0 < found.broken.sum() < len(found.broken)
    calls = [0]

    def counted(points: Tensor) -> Tensor:
        calls[0] += 1
        logits: Tensor = case.model(points)
        return logits

    attack(replace(case, model=counted), queries=330, together=together)
    assert calls[0] <= 331 if together <= 24 else calls[0] < 331
    assert counter.passes.forwards <= 331 * len(case.images) * (1.5 if together else 1)


@pytest.mark.parametrize("together", [0, 400])
@pytest.mark.parametrize(("remembered", "least", "most"), [(0, 0.4 * 300, 0.6 * 300), (module.REMEMBERED, 2, 3 + 1)])
def test_windows_that_cannot_be_better_are_not_asked_about(
    *,
    together: int,
    remembered: int,
    least: float,
    most: float,
    line: nn.Module,
    make_case: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A single pixel is at either end of its interval: half of the windows would move it to where it is.

    The other half would move it to the other end, which is asked about once, or twice if the start was the worse end.
    """
    monkeypatch.setattr(module, "REMEMBERED", remembered)
    images = torch.full((80, 1, 1, 1), 0.9)
    case = replace(make_case(epsilon=0.1), model=line, images=images, labels=torch.ones(80, dtype=torch.long))
    with PassCounter(line) as counter:
        assert not attack(case, queries=300, together=together).broken.any()
    assert least * 80 <= counter.passes.forwards <= most * 80


def test_nothing_else_changes(make_case: Call) -> None:
    case = make_case()
    inputs, random = (case.images.clone(), case.labels.clone()), torch.get_rng_state()
    state = {name: value.clone() for name, value in case.model.state_dict().items()}
    attack(case)
    assert torch.equal(inputs[0], case.images)
    assert torch.equal(inputs[1], case.labels)
    assert all(torch.equal(state[name], value) for name, value in case.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("norm", NORMS)
def test_half_precision_and_channels_last(norm: Norm, make_case: Call) -> None:
    case = make_case(norm)
    expected = attack(case).broken
    striped = replace(case, images=case.images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(attack(striped).broken, expected)
    half = case.model.bfloat16()
    found = attack(replace(case, model=lambda points: half(points.bfloat16()).float()))
    assert found.images.dtype == torch.float32
    assert (found.broken == expected).float().mean() > 0.7
