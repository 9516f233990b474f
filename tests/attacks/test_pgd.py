"""What the one attack engine owes to every method and to every evaluation."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fairbench.attacks import Attacked, Ball, pgd
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench.protocol.threat import Norm, Threat
from fairbench.training.passes import PassCounter

NORMS: tuple[Norm, ...] = ("Linf", "L2")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 8, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images with many saturated pixels, and labels."""
    generator = seeded(seed)
    images = torch.rand(count, 1, 4, 4, generator=generator).mul(1.6).sub(0.3).clamp(0, 1)
    return images, torch.randint(0, 10, (count,), generator=generator)


def pixels(*values: float) -> Tensor:
    """Images of one pixel each."""
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def zeros(count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.long)


class TestBall:
    @pytest.mark.parametrize("norm", NORMS)
    @pytest.mark.parametrize("start", ["uniform", "gaussian", "none"])
    @settings(max_examples=15)
    @given(seed=st.integers(0, 2**31), radius=st.floats(0, 0.5), step=st.floats(0, 1))
    def test_results_are_in_ball_and_box(self, norm: Norm, start: Any, seed: int, radius: float, step: float) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
        images, labels = some_images(seed=seed)
        radii = torch.linspace(0, radius, len(images))
        attacked = pgd(
            net,
            images,
            labels,
            threat=Threat(norm=norm, epsilon=0.1, step=0.1, steps=3),
            generator=seeded(seed),
            start=start,
            radius=radii,
            step=step,
            tau=1,
            jitter=0.05,
            boundary=True,
        )
        for found in (attacked.images, attacked.first_adversarial):
            assert found is not None
            assert Ball(norm, images, radii).contains(found).all()
        assert attacked.last_clean is not None
        assert ((attacked.last_clean >= 0) & (attacked.last_clean <= 1)).all()

    def test_one_step_on_a_linear_model_is_exact(self) -> None:
        """From the clean image with step = epsilon: clip(x + eps sign(w_other - w_label)), sign(0) = 0."""
        linear = nn.Linear(16, 2)
        net, weight = nn.Sequential(nn.Flatten(), linear), linear.weight.detach()
        weight[:, 3] = 0  # a pixel without influence: a gradient of exactly zero
        images, _ = some_images()
        labels = torch.arange(8) % 2
        attacked = pgd(net, images, labels, threat=Threat(epsilon=0.1, step=0.1, steps=1), start="none")
        direction = (weight[1 - labels] - weight[labels]).sign().view_as(images)
        assert (direction.flatten(1)[:, 3] == 0).all()
        assert torch.equal(attacked.images, (images + 0.1 * direction).clamp(0, 1))

    def test_an_l2_step_has_its_length(self) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double()
        images = torch.full((3, 1, 4, 4), 0.5, dtype=torch.float64)
        sizes = torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64)
        threat = Threat(norm="L2", epsilon=0.5, step=0.1, steps=1)
        attacked = pgd(net, images, zeros(3), threat=threat, start="none", step=sizes)
        torch.testing.assert_close((attacked.images - images).flatten(1).norm(dim=1), sizes)

    @pytest.mark.parametrize("start", ["uniform", "none"])
    def test_radius_zero_leaves_the_images_bit_identical(
        self, small_net: nn.Module, threat: Threat, start: Any
    ) -> None:
        """I1: with epsilon 0, adversarial training is standard training."""
        images, labels = some_images()
        attacked = pgd(small_net, images, labels, threat=threat, generator=seeded(), start=start, radius=0.0)
        assert torch.equal(attacked.images, images)
        clean = cross_entropy(small_net(images), labels)
        assert torch.equal(cross_entropy(small_net(attacked.images), labels), clean)

    def test_gaussian_start_is_small_and_not_clipped(self, small_net: nn.Module, threat: Threat) -> None:
        images = torch.zeros(200, 1, 4, 4)
        first: list[Tensor] = []
        attacked = pgd(
            small_net,
            images,
            zeros(200),
            threat=threat,
            generator=seeded(),
            start="gaussian",
            steps=1,
            observe=lambda _k, points, _logits, _rows: first.append(points),
        )
        assert (first[0] < 0).any()
        assert first[0].std().item() == pytest.approx(0.001, rel=0.05)
        assert attacked.images.min() >= 0

    @pytest.mark.parametrize("norm", NORMS)
    def test_a_gaussian_start_that_is_returned_is_in_the_ball_too(self, norm: Norm, small_net: nn.Module) -> None:
        """Where the start is misclassified and the attack stops there, the ball may be smaller than the noise."""
        images, _ = some_images()
        threat = Threat(norm=norm, epsilon=1e-4, step=2e-5, steps=3)
        wrong = (small_net.eval()(images).argmax(dim=1) + 1) % 10
        attacked = pgd(
            small_net, images, wrong, threat=threat, generator=seeded(), start="gaussian", tau=0, boundary=True
        )
        assert (attacked.updates == 0).all()
        assert Ball(norm, images, threat.epsilon).contains(attacked.images).all()
        assert attacked.last_clean is not None
        assert Ball(norm, images, threat.epsilon).contains(attacked.last_clean).all()


