"""Clean and PGD-20 verdicts: pinned, keyed by image, without side effects."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fairbench import Threat, UserError
from fairbench.attacks import Ball, pgd
from fairbench.attacks.image_noise import uniform_start
from fairbench.attacks.judging import exact_arithmetic
from fairbench.evaluation.screening import Screened, class_statistics, screen
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Norm

EVALUATION = Evaluation(pgd_step=0.015, batch_size=16)
LINF = Threat(epsilon=0.06, step=0.03)
L2 = Threat(norm="L2", epsilon=0.4, step=0.1)
Forward = Callable[[Tensor], Tensor]


class Model(nn.Module):
    """A model given by a function."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self._forward = forward

    def forward(self, images: Tensor) -> Tensor:
        return self._forward(images)


def digits() -> tuple[Tensor, Tensor]:
    """Sixty real digits, (60, 1, 8, 8) in [0, 1]."""
    found = load_digits()
    return torch.tensor(found.images[:60, None] / 16, dtype=torch.float32), torch.tensor(found.target[:60])


def network() -> nn.Sequential:
    """A small network with batch norm and dropout, fitted to the digits by ridge regression on random features."""
    torch.manual_seed(0)
    found = load_digits()
    images = torch.tensor(found.images[:, None] / 16, dtype=torch.float32)
    features = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5)).eval()
    last = nn.Linear(288, 10)
    with torch.no_grad():
        inputs = features(images)
        targets = F.one_hot(torch.tensor(found.target), 10).float() - 0.1
        gram = inputs.T @ inputs + 10 * torch.eye(288)
        last.weight.copy_(8 * torch.linalg.solve(gram, inputs.T @ targets).T)
        last.bias.zero_()
    return nn.Sequential(features, last)


IMAGES, LABELS = digits()
NETWORK = network()


def judged(model: nn.Module = NETWORK, *, threat: Threat = LINF, evaluation: Evaluation = EVALUATION) -> Screened:
    return screen(model, IMAGES, LABELS, classes=10, threat=threat, evaluation=evaluation)


def same(first: Screened, second: Screened, rows: Tensor | slice = slice(None)) -> bool:
    return all(torch.equal(getattr(first, name)[rows], getattr(second, name)) for name in Screened.__slots__)


@pytest.mark.parametrize("threat", [LINF, L2], ids=["Linf", "L2"])
def test_the_verdict_is_that_of_the_engine_at_the_pinned_setting(threat: Threat) -> None:
    start = uniform_start(Ball(threat.norm, IMAGES, threat.epsilon), range(60), seed=0, attack="pgd20")
    attacked = pgd(NETWORK, IMAGES, LABELS, threat=threat, start=start, steps=20, step=0.015)
    found = judged(threat=threat)
    NETWORK.eval()
    assert torch.equal(found.clean, NETWORK(IMAGES).argmax(dim=1))
    assert torch.equal(found.pgd20, NETWORK(attacked.images).argmax(dim=1))
    assert torch.equal(found.survived, attacked.survived)
    right = found.clean == LABELS
    assert torch.equal(found.robust, right & (found.survived == 20) & (found.pgd20 == LABELS))
    assert 0.2 < found.robust.float().mean() < right.float().mean()  # the comparison means something


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(60)), size=st.integers(1, 60), kept=st.integers(1, 60))
def test_the_verdict_depends_on_neither_batch_size_nor_order_nor_subset(order: list[int], size: int, kept: int) -> None:
    rows = torch.tensor(order[:kept])
    evaluation = replace(EVALUATION, batch_size=size)
    found = screen(NETWORK, IMAGES[rows], LABELS[rows], classes=10, threat=LINF, evaluation=evaluation, indices=rows)
    assert same(judged(), found, rows)


def test_the_batch_size_of_the_call_comes_first() -> None:
    seen: list[int] = []
    handle = NETWORK.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    found = screen(NETWORK, IMAGES, LABELS, classes=10, threat=LINF, evaluation=EVALUATION, batch_size=59)
    handle.remove()
    assert set(seen) == {59, 1}
    assert same(judged(), found)


def test_bytes_and_floats_get_the_same_verdict() -> None:
    raw = (IMAGES * 255).round().to(torch.uint8)
    first, second = (
        screen(NETWORK, images, LABELS, classes=10, threat=LINF, evaluation=EVALUATION)
        for images in (raw, raw.float() / 255)
    )
    assert same(first, second)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_linear_model_is_robust_exactly_beyond_its_closed_form_distance(norm: Norm) -> None:
    """z_1 - z_0 = w x + b: the distance to the boundary is |w x + b| over the dual norm of w."""
    weight = torch.tensor([1.0, -1.0] * 6).view(1, 3, 2, 2)
    dual = weight.abs().sum() if norm == "Linf" else weight.norm()
    images, threat = torch.full((8, 3, 2, 2), 0.5), replace(L2, norm=norm, epsilon=0.1)
    distances = torch.tensor([0.05, 0.09, 0.099, 0.101, 0.11, 0.2, 0.3, 0.4])
    offsets = distances * dual  # w x = 0 on grey images
    images = images + offsets.view(-1, 1, 1, 1) * weight / weight.pow(2).sum()
    model = Model(lambda points: F.pad((points * weight).flatten(1).sum(1, keepdim=True), (1, 0)))
    evaluation = Evaluation(pgd_step=0.025)
    found = screen(model, images, torch.ones(8, dtype=torch.int16), classes=2, threat=threat, evaluation=evaluation)
    assert found.robust.tolist() == (distances > 0.1).tolist()
    assert (found.pgd20 == 1).tolist() == (distances > 0.1).tolist()
    assert (found.survived[3:] == 20).all()
    assert (found.survived[:3] < 20).all()


