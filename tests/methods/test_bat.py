"""BAT: the two boundary points and the uniform terms."""

import math
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks import Attacked, pgd
from fairbench.training.passes import PassCounter
from fairbench_methods import bat as bat_module
from fairbench_methods.bat import BAT
from fairbench_methods.parts.trades_halves import boundary_attack
from fairbench_methods.trades import TRADES
from fixture_types import Call

PAPER: dict[str, Any] = {}
CODE = {"shared_trajectory": False, "adv_tau": 1, "uniform_kl": "p-u", "misclassified_start": "noisy"}


class Line(nn.Module):
    """Images of one pixel; class 1 exactly above 0.5, with a slope that makes KL grow upwards and downwards."""

    def forward(self, images: Tensor) -> Tensor:
        height = 8 * (images.flatten(1)[:, 0] - 0.5)
        return torch.stack([-height, height], dim=1)


def one_pixel(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


@pytest.mark.parametrize(("direction", "expected"), [("u-p", 0.5108), ("p-u", 0.3681)])
def test_fixture_f7(direction: str, expected: float) -> None:
    """The uniform term of p = (0.9, 0.1), in both directions; 0 exactly for constant logits."""
    method = BAT(uniform_kl=direction)
    logits = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).log() + torch.tensor([[3.0], [-2.0]])
    terms = method._from_uniform(logits)
    assert terms[0].item() == pytest.approx(expected, abs=1e-4)
    assert terms[1].item() == pytest.approx(0, abs=1e-6)