class TestTheModelIsLeftAlone:
    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("fails", [False, True])
    def test_nothing_of_the_model_changes(
        self, small_net: nn.Module, threat: Threat, training: bool, fails: bool
    ) -> None:
        """Buffers, gradients, flags and modes are as before, also after an exception in the loss."""
        small_net.train(training)
        small_net[0].bias.requires_grad_(False)  # type: ignore[index]
        images, labels = some_images()
        small_net[4].weight.grad = torch.ones_like(small_net[4].weight)  # type: ignore[index]
        before = {name: value.clone() for name, value in small_net.state_dict().items()}
        flags = [p.requires_grad for p in small_net.parameters()]

        def loss(logits: Tensor, target: Tensor) -> Tensor:
            if fails:
                raise RuntimeError("a broken loss")
            return cross_entropy(logits, target)

        try:
            pgd(small_net, images, labels, threat=threat, generator=seeded(), loss=loss, restarts=2)
        except RuntimeError:
            assert fails
        assert all(torch.equal(before[name], value) for name, value in small_net.state_dict().items())
        assert [p.requires_grad for p in small_net.parameters()] == flags
        assert all(module.training == training for module in small_net.modules())
        gradients = {name: p.grad for name, p in small_net.named_parameters() if p.grad is not None}
        assert list(gradients) == ["4.weight"]
        assert torch.equal(gradients["4.weight"], torch.ones_like(gradients["4.weight"]))

    def test_attacking_in_train_mode_is_an_option(self, small_net: nn.Module, threat: Threat) -> None:
        """The trap of released recipes: every step then moves the running statistics."""
        images, labels = some_images()
        small_net.train()
        before = int(small_net[1].num_batches_tracked)  # type: ignore[index]
        pgd(small_net, images, labels, threat=threat, generator=seeded(), train_mode=True)
        assert int(small_net[1].num_batches_tracked) == before + threat.steps  # type: ignore[index]

    def test_images_and_labels_are_not_written_to(self, small_net: nn.Module, threat: Threat) -> None:
        images, labels = some_images()
        copies = images.clone(), labels.clone()
        attacked = pgd(small_net, images, labels, threat=threat, start=images, tau=0, boundary=True)
        assert torch.equal(images, copies[0])
        assert torch.equal(labels, copies[1])
        assert not attacked.images.requires_grad

    def test_it_attacks_inside_no_grad(self, small_net: nn.Module, threat: Threat) -> None:
        images, labels = some_images()
        with torch.no_grad():
            inside = pgd(small_net, images, labels, threat=threat, generator=seeded())
        assert torch.equal(inside.images, pgd(small_net, images, labels, threat=threat, generator=seeded()).images)

    def test_outer_autocast_does_not_reach_a_full_precision_attack(self, small_net: nn.Module, threat: Threat) -> None:
        """Half precision breaks sign() near zero gradients."""
        images, labels = some_images()
        with torch.autocast("cpu", torch.bfloat16):
            inside = pgd(small_net, images, labels, threat=threat, generator=seeded())
        assert torch.equal(inside.images, pgd(small_net, images, labels, threat=threat, generator=seeded()).images)
        half = Threat(epsilon=8 / 255, step=2 / 255, attack_precision="bf16")
        assert (
            Ball("Linf", images, 8 / 255)
            .contains(pgd(small_net, images, labels, threat=half, generator=seeded()).images)
            .all()
        )


