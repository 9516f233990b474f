"""FAB: the library's verdicts, image by image, at less cost and in any company."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.standard.fab import _step, fab
from fairbench.attacks.standard.found import Found
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.threat import Norm, Threat
from fairbench.training.passes import PassCounter
from fixture_types import Call

NORMS: list[Norm] = ["Linf", "L2"]
RADIUS = {"Linf": 0.05, "L2": 0.3}


def attack(case: Any, *, chosen: Tensor | None = None, iterations: int = 15, rows: int = 0) -> Found:
    """Attack some images of a case, in that order; all by default."""
    chosen = case.indices if chosen is None else chosen
    return fab(
        case.model,
        case.images[chosen],
        case.labels[chosen],
        targets=case.targets[chosen],
        threat=case.threat,
        iterations=iterations,
        rows=rows,
    )


def same(first: Found, second: Found) -> bool:
    return torch.equal(first.broken, second.broken) and torch.equal(first.images, second.images)


# The library is the reference.


@pytest.mark.parametrize(("classes", "batch_norm"), [(2, False), (3, True), (4, False), (10, True), (20, False)])
@pytest.mark.parametrize("norm", NORMS)
def test_verdicts_are_those_of_the_library(
    *, norm: Norm, classes: int, batch_norm: bool, make_case: Call, library: Callable[..., Tensor]
) -> None:
    case = make_case(norm, classes=classes, batch_norm=batch_norm)
    expected = library("fab-t", case, settings=AutoAttackSettings(fab_iterations=25))
    assert torch.equal(attack(case, iterations=25).broken, expected)
    assert 0 < expected.sum() < len(expected)


@pytest.mark.usefixtures("rows_by_four")
@pytest.mark.parametrize("norm", NORMS)
def test_the_points_of_a_survivor_are_those_of_the_library(
    norm: Norm, make_case: Call, library: Callable[..., Tensor]
) -> None:
    """Every point where the model is linearised and every point that is checked, in the same order."""
    case, points = make_case(norm, epsilon=1e-6, count=4), []

    def recorded(images: Tensor) -> Tensor:
        points.append(images.detach().clone())
        logits: Tensor = case.model(images)
        return logits

    observed = replace(case, model=recorded)
    assert not library("fab-t", observed, settings=AutoAttackSettings(fab_iterations=20, targets=1)).any()
    theirs = points[-42:-2]  # before the clean images, after the two checks of the result
    points.clear()
    assert not attack(replace(observed, targets=case.targets[:, :1]), iterations=20).broken.any()
    assert len(points) == len(theirs) == 40
    torch.testing.assert_close(torch.stack(points), torch.stack(theirs), rtol=0, atol=1e-4)
    assert not torch.equal(points[38], points[37])  # some step went back


def test_the_clean_image_weighs_a_tenth_at_most() -> None:
    """One pixel at 0.3, clean at 0.2, boundary at 0.9: of the points 0.93 and 0.935 beyond it, nine parts to one."""
    point, clean = torch.tensor([[0.3]]), torch.tensor([[0.2]])
    for norm in NORMS:
        reached = _step(point, clean, gap=torch.tensor([-1.2]), normal=torch.tensor([[2.0]]), norm=norm)
        torch.testing.assert_close(reached, torch.tensor([[0.9305]]))


# In any company.


@pytest.mark.parametrize("norm", NORMS)
def test_an_image_is_attacked_alike_in_any_company(norm: Norm, make_case: Call) -> None:
    """Whole, one by one, in sevens and in another order: the same bits."""
    case = make_case(norm, epsilon=RADIUS[norm])
    whole = attack(case)
    order = torch.randperm(len(case.images), generator=torch.Generator().manual_seed(1))
    for chosen in (*case.indices.split(1), *case.indices.split(7), order):
        part = attack(case, chosen=chosen)
        assert torch.equal(part.broken, whole.broken[chosen])
        assert torch.equal(part.images, whole.images[chosen])
    assert 0 < whole.broken.sum() < len(order)


@pytest.mark.parametrize("likeliest", ["first", "last"])
@pytest.mark.parametrize("rows", [1, 60, 10_000])
@pytest.mark.parametrize("norm", NORMS)
def test_targets_attacked_together_find_the_same(norm: Norm, rows: int, likeliest: str, make_case: Call) -> None:
    """The points too, also where a later target breaks an image sooner than an earlier one does."""
    case = make_case(norm, epsilon=RADIUS[norm])
    case = case if likeliest == "first" else replace(case, targets=case.targets.flip(1))
    assert same(attack(case), attack(case, rows=rows))


@pytest.mark.usefixtures("rows_by_four")
def test_targets_attacked_together_are_fewer_calls(make_case: Call) -> None:
    case, sizes = make_case(epsilon=1e-6, count=4), []

    def recorded(images: Tensor) -> Tensor:
        sizes.append(len(images))
        logits: Tensor = case.model(images)
        return logits

    attack(replace(case, model=recorded), iterations=5, rows=12)
    assert sizes == 10 * [4] + 2 * 10 * [12] + 10 * [8]  # the first target alone, then three at a time


# What it claims, and at what cost.


@pytest.mark.parametrize("norm", NORMS)
def test_claims_hold_and_the_rest_is_clean(norm: Norm, make_case: Call) -> None:
    case = make_case(norm)
    found = attack(case)
    assert Ball(norm, case.images, case.threat.epsilon).contains(found.images).all()
    assert torch.equal(case.model(found.images).argmax(dim=1) != case.labels, found.broken)
    assert torch.equal(found.images[~found.broken], case.images[~found.broken])


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_model_breaks_exactly_within_reach(norm: Norm, classes: int, make_case: Call) -> None:
    """The distance to the nearest boundary is known where no pixel meets the box; FAB comes within a hundredth."""
    generator = torch.Generator().manual_seed(classes)
    weight = torch.randn(classes, 30, generator=generator)
    layer = nn.Linear(30, classes).requires_grad_(requires_grad=False)
    layer.weight.copy_(weight)
    layer.bias.copy_(-weight.sum(dim=1) / 2)
    images = 0.4 + 0.2 * torch.rand(60, 1, 5, 6, generator=generator)
    logits = layer(images.flatten(1))
    ranked = logits.argsort(dim=1, descending=True)
    steps = weight[ranked[:, :1]] - weight[ranked[:, 1:]]
    dual = steps.abs().sum(dim=2) if norm == "Linf" else steps.norm(dim=2)
    nearest = (-logits.gather(1, ranked).diff(dim=1).cumsum(dim=1) / dual).amin(dim=1)
    epsilon = float(nearest.median())
    case = replace(
        make_case(),
        model=nn.Sequential(nn.Flatten(), layer),
        images=images,
        labels=ranked[:, 0],
        targets=ranked[:, 1:],
        threat=Threat(norm=norm, epsilon=epsilon, step=epsilon),
    )
    broken = attack(case, iterations=10).broken
    assert not broken[nearest > epsilon].any()
    assert broken[nearest < 0.99 * epsilon].all()
    assert 20 < broken.sum() < 40


@pytest.mark.usefixtures("rows_by_four")
def test_a_survivor_costs_two_forwards_and_one_input_backward_per_step(make_case: Call) -> None:
    case = make_case(epsilon=1e-6, count=4)
    with PassCounter(case.model) as counter:
        attack(case, iterations=10)
    passes = counter.passes
    assert (passes.forwards, passes.input_backwards, passes.weight_backwards) == (9 * 10 * 2 * 4, 9 * 10 * 4, 0)


@pytest.mark.usefixtures("rows_by_four")
def test_a_broken_image_costs_no_more(line: nn.Module, make_case: Call) -> None:
    """Four of eight are broken by the first step, and nothing aims at them again."""
    images = torch.tensor([0.501, 0.502, 0.503, 0.504, 0.9, 0.91, 0.92, 0.93]).view(-1, 1, 1, 1)
    case = replace(
        make_case(epsilon=0.1),
        model=line,
        images=images,
        labels=torch.ones(8, dtype=torch.long),
        targets=torch.zeros(8, 3, dtype=torch.long),
    )
    with PassCounter(line) as counter:
        found = attack(case, iterations=30)
    assert found.broken.tolist() == [True] * 4 + [False] * 4
    assert counter.passes.forwards == 2 * 4 + 3 * 30 * 2 * 4
    with PassCounter(line) as counter:
        assert attack(replace(case, images=images[:4].repeat(2, 1, 1, 1)), iterations=30).broken.all()
    assert counter.passes.forwards == 2 * 8


@pytest.mark.parametrize("value", [0.0, torch.nan, torch.inf])
@pytest.mark.parametrize("norm", NORMS)
def test_a_model_without_usable_logits_ends_unbroken(norm: Norm, value: float, make_case: Call) -> None:
    """Equal logits have no gradient; logits that are not finite are the caller's business, but derail nothing."""
    case = make_case(norm)

    def constant(images: Tensor) -> Tensor:
        return (0 * images.flatten(1).sum(dim=1, keepdim=True) + value).expand(-1, 10)

    found = attack(replace(case, model=constant, labels=torch.zeros_like(case.labels)))
    assert not found.broken.any()
    assert torch.equal(found.images, case.images)