def test_with_the_end_points_of_trades_it_is_trades(
    prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I11: a = 0, x_clean = x, x_adv = x_K."""

    def end_points(self: BAT, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return images, boundary_attack(self.model, images, labels, threat=self.threat, generator=self.noise).images

    monkeypatch.setattr(BAT, "boundary_points", end_points)
    bat, trades = prepare(BAT(uniform_weight=0.0)), prepare(TRADES())
    losses = bat.loss(make_batch()), trades.loss(make_batch())
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)
    first, second = (
        torch.autograd.grad(loss, list(m.model.parameters())) for loss, m in zip(losses, (bat, trades), strict=True)
    )
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


class TestBoundaryPoints:
    """Cases on a line, step 2/255; noise is 0.001, an eighth of a step.

    Images: crosses at the third update; start misclassified; never crosses.
    """

    images = one_pixel(0.5 - 2.5 * 2 / 255, 0.6, 0.3)
    labels = torch.zeros(3, dtype=torch.long)

    def points(self, prepare: Call, options: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        method = prepare(BAT(**options), model=Line(), classes=2, epsilon=0.3)
        # KL from the prediction at x grows in both directions; upwards is chosen by the sign of the noise.
        for seed in count():
            method.noise.manual_seed(seed)
            noise = torch.stack([torch.empty(3, 1, 1, 1).normal_(generator=method.noise).flatten() for _ in range(2)])
            if (noise > 0.1).all():
                method.noise.manual_seed(seed)
                break
        before, after = method.boundary_points(self.images, self.labels)
        return before.flatten(), after.flatten(), 0.001 * noise

    def steps_from(self, noise: Tensor, steps: int, row: int) -> float:
        """The pixel after that many steps upwards."""
        return float(self.images.flatten()[row] + float(noise[row]) + steps * 2 / 255)

    def test_as_in_the_paper(self, prepare: Call) -> None:
        before, after, noise = self.points(prepare, PAPER)
        assert before[0].item() == pytest.approx(self.steps_from(noise[0], 2, 0), abs=1e-6)
        assert after[0].item() == pytest.approx(self.steps_from(noise[0], 3, 0), abs=1e-6)
        assert before[1] == after[1] == self.images.flatten()[1]  # exactly the image
        assert before[2].item() == pytest.approx(self.steps_from(noise[0], 9, 2), abs=1e-6)
        assert after[2].item() == pytest.approx(self.steps_from(noise[0], 10, 2), abs=1e-6)

    def test_as_in_the_released_code(self, prepare: Call) -> None:
        """Two starts; one iterate later (tau = 1); the noisy start; the end of the own trajectory."""
        before, after, noise = self.points(prepare, CODE)
        assert before[0].item() == pytest.approx(self.steps_from(noise[0], 2, 0), abs=1e-6)
        assert after[0].item() == pytest.approx(self.steps_from(noise[1], 4, 0), abs=1e-6)
        assert before[1].item() == pytest.approx(self.steps_from(noise[0], 0, 1), abs=1e-6)
        assert after[1].item() == pytest.approx(self.steps_from(noise[1], 1, 1), abs=1e-6)
        assert before[2].item() == pytest.approx(self.steps_from(noise[0], 10, 2), abs=1e-6)
        assert after[2].item() == pytest.approx(self.steps_from(noise[1], 10, 2), abs=1e-6)

    def test_adv_tau_alone_moves_only_the_second_point(self, prepare: Call) -> None:
        before, after, noise = self.points(prepare, {"adv_tau": 1})
        assert before[0].item() == pytest.approx(self.steps_from(noise[0], 2, 0), abs=1e-6)
        assert after[0].item() == pytest.approx(self.steps_from(noise[0], 4, 0), abs=1e-6)
        assert before[1] == after[1] == self.images.flatten()[1]

    @pytest.mark.parametrize("options", [PAPER, CODE], ids=["paper", "code"])
    def test_order_is_kept(self, prepare: Call, make_batch: Call, make_net: Call, options: dict[str, Any]) -> None:
        """Officially the attacks return samples in order of their exit; here each stays in its ball."""
        net = make_net().eval()
        batch = make_batch(40, labels=None)
        labels = torch.where(torch.arange(40) % 4 > 0, net(batch.images).argmax(dim=1), batch.labels)
        method = prepare(BAT(**options), model=net, epsilon=0.3)
        before, after = method.boundary_points(batch.images, labels)
        for points in (before, after):
            assert ((points - batch.images).abs() <= 0.3 + 1e-6).all()
        net.eval()
        broken = (net(after).argmax(dim=1) != labels) & (net(batch.images).argmax(dim=1) == labels)
        assert broken.sum() > 3
        if options is PAPER:
            assert (net(before)[broken].argmax(dim=1) == labels[broken]).all()
            assert ((after - before).abs()[broken] <= 2 / 255 + 1e-6).all()


@pytest.mark.parametrize("options", [PAPER, CODE], ids=["paper", "code"])
def test_cost_is_that_of_the_steps_taken(
    options: dict[str, Any], prepare: Call, make_batch: Call, step: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 + 2 (s + q) + 9 units per image: s updates and q stops, which have had their pass, of one or two attacks."""
    attacks: list[Attacked] = []

    def spy(*args: Any, **settings: Any) -> Attacked:
        attacks.append(pgd(*args, **settings))
        return attacks[-1]

    monkeypatch.setattr(bat_module, "pgd", spy)
    method, batch = prepare(BAT(**options)), make_batch(32)
    with PassCounter(method.model) as counter:
        step(method, batch)
    assert len(attacks) == (1 if not options else 2)
    passes = sum(int(found.updates.sum() + (found.updates < method.threat.steps).sum()) for found in attacks)
    assert counter.passes.units == 32 * 10 + 2 * passes
    assert 0 < passes < len(attacks) * 32 * 10


def test_three_training_forwards_in_the_released_order(prepare: Call, make_batch: Call) -> None:
    """x_clean, x_adv, then x, whose prediction carries gradient in the loss."""
    method, batch = prepare(BAT()), make_batch()
    seen: list[Tensor] = []
    method.model.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0]) if net.training else None)
    method.loss(batch)
    assert len(seen) == 3
    assert torch.equal(seen[2], batch.images)


def test_the_uniform_weight_multiplies_both_terms(prepare: Call, make_batch: Call) -> None:
    losses = [prepare(BAT(uniform_weight=a)).loss(make_batch()).item() for a in (0.0, 1.0, 2.0)]
    assert losses[1] - losses[0] == pytest.approx(losses[2] - losses[1], rel=1e-4)
    assert losses[1] > losses[0]
    assert math.isfinite(losses[2])