class TestRandomness:
    @pytest.mark.parametrize("start", ["uniform", "gaussian"])
    def test_same_seed_same_noise_and_the_global_state_is_untouched(
        self, small_net: nn.Module, threat: Threat, start: Any
    ) -> None:
        images, labels = some_images()
        state = torch.get_rng_state()
        first, second, other = (
            pgd(small_net, images, labels, threat=threat, generator=seeded(s), start=start, jitter=0.01).images
            for s in (1, 1, 2)
        )
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
        assert torch.equal(state, torch.get_rng_state())

    @pytest.mark.parametrize("settings", [{}, {"jitter": 0.01}], ids=["start", "jitter"])
    def test_noise_without_a_generator_is_refused(
        self, small_net: nn.Module, threat: Threat, settings: Mapping[str, Any]
    ) -> None:
        images, labels = some_images()
        with pytest.raises(ValueError, match="pass generator="):
            pgd(small_net, images, labels, threat=threat, **settings)

    def test_without_noise_no_generator_is_needed(self, small_net: nn.Module, threat: Threat) -> None:
        images, labels = some_images()
        assert pgd(small_net, images, labels, threat=threat, start="none").images.shape == images.shape

    def test_early_stopping_changes_nobody_elses_noise(self, line: nn.Module) -> None:
        """Images that never stop get the same jitter as without a stop rule, bit for bit."""
        images = pixels(*torch.linspace(0.05, 0.49, 40).tolist())
        threat = Threat(epsilon=0.3, step=0.01, steps=10)
        runs = [
            pgd(line, images, zeros(40), threat=threat, generator=seeded(3), tau=tau, jitter=0.02) for tau in (0, None)
        ]
        stayed = runs[0].updates == 10
        assert 5 < stayed.sum() < 35
        assert torch.equal(runs[0].images[stayed], runs[1].images[stayed])
        assert not torch.equal(runs[0].images[~stayed], runs[1].images[~stayed])

    def test_stopping_early_changes_no_later_batch_either(self, line: nn.Module) -> None:
        """Noise that nobody needs any more is drawn all the same."""
        images, threat = pixels(*[0.9] * 5), Threat(epsilon=0.1, step=0.01, steps=6)
        states = []
        for labels in (zeros(5), torch.ones(5, dtype=torch.long)):  # all leave at once, and nobody does
            generator = seeded()
            pgd(line, images, labels, threat=threat, generator=generator, tau=0, jitter=0.01)
            states.append(generator.get_state())
        assert torch.equal(*states)


