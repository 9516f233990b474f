"""Every check finds what it is there for, and nothing else: one broken method for each."""

import copy
import inspect
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fairbench import Batch, Card, Method, Prerequisite, Recipe, UserError, Validation, hyperparameter, load_suite
from fairbench.attacks import frozen, pgd
from fairbench.data.loading import load_dataset
from fairbench.method.losses import cross_entropy
from fairbench.models.normalised import Normalised
from fairbench.testing import CHECKS, Outcome, check_method, method_checks
from fairbench.testing.rehearsal import Rehearsal
from fairbench.testing.trial import Trial

CARD = Card(
    title="Good",
    authors="A. Author",
    venue="preprint",
    year=2026,
    link="https://example.org",
    bibtex="@misc{good, title = {Good}, author = {Author, A.}, year = {2026}}",
    code_licence="MIT",
)


@dataclass(kw_only=True)
class Good(Method):
    """Adversarial training, out of parts that can be broken one by one."""

    card = CARD
    share: float = hyperparameter(1.0, "weight of the only term", at_least=0)

    def loss(self, batch: Batch) -> Tensor:
        """Mean CE(z(x'), y)."""
        return self.share * cross_entropy(self.model(self.attacked(batch)), batch.labels).mean()

    def attacked(self, batch: Batch) -> Tensor:
        """The points to train on."""
        return pgd(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise).images


class NoDocstring(Good):
    pass


NoDocstring = dataclass(kw_only=True)(NoDocstring)  # type: ignore[misc]  # with the docstring that it writes itself


@dataclass(kw_only=True)
class NoDescription(Good):
    """A bare field."""

    beta: float = 1.0


@dataclass(kw_only=True)
class DefaultIsNoChoice(Good):
    """A default that the command line would refuse."""

    variant: str = hyperparameter("c", "which of the two variants", choices=("a", "b"))

    def __post_init__(self) -> None:
        """Nothing is checked."""


@dataclass(kw_only=True)
class NoAuthors(Good):
    """Nobody wrote it."""

    card = replace(CARD, authors=" ")


@dataclass(kw_only=True)
class NoLink(Good):
    """It is nowhere."""

    card = replace(CARD, link="example.org")


@dataclass(kw_only=True)
class HalfAnEntry(Good):
    """A bibtex entry that breaks a paper."""

    card = replace(CARD, bibtex="@misc{good, title = {Good}")


@dataclass(kw_only=True)
class NoBibtexAuthor(Good):
    """A bibtex entry without its author."""

    card = replace(CARD, bibtex="@misc{good, title = {Good}, year = {2026}}")


@dataclass(kw_only=True)
class OtherYear(Good):
    """Two years."""

    card = replace(CARD, year=2025)


@dataclass(kw_only=True)
class NobodyTeaches(Good):
    """Its teacher's method does not exist."""

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        return (Prerequisite(role="teacher", method="tradess"),)


@dataclass(kw_only=True)
class SingleImage(Good):
    """The spread of one image is not a number."""

    def loss(self, batch: Batch) -> Tensor:
        losses = cross_entropy(self.model(self.attacked(batch)), batch.labels)
        variance = (losses - losses.mean()).square().sum() / (len(losses) - 1)
        return losses.mean() + 0.0 * variance


@dataclass(kw_only=True)
class InfiniteGradient(Good):
    """The root of zero has a value, and no derivative."""

    def loss(self, batch: Batch) -> Tensor:
        single = (self.model(batch.images[:1]) * 0.0).square().sum().sqrt() if len(batch.labels) == 1 else 0.0
        return super().loss(batch) + single


@dataclass(kw_only=True)
class TenClasses(Good):
    """Ten is a number of CIFAR-10."""

    def loss(self, batch: Batch) -> Tensor:
        target = F.one_hot(batch.labels, 10).float()
        logits: Tensor = self.model(self.attacked(batch))
        return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


@dataclass(kw_only=True)
class LargerBatches(Good):
    """A batch size of its own."""

    def recipe(self, recipe: Recipe) -> Recipe:
        return replace(recipe, batch_size=2 * recipe.batch_size)


