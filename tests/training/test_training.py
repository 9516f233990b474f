"""The training loop on real digits: resume, failures, selection, averaging, cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fairbench import Batch, Card, Method, Suite, UserError, Validation
from fairbench.attacks import frozen, pgd
from fairbench.data.dataset import Dataset
from fairbench.errors import TrainingFailedError
from fairbench.method import registry
from fairbench.method.losses import cross_entropy
from fairbench.models.checkpoint import load_state, save_state
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.training.loop import model_of, read_trained
from fixture_types import PlanOne, Train

CARD = Card(
    title="Test", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@misc{a}", code_licence="none"
)


class _KilledError(Exception):
    """Stands in for a kill at a chosen step."""


def _kill_at(step: int) -> Callable[[str, int, int], None]:
    def progress(_stage: str, done: int, _total: int) -> None:
        if done == step:
            raise _KilledError

    return progress


def _bytes(folder: Path) -> dict[str, bytes]:
    return {rule: (folder / f"{rule}.safetensors").read_bytes() for rule in ("selected", "last")}


def _asks_about_averages() -> list[str]:
    """Methods that decide what enters an average, or are told how the network does on the validation split."""
    methods = ((name, registry.load(name)) for name in registry.names())
    return [name for name, cls in methods if cls.admits is not Method.admits or cls.validation != "none"]


@pytest.mark.parametrize("name", ["pgd-at", *_asks_about_averages()])
def test_resumed_equals_undisturbed_with_averaged_weights(
    name: str, short_suite: Suite, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """Killed in each of its last epochs and resumed, it ends with the same bytes and history.

    Every method without an average: the conformance check `resumes`.
    """
    suite = replace(short_suite, recipe=replace(short_suite.recipe, averaging="ema", averaging_start=0.34))
    run = plan_one(name, suite=suite)
    total = 0

    def count(_stage: str, _done: int, steps: int) -> None:
        nonlocal total
        total = steps

    undisturbed = train_one(run, tmp_path / "undisturbed", progress=count)
    for step in (total // 2, total - 1):
        with pytest.raises(_KilledError):
            train_one(run, tmp_path / "killed", progress=_kill_at(step))
    resumed = train_one(run, tmp_path / "killed")
    assert _bytes(tmp_path / "killed") == _bytes(tmp_path / "undisturbed")
    assert resumed.history == undisturbed.history
    assert resumed.passes == undisturbed.passes
    assert read_trained(WorkFolder(tmp_path / "killed")) == resumed


def test_seeds_differ(plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """A seed is a training; that the same one twice gives the same bytes is a check of every method."""
    for seed in (0, 1):
        train_one(plan_one("pgd-at", seed=seed), tmp_path / str(seed))
    assert _bytes(tmp_path / "0") != _bytes(tmp_path / "1")


@dataclass(kw_only=True)
class Broken(Method):
    """Trains for one epoch, then hands over what it was told to."""

    card = CARD
    spoilt: str = "nan"

    def loss(self, batch: Batch) -> Tensor:
        """Clean cross-entropy, spoilt from the second epoch on."""
        value = cross_entropy(self.model(batch.images), batch.labels).mean()
        if batch.progress < 1 / 3:
            return value
        if self.spoilt == "gradient":
            return value + torch.sqrt(value - value.detach())  # finite value, infinite slope
        return value * float(self.spoilt)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (Broken(spoilt="nan"), "the loss became nan"),
        (Broken(spoilt="inf"), "the loss became inf"),
        (Broken(spoilt="gradient"), "a gradient is not finite"),
    ],
)
def test_a_broken_training_fails_with_reason_and_epoch(
    method: Method, reason: str, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """What is not finite stops the run in the epoch in which it appears."""
    run = plan_one("broken", Broken())
    with pytest.raises(TrainingFailedError, match=reason) as failure:
        train_one(run, tmp_path, method=method)
    assert failure.value.epoch == 1
    assert len(failure.value.history) == 1


@dataclass(kw_only=True)
class Constant(Method):
    """Learns to answer class 3, whatever the image."""

    card = CARD

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy with one label for all, weighted until nothing else counts."""
        return 10 * cross_entropy(self.model(batch.images), torch.full_like(batch.labels, 3)).mean()


