"""FairAT (reconstruction): which images are diversified, and PGD-AT at both ends."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from fairbench.losses import cross_entropy
from fairbench_methods.fairat import FairAT
from fairbench_methods.pgd_at import PGDAT
from fairbench_methods.trades import TRADES

Call = Callable[..., Any]


def hardness(method: Any, batch: Any) -> torch.Tensor:
    method.model.eval()
    values = cross_entropy(method.model(batch.images), batch.labels).detach()
    method.model.train()
    return values


class TestIdentities:
    @pytest.mark.parametrize("selection", ["hardest", "random", "easiest", "class-matched"])
    def test_share_zero_is_pgd_at_bit_for_bit(self, prepare: Call, same_training: Call, selection: str) -> None:
        """I13: the hardness forward touches neither batch norm nor the attack's noise."""
        assert same_training(prepare(FairAT(hard_frac=0.0, selection=selection)), prepare(PGDAT()))

    def test_share_zero_on_trades_is_trades(self, prepare: Call, same_training: Call) -> None:
        assert same_training(prepare(FairAT(hard_frac=0.0, base="trades")), prepare(TRADES()))

    def test_share_one_is_pgd_at_on_the_diverse_views(self, prepare: Call, make_batch: Call, step: Call) -> None:
        """I13, bit for bit."""
        fairat, plain = prepare(FairAT(hard_frac=1.0)), prepare(PGDAT())
        for seed in range(3):
            batch = make_batch(seed=seed)
            diverse = replace(batch, images=batch.view("randaugment", torch.arange(12)))
            assert torch.equal(step(fairat, batch), step(plain, diverse))
        states = fairat.model.state_dict(), plain.model.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class TestSelection:
    @pytest.mark.parametrize(("count", "share", "chosen"), [(12, 0.5, 6), (11, 0.5, 6), (25, 0.28, 7), (1, 0.1, 1)])
    def test_number_of_chosen_images(
        self, prepare: Call, make_batch: Call, count: int, share: float, chosen: int
    ) -> None:
        """ceil(rho B), also for the last batch; 0.28 of 25 is 7 although 0.28 * 25 > 7 in floating point."""
        for selection in ("hardest", "random", "easiest", "class-matched"):
            method = prepare(FairAT(hard_frac=share, selection=selection))
            batch = make_batch(count)
            rows = method._chosen(batch.images, batch.labels)
            assert len(rows) == len(set(rows.tolist())) == chosen
            assert rows.tolist() == sorted(rows.tolist())

    @pytest.mark.parametrize("selection", ["hardest", "easiest"])
    def test_the_known_extremes_are_chosen(self, prepare: Call, make_batch: Call, selection: str) -> None:
        method, batch = prepare(FairAT(selection=selection)), make_batch()
        values = hardness(method, batch)
        rows = method._chosen(batch.images, batch.labels)
        others = torch.ones(12, dtype=torch.bool).index_fill(0, rows, value=False)
        if selection == "hardest":
            assert values[rows].min() >= values[others].max()
        else:
            assert values[rows].max() <= values[others].min()

    @pytest.mark.parametrize("selection", ["hardest", "easiest"])
    def test_ties_go_to_the_earlier_image(self, prepare: Call, make_batch: Call, selection: str) -> None:
        batch = make_batch(8, labels=[3] * 8)
        batch = replace(batch, images=batch.images[:1].repeat(8, 1, 1, 1))
        method = prepare(FairAT(hard_frac=0.4, selection=selection))
        assert method._chosen(batch.images, batch.labels).tolist() == [0, 1, 2, 3]

    def test_class_matched_has_the_classes_of_the_hardest(self, prepare: Call, make_batch: Call) -> None:
        """Random within each class; the attack's noise is not touched by the draw."""
        batch = make_batch(60, classes=3)
        hardest = prepare(FairAT(hard_frac=0.3), classes=3)._chosen(batch.images, batch.labels)
        matched = prepare(FairAT(hard_frac=0.3, selection="class-matched"), classes=3)
        noise = matched.noise.get_state()
        draws = [matched._chosen(batch.images, batch.labels) for _ in range(5)]
        wanted = torch.bincount(batch.labels[hardest], minlength=3).tolist()
        assert all(torch.bincount(batch.labels[rows], minlength=3).tolist() == wanted for rows in draws)
        assert len({tuple(rows.tolist()) for rows in draws}) > 1
        assert torch.equal(noise, matched.noise.get_state())

    def test_random_choice_is_reproducible_and_covers_everything(self, prepare: Call, make_batch: Call) -> None:
        batch = make_batch()
        first, second = (prepare(FairAT(selection="random")) for _ in range(2))
        draws = [first._chosen(batch.images, batch.labels).tolist() for _ in range(12)]
        assert draws == [second._chosen(batch.images, batch.labels).tolist() for _ in range(12)]
        assert {row for draw in draws for row in draw} == set(range(12))


class TestTraining:
    @pytest.mark.parametrize("mode", ["replace", "append"])
    def test_what_is_trained_on(self, prepare: Call, make_batch: Call, mode: str) -> None:
        """Hard images give way to their views or get company; the attack is around what is trained on."""
        method, batch = prepare(FairAT(mode=mode), epsilon=1e-9), make_batch()
        seen: list[torch.Tensor] = []
        method.model.register_forward_hook(lambda net, inputs, _out: seen.append(inputs[0]) if net.training else None)
        values = hardness(method, batch)
        seen.clear()
        loss = method.loss(batch)
        rows = values.topk(6).indices.sort().values
        expected, labels = batch.images.clone(), batch.labels
        if mode == "replace":
            expected[rows] = batch.view("randaugment", rows)
        else:
            expected = torch.cat([expected, batch.view("randaugment", rows)])
            labels = torch.cat([labels, labels[rows]])
        torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-6)
        method.model.train()
        torch.testing.assert_close(loss, cross_entropy(method.model(expected), labels).mean(), rtol=1e-5, atol=0)

    def test_the_batch_is_not_written_to(self, prepare: Call, make_batch: Call) -> None:
        method, batch = prepare(FairAT()), make_batch()
        before = batch.images.clone()
        method.loss(batch)
        assert torch.equal(batch.images, before)

    def test_starts_differ(self, prepare: Call, make_batch: Call) -> None:
        losses = [prepare(FairAT(attack_start=start)).loss(make_batch()).item() for start in ("uniform", "gaussian")]
        assert losses[0] != losses[1]

    def test_rates_and_hardness_are_logged_per_class(self, prepare: Call, make_batch: Call) -> None:
        """Only the hard classes are augmented; a class without images logs 0."""
        method = prepare(FairAT(), classes=4)
        batch = make_batch(8, classes=4, labels=[0, 0, 0, 0, 1, 1, 1, 1])
        method.model.head.bias.data.copy_(torch.tensor([0.0, 200.0, 0.0, 0.0]))  # class 0 is hopeless
        method.loss(batch)
        logged = method.end_epoch(0)
        assert logged["augmentation_rate"] == [1.0, 0.0, 0.0, 0.0]
        assert logged["hardness"][0] > 100
        assert logged["hardness"][1:] == pytest.approx([0, 0, 0], abs=1e-3)
        method.model.head.bias.data.zero_()
        assert method.end_epoch(1)["augmentation_rate"] == [0.0] * 4  # reset


def test_it_says_that_it_is_a_reconstruction() -> None:
    assert FairAT.card.title == "FairAT (reconstruction)"
    assert FairAT.card.reconstruction
    assert len(FairAT.card.reason) > 50
