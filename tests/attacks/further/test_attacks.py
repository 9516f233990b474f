"""The built-in further attacks: many starts, every class as a target, an L1 ball, and no adversary at all."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import Tensor, nn

from fairbench.attacks import Ball
from fairbench.attacks.further.blurs import defocus_blur, gaussian_blur, glass_blur, magnified, moved, zoom_blur
from fairbench.attacks.further.contract import ChunkNoise
from fairbench.attacks.further.corruptions import KINDS, Corruptions
from fairbench.attacks.further.elastic import elastic
from fairbench.attacks.further.l1_apgd import L1APGD
from fairbench.attacks.further.l1_ball import L1Ball
from fairbench.attacks.further.pgd_restarts import PGDRestarts, uniform
from fairbench.attacks.further.targeted import Targeted
from fairbench.attacks.further.trying import Tried
from fairbench.attacks.further.weather import fog, plasma, snow
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.protocol.threat import Threat

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
    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (4, 9, 5)])
    def test_images_stay_images_and_a_higher_severity_changes_more(self, kind: str, shape: tuple[int, ...]) -> None:
        """But for elastic transforms, which trade shear for waves."""
        images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
        images = gaussian_blur(images * torch.linspace(0.3, 1, shape[-1]), 0.7, noise_of(4, shape))  # something to see
        changes = []
        for severity in (1, 5):
            attack = Corruptions(severity=severity, kind=kind)
            (points,) = attack(nn.Identity(), images, torch.zeros(4), Threat(epsilon=0.1, step=0.1), noise_of(4, shape))
            assert points.shape == images.shape
            assert 0 <= points.min() <= points.max() <= 1
            changes.append(float((points - images).abs().mean()))
        assert changes[0] < changes[1] or kind == "elastic"
        assert changes[1] > 0

    def test_all_kinds_are_one_after_the_other(self, tried: Try, digits: Digits) -> None:
        """An image is correct if it is under all of them, and no ball bounds them."""
        found = tried(Corruptions(severity=1), text="corruptions:severity=1")
        alone = [
            robust(tried(Corruptions(severity=1, kind=kind), text=f"corruptions:kind={kind}"), digits[1])
            for kind in KINDS
        ]
        assert torch.equal(robust(found, digits[1]), torch.stack(alone).all(dim=0))
        assert 0 < robust(found, digits[1]).sum() < 48
        assert found.facts == {"forwards": 0, "backwards": 0, "unverified": 0, "norm": "Linf", "radius": 1.0}

    def test_an_image_is_corrupted_the_same_in_any_company(self) -> None:
        """Also by what is drawn in other shapes than its own."""
        images = torch.rand(3, 3, 12, 10, generator=torch.Generator().manual_seed(0))
        for corrupt, strengths in KINDS.values():
            together = corrupt(images, strengths[4], noise_of(3, (3, 12, 10)))
            alone = corrupt(images[2:], strengths[4], noise_of(3, (3, 12, 10)).rows(torch.tensor([2])))
            torch.testing.assert_close(together[2:], alone, rtol=1e-4, atol=1e-5)


class TestBlurs:
    def test_out_of_focus_a_point_becomes_a_disk(self) -> None:
        point = torch.zeros(1, 1, 11, 11)
        point[0, 0, 5, 5] = 1
        disk = defocus_blur(point, (2, 0.01), noise_of(1, (1, 11, 11)))
        offsets = torch.arange(11) - 5
        inside = (offsets[:, None] ** 2 + offsets**2) <= 4
        torch.testing.assert_close(disk[0, 0], inside / inside.sum())
        soft = defocus_blur(point, (2, 0.5), noise_of(1, (1, 11, 11)))
        assert soft.sum() == pytest.approx(1)
        assert (soft > 0).sum() > (disk > 0).sum()

    def test_glass_moves_every_pixel_a_little(self) -> None:
        """With blurs that do nothing, the same pixels elsewhere."""
        images = torch.arange(64.0).view(1, 1, 8, 8) / 64
        found = glass_blur(images, (0.05, 1, 1), noise_of(1))
        assert torch.equal(found.flatten().sort().values, images.flatten())
        assert (found != images).float().mean() > 0.5

    def test_a_moving_camera_leaves_a_trail_to_one_side(self) -> None:
        point = torch.zeros(2, 1, 9, 9)
        point[:, :, 4, 4] = 1
        trail = moved(point, torch.tensor([0.0, math.pi / 2]), (2, 1.5))
        expected = (-0.5 * (torch.arange(5.0) / 1.5) ** 2).softmax(dim=0)
        torch.testing.assert_close(trail[0, 0, 4, :5], expected.flip(0))
        torch.testing.assert_close(trail[1, 0, :5, 4], expected.flip(0))
        assert trail.sum() == pytest.approx(2)

    def test_a_zoom_keeps_the_middle(self) -> None:
        images = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(magnified(images, 1.0), images)
        twice = magnified(images, 2.0)
        torch.testing.assert_close(twice[..., ::2, ::2], images[..., 2:7, 2:7])
        torch.testing.assert_close(zoom_blur(images, 1, noise_of(1, (3, 9, 9))), images)


class TestWeather:
    @pytest.mark.parametrize("size", [5, 8, 28, 32])
    def test_clouds_fill_their_range_and_are_smooth_where_they_decay(self, size: int) -> None:
        soft, rough = (plasma(noise_of(6, (1, size, size)), size=size, decay=decay) for decay in (3.0, 1.2))
        assert soft.shape[1] >= size
        for cloud in (soft, rough):
            assert torch.equal(cloud.amin(dim=(1, 2)), torch.zeros(6))
            assert torch.equal(cloud.amax(dim=(1, 2)), torch.ones(6))
        steps = [float(cloud.diff(dim=1).abs().mean()) for cloud in (soft, rough)]
        assert steps[0] < steps[1]

    def test_fog_pales_but_for_the_brightest(self) -> None:
        images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        found = fog(images, (1.5, 1.75), noise_of(3, (3, 16, 16)))
        assert (found <= images.amax(dim=(1, 2, 3), keepdim=True) + 1e-6).all()
        assert found.flatten(1).std(dim=1).mean() < images.flatten(1).std(dim=1).mean()

    def test_snow_only_makes_brighter(self) -> None:
        images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        found = snow(images, (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8), noise_of(3, (3, 32, 32)))
        assert (found >= images - 1e-6).all()
        assert (found - images).mean() > 0.05


class TestElastic:
    def test_nothing_moves_nothing(self) -> None:
        images = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(elastic(images, (0, 0, 0), noise_of(2, (3, 7, 9))), images, rtol=1e-4, atol=1e-5)

    def test_a_shear_takes_three_points_where_they_are_drawn(self) -> None:
        """A ramp shows by its values where every pixel comes from: straight lines stay straight."""
        ramp = torch.linspace(0, 1, 33).expand(1, 1, 33, 33)
        found = elastic(ramp, (0, 0, 0.08), noise_of(1, (1, 33, 33)))[0, 0, 8:25, 8:25]
        assert (found - ramp[0, 0, 8:25, 8:25]).abs().max() > 0.02
        assert found.diff(n=2, dim=0).abs().max() < 1e-4
        assert found.diff(n=2, dim=1).abs().max() < 1e-4