def test_a_model_without_gradient_is_judged_and_noticed() -> None:
    found = judged(nn.Sequential(Model(lambda images: (images > 0.5).float()), NETWORK))
    assert found.zero_gradient.all()
    assert not judged().zero_gradient.any()


def test_logits_that_are_not_finite_count_as_broken_whatever_the_label() -> None:
    def forward(images: Tensor) -> Tensor:
        bright = images.flatten(1).mean(dim=1, keepdim=True) > IMAGES.mean()
        return torch.where(bright, torch.nan, NETWORK(images))

    found, bright = judged(Model(forward)), IMAGES.flatten(1).mean(dim=1) > IMAGES.mean()
    assert 5 < bright.sum() < 55
    assert found.nonfinite[bright].all()
    assert (found.clean != LABELS)[bright].all()
    assert (found.pgd20 != LABELS)[found.nonfinite & (found.survived == 0)].all()
    assert not found.robust[found.nonfinite].any()
    assert torch.equal(found.clean[~bright], judged().clean[~bright])
    everywhere = judged(Model(lambda images: NETWORK(images) * torch.inf))
    assert everywhere.nonfinite.all()
    assert (everywhere.survived == 0).all()


def test_one_wrong_iterate_on_the_way_is_enough_to_lose_an_image() -> None:
    answers = iter([1.0] * 4 + [-1.0] + [1.0] * 17)  # clean, then x_0 .. x_20: wrong at x_3 alone
    bias = torch.arange(10.0)
    model = Model(lambda images: (next(answers) * bias).expand(len(images), -1))
    found = screen(model, IMAGES, LABELS, classes=10, threat=LINF, evaluation=EVALUATION, batch_size=60)
    nines = LABELS.eq(9)
    assert (found.clean == 9).all()
    assert (found.pgd20 == 9).all()
    assert (found.survived[nines] == 19).all()
    assert not found.robust.any()


def test_a_constant_model_keeps_one_class() -> None:
    bias = torch.arange(10.0)
    found = judged(Model(lambda images: bias.expand(len(images), -1)))
    assert torch.equal(found.robust, LABELS == 9)
    assert (found.pgd20 == 9).all()


def test_class_statistics_divide_by_the_images_of_the_class() -> None:
    rows = torch.cat([torch.where(LABELS.eq(label))[0][: label + 1] for label in (0, 1, 2, 5)])
    found = judged()
    model = Model(lambda images: F.pad(NETWORK(images), (0, 2), value=-100.0))
    statistics = class_statistics(
        model, IMAGES[rows], LABELS[rows], classes=12, threat=LINF, evaluation=EVALUATION, batch_size=7
    )
    absent = torch.tensor([3, 4, 6, 7, 8, 9, 10, 11])
    assert statistics.counts.dtype == statistics.clean.dtype == statistics.robust.dtype == torch.float64
    assert statistics.counts.sum() == len(rows)
    assert (statistics.counts[absent] == 0).all()
    assert statistics.clean[absent].isnan().all()
    assert statistics.robust[absent].isnan().all()
    assert statistics.clean[5] == (found.clean == LABELS)[rows][LABELS[rows] == 5].double().mean()


def test_class_statistics_are_those_of_the_verdicts() -> None:
    found = judged()
    statistics = class_statistics(NETWORK, IMAGES, LABELS, classes=10, threat=LINF, evaluation=EVALUATION)
    for label in range(10):
        of_class = LABELS.eq(label)
        assert statistics.counts[label] == of_class.sum()
        assert statistics.clean[label] == (found.clean == label)[of_class].double().mean()
        assert statistics.robust[label] == (found.pgd20 == label)[of_class].double().mean()