class TestOrder:
    @pytest.mark.parametrize("tau", [None, 0, 2])
    def test_permuting_the_batch_permutes_the_result_and_nothing_else(
        self, small_net: nn.Module, threat: Threat, tau: int | None
    ) -> None:
        small_net = small_net.double()
        images, labels = some_images(16)
        images = images.double()
        labels[:8] = small_net.eval()(images).argmax(dim=1)[:8]  # some correct, some not
        start = Ball("Linf", images, threat.epsilon).uniform(seeded())
        order = torch.randperm(16, generator=seeded(5))

        def attack(rows: Tensor) -> Attacked:
            return pgd(small_net, images[rows], labels[rows], threat=threat, start=start[rows], tau=tau, boundary=True)

        straight, permuted = attack(torch.arange(16)), attack(order)
        for name in ("images", "updates", "survived", "zero_gradient", "last_clean", "first_adversarial"):
            expected = getattr(straight, name)[order]
            torch.testing.assert_close(getattr(permuted, name), expected, rtol=0, atol=1e-12)

    def test_batches_of_another_size_give_the_same_images(self, small_net: nn.Module, threat: Threat) -> None:
        """The loss is summed, so one image's attack does not depend on its neighbours."""
        small_net = small_net.double()
        images, labels = some_images(16)
        images = images.double()
        whole = pgd(small_net, images, labels, threat=threat, start="none").images
        slices = [slice(0, 5), slice(5, 6), slice(6, 16)]
        parts = [pgd(small_net, images[s], labels[s], threat=threat, start="none").images for s in slices]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-12)

    def test_labels_stay_with_their_images(self) -> None:
        """The label is written into a pixel that no attack moves; images leave at different times."""

        class Halves(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                height = images.flatten(1)[:, 1] - 0.5
                return torch.stack([-height, height], dim=1)

        generator = seeded()
        labels = torch.randint(0, 2, (50,), generator=generator)
        images = torch.rand(50, 1, 1, 2, generator=generator)
        images[:, 0, 0, 0] = labels * 0.5 + 0.25
        threat = Threat(epsilon=0.4, step=0.05, steps=10)
        attacked = pgd(Halves(), images, labels, threat=threat, start="none", tau=0, boundary=True)
        assert len(set(attacked.updates.tolist())) > 3
        for found in (attacked.images, attacked.last_clean, attacked.first_adversarial):
            assert found is not None
            assert torch.equal((found[:, 0, 0, 0] > 0.5).long(), labels)
        moved = attacked.images[:, 0, 0, 1] - images[:, 0, 0, 1]
        assert (moved * (1 - 2 * labels) >= 0).all()  # up for class 0, down for class 1

    def test_targets_stay_with_their_images(self, line: nn.Module) -> None:
        """A target per image, with images leaving: each row's loss sees its own target."""
        seen: list[tuple[Tensor, Tensor]] = []

        def loss(logits: Tensor, target: Tensor) -> Tensor:
            seen.append((logits.detach()[:, 1], target))
            return logits[:, 1]

        images = pixels(0.1, 0.45, 0.2, 0.48)
        threat = Threat(epsilon=0.4, step=0.04, steps=5)
        pgd(line, images, zeros(4), threat=threat, start="none", tau=0, loss=loss, target=images.flatten())
        assert [len(target) for _, target in seen] == [4, 4, 3, 2, 2]
        for k, (height, target) in enumerate(seen):
            torch.testing.assert_close(height.double(), target + 0.04 * k - 0.5, rtol=0, atol=1e-6)


class TestStopping:
    threat = Threat(epsilon=0.4, step=0.04, steps=5)

    def test_no_image_stops_at_tau_k(self, small_net: nn.Module, threat: Threat) -> None:
        """I5: tau = K is no stop, bit for bit."""
        images, labels = some_images()
        stopped = pgd(small_net, images, labels, threat=threat, generator=seeded(), tau=threat.steps)
        free = pgd(small_net, images, labels, threat=threat, generator=seeded())
        assert torch.equal(stopped.images, free.images)
        assert stopped.updates.tolist() == free.updates.tolist() == [10] * 8

    @pytest.mark.parametrize(("tau", "exits"), [(0, [0, 1, 2, 4, 5]), (1, [1, 2, 3, 5, 5]), (2, [2, 3, 4, 5, 5])])
    def test_exit_index_on_a_line(self, line: nn.Module, tau: int, exits: list[int]) -> None:
        """An image stops at the iterate at which it has been wrong more than tau times, before the update."""
        images = pixels(0.51, 0.47, 0.43, 0.35, 0.1)
        attacked = pgd(line, images, zeros(5), threat=self.threat, start="none", tau=tau)
        assert attacked.updates.tolist() == exits
        torch.testing.assert_close(attacked.images, images + 0.04 * torch.tensor(exits).view(-1, 1, 1, 1))

    def test_every_image_keeps_its_own_step_while_others_leave(self, line: nn.Module) -> None:
        images, sizes = pixels(0.6, 0.1, 0.7, 0.1), torch.tensor([0.01, 0.02, 0.03, 0.04])
        attacked = pgd(line, images, zeros(4), threat=self.threat, start="none", tau=0, step=sizes)
        torch.testing.assert_close(attacked.images, pixels(0.6, 0.2, 0.7, 0.3), rtol=0, atol=1e-6)

    def test_a_repaired_prediction_counts_too(self, line: nn.Module) -> None:
        """The tau counts misclassified iterates, not consecutive ones: descending, the image walks back."""
        attacked = pgd(line, pixels(0.52), zeros(1), threat=self.threat, start="none", tau=1, descend=True)
        assert attacked.updates.item() == 5
        assert attacked.survived.item() == 4

    def test_kappa_counts_the_checked_iterates_that_are_correct(self, line: nn.Module) -> None:
        """x_0 .. x_{K-1}; x_K is never checked, so kappa = K does not mean that x_K is correct."""
        images = pixels(0.51, 0.47, 0.43, 0.32, 0.1)
        attacked = pgd(line, images, zeros(5), threat=self.threat, start="none")
        assert attacked.survived.tolist() == [0, 1, 2, 5, 5]
        assert line(attacked.images).argmax(dim=1).tolist() == [1, 1, 1, 1, 0]

    def test_zero_gradients_are_reported(self, threat: Threat) -> None:
        net = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(16, 2))
        images = torch.cat([torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)])
        attacked = pgd(net, images, zeros(2), threat=threat, start="none")
        assert attacked.zero_gradient.tolist() == [True, False]
        assert torch.equal(attacked.images[0], images[0])  # sign(0) = 0


