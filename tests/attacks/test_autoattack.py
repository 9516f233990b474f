"""AutoAttack by either engine: verdicts without side effects, kept on disk; the library's are the library's."""

import random
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pyautoattack
import pytest
import torch
import torch.nn.functional as F
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from fairbench import Threat
from fairbench.attacks import autoattack as module
from fairbench.attacks import watched
from fairbench.attacks.autoattack import AutoAttacked
from fairbench.attacks.reference import reference_attack
from fairbench.attacks.standard.found import Found
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Norm

QUICK = AutoAttackSettings(apgd_iterations=8, fab_iterations=5, square_queries=60, targets=3)
LINF = Threat(epsilon=0.1, step=0.03)
L2 = Threat(norm="L2", epsilon=0.5, step=0.1)
EVALUATION = Evaluation(pgd_step=0.03, batch_size=16)
CPU = torch.device("cpu")


the_library = pytest.mark.parametrize("engine", ["reference"])
our_engine = pytest.mark.parametrize("engine", ["fairbench"])


def linear(weight: Tensor, bias: Tensor) -> nn.Sequential:
    """Weight (classes, pixels) times the pixels, plus bias (classes,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(), layer)


def brightness(pixels: int, threshold: float) -> nn.Sequential:
    """Class 1 exactly where the mean of the pixels is above the threshold."""
    sign = torch.tensor([-1.0, 1.0])
    return linear(sign[:, None].expand(2, pixels) / pixels, -threshold * sign)


# The library is the reference.


@the_library
@pytest.mark.parametrize("attacks", [ATTACKS, *((name,) for name in ATTACKS)], ids=" ".join)
@pytest.mark.parametrize("threat", [LINF, L2], ids=["Linf", "L2"])
def test_verdicts_are_those_of_the_library(
    *,
    threat: Threat,
    attacks: tuple[str, ...],
    trained: nn.Module,
    digits: tuple[Tensor, Tensor],
    attack: Callable[..., AutoAttacked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Image by image and label by label. The library seeds all attacks and batches alike; so, for once, do we."""
    monkeypatch.setattr(module, "derived_seed", lambda *_names: 7)
    shorter = AutoAttackSettings(apgd_iterations=25, fab_iterations=6, square_queries=200)
    found = attack(threat=threat, settings=shorter, evaluation=replace(EVALUATION, batch_size=20), attacks=attacks)
    model, common = deepcopy(trained), {"norm": threat.norm, "eps": threat.epsilon, "device": "cpu"}
    library = pyautoattack.AutoAttack(model, **common, seed=7, version="custom", attacks=list(attacks))
    library.apgd = APGDAttack(model, n_iter=25, logger=library.logger, **common)
    library.apgd_targeted = APGDAttack_targeted(model, n_iter=25, logger=library.logger, **common)
    library.fab.n_iter, library.square.n_queries = 6, 200
    tracer = sys.gettrace()
    with torch.random.fork_rng([]):
        _, predicted = library.run_standard_evaluation(*digits, batch_size=20)
    sys.settrace(tracer)  # which the library removes
    assert torch.equal(found.predictions, predicted)
    assert {"", "clean", attacks[0]} <= set(found.broken_by)  # the comparison means something
    assert found.unverified == 0


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_every_setting_is_that_of_standard(norm: Norm) -> None:
    library = pyautoattack.AutoAttack(nn.Identity(), norm=norm, eps=0.1, seed=3, version="standard")
    library.fab.targeted = True
    theirs = dict(zip(ATTACKS, (library.apgd, library.apgd_targeted, library.fab, library.square), strict=True))
    for name in ATTACKS[:3]:
        run: Any = reference_attack(
            name, nn.Identity(), classes=10, threat=replace(L2, norm=norm, epsilon=0.1), seed=3, device=CPU
        )
        ours, expected = ({**vars(one)} for one in (run.__self__, theirs[name]))
        for settings in (ours, expected):
            for free in ("model", "predict", "logger"):
                settings.pop(free, None)
        assert {**ours, "device": "cpu"} == expected


