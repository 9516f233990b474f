"""The built-in further attacks: many starts, every class as a target, an L1 ball, and no adversary at all."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import Tensor, nn

from fairbench.attacks import Ball
from fairbench.attacks.further.contract import ChunkNoise
from fairbench.attacks.further.corruptions import KINDS, Corruptions
from fairbench.attacks.further.l1_apgd import L1APGD
from fairbench.attacks.further.l1_ball import L1Ball
from fairbench.attacks.further.pgd_restarts import PGDRestarts, uniform
from fairbench.attacks.further.targeted import Targeted
from fairbench.attacks.further.trying import Tried
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.protocol.suite import Threat

Digits = tuple[Tensor, Tensor]
Try = Callable[..., Tried]


def noise_of(count: int, shape: tuple[int, ...] = (1, 8, 8)) -> ChunkNoise:
    return ChunkNoise(ImageNoise(0), "test", indices=torch.arange(count), shape=shape)


def robust(found: Tried, labels: Tensor) -> Tensor:
    return found.predictions == labels


class TestRestarts:
    def test_more_starts_find_more(self, tried: Try, digits: Digits) -> None:
        """The first of many starts are those of few."""
        few, many = (
            robust(tried(PGDRestarts(restarts=count, steps=5), text=f"pgd-restarts:restarts={count}"), digits[1])
            for count in (1, 8)
        )
        assert (many <= few).all()
        assert many.sum() < few.sum()

    def test_broken_images_leave(self, tried: Try) -> None:
        """A start costs at most its steps for each image that is left."""
        found = tried(PGDRestarts(restarts=3, steps=5))
        assert int(str(found.facts["forwards"])) < 3 * 6 * 48

    @pytest.mark.parametrize("norm", ["Linf", "L2"])
    def test_starts_lie_in_the_ball(self, norm: Any, digits: Digits) -> None:
        ball = Ball(norm, digits[0], 0.3)
        starts = [uniform(ball, noise_of(50), number) for number in range(2)]
        assert all(ball.contains(start).all() for start in starts)
        assert not torch.equal(*starts)

    def test_it_searches_on_l2_as_well(self, tried: Try, digits: Digits) -> None:
        found = tried(PGDRestarts(restarts=2, steps=10), threat=Threat(norm="L2", epsilon=0.7, step=0.1))
        assert robust(found, digits[1]).sum() < 48


class TestTargeted:
    def test_a_large_ball_makes_everything_of_everything(self, tried: Try) -> None:
        found = tried(Targeted(steps=20), threat=Threat(epsilon=0.8, step=0.1))
        reached = [classes for classes in found.reached if classes]
        assert len(reached) >= 45
        assert sum(len(classes) == 9 for classes in reached) > 0.9 * len(reached)

    def test_a_small_one_makes_the_likely_of_few(self, tried: Try, digits: Digits) -> None:
        """What untargeted PGD breaks can be made into some class, but for an image or two."""
        found, plain = tried(Targeted(steps=20), text="targeted"), tried(PGDRestarts(restarts=1, steps=20))
        assert int((robust(found, digits[1]) & ~robust(plain, digits[1])).sum()) <= 2
        assert 1 < max(map(len, found.reached)) < 9

    def test_it_costs_its_steps_towards_every_other_class(self, tried: Try, digits: Digits) -> None:
        found = tried(Targeted(steps=4))
        correct = int((tried(lambda _m, images, *_: images, text="none").predictions == digits[1]).sum())
        assert found.facts["backwards"] == 4 * 9 * correct


class TestL1Ball:
    @settings(max_examples=30)
    @given(st.integers(1, 12), st.floats(0.01, 5), st.integers(0, 2**31 - 1))
    def test_the_projection_is_the_nearest_point(self, pixels: int, radius: float, seed: int) -> None:
        """Against a general solution: the same formula, with the threshold by bisection in double precision."""
        drawn = torch.Generator().manual_seed(seed)
        centre = torch.rand(3, 1, 1, pixels, generator=drawn)
        points = centre + 2 * torch.randn(3, 1, 1, pixels, generator=drawn)
        ball = L1Ball(centre, radius)
        found = ball.project(points)
        assert ball.contains(found).all()
        delta = (points - centre).double().flatten(1)
        room = torch.where(delta > 0, 1 - centre.double().flatten(1), centre.double().flatten(1))
        low, high = torch.zeros(3, 1).double(), delta.abs().amax(dim=1, keepdim=True)

        def moved(threshold: Tensor) -> Tensor:
            return torch.minimum((delta.abs() - threshold).clamp_min(0), room)

        for _ in range(80):
            middle = (low + high) / 2
            outside = moved(middle).sum(dim=1, keepdim=True) > radius
            low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
        inside = moved(torch.zeros(3, 1).double()).sum(dim=1, keepdim=True) <= radius
        expected = delta.sign() * moved(torch.where(inside, 0.0, high))
        torch.testing.assert_close((found - centre).flatten(1).double(), expected, rtol=1e-4, atol=1e-5)

    def test_what_is_inside_stays(self) -> None:
        centre = torch.full((1, 1, 2, 2), 0.5)
        inside = centre + torch.tensor([[[[0.1, -0.1], [0, 0]]]])
        torch.testing.assert_close(L1Ball(centre, 0.3).project(inside), inside)
        assert not L1Ball(centre, 0.1).contains(inside).any()
        assert not L1Ball(centre, 9.0).contains(torch.full_like(inside, torch.nan)).any()


class TestL1APGD:
    @pytest.mark.parametrize(("restarts", "targets"), [(2, 0), (0, 2)], ids=["ce", "targeted"])
    def test_it_breaks_what_pyautoattack_breaks(
        self, tried: Try, digits: Digits, trained: nn.Module, restarts: int, targets: int
    ) -> None:
        """From other starts, with as many iterations: as many images, and mostly the same, from none to most."""
        images, labels = digits
        broken = []
        for radius in (0.4, 1.5):
            attack = L1APGD(radius=radius, iterations=30, restarts=restarts, targets=targets)
            ours = robust(tried(attack, text=f"l1-apgd:radius={radius}"), labels)
            common = {"n_iter": 30, "norm": "L1", "eps": radius, "seed": 0, "use_largereps": True, "device": "cpu"}
            theirs = torch.zeros_like(ours)
            with torch.random.fork_rng([]), torch.no_grad():
                left = (trained(images).argmax(dim=1) == labels).nonzero().flatten()
            with torch.random.fork_rng([]):
                reference = (
                    APGDAttack(trained, n_restarts=restarts, loss="ce", **common)
                    if restarts
                    else APGDAttack_targeted(trained, n_restarts=1, n_target_classes=targets, **common)
                )
                points = reference.perturb(images[left], labels[left])
            with torch.no_grad():
                theirs[left] = trained(points).argmax(dim=1) == labels[left]
            assert int(ours.sum()) <= int(theirs.sum()) + 2
            assert int((ours != theirs).sum()) <= 6
            broken.append(int((~ours).sum()))
        assert broken[0] < 15
        assert broken[1] > 30

    def test_its_points_are_sparse_and_in_their_ball(self, tried: Try) -> None:
        moved: list[Tensor] = []

        class Spied(L1APGD):
            def __call__(self, model: nn.Module, images: Tensor, *rest: Any) -> Any:
                for points in super().__call__(model, images, *rest):
                    moved.append(points - images)
                    yield points

        found = tried(Spied(radius=1.0, iterations=40, restarts=1, targets=1))
        delta = torch.cat(moved).flatten(1)
        broken = delta[delta.abs().sum(dim=1) > 0]
        assert (broken.abs().sum(dim=1) <= 1 + 1e-4).all()
        assert (broken != 0).float().mean() < 0.5
        assert found.facts["norm"] == "L1"
        assert found.facts["unverified"] == 0


class TestCorruptions:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 9, 5)])
    def test_images_stay_images_and_a_higher_severity_changes_more(self, kind: str, shape: tuple[int, ...]) -> None:
        images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
        images = images * torch.linspace(0.3, 1, shape[-1])  # something to see
        changes = []
        for severity in (1, 5):
            attack = Corruptions(severity=severity, kind=kind)
            (points,) = attack(nn.Identity(), images, torch.zeros(4), Threat(epsilon=0.1, step=0.1), noise_of(4, shape))
            assert points.shape == images.shape
            assert 0 <= points.min() <= points.max() <= 1
            changes.append(float((points - images).abs().mean()))
        assert 0 <= changes[0] < changes[1]

    def test_all_kinds_are_one_after_the_other(self, tried: Try, digits: Digits) -> None:
        """An image is correct if it is under all of them, and no ball bounds them."""
        found = tried(Corruptions(severity=5))
        alone = [
            robust(tried(Corruptions(severity=5, kind=kind), text=f"corruptions:kind={kind}"), digits[1])
            for kind in KINDS
        ]
        assert torch.equal(robust(found, digits[1]), torch.stack(alone).all(dim=0))
        assert found.facts == {"forwards": 0, "backwards": 0, "unverified": 0, "norm": "Linf", "radius": 1.0}