class TestBoundary:
    @pytest.mark.parametrize("tau", [0, 1, None])
    def test_the_three_cases(self, line: nn.Module, tau: int | None) -> None:
        """Broken on the way; misclassified at the start; never misclassified in the K checks."""
        images = pixels(0.43, 0.6, 0.1, 0.32)
        threat = Threat(epsilon=0.4, step=0.04, steps=5)
        attacked = pgd(line, images, zeros(4), threat=threat, start="none", tau=tau, boundary=True)
        assert attacked.last_clean is not None
        assert attacked.first_adversarial is not None
        torch.testing.assert_close(attacked.last_clean, pixels(0.47, 0.6, 0.26, 0.48))
        torch.testing.assert_close(attacked.first_adversarial, pixels(0.51, 0.6, 0.3, 0.52))

    def test_a_misclassified_noisy_start_gives_the_clean_image(self, line: nn.Module) -> None:
        images = pixels(0.5 + 1e-6)
        threat = Threat(epsilon=0.4, step=0.04, steps=5)
        attacked = pgd(line, images, zeros(1), threat=threat, start=pixels(0.7), tau=0, boundary=True)
        assert attacked.last_clean is not None
        assert attacked.first_adversarial is not None
        assert torch.equal(attacked.last_clean, images)
        assert torch.equal(attacked.first_adversarial, images)
        assert torch.equal(attacked.images, pixels(0.7))


class TestRestarts:
    def test_the_strongest_start_is_kept_per_image(self, small_net: nn.Module, threat: Threat) -> None:
        images, labels = some_images(32)
        small_net.eval()
        generator = seeded()
        singles = [pgd(small_net, images, labels, threat=threat, generator=generator, steps=1) for _ in range(3)]
        losses = torch.stack([cross_entropy(small_net(single.images), labels).detach() for single in singles])
        best = pgd(small_net, images, labels, threat=threat, generator=seeded(), steps=1, restarts=3)
        winner = losses.argmax(dim=0)
        assert set(winner.tolist()) == {0, 1, 2}
        assert torch.equal(best.images, torch.stack([s.images for s in singles])[winner, torch.arange(32)])
        assert best.updates.tolist() == [3] * 32

    def test_ties_go_to_the_later_start(self) -> None:
        class Constant(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images.flatten(1)[:, :2] * 0

        images, labels = some_images()
        generator = seeded()
        starts = [Ball("Linf", images, 0.1).uniform(generator) for _ in range(3)]
        threat = Threat(epsilon=0.1, step=0.1, steps=1)
        best = pgd(Constant(), images, labels % 2, threat=threat, generator=seeded(), restarts=3)
        assert torch.equal(best.images, starts[2])

    @pytest.mark.parametrize("settings", [{"tau": 0}, {"boundary": True}, {"start": torch.zeros(8, 1, 4, 4)}])
    def test_options_that_exclude_restarts(
        self, small_net: nn.Module, threat: Threat, settings: Mapping[str, Any]
    ) -> None:
        images, labels = some_images()
        with pytest.raises(ValueError, match="restarts > 1"):
            pgd(small_net, images, labels, threat=threat, generator=seeded(), restarts=2, **settings)


class TestCost:
    def test_ten_forwards_and_ten_input_backwards_per_image(self, small_net: nn.Module, threat: Threat) -> None:
        """No weight gradients, no extra forward to rank a single start."""
        images, labels = some_images()
        with PassCounter(small_net) as counter:
            pgd(small_net, images, labels, threat=threat, generator=seeded())
        passes = counter.passes
        assert (passes.forwards, passes.input_backwards, passes.weight_backwards) == (80, 80, 0)

    def test_stopped_images_cost_nothing_more(self) -> None:
        """One pass per checked iterate: exits at 0, 1 and 2, and one image that never stops."""
        net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)).double()
        net[1].weight.data = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        net[1].bias.data = torch.tensor([0.5, -0.5], dtype=torch.float64)
        threat = Threat(epsilon=0.4, step=0.04, steps=5)
        with PassCounter(net) as counter:
            attacked = pgd(net, pixels(0.51, 0.47, 0.43, 0.1), zeros(4), threat=threat, start="none", tau=0)
        assert attacked.updates.tolist() == [0, 1, 2, 5]
        assert counter.passes.forwards == counter.passes.input_backwards == 1 + 2 + 3 + 5

    def test_the_batch_is_left_when_everybody_has_stopped(self, line: nn.Module) -> None:
        calls: list[int] = []
        threat = Threat(epsilon=0.4, step=0.04, steps=5)
        pgd(
            line,
            pixels(0.51, 0.47),
            zeros(2),
            threat=threat,
            start="none",
            tau=0,
            judge_last=True,
            observe=lambda k, _points, _logits, _rows: calls.append(k),
        )
        assert calls == [0, 1]