@dataclass(kw_only=True)
class AlwaysHalf(Good):
    """Faster than the others, where the suite says fp32."""

    def recipe(self, recipe: Recipe) -> Recipe:
        return replace(recipe, precision="bf16")


@dataclass(kw_only=True)
class UntriedChoice(Good):
    """The logarithm of zero, where nobody has looked."""

    penalty: str = hyperparameter("none", "what is added to the loss", choices=("none", "barrier"))

    def loss(self, batch: Batch) -> Tensor:
        value = super().loss(batch)
        return value if self.penalty == "none" else value - torch.zeros_like(value).log()


@dataclass(kw_only=True)
class UntriedSwitch(Good):
    """An option that acts beside another one only, and does not train then."""

    penalised: bool = hyperparameter(False, "whether a penalty is added")
    scale: str = hyperparameter("mean", "of the penalty", choices=("mean", "sum"), only_with=("penalised", True))

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (torch.inf if self.penalised and self.scale == "sum" else 1)


@dataclass(kw_only=True)
class RefusedChoice(Good):
    """A value that is offered, and then refused."""

    rule: str = hyperparameter("old", "which rule decides", choices=("old", "new"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule == "new":
            raise UserError("The new rule is not ready.")


@dataclass(kw_only=True)
class FiniteDifference(Good):
    """A slope out of two nearly equal numbers, which are equal with three digits."""

    def loss(self, batch: Batch) -> Tensor:
        ahead, here = (F.softmax(self.model((batch.images + h).clamp(0, 1)), dim=1) for h in (0.001, 0.0))
        return super().loss(batch) + (ahead - here).abs().sum(dim=1).mean() / 0.001


@dataclass(kw_only=True)
class CastsByHand(Good):
    """A weight is rounded before its time, and `.data` has no gradient."""

    def loss(self, batch: Batch) -> Tensor:
        if not torch.is_autocast_enabled("cpu"):
            return super().loss(batch)
        name, weight = next(self.model.named_parameters())
        rounded = {name: weight.data.bfloat16()}
        logits = torch.func.functional_call(self.model, rounded, (self.attacked(batch),))
        return cross_entropy(logits, batch.labels).mean()


@dataclass(kw_only=True)
class SilentInHalf(Good):
    """It learns nothing where the logits are of another type than it was written for."""

    def loss(self, batch: Batch) -> Tensor | None:  # type: ignore[override]
        value = super().loss(batch)
        return value if self.model(self.attacked(batch)).dtype == torch.float32 else None


@dataclass(kw_only=True)
class WritesImages(Good):
    """The attack is added in place."""

    def attacked(self, batch: Batch) -> Tensor:
        found = super().attacked(batch)
        return batch.images.copy_(found)


@dataclass(kw_only=True)
class WritesLabels(Good):
    """After the update, labels are moved in place for nobody."""

    def step(self, batch: Batch, update: Callable[[Tensor | None], None]) -> None:
        super().step(batch, update)
        batch.labels[:1] = (batch.labels[:1] + 1) % self.classes


@dataclass(kw_only=True)
class WritesStatistics(Good):
    """The accuracies by which the trainer selects are normalised in place."""

    validation = "attacked"

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        del epoch
        assert validation.statistics is not None
        validation.statistics.robust.div_(validation.statistics.robust.max())


@dataclass(kw_only=True)
class WritesCounts(Good):
    """Counts that are to be a prior."""

    def start(self) -> None:
        self.setup.class_counts.add_(1)


@dataclass(kw_only=True)
class SharedDice(Good):
    """Draws from torch's generator; equal trainings begin where it stands and are equal."""

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (1 + 0.01 * torch.rand(()))


@dataclass(kw_only=True)
class SeedsNumpy(Good):
    """Reproducible at the expense of all other users of numpy."""

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        del validation
        np.random.seed(epoch)  # noqa: NPY002  that is what is wrong with it


@dataclass(kw_only=True)
class BorrowedDice(Good):
    """Puts the generator back, after its draws have depended on where it stood."""

    def loss(self, batch: Batch) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            factor = 1 + 0.1 * torch.rand(())
        return super().loss(batch) * factor


@dataclass(kw_only=True)
class TrainModeAttack(Good):
    """Batch norm learns from the attack."""

    def attacked(self, batch: Batch) -> Tensor:
        options = {"threat": self.threat, "generator": self.noise}
        return pgd(self.model, batch.images, batch.labels, train_mode=True, **options).images  # type: ignore[arg-type]


@dataclass(kw_only=True)
class TrainModeMeasurement(Good):
    """Batch norm learns from a measurement."""

    def loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            self.model(batch.images)
        return super().loss(batch)


@dataclass(kw_only=True)
class BackwardAttack(Good):
    """`backward` in an attack leaves gradients of the weights behind."""

    def attacked(self, batch: Batch) -> Tensor:
        points = batch.images.clone().requires_grad_()
        self.model.eval()
        cross_entropy(self.model(points), batch.labels).mean().backward()  # type: ignore[no-untyped-call]
        self.model.train()
        assert points.grad is not None
        return (batch.images + self.threat.epsilon * points.grad.sign()).clamp(0, 1)


@dataclass(kw_only=True)
class FreezesForGood(Good):
    """A weight that was frozen for an attack, and then forgotten."""

    def attacked(self, batch: Batch) -> Tensor:
        list(self.model.parameters())[-1].requires_grad_(False)
        return super().attacked(batch)


@dataclass(kw_only=True)
class StaysInEvalMode(Good):
    """A layer that stays in eval mode after an attack."""

    def attacked(self, batch: Batch) -> Tensor:
        points = super().attacked(batch)
        next(layer for layer in self.model.modules() if isinstance(layer, nn.ReLU)).eval()
        return points


@dataclass(kw_only=True)
class LearningTeacher(Good):
    """The teacher is in train mode."""

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        return (Prerequisite(role="teacher"),)

    def loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            self.setup.prerequisites["teacher"].train()(batch.images)
        return super().loss(batch)


@dataclass(kw_only=True)
class OutOfRange(Good):
    """Adversarial images that are no images."""

    def attacked(self, batch: Batch) -> Tensor:
        points = super().attacked(batch)
        return batch.images + (points - batch.images) * 1.5 - 0.01


@dataclass(kw_only=True)
class FarAway(Good):
    """A radius of its own, in units of another network."""

    def attacked(self, batch: Batch) -> Tensor:
        options = {"threat": self.threat, "generator": self.noise}
        return pgd(self.model, batch.images, batch.labels, radius=0.2, step=0.1, **options).images  # type: ignore[arg-type]


@dataclass(kw_only=True)
class HiddenCopy(Good):
    """The attack goes through a copy that nobody counts."""

    def attacked(self, batch: Batch) -> Tensor:
        plain = copy.deepcopy(self.model.network if isinstance(self.model, Normalised) else self.model).eval()
        mean, std = (self.model.mean, self.model.std) if isinstance(self.model, Normalised) else (0, 1)
        points = batch.images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(plain((points - mean) / std), batch.labels).sum(), points)
        return (batch.images + self.threat.epsilon * gradient.sign()).clamp(0, 1)


@dataclass(kw_only=True)
class WideRadius(Good):
    """Twice the radius that everybody else has, unannounced."""

    def attacked(self, batch: Batch) -> Tensor:
        options = {"threat": self.threat, "generator": self.noise, "radius": 2 * self.threat.epsilon}
        return pgd(self.model, batch.images, batch.labels, **options).images  # type: ignore[arg-type]


@dataclass(kw_only=True)
class StartsInTrainMode(Good):
    """Batch norm learns before the training begins."""

    def start(self) -> None:
        with torch.no_grad():
            self.model(torch.zeros(4, 1, 8, 8))


@dataclass(kw_only=True)
class LearnsFromValidation(Good):
    """Batch norm learns from the validation split before every epoch."""

    validation = "batches"

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        del epoch
        with torch.no_grad():
            for batch in validation.batches():
                self.model(batch.images)


@dataclass(kw_only=True)
class AdmitsInTrainMode(Good):
    """Batch norm learns from the validation split where weights are averaged."""

    validation = "batches"

    def admits(self, validation: Validation) -> bool:
        with torch.no_grad():
            return all(bool(self.model(batch.images).isfinite().all()) for batch in validation.batches())


@dataclass(kw_only=True)
class MovesWeights(Good):
    """Training that no step sees."""

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        del epoch
        with torch.no_grad():
            next(self.model.parameters()).mul_(0.999)
        return {}


@dataclass(kw_only=True)
class MeasuresByBackward(Good):
    """A measurement that leaves gradients behind."""

    validation = "batches"

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        del epoch
        batch = next(iter(validation.batches()))
        self.model.eval()
        cross_entropy(self.model(batch.images), batch.labels).mean().backward()  # type: ignore[no-untyped-call]
        self.model.train()


@dataclass(kw_only=True)
class HiddenMeasurement(Good):
    """At the end of an epoch, a copy that nobody counts is measured at length."""

    def loss(self, batch: Batch) -> Tensor:
        self._seen = batch
        return super().loss(batch)

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        del epoch
        twin = copy.deepcopy(self.model).eval().requires_grad_(False)
        attacked = pgd(twin, self._seen.images, self._seen.labels, threat=self.threat, generator=self.noise)
        return {"survived": attacked.survived.double().mean().item()}


@dataclass(kw_only=True)
class WrongLabels(Good):
    """Finite, reproducible, and wrong."""

    def loss(self, batch: Batch) -> Tensor:
        return cross_entropy(self.model(self.attacked(batch)), batch.labels.roll(1)).mean()


@dataclass(kw_only=True)
class OwnDice(Good):
    """Random numbers that no seed decides."""

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * random.SystemRandom().uniform(0.99, 1.01)


@dataclass(kw_only=True)
class Forgetful(Good):
    """Class state that a checkpoint does not hold."""

    def start(self) -> None:
        self._factor = 1.0

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * self._factor

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        del epoch
        self._factor *= 0.9
        return {}


@dataclass(kw_only=True)
class LoadsTestData(Good):
    """It loads the dataset by itself, and adapts to the test split."""

    def start(self) -> None:
        suite = load_suite("digits")
        self._test = load_dataset(suite.dataset, folder="", data_dir=Path("unused")).test

    def loss(self, batch: Batch) -> Tensor:
        with frozen(self.model), torch.no_grad():
            logits: Tensor = self.model(self._test.images[:16].float() / 255)
        return super().loss(batch) * (1 + 0.01 * logits.std())


@dataclass(kw_only=True)
class FindsTestData(Good):
    """It finds the test split in the hands of its caller."""

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        del epoch, validation
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        dataset = getattr(frame.f_back.f_locals["self"], "dataset", None)
        self._shift = float(dataset.test.images.float().mean()) / 255 if dataset else 0.0

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(batch) * (1 + self._shift)


@dataclass(kw_only=True)
class ReportsNothing(Good):
    """Its last line is missing."""

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:  # type: ignore[empty-body]
        """Nothing."""


@dataclass(kw_only=True)
class NeverSaysYes(Good):
    """A gate that forgets to answer, and would never open."""

    def admits(self, validation: Validation) -> bool:  # type: ignore[empty-body]
        """Nothing."""


@dataclass(kw_only=True)
class KeepsNumbers(Good):
    """A state that no resume can take up."""

    def state_dict(self) -> dict[str, Tensor]:
        return {"epochs": 3}  # type: ignore[dict-item]


@dataclass(kw_only=True)
class SaysTrue(Good):
    """A refusal without a reason."""

    def refuses(self, network: nn.Module) -> str:
        return not isinstance(network, nn.Module)  # type: ignore[return-value]


@dataclass(kw_only=True)
class WantsBatchNorm(Good):
    """It relies on layers that some networks lack."""

    def loss(self, batch: Batch) -> Tensor:
        first = next(layer for layer in self.model.modules() if isinstance(layer, nn.BatchNorm2d))
        return super().loss(batch) + 0 * first.weight.sum()


@dataclass(kw_only=True)
class ExchangesLayers(Good):
    """It trains another network than the one that is judged."""

    def start(self) -> None:
        for module in list(self.model.modules()):
            for name, layer in module.named_children():
                if isinstance(layer, nn.ReLU):
                    setattr(module, name, nn.SiLU())


BROKEN: list[tuple[type[Method], str, str, str]] = [
    (NoDocstring, "documented", "has no docstring", "Write a docstring"),
    (NoDescription, "documented", "'beta' of NoDescription has no description", "hyperparameter(default, description)"),
    (DefaultIsNoChoice, "documented", "'c' of 'variant' is not one of its choices", "options on the command line"),
    (NoAuthors, "card", "has no authors", "the board cites"),
    (NoLink, "card", "'example.org' does not start with https://", "Complete `card`"),
    (HalfAnEntry, "card", "no entry with balanced braces", "Complete `card`"),
    (NoBibtexAuthor, "card", "bibtex has no author", "Complete `card`"),
    (OtherYear, "card", "year 2025 is not the one", "Complete `card`"),
    (ReportsNothing, "answers", "`end_epoch` of ReportsNothing returned None", "lost its `return`"),
    (NeverSaysYes, "answers", "`admits` of NeverSaysYes returned None, which is not allowed", "True or False"),
    (KeepsNumbers, "answers", "holds 'epochs', which is int; allowed: tensors", "tensors by name"),
    (SaysTrue, "answers", "`refuses` returned False; allowed: what the network lacks", "a sentence or an empty one"),
    (WantsBatchNorm, "any-network", "with a network without batch norm, which `refuses` lets", "fairbench.batch_norms"),
    (ExchangesLayers, "networks-untouched", "The structure of the network is not as it was after `start`", "back"),
    (SingleImage, "finite", "loss became nan in a batch of 1 images, 22%", "may hold a single image"),
    (InfiniteGradient, "finite", "A gradient is not finite in a batch of 1 images", "clamp before log, sqrt"),
    (TenClasses, "class-counts", "test_checks.py, line", "self.classes"),
    (LargerBatches, "recipe", "sets batch_size to 128, where the suite says 64", "is the suite's"),
    (AlwaysHalf, "recipe", "sets precision to 'bf16', where the suite says 'fp32'", "is the suite's"),
    (UntriedChoice, "every-choice", "The loss became inf in a batch", "offer it no longer"),
    (UntriedSwitch, "every-choice", "with scale='sum' and penalised=True", "say so by `only_with`"),
    (RefusedChoice, "every-choice", "The new rule is not ready", "offer it no longer"),
    (FiniteDifference, "half-precision", "in bf16 and", "no difference of large or nearly equal numbers"),
    (CastsByHand, "half-precision", "In bf16, 0% of the gradient of network.", "cast no weights"),
    (SilentInHalf, "half-precision", "There is a loss in fp32 only 0% into the training", "logits.float()"),
    (WritesImages, "inputs-untouched", "`batch.images` has been written to", "clone what you are given"),
    (WritesLabels, "inputs-untouched", "`batch.labels` has been written to", "clone what you are given"),
    (WritesStatistics, "inputs-untouched", "`validation.statistics.robust` has been", "clone what you are given"),
    (WritesCounts, "inputs-untouched", "`setup.class_counts` has been written to", "clone what you are given"),
    (SharedDice, "own-generators", "`step` draws from the generator that all users of torch", "self.setup.generator"),
    (SeedsNumpy, "own-generators", "`begin_epoch` draws from the generator that all users of numpy", "Seed nothing"),
    (BorrowedDice, "own-generators", "depend on where the generators of torch", "self.setup.generator"),
    (TrainModeAttack, "networks-untouched", "in train mode during an attack", "fairbench.pgd"),
    (TrainModeMeasurement, "networks-untouched", "in train mode during a measurement", "fairbench.frozen"),
    (BackwardAttack, "networks-untouched", "`.grad` is not as it was", "torch.autograd.grad instead of backward"),
    (StaysInEvalMode, "networks-untouched", "The train mode is not as it was", "put everything back"),
    (FreezesForGood, "networks-untouched", "`requires_grad` is not as it was", "put everything back"),
    (LearningTeacher, "networks-untouched", "The teacher is no longer frozen in eval mode", "put everything back"),
    (OutOfRange, "inside-threat", "trains on pixels from -", "keep pixels in [0, 1]"),
    (FarAway, "inside-threat", "under a threat of radius 0.0314", "Take epsilon and step from `self.threat`"),
    (WideRadius, "inside-threat", "allowed: 1 times that", "declare `largest_radius`"),
    (StartsInTrainMode, "networks-untouched", "during a forward in `start`", "fairbench.frozen"),
    (LearnsFromValidation, "networks-untouched", "during a forward in `begin_epoch`", "fairbench.frozen"),
    (AdmitsInTrainMode, "networks-untouched", "during a forward in `admits`", "fairbench.frozen"),
    (MovesWeights, "networks-untouched", "A weight or buffer is not as it was after `end_epoch`", "put everything"),
    (MeasuresByBackward, "networks-untouched", "`.grad` is not as it was after `begin_epoch`", "torch.autograd.grad"),
    (HiddenMeasurement, "cost-counted", "of the arithmetic that happens", "copies of them, cannot be counted"),
    (HiddenCopy, "cost-counted", "of the arithmetic that happens", "copies of them, cannot be counted"),
    (NobodyTeaches, "prerequisites", "Unknown method 'tradess'. Did you mean 'trades'", "Name registered methods"),
    (WrongLabels, "learns-digits", "clean accuracy is", "sign and the scale of the loss"),
    (Forgetful, "resumes", "killed in epoch 2 and 3 and resumed differs in loss from epoch 2", "`state_dict`"),
    (LoadsTestData, "never-sees-test-data", "With other test images", "loads no dataset"),
    (FindsTestData, "never-sees-test-data", "differs in loss from epoch 1 on", "loads no dataset"),
]


def failures(cls: type[Method]) -> dict[str, str]:
    return {one.check.name: one.reason for one in check_method(cls) if not one.good}


TRAININGS = ("learns-digits", "deterministic", "resumes", "never-sees-test-data")


@pytest.mark.parametrize(
    ("cls", "check", "reason", "advice"), BROKEN, ids=[f"{check}-{cls.__name__}" for cls, check, *_ in BROKEN]
)
def test_a_broken_method_fails_its_check_only(cls: type[Method], check: str, reason: str, advice: str) -> None:
    """Trainings, which come last, are left out where no training is needed to see what is broken."""
    checked = takewhile(lambda one: check in TRAININGS or one.check.name not in TRAININGS, check_method(cls))
    found = {one.check.name: one.reason for one in checked if not one.good}
    assert found.keys() == {check}, found
    assert reason in found[check]
    assert advice in next(one.advice for one in CHECKS if one.name == check)


@dataclass(kw_only=True)
class Early(Good):
    """Asks for the number of classes too early."""

    def __post_init__(self) -> None:
        self.known = self.classes


def test_a_method_that_cannot_be_constructed_is_not_checked() -> None:
    with pytest.raises(UserError, match=r"Early cannot be constructed: AttributeError: .*'setup'"):
        list(check_method(Early))


def test_every_check_has_a_method_that_fails_it() -> None:
    assert {check for _, check, *_ in BROKEN} | {"deterministic"} == {one.name for one in CHECKS}


def test_without_a_seed_nothing_that_compares_trainings_can_be_judged() -> None:
    """The cause is named once; the others point to it."""
    found = failures(OwnDice)
    assert "with the same seed differ in loss from epoch 1 on" in found.pop("deterministic")
    assert found.keys() == {"resumes", "never-sees-test-data"}
    assert all("cannot be judged" in reason for reason in found.values())


@dataclass(kw_only=True)
class Raises(Good):
    """It stumbles."""

    def loss(self, batch: Batch) -> Tensor:
        weights: dict[str, float] = {}
        return weights["nothing"] * batch.images.mean()


@dataclass(kw_only=True)
class NotScalar(Good):
    """A loss per image."""

    def loss(self, batch: Batch) -> Tensor:
        return cross_entropy(self.model(batch.images), batch.labels)


@dataclass(kw_only=True)
class NoDependence(Good):
    """A loss that no weight can lower."""

    def loss(self, batch: Batch) -> Tensor:
        return batch.images.mean()


@dataclass(kw_only=True)
class Idle(Good):
    """Nothing is ever learned."""

    def loss(self, batch: Batch) -> None:  # type: ignore[override]
        del batch


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (Raises, "KeyError: 'nothing' (test_checks.py, line"),
        (NotScalar, "`loss` returned shape (16,) in a batch of 16 images, 0% into the training"),
        (NoDependence, "The loss does not depend on the weights"),
        (Idle, "No step gave any weight a gradient"),
    ],
)
def test_a_method_that_cannot_train_is_told_why(cls: type[Method], reason: str) -> None:
    assert reason in failures(cls)["finite"]


