"""APGD: the library's verdicts from the library's noise, image by image; and its own noise otherwise."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.standard.apgd import _checkpoints, apgd
from fairbench.attacks.standard.found import Found
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.threat import Norm
from fairbench.training.passes import PassCounter
from fixture_types import Call

Loss = Literal["ce", "targeted"]

NORMS: list[Norm] = ["Linf", "L2"]
LOSSES: list[Loss] = ["ce", "targeted"]


def attack(
    case: Any, *, loss: Loss, rows: Tensor | None = None, noise: Any = None, iterations: int = 20, joined: int = 0
) -> Found:
    """Attack some rows of a case, in that order; all by default. Targets are joined up to so many rows."""
    rows = case.indices if rows is None else rows
    return apgd(
        case.model,
        case.images[rows],
        case.labels[rows],
        indices=rows,
        threat=case.threat,
        noise=noise or ImageNoise(0),
        loss=loss,
        targets=case.targets[rows] if loss == "targeted" else None,
        iterations=iterations,
        rows=joined,
    )


# The library is the reference.


@pytest.mark.parametrize(("classes", "batch_norm"), [(2, False), (3, True), (4, False), (10, True), (20, False)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", NORMS)
def test_verdicts_are_those_of_the_library(
    *,
    norm: Norm,
    loss: Loss,
    classes: int,
    batch_norm: bool,
    make_case: Call,
    library: Callable[..., Tensor],
    library_noise: Call,
) -> None:
    case = make_case(norm, classes=classes, batch_norm=batch_norm)
    name = "apgd-ce" if loss == "ce" else "apgd-t"
    expected = library(name, case, settings=AutoAttackSettings(apgd_iterations=50))
    found = attack(case, loss=loss, noise=library_noise(norm), iterations=50)
    assert torch.equal(found.broken, expected)
    assert 0 < expected.sum() < len(expected)


@pytest.mark.parametrize("iterations", [10, 100])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", NORMS)
def test_the_last_iterate_of_a_survivor_is_that_of_the_library(
    *, norm: Norm, loss: Loss, iterations: int, make_case: Call, library: Callable[..., Tensor], library_noise: Call
) -> None:
    """Bit for bit; of ten iterations the last nine are checkpoints, at which a single rise decides."""
    case, points = make_case(norm, count=16), []
    handicap = 5 * nn.functional.one_hot(case.labels, 10)

    def unbreakable(images: Tensor) -> Tensor:
        points.append(images.detach().clone())
        logits: Tensor = case.model(images) + handicap[: len(images)]
        return logits

    guarded = replace(case, model=unbreakable)
    settings = AutoAttackSettings(apgd_iterations=iterations, targets=1)
    library("apgd-ce" if loss == "ce" else "apgd-t", guarded, settings=settings)
    theirs = points[-2]  # the very last forward is the test's own
    points.clear()
    assert not attack(guarded, loss=loss, noise=library_noise(norm), iterations=iterations).broken.any()
    assert len(points) == (iterations + 1) * (1 if loss == "ce" else 9)
    assert torch.equal(points[iterations], theirs)
    assert (theirs - case.images).abs().amax() > 0.01


@pytest.mark.parametrize("iterations", [1, 2, 5, 12, 30, 50, 99, 100, 101, 250, 1000])
def test_checkpoints_are_those_of_the_library(iterations: int) -> None:
    library = APGDAttack(nn.Identity(), n_iter=iterations, eps=0.1)
    gap, expected, k = library.n_iter_2, [], library.n_iter_2
    while k <= iterations:
        expected.append(k)
        gap = max(gap - library.size_decr, library.n_iter_min)
        k += gap
    assert list(_checkpoints(iterations)) == expected


def test_checkpoints_of_a_hundred_iterations() -> None:
    assert list(_checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


# Its own noise.


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", NORMS)
def test_an_image_is_attacked_alike_in_any_company(norm: Norm, loss: Loss, make_case: Call) -> None:
    """Whole, one by one, in sevens and in another order: the same bits."""
    case = make_case(norm)
    whole = attack(case, loss=loss)
    order = torch.randperm(len(case.images), generator=torch.Generator().manual_seed(1))
    for rows in (*case.indices.split(1), *case.indices.split(7), order):
        part = attack(case, loss=loss, rows=rows)
        assert torch.equal(part.broken, whole.broken[rows])
        assert torch.equal(part.images, whole.images[rows])
    assert 0 < whole.broken.sum() < len(order)


@pytest.mark.parametrize("likeliest", ["first", "last"])
@pytest.mark.parametrize("joined", [1, 60, 10_000])
@pytest.mark.parametrize("norm", NORMS)
def test_targets_attacked_together_find_the_same(norm: Norm, joined: int, likeliest: str, make_case: Call) -> None:
    """The points too, also where a later target breaks an image sooner than an earlier one does."""
    case = make_case(norm)
    case = case if likeliest == "first" else replace(case, targets=case.targets.flip(1))
    one, many = attack(case, loss="targeted"), attack(case, loss="targeted", joined=joined)
    assert torch.equal(one.broken, many.broken)
    assert torch.equal(one.images, many.images)
    assert 0 < one.broken.sum() < len(one.broken)


@pytest.mark.usefixtures("rows_by_four")
def test_targets_attacked_together_are_fewer_calls(make_case: Call) -> None:
    case, sizes = make_case(epsilon=1e-6, count=4), []

    def recorded(images: Tensor) -> Tensor:
        sizes.append(len(images))
        logits: Tensor = case.model(images)
        return logits

    attack(replace(case, model=recorded), loss="targeted", iterations=5, joined=12)
    assert sizes == 6 * [4] + 2 * 6 * [12] + 6 * [8]  # the first target alone, then three at a time


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", NORMS)
def test_claims_hold_and_the_rest_is_clean(norm: Norm, loss: Loss, make_case: Call) -> None:
    case = make_case(norm)
    found = attack(case, loss=loss)
    assert Ball(norm, case.images, case.threat.epsilon).contains(found.images).all()
    assert torch.equal(case.model(found.images).argmax(dim=1) != case.labels, found.broken)
    assert torch.equal(found.images[~found.broken], case.images[~found.broken])


@pytest.mark.parametrize("norm", NORMS)
def test_another_seed_breaks_about_as_many(norm: Norm, make_case: Call, library: Callable[..., Tensor]) -> None:
    case = make_case(norm, count=200)
    expected = int(library("apgd-ce", case, settings=AutoAttackSettings(apgd_iterations=20)).sum())
    counts = [int(attack(case, loss="ce", noise=ImageNoise(seed)).broken.sum()) for seed in range(3)]
    assert all(abs(count - expected) <= 4 for count in counts)
    starts = [attack(case, loss="ce", noise=ImageNoise(seed), iterations=0).images for seed in range(2)]
    assert not torch.equal(*starts)


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_model_breaks_exactly_within_reach(norm: Norm, loss: Loss, classes: int, make_case: Call) -> None:
    """The distance of an image to the nearest boundary is known; the images are far from 0 and 1."""
    generator = torch.Generator().manual_seed(classes)
    layer = nn.Linear(27, classes, bias=False)
    layer.weight.data = torch.randn(classes, 27, generator=generator)
    model = nn.Sequential(nn.Flatten(), layer).requires_grad_(requires_grad=False)
    images = 0.4 + 0.2 * torch.rand(60, 3, 3, 3, generator=generator)
    logits = model(images)
    ranked = logits.argsort(dim=1, descending=True)
    labels = ranked[:, 0]
    normals = layer.weight[labels][:, None] - layer.weight
    lengths = normals.norm(1 if norm == "Linf" else 2, dim=2)
    gaps = (logits.gather(1, labels[:, None]) - logits) / lengths.clamp_min(1e-9)
    distance = gaps.scatter(1, labels[:, None], torch.inf).amin(dim=1)
    case = replace(
        make_case(norm, epsilon=float(distance.median())),
        model=model,
        images=images,
        labels=labels,
        targets=ranked[:, 1:10],
    )
    broken = attack(case, loss=loss, iterations=50).broken
    assert not broken[distance > 1.001 * case.threat.epsilon].any()
    if loss == "targeted" or classes == 2:
        assert broken[distance < 0.999 * case.threat.epsilon].all()
    else:  # cross-entropy pulls towards all other classes at once
        assert broken[distance < 0.8 * case.threat.epsilon].all()


# Cost and side effects.


@pytest.mark.usefixtures("rows_by_four")
@pytest.mark.parametrize("norm", NORMS)
def test_passes_of_a_survivor(norm: Norm, make_case: Call) -> None:
    """The clean pass is the caller's, no gradient is taken after the last step, none with respect to weights."""
    case = make_case(norm, count=4, epsilon=1e-4)
    with PassCounter(case.model) as one:
        attack(case, loss="ce", iterations=10)
    with PassCounter(case.model) as many:
        attack(case, loss="targeted", iterations=10)
    assert (one.passes.forwards, one.passes.input_backwards, one.passes.weight_backwards) == (44, 40, 0)
    assert (many.passes.forwards, many.passes.input_backwards, many.passes.weight_backwards) == (9 * 44, 9 * 40, 0)


