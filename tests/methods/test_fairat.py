"""FairAT (reconstruction): which images are diversified, and PGD-AT at both ends."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fairbench import load_suite
from fairbench.attacks import pgd
from fairbench.data.augmentation import VIEWS
from fairbench.errors import UserError
from fairbench.method.contract import Validation
from fairbench.method.hyperparameter import allowed_by
from fairbench.method.losses import cross_entropy
from fairbench.training.passes import PassCounter
from fairbench_methods.fairat import FairAT
from fairbench_methods.pgd_at import PGDAT
from fairbench_methods.trades import TRADES
from fixture_types import Call


def hardness(method: Any, batch: Any) -> Tensor:
    method.model.eval()
    values = cross_entropy(method.model(batch.images), batch.labels).detach()
    method.model.train()
    return values


def chosen(method: Any, batch: Any) -> Tensor:
    rows: Tensor = method._chosen(batch, method._measured(batch))
    return rows


def next_epoch(method: Any, epoch: int) -> None:
    method.end_epoch(epoch - 1)
    method.begin_epoch(epoch, Validation(statistics=None, batches=lambda: iter(())))


def train_mode_inputs(method: Any) -> list[Tensor]:
    """Filled with what the model is trained on."""
    seen: list[Tensor] = []
    method.model.register_forward_hook(lambda net, inputs, _out: seen.append(inputs[0]) if net.training else None)
    return seen


class TestIdentities:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"selection": "random"},
            {"selection": "easiest"},
            {"selection": "class-matched"},
            {"hardness": "adversarial"},
            {"hardness": "entropy"},
            {"hardness": "teacher"},
            {"scope": "epoch"},
            {"mode": "append", "copies": 3},
        ],
        ids=str,
    )
    def test_share_zero_is_pgd_at_bit_for_bit(
        self, prepare: Call, same_training: Call, options: dict[str, Any]
    ) -> None:
        """I13, control (a): measuring and remembering touch neither batch norm nor the attack's noise."""
        assert same_training(prepare(FairAT(hard_frac=0.0, **options)), prepare(PGDAT()))

    def test_share_zero_on_trades_is_trades(self, prepare: Call, same_training: Call) -> None:
        assert same_training(prepare(FairAT(hard_frac=0.0, base="trades")), prepare(TRADES()))

    def test_share_one_is_pgd_at_on_the_diverse_views(self, prepare: Call, make_batch: Call, step: Call) -> None:
        """I13, control (b), bit for bit."""
        fairat, plain = prepare(FairAT(hard_frac=1.0)), prepare(PGDAT())
        for seed in range(3):
            batch = make_batch(seed=seed)
            diverse = replace(batch, images=batch.view("randaugment", torch.arange(12)))
            assert torch.equal(step(fairat, batch), step(plain, diverse))
        states = fairat.model.state_dict(), plain.model.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    @pytest.mark.parametrize(("base", "plain"), [("pgd-at", PGDAT), ("trades", TRADES)])
    def test_the_warm_up_is_the_base(self, prepare: Call, same_training: Call, base: str, plain: Call) -> None:
        """A twentieth of 100 epochs, and not one epoch more."""
        options: dict[str, Any] = {"base": base, "warm_up_frac": 0.05}
        warming = prepare(FairAT(**options), epoch=4)
        assert same_training(warming, prepare(plain()))
        assert warming.end_epoch(4) == {}
        assert not same_training(prepare(FairAT(**options), epoch=5), prepare(plain()))

    @pytest.mark.parametrize(("epochs", "first"), [(1, 0), (10, 9), (100, 99)])
    def test_at_least_the_last_epoch_augments(self, prepare: Call, epochs: int, first: int) -> None:
        recipe = replace(load_suite("digits").recipe, epochs=epochs)
        for epoch in range(epochs):
            method = prepare(FairAT(warm_up_frac=1.0), recipe=recipe, epoch=epoch)
            assert method._augmenting == (epoch >= first)