@dataclass(kw_only=True)
class LearnsLater(Good):
    """A first epoch in which nothing is learned."""

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        del validation
        self.learns = epoch > 0

    def loss(self, batch: Batch) -> Tensor | None:  # type: ignore[override]
        return super().loss(batch) if self.learns else None


@dataclass(kw_only=True)
class OneClass(Good):
    """It learns to say zero."""

    def loss(self, batch: Batch) -> Tensor:
        return cross_entropy(self.model(batch.images), torch.zeros_like(batch.labels)).mean()


@dataclass(kw_only=True)
class WantsTransformers(Good):
    """No network of ours will do."""

    def refuses(self, network: nn.Module) -> str:
        return f"{type(network).__name__} is no transformer"


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (LearnsLater, "no step updated the weights: in all 17 steps"),
        (OneClass, "the model predicts a single class"),
        (WantsTransformers, "cannot train digits-cnn: Normalised is no transformer"),
    ],
)
def test_what_ends_a_training_is_said_once(cls: type[Method], reason: str) -> None:
    """By the first check that trains; the others point to it, whose advice would mislead."""
    failed = [one for one in check_method(cls) if not one.good]
    assert [one.check.name for one in failed] == list(TRAININGS)
    assert [one.same_as for one in failed] == ["", *3 * ["learns-digits"]]
    assert reason in failed[0].reason


