"""FAT: where images stop, what that costs, and the base methods wherever none does."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks import Attacked
from fairbench.errors import UserError
from fairbench.method.contract import Method, Validation
from fairbench.method.losses import cross_entropy
from fairbench.training.passes import PassCounter
from fairbench_methods.fat import FAT
from fairbench_methods.mart import MART
from fairbench_methods.parts.base_loss import BaseLoss
from fairbench_methods.pgd_at import PGDAT
from fairbench_methods.trades import TRADES
from fixture_types import Call

STEP, STEPS = 2 / 255, 10


class Coded(nn.Module):
    """Images of two pixels: the first says the label, the second how near the next class is, which begins at 0.5."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        said, height = self.said(images), self.slope * (images.flatten(1)[:, 1:] - 0.5)
        background = torch.full((len(images), self.classes), -5.0)
        return background.scatter(1, ((said + 1) % self.classes)[:, None], height).scatter(1, said[:, None], -height)

    def said(self, images: Tensor) -> Tensor:
        return (images.detach().flatten(1)[:, 0] * self.classes).long().clamp(0, self.classes - 1)

    def images(self, labels: Tensor, margins: Tensor) -> Tensor:
        """Images whose distance to the boundary is given in pixel values; negative ones are misclassified."""
        return torch.stack([(labels + 0.5) / self.classes, 0.5 - margins], dim=1).view(-1, 1, 1, 2)


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch) -> list[Attacked]:
    """What the methods' attacks returned."""
    found: list[Attacked] = []
    attack = BaseLoss.attack

    def remember(self: BaseLoss, *args: Any, **settings: Any) -> Attacked:
        found.append(attack(self, *args, **settings))
        return found[-1]

    monkeypatch.setattr(BaseLoss, "attack", remember)
    return found


@pytest.fixture
def coded(prepare: Call, make_batch: Call) -> Call:
    """A method on `Coded` with four classes, and a batch with margins up to what the attack can reach."""

    def make(method: Method, *, margins: Tensor | None = None) -> tuple[Any, Any]:
        generator = torch.Generator().manual_seed(3)
        if margins is None:
            margins = torch.empty(40).uniform_(-0.1, 0.15, generator=generator)
        labels = torch.randint(0, 4, (len(margins),), generator=generator)
        net = Coded(4)
        batch = replace(make_batch(len(margins), classes=4), images=net.images(labels, margins), labels=labels)
        return prepare(method, model=net, classes=4, epsilon=0.1), batch

    return make


class TestIdentities:
    @pytest.mark.parametrize(
        ("settings", "base"),
        [
            ({"jitter": "0"}, PGDAT()),
            ({"base": "trades"}, TRADES()),
            ({"base": "trades", "weight": "1"}, TRADES(beta=1)),
            ({"base": "mart"}, MART(weight=6)),
        ],
    )
    def test_with_tau_k_it_is_the_base_bit_for_bit(
        self, prepare: Call, same_training: Call, settings: dict[str, str], base: Method
    ) -> None:
        """I5, as it is spelled on the command line; TRADES and MART have no jitter to be switched off."""
        assert same_training(prepare(FAT.configured({**settings, "tau": "10"})), prepare(base))
        assert not same_training(prepare(FAT.configured({**settings, "tau": "0"})), prepare(base))

    def test_the_jitter_is_in_every_step_of_pgd_at(self, prepare: Call, same_training: Call) -> None:
        assert not same_training(prepare(FAT(tau=10)), prepare(PGDAT()))

    def test_the_loss_is_the_base_loss_at_the_stopped_images(
        self, prepare: Call, make_net: Call, make_batch: Call, attacks: list[Attacked]
    ) -> None:
        loss = prepare(FAT()).loss(batch := make_batch())
        assert torch.equal(loss, cross_entropy(make_net()(attacks[0].images), batch.labels).mean())


