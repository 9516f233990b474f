"""CFOL: the adversary's distribution and what it is paid by hand, and PGD-AT where it does not act."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairbench import load_suite
from fairbench.data.batches import TrainingBatches
from fairbench.data.dataset import Split
from fairbench.method.losses import cross_entropy
from fairbench.method.sampling import class_shares
from fairbench.seeding import generator
from fairbench.training.passes import PassCounter
from fairbench_methods.cfol import CFOL, explored
from fairbench_methods.pgd_at import PGDAT
from fixture_types import Call

SCORES = (0.0, math.log(2), 0.0, 0.0)
SHARES = (0.225, 0.325, 0.225, 0.225)
"""p of these scores with gamma = 0.5; q is (.2, .4, .2, .2)."""


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def scored(method: Any, *scores: float) -> Any:
    method.scores.copy_(doubles(*scores))
    return method


def paid_per_image(rate: float, *, images: int = 40, epochs: int = 100) -> float:
    """`eta_total` of this eta; the fixtures train on ten images of a class for 100 epochs."""
    return rate * images * epochs


class TestGame:
    def test_the_distribution_by_hand(self, prepare: Call) -> None:
        method = scored(prepare(CFOL(), classes=4), *SCORES)
        shares = class_shares(method)
        assert shares is not None
        torch.testing.assert_close(shares / shares.sum(), doubles(*SHARES))
        torch.testing.assert_close(torch.tensor(method.end_epoch(0)["probability"]).double(), doubles(*SHARES))

    @pytest.mark.parametrize(
        ("play", "paid"), [("sampling", (0, 0.009 / 0.325, 0, 0.009 / 0.225)), ("reweight", (0, 0.036, 0, 0.036))]
    )
    def test_what_is_paid_by_hand(
        self, prepare: Call, make_batch: Call, monkeypatch: pytest.MonkeyPatch, play: str, paid: tuple[float, ...]
    ) -> None:
        """Labels (1, 1, 3), of which the first and the last are misclassified; all at once, from p before the batch."""
        method = scored(prepare(CFOL(play=play, eta_total=paid_per_image(0.009)), classes=4), *SCORES)
        logits = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
        monkeypatch.setattr(method.model, "forward", lambda images: logits + 0 * images.flatten(1)[:, :1])
        method.loss(make_batch(3, classes=4, labels=[1, 1, 3]))
        torch.testing.assert_close(method.scores, doubles(*SCORES) + doubles(*paid))

    def test_it_is_the_same_game_in_any_length(self, prepare: Call, make_batch: Call) -> None:
        """What a whole training can pay does not depend on its epochs."""
        suite = load_suite("cifar10")
        short, long = (prepare(CFOL(), recipe=replace(suite.recipe, epochs=epochs), seed=1) for epochs in (10, 200))
        for method in (short, long):
            method.loss(make_batch(16))
        torch.testing.assert_close(10 * short.scores, 200 * long.scores)

    def test_the_released_rate(self) -> None:
        assert CFOL().eta_total / (50_000 * 200) == pytest.approx(5e-6)

    @given(st.lists(st.floats(0, 1e3), min_size=2, max_size=8), st.floats(0, 1))
    def test_a_distribution_that_leaves_every_class_its_share(self, scores: list[float], exploration: float) -> None:
        odds = explored(doubles(*scores), exploration=exploration)
        assert odds.sum().item() == pytest.approx(len(scores))
        assert odds.min() >= exploration - 1e-12

    @pytest.mark.parametrize("classes", [2, 10, 49, 100, 1000])
    def test_what_plays_uniformly_weighs_exactly_one(self, classes: int) -> None:
        """49 / 49 is not 1 / 49 times 49 in floating point."""
        odds = (
            explored(torch.arange(classes).double(), exploration=1.0),
            explored(torch.zeros(classes), exploration=0),
        )
        assert all(torch.equal(values.float(), torch.ones(classes)) for values in odds)


class TestPlays:
    @pytest.mark.parametrize("options", [{"exploration": 1.0}, {"eta_total": 0.0}])
    def test_without_an_adversary_reweight_is_pgd_at(
        self, prepare: Call, same_training: Call, options: dict[str, float]
    ) -> None:
        assert same_training(prepare(CFOL(play="reweight", **options)), prepare(PGDAT()))

    def test_reweight_weighs_losses_by_the_odds(self, prepare: Call, make_batch: Call) -> None:
        ours, base = (prepare(method, classes=4) for method in (CFOL(play="reweight"), PGDAT()))
        scored(ours, *SCORES)
        batch, seen = make_batch(9, classes=4), []
        base.model.register_forward_hook(lambda net, _in, out: seen.append(out) if net.training else None)
        base.loss(batch)
        weights = 4 * doubles(*SHARES)[batch.labels].float()
        torch.testing.assert_close(ours.loss(batch), (weights * cross_entropy(seen[-1], batch.labels)).mean())
        assert class_shares(ours) is None

    def test_sampling_minimises_pgd_at_on_what_was_drawn(self, prepare: Call, make_batch: Call) -> None:
        ours, base = prepare(CFOL()), prepare(PGDAT())
        batch = make_batch()
        assert torch.equal(ours.loss(batch), base.loss(batch))

    def test_without_an_adversary_sampling_draws_classes_uniformly(self, prepare: Call) -> None:
        """Also where they are not equally frequent; 3,000 draws, five standard deviations."""
        method = prepare(CFOL(exploration=1.0), classes=3)
        labels = torch.tensor([0] * 20 + [1] * 5 + [2] * 75)
        streams = {name: generator("test", name) for name in ("order", "augmentation", "views")}
        split = Split(torch.zeros(100, 1, 8, 8, dtype=torch.uint8), labels)
        batches = TrainingBatches(split, recipe=method.setup.recipe, **streams)
        drawn = torch.cat(
            [b.labels for epoch in range(30) for b in batches.epoch(epoch, 30, sampling=lambda: class_shares(method))]
        )
        assert len(drawn) == 3000
        assert ((drawn.bincount() / 3000 - 1 / 3).abs() < 5 * math.sqrt(2 / 9 / 3000)).all()

    @pytest.mark.parametrize("play", ["sampling", "reweight"])
    def test_it_costs_what_pgd_at_costs(self, prepare: Call, make_batch: Call, step: Call, play: str) -> None:
        method = prepare(CFOL(play=play))
        with PassCounter(method.model) as counter:
            step(method, make_batch(16))
        assert counter.passes.units == 23 * 16