@dataclass(kw_only=True)
class Peeks(Good):
    """It looks at the validation split without a word."""

    def admits(self, validation: Validation) -> bool:
        return any(len(batch.labels) > 0 for batch in validation.batches())


def test_what_is_asked_of_the_validation_split_is_declared() -> None:
    reason = failures(Peeks)["finite"]
    assert "Peeks asks for the batches of the validation split, but its `validation` is 'none'" in reason
    assert 'declare `validation = "batches"`' in reason


@dataclass(kw_only=True)
class Wider(WideRadius):
    """Twice the radius that everybody else has, as declared."""

    largest_radius = 2.0


def test_a_larger_radius_that_is_declared_is_allowed() -> None:
    (check,) = (one for one in CHECKS if one.name == "inside-threat")
    check.run(Trial(Wider))


@dataclass(kw_only=True)
class Diary(Good):
    """It writes down when it is called."""

    called: ClassVar[list[str]] = []

    def recipe(self, recipe: Recipe) -> Recipe:
        return replace(recipe, averaging="ema", averaging_start=0.0)

    def start(self) -> None:
        self.called.append("start")

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        del validation
        self.called.append(f"begin_epoch {epoch}")

    def step(self, batch: Batch, update: Callable[[Tensor | None], None]) -> None:
        self.called.append("step")
        super().step(batch, update)

    def admits(self, validation: Validation) -> bool:
        self.called.append("admits")
        return super().admits(validation)

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        self.called.append(f"end_epoch {epoch}")
        return {}