class TestSelection:
    @pytest.mark.parametrize(("count", "share", "expected"), [(12, 0.5, 6), (11, 0.5, 6), (25, 0.28, 7), (1, 0.1, 1)])
    def test_number_of_chosen_images(
        self, prepare: Call, make_batch: Call, count: int, share: float, expected: int
    ) -> None:
        """ceil(rho B), also for the last batch; 0.28 of 25 is 7 although 0.28 * 25 > 7 in floating point."""
        for selection in ("hardest", "random", "easiest", "class-matched"):
            method = prepare(FairAT(hard_frac=share, selection=selection))
            batch = make_batch(count)
            rows = chosen(method, batch)
            assert len(rows) == len(set(rows.tolist())) == expected
            assert rows.tolist() == sorted(rows.tolist())

    @pytest.mark.parametrize("selection", ["hardest", "easiest"])
    def test_the_known_extremes_are_chosen(self, prepare: Call, make_batch: Call, selection: str) -> None:
        method, batch = prepare(FairAT(selection=selection)), make_batch()
        values = hardness(method, batch)
        rows = chosen(method, batch)
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
        assert chosen(method, batch).tolist() == [0, 1, 2, 3]

    def test_class_matched_has_the_classes_of_the_hardest(self, prepare: Call, make_batch: Call) -> None:
        """Random within each class; the attack's noise is not touched by the draw."""
        batch = make_batch(60, classes=3)
        hardest = chosen(prepare(FairAT(hard_frac=0.3), classes=3), batch)
        matched = prepare(FairAT(hard_frac=0.3, selection="class-matched"), classes=3)
        noise = matched.noise.get_state()
        draws = [chosen(matched, batch) for _ in range(5)]
        wanted = torch.bincount(batch.labels[hardest], minlength=3).tolist()
        assert all(torch.bincount(batch.labels[rows], minlength=3).tolist() == wanted for rows in draws)
        assert len({tuple(rows.tolist()) for rows in draws}) > 1
        assert torch.equal(noise, matched.noise.get_state())

    @pytest.mark.parametrize("selection", ["hardest", "random", "easiest", "class-matched"])
    @pytest.mark.parametrize(("rule", "options"), [("above-mean", {}), ("threshold", {"threshold": 2.0})])
    def test_absolute_rules(
        self, prepare: Call, make_batch: Call, rule: str, options: dict[str, Any], selection: str
    ) -> None:
        """Controls choose as many images as the rule finds hard, which only `hardest` chooses."""
        batch = make_batch(30)
        method = prepare(FairAT(hard_rule=rule, selection=selection, **options))
        values = hardness(method, batch)
        hard = (values > (2.0 if options else values.mean())).nonzero().squeeze(1)
        assert 3 < len(hard) < 27
        rows = chosen(method, batch)
        assert len(rows) == len(hard)
        assert torch.equal(rows, hard) == (selection == "hardest")

    def test_a_threshold_may_choose_nothing(self, prepare: Call, same_training: Call) -> None:
        assert same_training(prepare(FairAT(hard_rule="threshold", threshold=100)), prepare(PGDAT()))

    def test_random_choice_is_reproducible_and_covers_everything(self, prepare: Call, make_batch: Call) -> None:
        batch = make_batch()
        first, second = (prepare(FairAT(selection="random")) for _ in range(2))
        draws = [chosen(first, batch).tolist() for _ in range(12)]
        assert draws == [chosen(second, batch).tolist() for _ in range(12)]
        assert {row for draw in draws for row in draw} == set(range(12))