def test_a_collapsed_model_fails(plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """A model that predicts one class is a failed run, not a row with 10 %."""
    with pytest.raises(TrainingFailedError, match="predicts a single class"):
        train_one(plan_one("constant", Constant()), tmp_path, method=Constant())


@dataclass(kw_only=True)
class Collapsing(Method):
    """Learns the digits, then forgets all but one in the last epoch."""

    card = CARD

    def loss(self, batch: Batch) -> Tensor:
        """Clean cross-entropy, in the last third to one label."""
        labels = batch.labels if batch.progress < 2 / 3 else torch.full_like(batch.labels, 3)
        return cross_entropy(self.model(batch.images), labels).mean() * (1 if batch.progress < 2 / 3 else 20)


def test_an_epoch_that_collapsed_is_not_selected_while_there_is_another(
    short_suite: Suite, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """A constant answer scores 1 / C, which may beat an honest weak model; it is no candidate all the same."""
    suite = replace(short_suite, recipe=replace(short_suite.recipe, schedule="steps", learning_rate=0.05))
    trained = train_one(plan_one("collapsing", Collapsing(), suite=suite), tmp_path, method=Collapsing())
    assert trained.history[-1]["validation_clean"] == [float(k == 3) for k in range(10)]
    assert trained.selected_epoch in (0, 1)


@dataclass(kw_only=True)
class Perturbing(Method):
    """Looks at its loss before and after moving the weights, as adversarial weight perturbation does."""

    card = CARD

    def step(self, batch: Batch, update: Callable[[Tensor | None], None]) -> None:
        """Two forwards around a change of the weights in place."""
        with torch.no_grad():
            before = self.loss(batch)
            for parameter in self.model.parameters():
                parameter.neg_()
            self.seen = (float(before), float(self.loss(batch)))
            for parameter in self.model.parameters():
                parameter.neg_()
        update(self.loss(batch))

    def loss(self, batch: Batch) -> Tensor:
        """Clean cross-entropy."""
        return cross_entropy(self.model(batch.images), batch.labels).mean()


def test_bf16_sees_weights_that_a_method_moves(
    short_suite: Suite, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """Autocast must not answer the second forward from the weights of the first."""
    seen = {}
    for precision in ("fp32", "bf16"):
        suite = replace(short_suite, recipe=replace(short_suite.recipe, precision=precision, epochs=1))
        method = Perturbing()
        train_one(plan_one("perturbing", Perturbing(), suite=suite), tmp_path / precision, method=method)
        seen[precision] = method.seen
    moved = abs(seen["fp32"][1] - seen["fp32"][0])
    assert seen["bf16"] == pytest.approx(seen["fp32"], abs=0.2 * moved)


@dataclass(kw_only=True)
class Idle(Method):
    """Finds nothing to learn in any batch."""

    card = CARD

    def loss(self, batch: Batch) -> None:
        """Nothing."""
        del batch


@dataclass(kw_only=True)
class Flat(Method):
    """A loss that the weights do not change."""

    card = CARD

    def loss(self, batch: Batch) -> Tensor:
        """Zero, with a way back to every weight."""
        logits: Tensor = self.model(batch.images)
        return 0 * logits.sum()


NO_UPDATE = r"no step updated the weights: in all 9 steps `loss` returned None"


@pytest.mark.parametrize("method", [Idle, Flat])
def test_a_training_without_an_update_fails_in_its_first_epoch(
    method: type[Method], plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """An author who forgot to return the loss has no row, and has not paid for a whole training; also on a resume."""
    run = plan_one("idle", method())
    with pytest.raises(_KilledError):
        train_one(run, tmp_path, method=method(), progress=_kill_at(5))
    with pytest.raises(TrainingFailedError, match=NO_UPDATE) as failed:
        train_one(run, tmp_path, method=method())
    assert failed.value.epoch == 0
    assert not (tmp_path / "last.safetensors").exists()


def test_a_state_without_an_update_is_not_trained_further(plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """As versions left it that looked at the end of the training alone."""
    run, seldom = plan_one("seldom", Seldom()), Seldom()
    with pytest.raises(_KilledError):
        train_one(run, tmp_path, method=seldom, progress=_kill_at(9 + 1))
    state = WorkFolder(tmp_path).state
    save_state(state, load_state(state) | {"updates": 0})
    with pytest.raises(TrainingFailedError, match=NO_UPDATE) as failed:
        train_one(run, tmp_path, method=seldom, progress=_kill_at(9 + 2))
    assert (failed.value.epoch, len(failed.value.history)) == (0, 1)


@dataclass(kw_only=True)
class Freezing(Method):
    """Learns in its first epoch, and calibrates something else afterwards."""

    card = CARD

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Learns in the first one."""
        del validation
        self.learns = epoch == 0

    def loss(self, batch: Batch) -> Tensor | None:
        """Clean cross-entropy, or nothing."""
        return cross_entropy(self.model(batch.images), batch.labels).mean() if self.learns else None


def test_later_epochs_may_leave_the_weights_alone(plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """Also where a training is resumed in one of them."""
    run = plan_one("freezing", Freezing())
    with pytest.raises(_KilledError):
        train_one(run, tmp_path, method=Freezing(), progress=_kill_at(15))
    losses = [entry["loss"] is not None for entry in train_one(run, tmp_path, method=Freezing()).history]
    assert losses == [True, False, False]


@dataclass(kw_only=True)
class Seldom(Method):
    """Learns from the first batch of an epoch."""

    card = CARD

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """A new epoch, a new batch to learn from."""
        del epoch, validation
        self.fresh = True

    def loss(self, batch: Batch) -> Tensor | None:
        """Clean cross-entropy, once."""
        fresh, self.fresh = self.fresh, False
        return cross_entropy(self.model(batch.images), batch.labels).mean() if fresh else None


def test_a_batch_without_loss_is_skipped(plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """The weights move by the other batches alone: three steps learn less than all of them."""
    run = plan_one("seldom", Seldom())
    try:
        trained = train_one(run, tmp_path, method=Seldom())
        assert len([entry["loss"] for entry in trained.history if entry["loss"]]) == 3
        assert trained.passes["model"]["weight_backwards"] == 3 * run.recipe.batch_size
    except TrainingFailedError as failure:  # a network of three steps may well predict a single class
        assert "single class" in str(failure)  # noqa: PT017


@dataclass(kw_only=True)
class Reporting(Method):
    """Shows of itself whatever it was told to."""

    card = CARD
    reported: str = "numbers"

    def loss(self, batch: Batch) -> Tensor:
        """Clean cross-entropy."""
        return cross_entropy(self.model(batch.images), batch.labels).mean()

    def end_epoch(self, epoch: int) -> Any:
        """Numbers of torch and numpy, or none at all."""
        numbers = {"a": torch.tensor(0.5), "b": torch.tensor([1.0, torch.nan]), "c": np.float32(0.25), "d": epoch}
        return numbers if self.reported == "numbers" else {"a": self.reported}


def test_what_a_method_reports_is_kept_as_numbers(
    short_suite: Suite, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """And what is none is told after the first epoch, not when the summary is written after the last."""
    suite = replace(short_suite, recipe=replace(short_suite.recipe, epochs=1))
    run = plan_one("reporting", Reporting(), suite=suite)
    trained = train_one(run, tmp_path / "good", method=Reporting())
    assert trained.history[0]["method"] == {"a": 0.5, "b": [1.0, None], "c": 0.25, "d": 0}
    assert read_trained(WorkFolder(tmp_path / "good")) == trained
    with pytest.raises(UserError, match="`end_epoch` of Reporting reports 'a' = 'words'; allowed: numbers"):
        train_one(run, tmp_path / "bad", method=Reporting(reported="words"))


@dataclass(kw_only=True)
class Mistaken(Method):
    """Returns what is no loss."""

    card = CARD
    returned: str = "float"

    def loss(self, batch: Batch) -> Any:
        """One mistake or another."""
        logits = self.model(batch.images)
        losses = cross_entropy(logits, batch.labels)
        return {"float": 0.5, "pair": (losses.mean(), logits), "vector": losses, "item": losses.mean().detach()}[
            self.returned
        ]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("float", r"The loss of Mistaken is float; allowed: a tensor of shape \(\)"),
        ("pair", "The loss of Mistaken is tuple"),
        ("vector", r"The loss of Mistaken is shape \(\d+,\)"),
        ("item", "The loss of Mistaken does not depend on the weights"),
    ],
)
def test_what_is_no_loss_is_told(returned: str, said: str, plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """It is a mistake of the code, and no result: it can be run again once it is repaired."""
    with pytest.raises(UserError, match=said):
        train_one(plan_one("mistaken", Mistaken()), tmp_path, method=Mistaken(returned=returned))


def test_selected_is_the_best_epoch_on_validation(plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """The rule is average plus worst robust accuracy; the first of equals wins."""
    trained = train_one(plan_one("trades"), tmp_path)
    scores = [sum(e["validation_robust"]) / 10 + min(e["validation_robust"]) for e in trained.history]
    assert trained.selected_epoch == scores.index(max(scores))
    assert len(trained.history) == 3


def test_averaging_is_the_average_of_the_epochs(
    short_suite: Suite, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """The last checkpoint is d (d w0 + (1 - d) w1) + (1 - d) w2, buffers included; d = 0 gives the last weights."""
    weights = []
    for epochs in (1, 2, 3):

        @dataclass(kw_only=True)
        class Stopped(Method):
            """PGD-AT that goes silent after some epochs, so that weights of earlier epochs can be seen."""

            card = CARD

            def loss(self, batch: Batch, *, until: float = epochs / 3) -> Tensor | None:
                """PGD-AT's, until a share of the training."""
                found = pgd(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
                if batch.progress >= until:
                    return None
                return cross_entropy(self.model(found.images), batch.labels).mean()

        train_one(plan_one("pgd-at"), tmp_path / str(epochs), method=Stopped())
        weights.append(load_file(tmp_path / str(epochs) / "last.safetensors"))
    for decay in (0.0, 0.6):
        recipe = replace(short_suite.recipe, averaging="ema", averaging_decay=decay, averaging_start=0.0)
        run = plan_one("pgd-at", suite=replace(short_suite, recipe=recipe))
        train_one(run, tmp_path / f"ema{decay}")
        average = load_file(tmp_path / f"ema{decay}" / "last.safetensors")
        for key, value in average.items():
            if value.is_floating_point():
                first, second, third = (w[key] for w in weights)
                expected = decay * (decay * first + (1 - decay) * second) + (1 - decay) * third
                torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


@dataclass(kw_only=True)
class Gated(Method):
    """PGD-AT whose gate never opens."""

    card = CARD
    validation = "batches"

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy at the adversarial images."""
        found = pgd(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
        return cross_entropy(self.model(found.images), batch.labels).mean()

    def admits(self, validation: Validation) -> bool:
        """Never, whatever the validation split says."""
        assert sum(len(batch.labels) for batch in validation.batches()) > 0
        return False


def test_a_gate_that_never_opens_leaves_the_last_weights(
    short_suite: Suite, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """Identity I23: without an admitted epoch there is no average."""
    suite = replace(short_suite, recipe=replace(short_suite.recipe, averaging="ema", averaging_start=0.0))
    train_one(plan_one("gated", Gated(), suite=suite), tmp_path / "gated", method=Gated())
    train_one(plan_one("pgd-at"), tmp_path / "plain")
    assert _bytes(tmp_path / "gated")["last"] == _bytes(tmp_path / "plain")["last"]


@dataclass(kw_only=True)
class Seeing(Method):
    """Writes down what of the validation split it is given."""

    card = CARD

    def start(self) -> None:
        """It has seen nothing."""
        self.seen: set[tuple[str, bool, bool]] = set()
        self.refusal = ""

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Before every epoch."""
        del epoch
        self._look("begin_epoch", validation)

    def loss(self, batch: Batch) -> Tensor:
        """Clean cross-entropy."""
        return cross_entropy(self.model(batch.images), batch.labels).mean()

    def admits(self, validation: Validation) -> bool:
        """In every epoch."""
        self._look("admits", validation)
        return True

    def _look(self, hook: str, validation: Validation) -> None:
        try:
            batches = len(list(validation.batches())) > 0
        except UserError as error:
            batches = False
            self.refusal = str(error)
        self.seen.add((hook, validation.statistics is not None, batches))


@pytest.mark.parametrize(
    ("declared", "statistics", "batches"),
    [("none", False, False), ("attacked", True, False), ("batches", False, True), ("both", True, True)],
)
def test_a_method_is_given_what_it_declares_of_the_validation_split(
    declared: str,
    statistics: bool,
    batches: bool,
    short_suite: Suite,
    plan_one: PlanOne,
    train_one: Train,
    tmp_path: Path,
) -> None:
    """Before every epoch and at the gate; what is not declared is refused by name."""
    method = type("Declaring", (Seeing,), {"validation": declared})()
    suite = replace(short_suite, recipe=replace(short_suite.recipe, averaging="ema", averaging_start=0.0))
    train_one(plan_one("seeing", method, suite=suite), tmp_path, method=method)
    assert method.seen == {(hook, statistics, batches) for hook in ("begin_epoch", "admits")}
    refusal = f'its `validation` is {declared!r}; declare `validation = "batches"` in the class'
    assert (refusal in method.refusal) is not batches


@dataclass(kw_only=True)
class Measuring(Method):
    """Sends images through the network in every hook: 1 in `start`, 10 in `admits`, 100 in `end_epoch`."""

    card = CARD

    def start(self) -> None:
        """1 image."""
        self._measure(1)

    def loss(self, batch: Batch) -> Tensor:
        """Clean cross-entropy."""
        return cross_entropy(self.model(batch.images), batch.labels).mean()

    def admits(self, validation: Validation) -> bool:
        """10 images."""
        del validation
        self._measure(10)
        return True

    def end_epoch(self, epoch: int) -> dict[str, float | list[float]]:
        """100 images."""
        del epoch
        self._measure(100)
        return {}

    def _measure(self, images: int) -> None:
        with frozen(self.model), torch.no_grad():
            self.model(torch.zeros(images, 1, 8, 8))


def test_what_a_method_computes_counts_in_every_hook(
    digits: Dataset,
    short_suite: Suite,
    plan_one: PlanOne,
    train_one: Train,
    tmp_path: Path,
) -> None:
    """Once each, also `start`, which a resume calls again; the gate is asked in two of three epochs."""
    suite = replace(short_suite, recipe=replace(short_suite.recipe, averaging="ema", averaging_start=0.34))
    run = plan_one("measuring", Measuring(), suite=suite)
    undisturbed = train_one(run, tmp_path / "undisturbed", method=Measuring())
    assert undisturbed.passes["model"]["forwards"] == 3 * len(digits.train) + 1 + 2 * 10 + 3 * 100
    with pytest.raises(_KilledError):
        train_one(run, tmp_path / "killed", method=Measuring(), progress=_kill_at(20))
    assert train_one(run, tmp_path / "killed", method=Measuring()).passes == undisturbed.passes


@pytest.mark.parametrize(("averaging", "judgements"), [("none", 3), ("ema", 4)])
def test_statistics_count_where_the_method_may_use_them(
    averaging: Any,
    judgements: int,
    digits: Dataset,
    short_suite: Suite,
    plan_one: PlanOne,
    train_one: Train,
    tmp_path: Path,
) -> None:
    """Before every epoch, and after the last one if its gate is asked: a clean pass and 3 attack steps, judged last."""
    method = type("Steering", (Seeing,), {"validation": "attacked"})()
    suite = replace(short_suite, recipe=replace(short_suite.recipe, averaging=averaging, averaging_start=0.5))
    trained = train_one(plan_one("steering", method, suite=suite), tmp_path, method=method)
    expected = 3 * len(digits.train) + judgements * (1 + 3 + 1) * len(digits.validation)
    assert trained.passes["model"]["forwards"] == expected


def test_bf16_trains(short_suite: Suite, plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """Weights stay fp32, and the result differs from fp32 training."""
    suite = replace(short_suite, recipe=replace(short_suite.recipe, precision="bf16"))
    train_one(plan_one("pgd-at", suite=suite), tmp_path / "bf16")
    train_one(plan_one("pgd-at"), tmp_path / "fp32")
    weights = load_file(tmp_path / "bf16" / "last.safetensors")
    assert all(value.dtype in (torch.float32, torch.int64) for value in weights.values())
    assert _bytes(tmp_path / "bf16") != _bytes(tmp_path / "fp32")


def test_a_hot_start_gives_the_first_weights(
    digits: Dataset, plan_one: PlanOne, train_one: Train, tmp_path: Path
) -> None:
    """Training from a model of 100 % is not training from scratch: the first epoch's loss is already low."""
    train_one(plan_one("trades"), tmp_path / "trades")
    run = plan_one("frl")
    started = model_of(run, digits)
    started.load_state_dict(load_file(tmp_path / "trades" / "selected.safetensors"))
    warm = train_one(run, tmp_path / "warm", prerequisites={"hot start": started})
    cold = train_one(run, tmp_path / "cold")
    assert warm.history[0]["loss"] < cold.history[0]["loss"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_state_that_is_none_is_refused(content: bytes, plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """The message names the file; the file is left as it was."""
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"state\.pt is not a readable training state"):
        train_one(plan_one("pgd-at"), tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == content


def test_a_state_of_another_run_is_refused(plan_one: PlanOne, train_one: Train, tmp_path: Path) -> None:
    """Seed 1 does not go on from seed 0."""
    with pytest.raises(_KilledError):
        train_one(plan_one("pgd-at"), tmp_path, progress=_kill_at(20))
    with pytest.raises(UserError, match="belongs to another run"):
        train_one(plan_one("pgd-at", seed=1), tmp_path)
