"""HAM: who is hard, what it costs, and PGD-AT wherever nobody is easy."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks import pgd
from fairbench.method.contract import Validation
from fairbench.method.losses import cross_entropy
from fairbench.training.passes import PassCounter
from fairbench_methods import ham as ham_module
from fairbench_methods.ham import HAM, largest_jump, normalised
from fairbench_methods.parts.geometry_weight import geometry_weight
from fairbench_methods.pgd_at import PGDAT
from fixture_types import Call


class Line(nn.Module):
    """Images whose first pixel decides: class 1 above 0.5. One weight, so that there is something to train."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        height = self.slope * (images.flatten(1)[:, 0] - 0.5)
        return torch.stack([-height, height], dim=1)


def shifted_labels(net: nn.Module, images: Tensor) -> Tensor:
    """Labels that the net never predicts."""
    training = net.training
    net.eval()
    labels: Tensor = (net(images).argmax(dim=1) + 1) % 10
    net.train(training)
    return labels


class TestIdentities:
    def test_before_its_start_it_is_pgd_at_bit_for_bit(self, prepare: Call, same_training: Call) -> None:
        """I7, for every option."""
        options = HAM(weighting="kappa", keep_easy_ratio=0.5, selection_steps=5)
        assert same_training(prepare(options, epoch=40), prepare(PGDAT(), epoch=40))
        assert not same_training(prepare(options, epoch=41), prepare(PGDAT(), epoch=41))

    def test_with_every_image_hard_it_is_pgd_at(self, prepare: Call, make_batch: Call, step: Call) -> None:
        """I7: loss, parameters and batch norm, bit for bit."""
        ham, plain = prepare(HAM(start_frac=0.0)), prepare(PGDAT())
        batch = make_batch()
        batch = replace(batch, labels=shifted_labels(ham.model, batch.images))
        losses = step(ham, batch), step(plain, batch)
        assert torch.equal(*losses)
        states = ham.model.state_dict(), plain.model.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert ham.end_epoch(0) == {"kept_share": 1.0}

    def test_masking_after_all_steps_gives_the_same(self, prepare: Call, make_batch: Call, make_net: Call) -> None:
        """I8, without batch norm: the early drop saves work and changes nothing."""
        net = make_net(batch_norm=False)
        batch = make_batch(24)
        batch = replace(batch, labels=net(batch.images).argmax(dim=1))  # all clean-correct
        ham = prepare(HAM(start_frac=0.0), model=net, epsilon=0.1)
        noise = torch.Generator()
        noise.set_state(ham.noise.get_state())
        loss = ham.loss(batch)
        settings = {"threat": ham.threat, "generator": noise}
        state = noise.get_state()
        probe = pgd(net, batch.images, batch.labels, **settings, steps=3)
        hard = net(probe.images).argmax(dim=1) != batch.labels
        assert 2 <= hard.sum() < 24
        noise.set_state(state)
        attacked = pgd(net, batch.images, batch.labels, **settings)
        expected = cross_entropy(net(attacked.images), batch.labels)[hard].mean()
        torch.testing.assert_close(loss, expected)
        gradients = [torch.autograd.grad(value, list(net.parameters())) for value in (loss, expected)]
        for found, wanted in zip(*gradients, strict=True):
            torch.testing.assert_close(found, wanted)

    def test_equal_jumps_are_uniform_weights(self) -> None:
        """I9: also where all are zero; any weights sum to their number."""
        for equal in (torch.full((5,), 0.3), torch.zeros(5)):
            assert torch.equal(normalised(equal), torch.ones(5))
        assert normalised(torch.tensor([0.1, 0.5, 0.0])).sum().item() == pytest.approx(3)