class TestHardness:
    def test_entropy_of_the_prediction(self, prepare: Call, make_batch: Call) -> None:
        method, batch = prepare(FairAT(hardness="entropy")), make_batch()
        method.model.eval()
        p = method.model(batch.images).softmax(dim=1).detach()
        method.model.train()
        torch.testing.assert_close(method._measured(batch), -(p * p.log()).sum(dim=1))

    def test_a_frozen_teacher_judges(self, prepare: Call, make_batch: Call, make_net: Call, step: Call) -> None:
        """The same images are hard for good, whatever the student learns; only this option has a prerequisite."""
        teacher, batch = make_net(seed=5), make_batch()
        method = prepare(FairAT(hardness="teacher"), teacher=teacher)
        assert [need.role for need in method.prerequisites()] == ["teacher"]
        assert FairAT().prerequisites() == ()
        before = method._measured(batch)
        torch.testing.assert_close(before, cross_entropy(teacher(batch.images), batch.labels))
        step(method, batch)
        assert torch.equal(method._measured(batch), before)

    @pytest.mark.parametrize("mode", ["replace", "append"])
    def test_the_adversarial_record_by_hand(self, prepare: Call, make_batch: Call, mode: str) -> None:
        """First visit in full, then nine parts of memory to one; of the attacked images that stand for the batch."""
        method = prepare(FairAT(hardness="adversarial", mode=mode))
        batch = replace(make_batch(4), indices=torch.tensor([70, 3, 99, 0]))
        logits: list[Tensor] = []
        method.model.register_forward_hook(lambda net, _in, out: logits.append(out) if net.training else None)
        torch.testing.assert_close(method._measured(batch), hardness(method, batch))  # nothing is known yet
        logits.clear()
        method.loss(batch)
        method.loss(batch)
        first, second = (cross_entropy(found[:4], batch.labels).detach() for found in logits)
        assert not torch.allclose(first, second)
        torch.testing.assert_close(method._measured(batch), 0.9 * first + 0.1 * second)
        assert (method.state_dict()["record"] >= 0).sum() == 4
        stranger = replace(batch, indices=torch.tensor([70, 3, 98, 0]))
        torch.testing.assert_close(method._measured(stranger), hardness(method, stranger))

    def test_the_scope_of_an_epoch(self, prepare: Call, make_batch: Call) -> None:
        """All images are ranked by their last visit; one batch may hold many hard ones, another none."""
        method = prepare(FairAT(scope="epoch", hard_frac=0.2), classes=2)  # 20 training images
        values = torch.arange(20.0)
        batches = [replace(make_batch(10, classes=2), indices=torch.arange(start, start + 10)) for start in (0, 10)]
        for batch in batches:
            assert len(chosen(method, batch)) == 2  # first epoch: within the batch
            method._record.visit(batch.indices, values[batch.indices])
        next_epoch(method, 1)
        assert [chosen(method, batch).tolist() for batch in batches] == [[], [6, 7, 8, 9]]
        assert [len(method._chosen(batch, hardness(method, batch))) for batch in batches] == [0, 4]

    def test_the_scope_of_an_epoch_waits_for_every_image(self, prepare: Call, make_batch: Call) -> None:
        """Nineteen of twenty images are not enough."""
        method, ranked = prepare(FairAT(scope="epoch"), classes=2), []
        for epoch, count in enumerate((19, 20), start=1):
            method.loss(make_batch(count, classes=2))
            next_epoch(method, epoch)
            ranked.append(method._hard_images is not None)
        assert ranked == [False, True]

    def test_the_record_of_clean_hardness_is_the_last_one(self, prepare: Call, make_batch: Call, step: Call) -> None:
        method, batch = prepare(FairAT(scope="epoch")), make_batch()
        step(method, batch)
        values = hardness(method, batch)
        step(method, batch)
        torch.testing.assert_close(method.state_dict()["record"][:12], values)

    @pytest.mark.parametrize(
        "options", [{"hardness": "adversarial"}, {"scope": "epoch"}, {"hardness": "adversarial", "scope": "epoch"}]
    )
    def test_it_resumes_with_its_record(
        self, prepare: Call, make_batch: Call, step: Call, options: dict[str, Any]
    ) -> None:
        """The next epoch chooses the same images, bit for bit, which a fresh start would not."""
        method, resumed, fresh = (prepare(FairAT(**options), classes=2) for _ in range(3))
        batches = [replace(make_batch(10, classes=2, seed=k), indices=torch.arange(10) + 10 * k) for k in (0, 1)]
        for batch in batches:
            step(method, batch)
        for other in (resumed, fresh):
            other.model.load_state_dict(method.model.state_dict())
            other.noise.set_state(method.noise.get_state())
        resumed.load_state_dict({name: value.clone() for name, value in method.state_dict().items()})
        for each in (method, resumed, fresh):
            next_epoch(each, 1)
        choices = [[chosen(each, batch).tolist() for batch in batches] for each in (method, resumed, fresh)]
        assert choices[0] == choices[1] != choices[2]
        losses = [[step(each, batch) for batch in batches] for each in (method, resumed)]
        assert losses[0] == losses[1]