@pytest.mark.usefixtures("rows_by_four")
def test_broken_images_cost_no_more(line: nn.Module, make_case: Call) -> None:
    """Of eight, four are broken by the start or the first step and leave; then nobody of them is aimed at again."""
    images = torch.tensor([0.501, 0.502, 0.503, 0.504, 0.9, 0.91, 0.92, 0.93]).view(-1, 1, 1, 1)
    labels = torch.ones(8, dtype=torch.long)
    case = replace(
        make_case(epsilon=0.1), model=line, images=images, labels=labels, targets=torch.zeros(8, 1, dtype=torch.long)
    )
    for loss in LOSSES:
        with PassCounter(line) as counter:
            found = attack(case, loss=loss, iterations=30)
        assert found.broken.tolist() == [True] * 4 + [False] * 4
        assert 31 * 4 + 4 <= counter.passes.forwards <= 31 * 4 + 2 * 4
    case = replace(case, targets=torch.zeros(8, 3, dtype=torch.long), images=images[:4].repeat(2, 1, 1, 1))
    with PassCounter(line) as counter:
        assert attack(case, loss="targeted", iterations=30).broken.all()
    assert counter.passes.forwards <= 2 * 8


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_else_changes(loss: Loss, make_case: Call) -> None:
    case = make_case()
    inputs = case.images.clone(), case.labels.clone(), case.targets.clone()
    state, random = {k: v.clone() for k, v in case.model.state_dict().items()}, torch.get_rng_state()
    attack(case, loss=loss)
    for before, after in zip(inputs, (case.images, case.labels, case.targets), strict=True):
        assert torch.equal(before, after)
        assert not after.requires_grad
    assert all(torch.equal(state[name], value) for name, value in case.model.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in case.model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("norm", NORMS)
def test_half_precision_and_channels_last(norm: Norm, make_case: Call) -> None:
    case = make_case(norm)
    expected = attack(case, loss="ce").broken
    striped = replace(case, images=case.images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(attack(striped, loss="ce").broken, expected)
    half = case.model.bfloat16()
    found = attack(replace(case, model=lambda points: half(points.bfloat16()).float()), loss="ce")
    assert found.images.dtype == torch.float32
    assert (found.broken == expected).float().mean() > 0.8