class TestObserver:
    def test_it_sees_every_checked_iterate_and_the_last_on_request(self, line: nn.Module) -> None:
        seen: list[tuple[int, float, list[int]]] = []

        def observe(k: int, points: Tensor, logits: Tensor, rows: Tensor) -> None:
            assert torch.equal(logits, line(points).float())
            seen.append((k, round(points[0].item(), 2), rows.tolist()))

        threat = Threat(epsilon=0.4, step=0.04, steps=3)
        images = pixels(0.1, 0.48)
        attacked = pgd(line, images, zeros(2), threat=threat, start="none", tau=0, observe=observe, judge_last=True)
        assert seen == [(0, 0.1, [0, 1]), (1, 0.14, [0, 1]), (2, 0.18, [0]), (3, 0.22, [0])]
        assert attacked.images[0].item() == pytest.approx(0.22)


class TestPresets:
    def test_descending_approaches_a_target_class(self, small_net: nn.Module, threat: Threat) -> None:
        images, labels = some_images(32)
        small_net.eval()
        target = (labels + 1) % 10
        attacked = pgd(small_net, images, labels, threat=threat, start="none", target=target, descend=True)
        before, after = (cross_entropy(small_net(points), target) for points in (images, attacked.images))
        assert (after < before).all()

    def test_kl_against_the_clean_prediction_has_no_gradient_at_the_image(
        self, small_net: nn.Module, threat: Threat
    ) -> None:
        """Hence TRADES' Gaussian start: without it nothing moves."""
        images, labels = some_images()

        def slope_of(start: Any) -> float:
            points: list[Tensor] = []
            pgd(
                small_net,
                images,
                labels,
                threat=threat,
                generator=seeded(),
                start=start,
                observe=lambda _k, iterate, _logits, _rows: points.append(iterate),
            )
            first = points[0].clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(kl_divergence(small_net(first), target).sum(), first)
            return float(gradient.abs().mean())

        small_net.eval()
        target = small_net(images).detach()
        assert slope_of("none") < 1e-3 * slope_of("gaussian")

    def test_a_given_start_continues_a_trajectory(self, small_net: nn.Module, threat: Threat) -> None:
        """Three steps and then seven are ten, bit for bit, around the original images."""
        images, labels = some_images()
        probe = pgd(small_net, images, labels, threat=threat, generator=seeded(), steps=3)
        rest = pgd(small_net, images, labels, threat=threat, start=probe.images, steps=7)
        assert torch.equal(rest.images, pgd(small_net, images, labels, threat=threat, generator=seeded()).images)