class TestTraining:
    @pytest.mark.parametrize("mode", ["replace", "append"])
    def test_what_is_trained_on(self, prepare: Call, make_batch: Call, mode: str) -> None:
        """Hard images give way to their views or get company; the attack is around what is trained on."""
        method, batch = prepare(FairAT(mode=mode), epsilon=1e-9), make_batch()
        values = hardness(method, batch)
        seen = train_mode_inputs(method)
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

    def test_copies_are_drawn_anew(self, prepare: Call, make_batch: Call) -> None:
        """Three views of each of the six hard images; every one with its label."""
        method, batch = prepare(FairAT(mode="append", copies=3), epsilon=1e-9), make_batch()
        rows = chosen(method, batch)
        asked: list[Tensor] = []

        def view(name: str, rows: Tensor, strength: Tensor | None = None) -> Tensor:
            asked.append(rows)
            views: Tensor = batch.view(name, rows, strength)
            return views

        images, labels = method._diversified(replace(batch, view=view), rows, hardness(method, batch))
        assert torch.equal(asked[0], rows.repeat(3))
        assert len(images) == len(labels) == 12 + 18
        assert torch.equal(labels[12:], batch.labels[rows].repeat(3))
        assert torch.equal(images[:12], batch.images)

    @pytest.mark.parametrize("view", VIEWS)
    def test_every_view_can_be_asked_for(self, prepare: Call, make_batch: Call, view: str) -> None:
        """By its name, and without a strength."""
        asked: list[Any] = []
        batch = make_batch()

        def answer(name: str, rows: Tensor, strength: Tensor | None = None) -> Tensor:
            asked.append((name, strength))
            images: Tensor = batch.images[rows]
            return images

        prepare(FairAT(view=view)).loss(replace(batch, view=answer))
        assert asked == [(view, None)]

    def test_strength_follows_the_rank(self, prepare: Call, make_batch: Call) -> None:
        """The hardest of twelve has full strength, the next one 11/12, ..."""
        strengths: list[Tensor] = []
        batch = make_batch()

        def view(name: str, rows: Tensor, strength: Tensor | None = None) -> Tensor:
            assert strength is not None
            strengths.append(strength)
            views: Tensor = batch.view(name, rows, strength)
            return views

        method = prepare(FairAT(strength_by_hardness=True))
        values = hardness(method, batch)
        method.loss(replace(batch, view=view))
        order = values.argsort(descending=True)[:6]
        expected = torch.zeros(12).index_copy(0, order, torch.arange(12, 6, -1) / 12)
        torch.testing.assert_close(strengths[0], expected[order.sort().values])

    @pytest.mark.parametrize(
        ("options", "units", "teacher_units"),
        [
            ({}, 24, 0),
            ({"mode": "append", "hard_frac": 0.25}, 1 + 1.25 * 23, 0),
            ({"mode": "append", "hard_frac": 0.25, "copies": 2}, 1 + 1.5 * 23, 0),
            ({"base": "trades"}, 28, 0),
            ({"hardness": "entropy"}, 24, 0),
            ({"hardness": "teacher"}, 23, 1),
            ({"hardness": "adversarial"}, 23, 0),
        ],
        ids=str,
    )
    def test_cost_per_image(
        self,
        options: dict[str, Any],
        units: float,
        teacher_units: int,
        *,
        prepare: Call,
        make_batch: Call,
        step: Call,
    ) -> None:
        """1.04 times PGD-AT, (1 + rho) times with appended views; the record of earlier visits is free."""
        method = prepare(FairAT(**options))
        step(method, make_batch(16))
        with PassCounter(method.model) as counter:
            for teacher in method.setup.prerequisites.values():
                teacher_counter = PassCounter(teacher).__enter__()
            step(method, make_batch(16))
        assert counter.passes.units == units * 16
        if teacher_units:
            assert teacher_counter.passes.units == teacher_units * 16

    def test_the_gaussian_start(self, prepare: Call, make_batch: Call) -> None:
        """CE-G, as in AT-BSL."""
        method, reference = (prepare(FairAT(attack_start="gaussian", hard_frac=0.0)) for _ in range(2))
        batch, seen = make_batch(), train_mode_inputs(method)
        method.loss(batch)
        expected = pgd(
            reference.model,
            batch.images,
            batch.labels,
            threat=reference.threat,
            generator=reference.noise,
            start="gaussian",
        )
        assert torch.equal(seen[0], expected.images)

    def test_the_batch_is_not_written_to(self, prepare: Call, make_batch: Call) -> None:
        method, batch = prepare(FairAT()), make_batch()
        before = batch.images.clone()
        method.loss(batch)
        assert torch.equal(batch.images, before)

    def test_labels_and_range_survive(self, prepare: Call, make_batch: Call) -> None:
        method, batch = prepare(FairAT(mode="append")), make_batch()
        seen = train_mode_inputs(method)
        method.loss(batch)
        assert 0 <= seen[0].min() <= seen[0].max() <= 1
        _, labels = method._diversified(batch, torch.tensor([2, 5]), hardness(method, batch))
        assert torch.equal(labels, torch.cat([batch.labels, batch.labels[[2, 5]]]))