class TestStop:
    @pytest.mark.parametrize("base", ["pgd-at", "trades", "mart"])
    def test_at_tau_0_every_image_is_misclassified_or_was_attacked_to_the_end(
        self, prepare: Call, make_net: Call, make_batch: Call, attacks: list[Attacked], base: str
    ) -> None:
        net, batch = make_net().eval(), make_batch(32)
        batch = replace(batch, labels=net(batch.images).argmax(dim=1))
        prepare(FAT(base=base), epsilon=0.1).loss(batch)
        prepare(FAT(base=base, tau=STEPS), epsilon=0.1).loss(batch)
        stopped, whole = attacks
        missed = net(stopped.images).argmax(dim=1) != batch.labels
        ended = (stopped.images == whole.images).flatten(1).all(dim=1) & (stopped.updates == STEPS)
        assert (missed | ended).all()
        assert missed[stopped.updates < STEPS].all()
        assert len(set(stopped.updates.tolist())) > 3

    def test_images_that_are_misclassified_when_clean_stay_nearly_as_they_are(
        self, coded: Call, attacks: list[Attacked]
    ) -> None:
        """The start is checked: at tau = 0 only its noise is added."""
        method, batch = coded(FAT(base="mart"), margins=torch.full((8,), -0.1))
        method.loss(batch)
        assert attacks[0].updates.tolist() == [0] * 8
        assert (attacks[0].images - batch.images).abs().max() < 0.006

    @pytest.mark.parametrize("tau", [0, 1, 3])
    def test_the_exit_is_the_first_flip_plus_tau(self, coded: Call, attacks: list[Attacked], tau: int) -> None:
        """A margin of m + 1/2 steps flips after m + 1 updates; x_K is not checked; the history has the mean."""
        flips = torch.tensor([0, 1, 2, 4, 7, 9, 10, 14])
        margins = (flips - 0.5) * STEP
        method, batch = coded(FAT(base="mart", tau=tau), margins=margins)
        method.loss(batch)
        exits = (flips + tau).clamp(max=STEPS)
        assert torch.equal(attacks[0].updates, exits)
        logged = method.end_epoch(0)
        assert logged["tau"] == tau
        assert logged["updates"] == pytest.approx(exits.double().mean().item())
        for label, mean in enumerate(logged["updates_by_class"]):
            own = exits[batch.labels == label].double()
            assert mean == pytest.approx(own.mean().item() if len(own) else 0)

    @pytest.mark.parametrize("jitter", [0.0, 0.001, 0.05])
    @pytest.mark.parametrize("tau", [0, 1, 2])
    def test_it_is_the_published_rule_image_by_image(
        self, coded: Call, attacks: list[Attacked], tau: int, jitter: float
    ) -> None:
        """Against PGD-K-tau spelled out for one image; a strong jitter repairs predictions, and budgets stay."""
        method, batch = coded(FAT(tau=tau, jitter=jitter))
        state = method.noise.get_state()
        method.loss(batch)
        method.noise.set_state(state)
        expected = one_by_one(method, batch, tau=tau, jitter=jitter)
        assert attacks[0].updates.tolist() == [updates for _, updates, _ in expected]
        assert torch.equal(attacks[0].images, torch.stack([image for image, _, _ in expected]))
        assert len(set(attacks[0].updates.tolist())) > 5
        assert any(repaired for *_, repaired in expected) == (tau > 0 and jitter > 0.01)

    @pytest.mark.parametrize("base", ["pgd-at", "trades", "mart"])
    def test_images_keep_their_labels(self, coded: Call, attacks: list[Attacked], base: str) -> None:
        """The release returns images by exit time; here the label that an image says is the one it is trained with."""
        method, batch = coded(FAT(base=base))
        seen: list[Tensor] = []
        method.model.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0]) if net.training else None)
        method.loss(batch)
        assert len(set(attacks[0].updates.tolist())) > 3
        assert torch.equal(seen[-1], attacks[0].images)
        assert torch.equal(method.model.said(seen[-1]), batch.labels)


def one_by_one(method: Any, batch: Any, *, tau: int, jitter: float) -> list[tuple[Tensor, int, bool]]:
    """Of each image x', its number of updates, and whether a step led back; with the noise of the whole batch."""
    epsilon, images = method.threat.epsilon, batch.images
    start = images + epsilon * torch.empty_like(images).uniform_(-1, 1, generator=method.noise)
    noises = [torch.empty_like(images).normal_(generator=method.noise) for _ in range(STEPS if jitter else 0)]
    method.model.eval()
    found = []
    for row, (clean, label) in enumerate(zip(images, batch.labels, strict=True)):
        x, budget, updates, repaired = start[row], tau, 0, False
        for k in range(STEPS):
            x = x.detach().requires_grad_()
            logits = method.model(x[None])
            if logits.argmax() == label:
                repaired = repaired or budget < tau
            elif budget == 0:
                break
            else:
                budget -= 1
            (gradient,) = torch.autograd.grad(cross_entropy(logits, label[None]).sum(), x)
            x = x + method.threat.step * gradient.sign() + (jitter * noises[k][row] if jitter else 0)
            x = x.clamp(clean - epsilon, clean + epsilon).clamp(0, 1)
            updates += 1
        found.append((x.detach(), updates, repaired))
    return found