def test_square_has_the_settings_of_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    class Recorded(SquareAttack):  # type: ignore[misc]  # the library is untyped
        def perturb(self, x: Tensor, y: Tensor) -> Tensor:
            del y
            made.append({name: value for name, value in vars(self).items() if name not in ("predict", "device")})
            return x

    monkeypatch.setattr("fairbench.attacks.reference.SquareAttack", Recorded)
    run = reference_attack("square", nn.Identity(), classes=10, threat=LINF, seed=3, device=CPU)
    run(torch.zeros(1, 1, 8, 8), torch.zeros(1))
    library = pyautoattack.AutoAttack(nn.Identity(), norm="Linf", eps=0.1, seed=3, version="standard").square
    assert made == [{name: value for name, value in vars(library).items() if name not in ("predict", "device")}]


# Any number of classes, any image.


@pytest.mark.parametrize("threat", [LINF, replace(L2, epsilon=0.15)], ids=["Linf", "L2"])
@pytest.mark.parametrize("classes", [2, 3, 4, 8, 10, 20])
def test_any_number_of_classes(classes: int, threat: Threat, attack: Callable[..., AutoAttacked]) -> None:
    generator = torch.Generator().manual_seed(classes)
    images = torch.rand(21, 1, 5, 6, generator=generator)
    weight = 3 * torch.randn(classes, 30, generator=generator)
    model = linear(weight, torch.zeros(classes))
    with torch.no_grad():
        logits = model(images)
    labels = logits.argmax(dim=1)
    found = attack(model, images, labels, classes=classes, threat=threat)
    broken = torch.tensor([name != "" for name in found.broken_by])
    assert torch.equal(broken, found.predictions != labels)
    # A linear model falls exactly within the distance to its nearest boundary (if the box does not protect it).
    steps = weight[labels][:, None] - weight[None]
    dual = steps.abs().sum(2) if threat.norm == "Linf" else steps.norm(dim=2)
    distance = (logits.gather(1, labels[:, None]) - logits) / dual.clamp_min(1e-9)
    distance[torch.arange(21), labels] = torch.inf
    assert not broken[distance.amin(dim=1) > threat.epsilon].any()
    assert broken[distance.amin(dim=1) < 0.3 * threat.epsilon].all()
    assert 0 < broken.sum() < 21


@pytest.mark.parametrize("threat", [LINF, replace(L2, epsilon=0.35)], ids=["Linf", "L2"])
@pytest.mark.parametrize(
    "shape",
    [(1, 8, 8), (3, 7, 12), (3, 12, 12), (2, 12, 7), (3, 28, 20), (1, 24, 24), (3, 3, 5), (1, 1, 1), (1, 14, 30)],
    ids=str,
)
def test_any_image_size_and_a_single_image_left(
    shape: tuple[int, int, int], threat: Threat, attack: Callable[..., AutoAttacked]
) -> None:
    """Class 1 is brighter than grey; an image is broken exactly if its brightness is within reach."""
    pixels = shape[0] * shape[1] * shape[2]
    reach = threat.epsilon if threat.norm == "Linf" else threat.epsilon / pixels**0.5
    heights = torch.tensor([0.3, 0.8, 1.2, -0.5, -1.3]) * reach
    images = (0.5 + heights).view(-1, 1, 1, 1).expand(-1, *shape).contiguous()
    labels = (heights > 0).long()
    evaluation = replace(EVALUATION, batch_size=4)
    found = attack(brightness(pixels, 0.5), images, labels, classes=2, threat=threat, evaluation=evaluation)
    assert (found.predictions != labels).tolist() == [True, True, False, True, False]
    assert found.unverified == 0


@pytest.mark.parametrize("name", ["fab-t", "square"])
@pytest.mark.parametrize("threat", [LINF, L2], ids=["Linf", "L2"])
@pytest.mark.parametrize("side", [2, 5, 12, 14, 18, 19, 24, 25])
def test_each_later_attack_alone_breaks_a_weak_model_on_any_side(name: str, threat: Threat, side: int) -> None:
    images, labels = torch.full((3, 1, side, side), 0.5), torch.zeros(3, dtype=torch.long)

    def predict(points: Tensor) -> Tensor:
        assert points.shape[-2:] == (side, side)
        brightness = (points - 0.5).flatten(1).sum(dim=1)
        return torch.stack([1e-3 - brightness, brightness], dim=1)

    run = reference_attack(name, predict, classes=2, threat=threat, seed=0, device=CPU, settings=QUICK)
    with torch.random.fork_rng([]), torch.no_grad():
        found = run(images, labels)
    assert found.shape == images.shape
    assert (predict(found).argmax(dim=1) == 1).all()