class TestHistory:
    def test_hard_classes_are_augmented_more(self, prepare: Call, make_batch: Call) -> None:
        """Planted logits: the rate grows with the class's hardness; a class without images logs 0."""
        method = prepare(FairAT(), classes=4)
        batch = make_batch(9, classes=4, labels=[0, 0, 0, 1, 1, 1, 2, 2, 2])
        method.model.head.weight.data.zero_()
        method.model.head.bias.data.copy_(torch.tensor([1.0, 2.0, 3.0, 0.0]))
        method.loss(batch)
        logged = method.end_epoch(0)
        total = math.log(sum(math.exp(z) for z in (0, 1, 2, 3)))
        assert logged["hardness"] == pytest.approx([total - 1, total - 2, total - 3, 0])
        assert logged["augmentation_rate"] == pytest.approx([1, 2 / 3, 0, 0])
        assert logged["chosen_hardness"] == pytest.approx(total - 1.4)
        assert logged["attacked_accuracy"] == [0, 0, 1, 0]
        # ranks 3, 2, 1 of hardness against 1.5, 1.5, 3 of accuracy
        assert logged["hardness_accuracy_correlation"] == pytest.approx(-math.sqrt(3) / 2)
        assert method.end_epoch(1) == {}  # forgotten

    def test_no_order_no_correlation(self, prepare: Call, make_batch: Call) -> None:
        method = prepare(FairAT())
        method.loss(make_batch(6, labels=[5] * 6))
        logged = method.end_epoch(0)
        assert "hardness_accuracy_correlation" not in logged
        assert sum(logged["augmentation_rate"]) == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"hard_rule": "above-mean", "hard_frac": 0.3},
            "hard_frac=0.3 has no effect with hard_rule='above-mean'; set hard_rule to 'fraction', or",
        ),
        ({"threshold": 2.0}, "threshold=2.0 has no effect with hard_rule='fraction'"),
        ({"copies": 2}, "copies=2 has no effect with mode='replace'; set mode to 'append', or copies to 1"),
        ({"beta": 3}, "beta=3.0 has no effect with base='pgd-at'"),
        ({"base": "trades", "attack_start": "gaussian"}, "attack_start='gaussian' has no effect with base='trades'"),
        (
            {"view": "idbh", "strength_by_hardness": True},
            "strength_by_hardness=True has no effect with view='idbh'; set view to 'randaugment', or",
        ),
    ],
)
def test_options_without_effect_are_refused(options: dict[str, Any], message: str) -> None:
    """Two names for one run would be two rows on the board."""
    with pytest.raises(UserError) as caught:
        FairAT(**options)
    assert message in str(caught.value)


def test_it_says_that_it_is_a_reconstruction() -> None:
    assert FairAT.card.title == "FairAT (reconstruction)"
    assert FairAT.card.reconstruction
    assert len(FairAT.card.reason) > 50


def test_its_views_are_those_of_the_batches() -> None:
    """Written out in the class, so that listing it imports no images."""
    field = FairAT.__dataclass_fields__["view"]
    assert allowed_by(field).choices == VIEWS