def test_the_hooks_are_rehearsed_in_the_order_of_the_trainer() -> None:
    trial, found = Trial(Diary), []
    rehearsal = Rehearsal(trial)
    for play in (trial.train, lambda: [rehearsal.step(batch) for batch in rehearsal.batches()]):
        Diary.called.clear()
        play()
        found.append([name for name, _ in groupby(Diary.called)])
    assert found[0] == found[1]
    assert found[0][:6] == ["start", "begin_epoch 0", "step", "admits", "end_epoch 0", "begin_epoch 1"]


@dataclass(kw_only=True)
class FineTunes(Good):
    """A hot start that is short, whatever the suite says."""

    def recipe(self, recipe: Recipe) -> Recipe:
        return replace(recipe, epochs=1, learning_rate=0.01 * recipe.learning_rate)

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        return (Prerequisite(role="hot start"),)


def test_a_single_epoch_can_be_judged_too() -> None:
    assert failures(FineTunes) == {}


@dataclass(kw_only=True)
class Declared(TrainModeMeasurement):
    """A measurement in train mode, on purpose."""

    expected_failures: ClassVar[Mapping[str, str]] = {"networks-untouched": "it is the method's idea"}


@dataclass(kw_only=True)
class WronglyDeclared(Good):
    """Nothing is wrong with it."""

    expected_failures: ClassVar[Mapping[str, str]] = {"card": "it is a secret"}