def test_nothing_else_changes(make_case: Call) -> None:
    case = make_case()
    inputs = case.images.clone(), case.labels.clone(), case.targets.clone()
    state, random = {k: v.clone() for k, v in case.model.state_dict().items()}, torch.get_rng_state()
    attack(case)
    for before, after in zip(inputs, (case.images, case.labels, case.targets), strict=True):
        assert torch.equal(before, after)
        assert not after.requires_grad
    assert all(torch.equal(state[name], value) for name, value in case.model.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in case.model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()


def test_channels_last_images_are_attacked_alike(make_case: Call) -> None:
    case = make_case()
    images = case.images.to(memory_format=torch.channels_last)
    assert same(attack(case), attack(replace(case, images=images)))


@pytest.mark.parametrize("norm", NORMS)
def test_a_model_in_half_precision_is_attacked_in_single(norm: Norm, make_case: Call) -> None:
    case = make_case(norm)
    half = case.model.bfloat16()

    def model(images: Tensor) -> Tensor:
        logits: Tensor = half(images.bfloat16()).float()
        return logits

    labels = model(case.images).argmax(dim=1)
    found = attack(replace(case, model=model, labels=labels, targets=(labels[:, None] + torch.arange(1, 10)) % 10))
    assert found.images.dtype == torch.float32
    assert Ball(norm, case.images, case.threat.epsilon).contains(found.images).all()
    assert found.broken.any()


def test_no_image_is_no_work(make_case: Call) -> None:
    case = make_case()
    with PassCounter(case.model) as counter:
        found = attack(case, chosen=torch.arange(0))
    assert found.images.shape == (0, *case.images.shape[1:])
    assert counter.passes.forwards == 0