class TestSchedule:
    @pytest.mark.parametrize(
        ("base", "epochs", "rises"),
        [
            ("pgd-at", 120, [50, 90]),
            ("trades", 85, [30, 50, 70]),
            ("mart", 90, [20, 40, 60, 80]),
            ("pgd-at", 12, [5, 9]),
        ],
    )
    def test_tau_rises_when_it_was_published_to(self, prepare: Call, base: str, epochs: int, rises: list[int]) -> None:
        """`tau = 0 until epoch 50` counted from 1: epoch index 50 is the first with tau = 1."""
        recipe = replace(prepare(PGDAT()).setup.recipe, epochs=epochs)
        for settings in ({}, {"tau": 2}):
            method = prepare(FAT(base=base, **settings), recipe=recipe)
            taus = []
            for epoch in range(epochs):
                method.begin_epoch(epoch, Validation(statistics=None, batches=lambda: iter(())))
                taus.append(method.end_epoch(epoch)["tau"])
            if settings:
                assert taus == [2] * epochs
            else:
                assert [epoch for epoch in range(1, epochs) if taus[epoch] == taus[epoch - 1] + 1] == rises
                assert (taus[0], taus[-1]) == (0, len(rises))

    @pytest.mark.parametrize(
        ("base", "epochs", "expected"),
        [
            ("pgd-at", 3, [0, 1, 2]),
            ("pgd-at", 2, [0, 2]),
            ("pgd-at", 1, [2]),
            ("mart", 5, [0, 1, 2, 3, 4]),
            ("mart", 4, [0, 1, 2, 4]),
        ],
    )
    def test_a_short_training_ends_with_the_last_tau(
        self, prepare: Call, base: str, epochs: int, expected: list[int]
    ) -> None:
        recipe = replace(prepare(PGDAT()).setup.recipe, epochs=epochs)
        taus = [prepare(FAT(base=base), recipe=recipe, epoch=epoch).end_epoch(epoch)["tau"] for epoch in range(epochs)]
        assert taus == expected

    def test_later_the_attack_goes_further(self, prepare: Call, make_batch: Call) -> None:
        """The scheduled tau is the one that the attack uses."""
        scheduled, constant = (prepare(FAT(tau=tau), epoch=75) for tau in (-1, 2))
        assert scheduled.loss(make_batch()) == constant.loss(make_batch())
        assert scheduled.loss(make_batch()) != prepare(FAT(tau=0), epoch=75).loss(make_batch())

    @pytest.mark.parametrize(("name", "value"), [("tau", -2), ("base", "awp"), ("jitter", -0.1), ("weight", -1)])
    def test_what_is_not_allowed(self, name: str, value: float | str) -> None:
        with pytest.raises(UserError, match=name):
            FAT.configured({name: value})


@pytest.mark.parametrize(("base", "rest"), [("pgd-at", 3), ("trades", 1 + 1 + 2 + 3), ("mart", 1 + 2 + 3)])
@pytest.mark.parametrize("tau", [0, 2, STEPS])
def test_cost_follows_the_exits(
    prepare: Call, make_batch: Call, step: Call, attacks: list[Attacked], *, base: str, rest: int, tau: int
) -> None:
    """Two units per update, two for the iterate at which an image stops, and the base's own forwards and backwards."""
    method, batch = prepare(FAT(base=base, tau=tau), epsilon=0.1), make_batch(32)
    method.model.eval()
    batch = replace(batch, labels=method.model(batch.images).argmax(dim=1))
    with PassCounter(method.model) as counter:
        step(method, batch)
    (attacked,) = attacks
    updates, stopped = int(attacked.updates.sum()), int((attacked.updates < STEPS).sum())
    assert (stopped > 8) == (tau < STEPS)
    assert counter.passes.input_backwards == updates + stopped
    assert counter.passes.units == 2 * updates + 2 * stopped + rest * 32
    if tau == STEPS:
        assert counter.passes.units == {"pgd-at": 23, "trades": 27, "mart": 26}[base] * 32
    assert method.end_epoch(0)["updates"] == pytest.approx(updates / 32)


def test_the_start_counts_as_an_iterate(coded: Call) -> None:
    """Images that stop at x_0 still cost one forward and one backward of the attack: 5 units, not 23."""
    method, batch = coded(FAT(base="pgd-at", tau=0), margins=torch.full((8,), -0.1))
    with PassCounter(method.model) as counter:
        method.loss(batch).backward()
    assert counter.passes.units == 5 * 8
    assert method.end_epoch(0)["updates"] == 0