class TestSelection:
    @pytest.mark.parametrize(("steps", "expected"), [(3, 4), (5, 6)])
    def test_hard_is_misclassified_after_m_updates(self, prepare: Call, steps: int, expected: int) -> None:
        """On a line, from the clean image: M steps reach M steps further; I10, H = {kappa <= M}."""
        size = 2 / 255
        margins = torch.tensor([-1.0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5])  # in steps
        images, labels = (0.5 - margins * size).view(-1, 1, 1, 1), torch.zeros(8, dtype=torch.long)
        ham = prepare(HAM(start_frac=0.0, selection_steps=steps), model=Line(), classes=2, epsilon=0.3)
        probe = pgd(ham.model, images, labels, threat=ham.threat, steps=steps, start="none")
        rows = ham._remaining(ham.model(probe.images).detach(), labels)
        assert rows.tolist() == list(range(expected))
        whole = pgd(ham.model, images, labels, threat=ham.threat, start="none")
        assert rows.tolist() == (whole.survived <= steps).nonzero().flatten().tolist()

    def test_the_most_confident_easy_images_may_stay(self, prepare: Call) -> None:
        ham = prepare(HAM(keep_easy_ratio=0.5))
        logits = torch.tensor([[0.0, 1.0], [3.0, 0.0], [1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
        assert ham._remaining(logits, torch.zeros(5, dtype=torch.long)).tolist() == [0, 1, 4]
        assert prepare(HAM())._remaining(logits, torch.zeros(5, dtype=torch.long)).tolist() == [0]

    @pytest.mark.parametrize("hard", [0, 1])
    def test_with_fewer_than_two_hard_images_nothing_is_updated(
        self, prepare: Call, make_batch: Call, step: Call, hard: int
    ) -> None:
        """The release crashes, or steps on a zero loss; here parameters, buffers and optimiser stay."""
        ham = prepare(HAM(start_frac=0.0), epsilon=1e-6)
        batch = make_batch(8)
        labels = (shifted_labels(ham.model, batch.images) - 1) % 10
        labels[:hard] = (labels[:hard] + 1) % 10
        before = {name: value.clone() for name, value in ham.model.state_dict().items()}
        assert step(ham, replace(batch, labels=labels)) is None
        assert all(torch.equal(before[name], value) for name, value in ham.model.state_dict().items())
        assert ham.end_epoch(0) == {"kept_share": hard / 8}

    def test_easy_images_do_not_matter(self, prepare: Call, make_batch: Call, make_net: Call) -> None:
        """The mean is over H, not over the batch, which would scale the learning rate by the hard fraction."""
        net = make_net(batch_norm=False)
        batch = make_batch(12)
        labels = net(batch.images).argmax(dim=1)
        labels[:5] = (labels[:5] + 1) % 10
        settings = {"model": net, "epsilon": 1e-6}
        few = prepare(HAM(start_frac=0.0), **settings).loss(replace(batch, labels=labels))
        images = torch.cat([batch.images, batch.images[5:]])
        more = replace(batch, images=images, labels=torch.cat([labels, labels[5:]]))
        torch.testing.assert_close(prepare(HAM(start_frac=0.0), **settings).loss(more), few)

    def test_only_hard_images_reach_the_training_forward(self, prepare: Call, make_batch: Call) -> None:
        ham = prepare(HAM(start_frac=0.0))
        batch = make_batch(10)
        labels = (shifted_labels(ham.model, batch.images) - 1) % 10
        labels[3:7] = (labels[3:7] + 1) % 10
        ham = prepare(HAM(start_frac=0.0), epsilon=1e-6)
        sizes: list[int] = []
        ham.model.register_forward_hook(
            lambda net, inputs, _out: sizes.append(len(inputs[0])) if net.training else None
        )
        ham.loss(replace(batch, labels=labels))
        assert sizes == [4]


class TestWeights:
    def test_largest_jump_of_a_path(self) -> None:
        """L1 between neighbours, the first being the clean prediction; the maximum per image."""
        half, sure = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
        path = [torch.stack([half, half]), torch.stack([sure, half]), torch.stack([sure, sure])]
        torch.testing.assert_close(largest_jump(path), torch.tensor([0.8, 0.8]))
        torch.testing.assert_close(largest_jump(path[:2]), torch.tensor([0.8, 0.0]))

    @pytest.mark.parametrize("weighting", ["uniform", "max_jump", "kappa"])
    def test_weights_carry_no_gradient_and_average_to_one(
        self, prepare: Call, make_batch: Call, weighting: str
    ) -> None:
        """A loss that is the same for all hard images is not changed by how they are weighed."""
        net = Line()
        images = torch.full((4, 1, 1, 1), 0.6)
        batch = replace(make_batch(4, classes=2), images=images, labels=torch.zeros(4, dtype=torch.long))
        ham = prepare(HAM(start_frac=0.0, weighting=weighting), model=net, classes=2)
        loss = ham.loss(batch)
        expected = cross_entropy(net(torch.full((4, 1, 1, 1), 0.6 + 8 / 255)), batch.labels).mean()
        torch.testing.assert_close(loss, expected)
        gradients = [torch.autograd.grad(value, net.slope)[0] for value in (loss, expected)]
        torch.testing.assert_close(*gradients)

    def test_kappa_counts_all_k_iterates_of_both_parts(
        self, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those of the probe and those after it: an image that flips back early and stays has a large kappa."""
        seen: list[Tensor] = []

        def spy(survived: Tensor, *, steps: int) -> Tensor:
            seen.append(survived)
            return geometry_weight(survived, steps=steps)

        monkeypatch.setattr(ham_module, "geometry_weight", spy)
        margins = torch.tensor([-1.0, 0.5, 2.5, 8.5, 20.0]) * 2 / 255
        batch = make_batch(5, classes=2, labels=[0] * 5)
        batch = replace(batch, images=(0.5 - margins).view(-1, 1, 1, 1))
        ham = prepare(HAM(start_frac=0.0, weighting="kappa", keep_easy_ratio=1.0), model=Line(), classes=2, epsilon=0.3)
        ham.noise.manual_seed(0)
        start = torch.empty(5, 1, 1, 1).uniform_(-0.3, 0.3, generator=ham.noise)
        ham.noise.manual_seed(0)
        ham.loss(batch)
        steps = torch.arange(10) * 2 / 255
        iterates = ((batch.images + start).clamp(0, 1).view(-1, 1) + steps).minimum(batch.images.view(-1, 1) + 0.3)
        assert seen[0].tolist() == (iterates <= 0.5).sum(dim=1).tolist()
        assert seen[0].max() > 3

    def test_options_weigh_differently(self, prepare: Call, make_batch: Call) -> None:
        batch = make_batch(24)
        losses = {
            prepare(HAM(start_frac=0.0, weighting=weighting), epsilon=0.1).loss(batch).item()
            for weighting in ("uniform", "max_jump", "kappa")
        }
        assert len(losses) == 3


@pytest.mark.parametrize("steps", [1, 3, 5, 10, 12])
@pytest.mark.parametrize("hard", [2, 5, 10, 20])
@pytest.mark.parametrize(("weighting", "extra"), [("uniform", 0), ("kappa", 0), ("max_jump", 2)])
def test_cost_is_what_is_left_to_do(
    prepare: Call, make_batch: Call, *, steps: int, hard: int, weighting: str, extra: int
) -> None:
    """2 M + 1 + 2 (K - M) h + 3 h units per image; `max_jump` forwards x and x_K of the hard ones as well.

    Of these 2 (K - M) h + h are forwards and backwards of the attack and the last forward, 2 h the update's backward.
    """
    method = HAM(start_frac=0.0, selection_steps=steps, weighting=weighting)
    ham, batch = prepare(method, epsilon=1e-6), make_batch(20)
    labels = shifted_labels(ham.model, batch.images)
    labels[hard:] = (labels[hard:] - 1) % 10
    with PassCounter(ham.model) as counter:
        ham.loss(replace(batch, labels=labels)).backward()
    m, passes = min(steps, 10), counter.passes
    assert ham.end_epoch(0) == {"kept_share": hard / 20}
    assert passes.input_backwards == 20 * m + hard * (10 - m)
    assert passes.forwards == passes.input_backwards + 20 + hard + extra * hard
    assert passes.weight_backwards == hard
    assert passes.units == 20 * (2 * m + 1) + hard * (2 * (10 - m) + 3 + extra)


@pytest.mark.parametrize(("fraction", "epochs", "first"), [(0.41, 120, 49), (1.0, 10, 9), (0.41, 1, 0)])
def test_the_start_is_a_fraction_of_the_training(prepare: Call, fraction: float, epochs: int, first: int) -> None:
    """Epoch 50 of 120 counted from 1, that is epoch index 49; the last epoch at the latest."""
    recipe = replace(prepare(PGDAT()).setup.recipe, epochs=epochs)
    ham = prepare(HAM(start_frac=fraction), recipe=recipe)
    nothing = Validation(statistics=None, batches=lambda: iter(()))
    mining = []
    for epoch in range(epochs):
        ham.begin_epoch(epoch, nothing)
        mining.append(ham._mining)
    assert mining == [False] * first + [True] * (epochs - first)
    assert ham.end_epoch(0) == {}