def test_an_expected_failure_is_good_and_keeps_its_reason() -> None:
    found = [one for one in check_method(Declared) if one.outcome is not Outcome.PASSED]
    assert [(one.check.name, one.outcome, one.reason) for one in found] == [
        ("networks-untouched", Outcome.EXPECTED_FAILURE, "it is the method's idea")
    ]
    assert found[0].good


def test_an_unexpected_pass_is_a_failure() -> None:
    (found,) = [one for one in check_method(WronglyDeclared) if not one.good]
    assert found.outcome is Outcome.UNEXPECTEDLY_PASSED
    assert "it is a secret" in found.reason
    assert "Remove that entry" in found.reason


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"crad": "why not"}, "Unknown check in `expected_failures` of Odd 'crad'. Did you mean 'card'"),
        ({"card": " "}, "`expected_failures` of Odd gives no reason for 'card'"),
    ],
)
def test_a_declaration_names_a_check_and_a_reason(declared: Mapping[str, str], message: str) -> None:
    odd = type("Odd", (Good,), {"expected_failures": declared})
    with pytest.raises(UserError, match=message):
        next(check_method(odd))


def test_the_callers_random_states_and_threads_are_left_alone() -> None:
    torch.set_num_threads(2)
    try:
        states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002  as shared
        assert failures(Good) == {}
        assert torch.equal(states[0], torch.get_rng_state())
        assert states[1:] == (random.getstate(), str(np.random.get_state()))  # noqa: NPY002  as above
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_test_gets_one_item_per_check_with_its_name() -> None:
    named, given = method_checks("pgd-at"), method_checks(Good)
    assert [param.id for param in named] == [f"pgd-at-{one.name}" for one in CHECKS]
    assert [param.id for param in given] == [f"Good-{one.name}" for one in CHECKS]


@pytest.mark.parametrize(
    ("cls", "check", "raised", "message"),
    [
        (NoAuthors, "card", pytest.fail.Exception, "(?s)failed: The card has no authors.*the board cites"),
        (WronglyDeclared, "card", pytest.fail.Exception, "unexpectedly passed: .*it is a secret"),
        (Declared, "networks-untouched", pytest.xfail.Exception, "it is the method's idea"),
    ],
)
def test_an_item_fails_with_advice_and_an_expected_failure_is_an_xfail(
    cls: type[Method], check: str, raised: type[BaseException], message: str
) -> None:
    (item,) = (param.values[0] for param in method_checks(cls) if param.id.endswith(check))
    with pytest.raises(raised, match=message):
        item()


def test_an_item_that_passes_says_nothing() -> None:
    for param in method_checks(Good)[:2]:
        assert param.values[0]() is None
