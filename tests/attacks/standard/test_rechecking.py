"""A cheaper model searches, the exact one confirms: nothing but a real break ends the search of an image."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench import Threat
from fairbench.attacks.standard.attack import standard_attack
from fairbench.attacks.standard.found import Found, Predict
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.attacks.standard.rechecking import lead, rechecked
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.threat import Norm

QUICK = AutoAttackSettings(apgd_iterations=20, fab_iterations=15, square_queries=150, targets=3)
NORMS: list[Norm] = ["Linf", "L2"]


def attack(name: str, case: Any, model: Predict, *, exact: Predict | None, rows: int = 0) -> Found:
    return standard_attack(
        name,
        model,
        case.images,
        case.labels,
        indices=case.indices,
        threat=case.threat,
        noise=ImageNoise(0),
        settings=QUICK,
        rows=rows,
        exact=exact,
    )


@pytest.mark.usefixtures("rows_by_four")
def test_only_what_does_not_speak_for_the_label_is_asked_again() -> None:
    """In batches of steady size; a tie does not, either way; the other rows keep the logits of the search."""
    asked: list[list[float]] = []

    def exact(points: Tensor) -> Tensor:
        asked.append(points.flatten().tolist())
        return points.flatten(1) + torch.tensor([[100.0, 200.0]])

    points = torch.arange(5.0).view(5, 1, 1, 1)
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [3.0, 3.0], [0.0, 5.0]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    found = rechecked(logits, points, labels, exact=exact)
    assert found.tolist() == [[1, 0], [101, 201], [102, 202], [103, 203], [0, 5]]
    some = torch.tensor([True, False, True, False, True])
    assert rechecked(logits, points, labels, exact=exact, among=some)[1:4].tolist() == [[0, 1], [102, 202], [3, 3]]
    assert asked == [[1, 2, 3, 3], [2, 2, 2, 2]]
    assert rechecked(logits, points, labels, exact=exact, among=~claims(logits, labels)) is logits
    assert rechecked(logits, points, labels, exact=None) is logits
    assert len(asked) == 2


def claims(logits: Tensor, labels: Tensor) -> Tensor:
    return lead(logits, labels) <= 0


def test_the_margin() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 3.0, 2.0]])
    assert lead(logits, torch.tensor([0, 2, 1])).tolist() == [1, -1, 0]


@pytest.mark.parametrize("rows", [0, 100])
@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("norm", NORMS)
def test_an_honest_search_finds_the_same(norm: Norm, name: str, rows: int, make_case: Callable[..., Any]) -> None:
    case = make_case(norm)
    alone, confirmed = (attack(name, case, case.model, exact=exact, rows=rows) for exact in (None, case.model))
    assert torch.equal(alone.broken, confirmed.broken)
    assert torch.equal(alone.images, confirmed.images)
    assert 0 < alone.broken.sum() < len(alone.broken)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_search_that_cries_wolf_is_not_believed(norm: Norm, name: str, make_case: Callable[..., Any]) -> None:
    """It calls every image broken from the start; nobody is, and every image goes on being attacked to the end."""
    case, asked = make_case(norm, epsilon=1e-4), []

    def hasty(points: Tensor) -> Tensor:
        logits: Tensor = case.model(points) - 30 * nn.functional.one_hot(case.labels.repeat(3)[: len(points)], 10)
        return logits

    def exact(points: Tensor) -> Tensor:
        asked.append(len(points))
        logits: Tensor = case.model(points)
        return logits

    found = attack(name, case, hasty, exact=exact)
    assert not found.broken.any()
    assert torch.equal(found.images, case.images)
    # FAB is far outside the ball and asks about no point; it is the search's own boundary that it walks to.
    steps = {"apgd-ce": 21, "apgd-t": 3 * 21, "fab-t": 0, "square": 151}[name]
    least = 0.6 if name == "square" else 0.9  # Square passes over windows that were no better before
    assert sum(asked) - len(case.images) >= least * (steps - 1) * len(case.images)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_search_that_errs_finds_most_breaks_and_invents_none(
    norm: Norm, name: str, make_case: Callable[..., Any]
) -> None:
    """Logits in bf16, on a linear model with known distances, many of them within what bf16 rounds away."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(27, 4, bias=False)
    layer.weight.data = torch.randn(4, 27, generator=generator)
    exact = nn.Sequential(nn.Flatten(), layer).requires_grad_(requires_grad=False)
    images = 0.4 + 0.2 * torch.rand(60, 3, 3, 3, generator=generator)
    logits = exact(images)
    labels = logits.argmax(dim=1)
    lengths = (layer.weight[labels][:, None] - layer.weight).norm(1 if norm == "Linf" else 2, dim=2)
    gaps = (logits.gather(1, labels[:, None]) - logits) / lengths.clamp_min(1e-9)
    distance = gaps.scatter(1, labels[:, None], torch.inf).amin(dim=1)
    epsilon = float(distance.median())
    made = make_case(norm, epsilon=epsilon)
    case = type(made)(
        model=exact,
        images=images,
        labels=labels,
        targets=labels[:, None],
        threat=Threat(norm=norm, epsilon=epsilon, step=epsilon),
    )
    broken = attack(name, case, lambda points: exact(points).bfloat16().float(), exact=exact).broken
    assert not broken[distance > 1.001 * epsilon].any()
    assert broken.sum() >= 0.85 * attack(name, case, exact, exact=None).broken.sum()