def test_nothing_of_the_caller_changes() -> None:
    model = network()
    model.train()
    convolution, norm, *_ = model[0].children()
    assert isinstance(convolution, nn.Conv2d)
    norm.eval()
    model[1].weight.requires_grad_(False)
    convolution.weight.grad = torch.full_like(convolution.weight, 2.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    images, state = IMAGES.clone(), torch.get_rng_state()
    judged(Model(lambda points: model(points) + torch.rand(10)))
    judged(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, True, True, True, False, True]
    assert torch.equal(convolution.weight.grad, torch.full_like(convolution.weight, 2.0))
    assert model[1].bias.grad is None
    assert torch.equal(IMAGES, images)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_randomised_model_gets_the_same_verdict_twice() -> None:
    model = Model(lambda images: NETWORK(images) + 3 * torch.randn(len(images), 10))
    first = judged(model)
    torch.rand(17)
    assert same(first, judged(model))


def test_verdicts_are_exact_whatever_training_uses() -> None:
    inside: list[tuple[str, bool, bool]] = []

    def forward(images: Tensor) -> Tensor:
        flags = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu")
        inside.append(flags)
        logits: Tensor = NETWORK(images)
        return logits

    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        with torch.autocast("cpu", torch.bfloat16):
            found = judged(Model(forward))
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
        with pytest.raises(ZeroDivisionError), exact_arithmetic(IMAGES.device):
            assert 1 / 0
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution
    assert set(inside) == {("highest", False, False)}
    assert same(judged(), found)


def test_progress_tells_images_done() -> None:
    told: list[tuple[str, int, int]] = []
    screen(
        NETWORK,
        IMAGES,
        LABELS,
        classes=10,
        threat=LINF,
        evaluation=replace(EVALUATION, batch_size=25),
        progress=lambda *step: told.append(step),
    )
    assert {(stage, total) for stage, _, total in told} == {("pgd20", 60)}
    done = [images for _, images, _ in told]
    assert done == sorted(done)
    assert (done[0], done[20], done[41], done[-1], len(done)) == (0, 25, 50, 60, 3 * 21)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_start_belongs_to_the_image_and_lies_in_its_ball(norm: Norm) -> None:
    ball = Ball(norm, torch.full((200, 3, 5, 4), 0.5), 0.25)
    points = uniform_start(ball, range(200), seed=1, attack="pgd20")
    assert ball.contains(points).all()
    few = Ball(ball.norm, ball.centre[:2], 0.25)
    assert torch.equal(uniform_start(few, [150, 7], seed=1, attack="pgd20"), points[[150, 7]])
    assert not torch.isclose(uniform_start(few, [0, 1], seed=2, attack="pgd20"), points[:2]).all(dim=1).any()
    assert not torch.isclose(uniform_start(few, [0, 1], seed=1, attack="other"), points[:2]).all(dim=1).any()
    deltas = (points - 0.5).flatten(1) / 0.25
    if norm == "Linf":
        assert abs(float(deltas.mean())) < 0.02
        assert abs(float(deltas.var()) - 1 / 3) < 0.01
    else:  # the share of the volume within the radius is uniform
        assert abs(float((deltas.norm(dim=1) ** 60).mean()) - 0.5) < 0.07
        assert abs(float(deltas.mean())) < 0.01


def test_the_stream_of_the_noise_is_pinned() -> None:
    """Published verdicts rest on these numbers; a change of library must not change them unnoticed."""
    points = uniform_start(Ball("Linf", torch.full((1, 1, 1, 3), 0.5), 0.5), [3], seed=0, attack="pgd20")
    assert points.flatten().tolist() == pytest.approx(PINNED, abs=1e-6)


PINNED = [0.735792279, 0.628292799, 0.92019999]


@pytest.mark.parametrize(
    ("images", "labels", "classes", "message"),
    [
        (IMAGES * 2, LABELS, 10, r"pixels from 0 to 2 are not allowed; allowed: \[0, 1\]"),
        (IMAGES - 0.5, LABELS, 10, "belong into the model"),
        (IMAGES * torch.nan, LABELS, 10, "Images with NaN or infinite pixels are not allowed: 60 of 60"),
        (IMAGES.double(), LABELS, 10, "torch.float64 are not allowed"),
        (IMAGES[0], LABELS, 10, r"shape \(1, 8, 8\)"),
        (IMAGES, LABELS[:5], 10, r"labels of shape \(5,\)"),
        (IMAGES[:0], LABELS[:0], 10, "n at least 1"),
        (IMAGES, LABELS, 9, "Labels from 0 to 9 are not allowed; allowed: 0 to 8"),
        (IMAGES, LABELS - 1, 10, "Labels from -1 to 8"),
        (IMAGES, LABELS * 0, 1, "classes = 1 is not allowed"),
        (IMAGES, LABELS, 11, r"returned \(16, 10\) for 16 images; allowed: logits of shape \(16, 11\)"),
    ],
)
def test_unusable_data_is_refused(images: Tensor, labels: Tensor, classes: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        screen(NETWORK, images, labels, classes=classes, threat=LINF, evaluation=EVALUATION)


def test_a_model_that_returns_no_tensor_is_refused() -> None:
    with pytest.raises(UserError, match="returned tuple"):
        judged(Model(lambda images: (images, images)))  # type: ignore[arg-type, return-value]