def test_images_that_are_wrong_already_are_not_attacked(
    trained: nn.Module, digits: tuple[Tensor, Tensor], attack: Callable[..., AutoAttacked], tmp_path: Path
) -> None:
    with torch.no_grad():
        clean = trained(digits[0]).argmax(dim=1)
    found = attack(labels=(clean + 1) % 10)
    assert found.broken_by == ["clean"] * 50
    assert torch.equal(found.predictions, clean)
    assert len(next(tmp_path.glob("*.jsonl")).read_text().splitlines()) == 1


def test_a_model_that_ignores_its_input_is_not_broken_nor_written_to(attack: Callable[..., AutoAttacked]) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("bias", torch.arange(10.0))

        def forward(self, images: Tensor) -> Tensor:
            bias: Tensor = self.get_buffer("bias")
            return bias.expand(len(images), -1)

    model, labels = Constant(), torch.full((50,), 9)
    found = attack(model, labels=labels)
    assert found.broken_by == [""] * 50
    assert torch.equal(model.get_buffer("bias"), torch.arange(10.0))


def test_a_model_never_sees_an_empty_batch(attack: Callable[..., AutoAttacked]) -> None:
    """Square asks for one where every margin is exactly zero, and many networks cannot reshape it."""

    class Tied(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert len(images) > 0
            untouched = (images == 0.5).flatten(1).all(dim=1, keepdim=True)
            return F.pad(untouched.float(), (0, 2))

    found = attack(Tied(), torch.full((5, 1, 4, 4), 0.5), torch.zeros(5, dtype=torch.long), classes=3)
    assert found.broken_by == [""] * 5


# A break counts only if it is one.


class Cliff(nn.Module):
    """Always right, but not a number in the dark half of the ball."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.label = label

    def forward(self, images: Tensor) -> Tensor:
        brightness = images.flatten(1).mean(dim=1)
        logits = F.one_hot(torch.full((len(images),), self.label), 3) * (1 + brightness[:, None])
        return torch.where(brightness[:, None] < 0.5, torch.nan, logits)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_logits_that_are_not_finite_count_as_broken(label: int, attack: Callable[..., AutoAttacked]) -> None:
    images = torch.full((6, 1, 4, 4), 0.52)
    images[3:] = 0.9
    found = attack(Cliff(label), images, torch.full((6,), label), classes=3)
    assert found.nonfinite.tolist() == [True] * 3 + [False] * 3
    assert (found.predictions != label).tolist() == [True] * 3 + [False] * 3
    assert found.broken_by[3:] == ["", "", ""]


@pytest.mark.parametrize(
    "claim",
    [
        lambda images: (images + 0.101).clamp(0, 1),  # outside the ball
        lambda images: images - 0.1,  # outside [0, 1]
        lambda images: images * torch.nan,
        lambda images: (images + 1e-7).clamp(0, 1),  # no break at all
    ],
    ids=["ball", "box", "nan", "prediction"],
)
def test_a_claim_that_fails_the_verification_is_no_break(
    claim: Callable[[Tensor], Tensor], attack: Callable[..., AutoAttacked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "reference_attack", lambda *_args, **_options: lambda images, _labels: claim(images))
    monkeypatch.setattr(module, "standard_attack", lambda _name, _model, images, *_args, **_options: claimed(images))

    def claimed(images: Tensor) -> Found:
        return Found(images=claim(images), broken=torch.ones(len(images), dtype=torch.bool))

    found = attack()
    correct = [name != "clean" for name in found.broken_by]
    assert set(found.broken_by) == {"", "clean"}
    assert found.unverified == 4 * sum(correct)
    assert not found.nonfinite.any()


@the_library
def test_a_claim_that_holds_is_attributed_to_its_attack(
    attack: Callable[..., AutoAttacked], monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(name: str, *_args: Any, **_options: Any) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda images, _labels: images - 0.05 if name == "fab-t" else images

    monkeypatch.setattr(module, "reference_attack", chosen)
    images = torch.tensor([0.52, 0.7]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    found = attack(brightness(4, 0.5), images, torch.ones(2, dtype=torch.long), classes=2)
    assert found.broken_by == ["fab-t", ""]
    assert found.predictions.tolist() == [0, 1]


# Nothing of the caller changes.


def test_nothing_of_the_caller_changes(
    trained: nn.Sequential, digits: tuple[Tensor, Tensor], attack: Callable[..., AutoAttacked]
) -> None:
    model, images = deepcopy(trained), digits[0].clone()
    first, norm, *_, last = model.train().children()
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Linear)
    norm.eval()
    first.weight.requires_grad_(False)
    last.weight.grad = torch.ones_like(last.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    state, python_state, traced = torch.get_rng_state(), random.getstate(), []

    def tracer(frame: FrameType, event: str, _argument: object) -> None:
        if frame.f_code.co_name == "_attack_chunk":
            traced.append(event)

    outer = sys.gettrace()
    sys.settrace(tracer)
    try:
        attack(model, images)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(outer)
    assert traced
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python_state
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [part.training for part in model.modules()] == modes
    assert not first.weight.requires_grad
    assert all(parameter.requires_grad for parameter in model.parameters() if parameter is not first.weight)
    assert torch.equal(last.weight.grad, torch.ones_like(last.weight))
    assert all(parameter.grad is None for parameter in model.parameters() if parameter is not last.weight)
    assert torch.equal(images, digits[0])


@the_library
def test_every_chunk_has_a_seed_of_its_own(
    attack: Callable[..., AutoAttacked], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def recorded(*args: Any, seed: int, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
        seeds.append(seed)
        return reference_attack(*args, seed=seed, **options)

    monkeypatch.setattr(module, "reference_attack", recorded)
    attack()
    assert len(seeds) == len(set(seeds)) > 8


def test_a_ball_of_one_point_breaks_nothing(attack: Callable[..., AutoAttacked]) -> None:
    found = attack(threat=Threat(epsilon=0.0, step=0.0))
    assert set(found.broken_by) <= {"", "clean"}
    assert sum(found.seconds.values()) == 0


@our_engine
@pytest.mark.parametrize("threat", [LINF, L2], ids=["Linf", "L2"])
def test_a_verdict_depends_on_nobody_else(
    threat: Threat, digits: tuple[Tensor, Tensor], attack: Callable[..., AutoAttacked], tmp_path: Path
) -> None:
    """Batch size, order and subset change nothing, because noise belongs to the image."""
    images, labels = digits
    whole = attack(threat=threat, folder=tmp_path / "whole", evaluation=replace(EVALUATION, batch_size=250))
    for size in (1, 7):
        other = replace(EVALUATION, batch_size=size)
        found = attack(threat=threat, folder=tmp_path / f"by {size}", evaluation=other)
        assert torch.equal(found.predictions, whole.predictions)
        assert found.broken_by == whole.broken_by
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))[:40]
    part = attack(images=images[order], labels=labels[order], threat=threat, indices=order)
    assert torch.equal(part.predictions, whole.predictions[order])
    assert part.broken_by == [whole.broken_by[row] for row in order.tolist()]


def test_progress_rises_within_each_attack(
    attack: Callable[..., AutoAttacked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "HEARTBEAT", -1.0)
    told: list[tuple[str, int, int]] = []
    found = attack(progress=lambda *step: told.append(step))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == list(ATTACKS)
    for name in ATTACKS:
        steps = [(done, total) for stage, done, total in told if stage == name]
        total = steps[0][1]
        assert {total} == {total for _, total in steps}
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == total
        assert len(steps) > 20  # also between the ends of chunks
    assert told[0][2] == sum(cause != "clean" for cause in found.broken_by)
