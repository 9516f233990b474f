"""Whatever an attack returns: only what holds in the ball counts, and all the rest is ours."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.further.contract import ChunkNoise
from fairbench.attacks.further.pgd_restarts import PGDRestarts
from fairbench.attacks.further.trying import Tried
from fairbench.errors import UserError
from fairbench.protocol.threat import Threat

Digits = tuple[Tensor, Tensor]
Try = Callable[..., Tried]


def ascent(model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise) -> Tensor:
    """One signed step."""
    del noise
    leaf = images.clone().requires_grad_()
    loss = nn.functional.cross_entropy(model(leaf), labels, reduction="sum")
    return images + threat.epsilon * torch.autograd.grad(loss, leaf)[0].sign()


def still(model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise) -> Tensor:
    """The images themselves."""
    del model, labels, threat, noise
    return images


def test_a_break_is_what_the_model_says_of_a_point_in_the_ball(tried: Try, digits: Digits, trained: nn.Module) -> None:
    """By hand: the step, moved into [0, 1]; images that are misclassified anyway keep that."""
    images, labels = digits
    found = tried(ascent, batch_size=7)
    leaf = images.clone().requires_grad_()
    loss = nn.functional.cross_entropy(trained(leaf), labels, reduction="sum")
    points = (images + 0.1 * torch.autograd.grad(loss, leaf)[0].sign()).clamp(0, 1)
    with torch.no_grad():
        clean, attacked = trained(images).argmax(dim=1), trained(points).argmax(dim=1)
    assert torch.equal(found.predictions, torch.where(clean == labels, attacked, clean))
    correct = (clean == labels).tolist()
    for hit, prediction, label, reached in zip(correct, attacked.tolist(), labels.tolist(), found.reached, strict=True):
        assert reached == ([prediction] if hit and prediction != label else [])
    assert 0 < (found.predictions == labels).sum() < sum(correct)
    assert (found.facts["forwards"], found.facts["backwards"]) == (sum(correct), sum(correct))


def test_a_point_outside_is_moved_inside_and_judged_there(tried: Try, digits: Digits) -> None:
    """An image of another class breaks nothing within a small ball; it is counted as a claim."""
    images, labels = digits

    def another(_model: Any, some: Tensor, _labels: Any, _threat: Any, noise: ChunkNoise) -> Tensor:
        return images.roll(1, dims=0)[noise.indices] if len(some) else some

    tiny = tried(another, threat=Threat(epsilon=1e-4, step=1e-4))
    assert (tiny.predictions == labels).sum() >= 45
    assert int(str(tiny.facts["unverified"])) > 20


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_points_that_are_no_numbers_break_nothing(tried: Try, value: float) -> None:
    found = tried(lambda _model, images, *_: torch.full_like(images, value))
    expected = tried(still, text="other")
    assert torch.equal(found.predictions, expected.predictions)


def test_any_of_several_candidates_breaks_an_image(tried: Try) -> None:
    """As a stack, one after the other, or as points that are made as they are judged."""

    def several(model: nn.Module, *rest: Any) -> Iterator[Tensor]:
        yield still(model, *rest)
        yield ascent(model, *rest)
        yield still(model, *rest)

    expected = tried(ascent)
    assert torch.equal(tried(several, text="several").predictions, expected.predictions)
    stacked = tried(lambda *all_: torch.stack(list(several(*all_))), text="stacked")
    assert torch.equal(stacked.predictions, expected.predictions)
    assert stacked.reached == expected.reached


def test_noise_belongs_to_the_image(tried: Try, digits: Digits, tmp_path: Path) -> None:
    """Not to its chunk, its company or its settings; another seed is another draw."""
    images, labels = digits
    attack = PGDRestarts(restarts=2, steps=3)
    whole = tried(attack, text="pgd-restarts")
    part = tried(
        attack,
        images=images[10:30],
        labels=labels[10:30],
        indices=torch.arange(10, 30),
        batch_size=3,
        text="pgd-restarts:steps=3",
        folder=tmp_path / "part",
    )
    assert torch.equal(whole.predictions[10:30], part.predictions)
    drawn: list[Tensor] = []

    def draw(_model: Any, some: Tensor, _labels: Any, _threat: Any, noise: ChunkNoise) -> Tensor:
        drawn.append(noise.uniform("x")[:1])
        assert torch.equal(noise.rows(torch.tensor([0])).uniform("x"), drawn[-1])
        assert not torch.equal(noise.normal("x")[:1], drawn[-1])
        return some

    for seed in (0, 1):
        tried(draw, seed=seed, folder=tmp_path / str(seed))
    assert not torch.equal(*drawn)


def test_it_goes_on_after_the_last_chunk(tried: Try, tmp_path: Path) -> None:
    """Finished chunks are neither attacked nor counted again; another code is another log."""
    calls: list[int] = []  # images of every call

    def counting(model: nn.Module, images: Tensor, *rest: Any) -> Tensor:
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return ascent(model, images, *rest)

    with pytest.raises(KeyboardInterrupt):
        tried(counting, batch_size=10)
    found = tried(counting, batch_size=10)
    expected = tried(ascent, batch_size=10, folder=tmp_path / "fresh")
    assert torch.equal(found.predictions, expected.predictions)
    assert found.facts == expected.facts
    assert sum(calls) - calls[2] == expected.facts["forwards"]  # each image once, but for the chunk that was killed
    done = len(calls)
    tried(counting, batch_size=10)
    assert len(calls) == done
    with pytest.raises(UserError, match="holds the verdicts of another evaluation"):
        tried(counting, threat=Threat(epsilon=0.2, step=0.02))


def test_an_image_that_has_no_finite_logits_somewhere_in_its_ball_is_broken(tried: Try, digits: Digits) -> None:
    images, labels = digits

    class Fragile(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, points: Tensor) -> Tensor:
            logits: Tensor = self.model(points)
            strange = (points[:, 0, 0, 0] > 0.05)[:, None]
            return torch.where(strange, torch.nan, logits)

    inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    images = images * 0.9
    images[:, :, 0, 0] = 0
    with torch.no_grad():
        labels = inner(images).argmax(dim=1)
    found = tried(lambda _model, some, *_: some + 0.1, model=Fragile(inner), images=images, labels=labels)
    assert (found.predictions != labels).all()


def test_the_model_is_left_as_it_was(tried: Try, trained: nn.Module) -> None:
    trained.train().zero_grad(set_to_none=True)
    try:
        tried(ascent)
        assert trained.training
        assert all(parameter.requires_grad and parameter.grad is None for parameter in trained.parameters())
    finally:
        trained.eval()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda images: images[:1], r"of shape \(\d+, 1, 8, 8\) and a floating type, and not shape \(1, 1, 8, 8\)"),
        (lambda images: images.long(), "torch.int64"),
        (lambda _images: None, "and not a NoneType"),
        (lambda _images: [1], "not int"),
        (lambda images: 1 / 0 * images, r"The attack 'mine' failed: ZeroDivisionError"),
    ],
)
def test_what_is_no_points_is_a_sentence(tried: Try, returned: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tried(lambda _model, images, *_: returned(images))


def test_a_ball_of_its_own_is_where_it_counts(tried: Try) -> None:
    """And the facts say so."""

    class Wide:
        def ball(self, images: Tensor, _threat: Threat) -> Ball:
            return Ball("Linf", images, 0.5)

        def __call__(
            self, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise
        ) -> Tensor:
            return ascent(model, images, labels, replace(threat, epsilon=0.5), noise)

    wide, narrow = tried(Wide(), text="wide"), tried(ascent)
    assert {"norm": "Linf", "radius": 0.5}.items() <= wide.facts.items()
    assert "norm" not in narrow.facts
    assert (wide.predictions != narrow.predictions).any()
