"""The contract of a training method: it shows its idea and nothing else.

    @dataclass(kw_only=True)
    class MyMethod(Method):
        '''One sentence. Paper, equation.'''

        card = Card(title="My method", ...)
        beta: float = hyperparameter(6.0, "weight of the robust term", at_least=0)

        def loss(self, batch: Batch) -> Tensor:
            attacked = pgd(self.model, batch.images, batch.labels, threat=self.threat, generator=self.noise)
            return cross_entropy(self.model(attacked.images), batch.labels).mean()

The trainer owns the loop, the optimiser, the schedule, precision, selection and checkpoints, and calls the hooks in
this order: `recipe`, `prerequisites` (when planning); `refuses`, `start`; then per epoch `begin_epoch`, `sampling` and
`step` (which calls `loss`) per batch, `admits` where weights are averaged, and `end_epoch`. This module imports no
torch, so that planning and listing stay quick.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, get_args

from fairbench.errors import UserError, unknown
from fairbench.fields import check_fields
from fairbench.method.hyperparameter import check_effects, checked_hyperparameter, read_hyperparameter
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.suite import Parameter
from fairbench.protocol.threat import Threat

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Role = Literal["teacher", "hot start"]
"""What a run needs another one for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Who a method belongs to, and how far our implementation may carry its name.

    Attributes:
        title: display name.
        authors: as in a citation.
        venue: conference or journal.
        year: of publication.
        link: to the paper.
        bibtex: a complete entry.
        code_licence: of the authors' own code; "none" means all rights reserved (ours is written from the paper).
        idea: what the method does differently, in one or two sentences for a reader of the board; "" for the first
            paragraph of the docstring of its class.
        family: `baseline`, `fairness`, `distillation`, or one of the author's own.
        reconstruction: the authors published too little for a faithful implementation.
        reason: why it is a reconstruction, in one honest sentence; required if it is.
        notes: anything a reader of the board should know.
    """

    title: str
    authors: str
    venue: str
    year: int
    link: str
    bibtex: str
    code_licence: str
    idea: str = ""
    family: str = "fairness"
    reconstruction: bool = False
    reason: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        check_fields(self, prefix="card.")
        if self.reconstruction and not self.reason:
            raise ValueError(f"Card(title={self.title!r}, reconstruction=True) needs a reason: say what is unknown.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prerequisite:
    """Another run that must be trained first; it is planned, trained once, shared and shown like any other.

    Attributes:
        role: `teacher` is trained on the suite's teacher architecture with seed 0 and serves every student; `hot start`
            is trained on the suite's model with the same seed, and its weights are where training starts.
        method: which method trains it.
        parameters: its hyper-parameters that differ from the defaults.
    """

    role: Role
    method: str = "trades"
    parameters: tuple[tuple[str, Parameter], ...] = ()

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise unknown("role of a prerequisite", str(self.role), get_args(Role))


class View(Protocol):
    """Another augmentation of some images of a batch, drawn from a stream of its own."""

    def __call__(self, name: str, rows: "Tensor", /, strength: "Tensor | None" = None) -> "Tensor":
        """Images in the shape of `images[rows]`; a row that is named twice is drawn twice.

        Args:
            name: one of `fairbench.data.augmentation.VIEWS`.
            rows: positions in the batch, (n,).
            strength: share of the augmentation's magnitude for each row, (n,) in [0, 1]; "randaugment" only.

        Raises:
            UserError: for an unknown name, or a strength where there is none to set, or out of range.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A batch of the training split (or, for methods that ask, of the validation split, not augmented).

    Attributes:
        images: (batch, channels, height, width) float32 in [0, 1], augmented, on the device.
        labels: (batch,) int64.
        indices: (batch,) positions in the training split, stable over epochs.
        progress: share of the training that is over, in [0, 1); 0 where no step is taken on the batch.
        view: `view("randaugment", rows)` gives the rows' images under another augmentation.
    """

    images: "Tensor"
    labels: "Tensor"
    indices: "Tensor"
    progress: float
    view: View


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassStatistics:
    """Accuracies per class of the model as it is, in eval mode, without augmentation.

    Attributes:
        counts: images per class, (classes,) float64.
        clean: clean accuracy, (classes,) float64 in [0, 1]; NaN for a class without images.
        robust: accuracy under the suite's evaluating PGD, same shape.
    """

    counts: "Tensor"
    clean: "Tensor"
    robust: "Tensor"


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """What a method may know of the held-out split, which is what its class declares as `Method.validation`.

    Attributes:
        statistics: of the current model, where "attacked" or "both" is declared; else None.
        batches: the images, not augmented, in fixed order, where "batches" or "both" is declared; else a UserError.
    """

    statistics: ClassStatistics | None
    batches: "Callable[[], Iterator[Batch]]"

    @classmethod
    def declared_by(
        cls, method: "Method", *, statistics: ClassStatistics | None, batches: "Callable[[], Iterator[Batch]]"
    ) -> "Validation":
        """Of what there is, what the method's class asks for."""

        def refuse() -> "Iterator[Batch]":
            name = type(method).__name__
            raise UserError(
                f"{name} asks for the batches of the validation split, but its `validation` is {method.validation!r}; "
                'declare `validation = "batches"` in the class, or "both" if it needs the statistics as well.'
            )

        return cls(
            statistics=statistics if method.validation in ("attacked", "both") else None,
            batches=batches if method.validation in ("batches", "both") else refuse,
        )


def _no_training_images() -> "Iterator[Batch]":
    raise UserError("This setup has no training images; a trainer gives them as `train_batches`.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What a method receives from the trainer.

    Attributes:
        model: the network in training; images in [0, 1] to logits, normalisation inside.
        threat: the suite's.
        recipe: as the method asked for it.
        classes: number of classes C.
        class_counts: training images per class, (C,) int64.
        noise: generator of the attacks' noise, on the device.
        generator: the method's own generator, on the device.
        prerequisites: trained networks by role, frozen, in eval mode.
        device: where everything lies.
        train_batches: once through the training split, in its order, augmented by draws of its own; for `begin_epoch`.
            What is done with them is part of the training cost.
    """

    model: "nn.Module"
    threat: Threat
    recipe: Recipe
    classes: int
    class_counts: "Tensor"
    noise: "torch.Generator"
    generator: "torch.Generator"
    prerequisites: "Mapping[str, nn.Module]"
    device: "torch.device"
    train_batches: "Callable[[], Iterator[Batch]]" = _no_training_images


@dataclass(kw_only=True)
class Method(ABC):
    """A training algorithm. Subclasses fill the hooks they need; only `loss` is required."""

    card: ClassVar[Card]

    validation: ClassVar[Literal["none", "attacked", "batches", "both"]] = "none"
    """What `begin_epoch` and `admits` are given of the validation split.

    "attacked": statistics, for which every epoch is attacked at the method's expense; "batches": the images
    themselves, which cost what the method does with them.
    """

    largest_radius: ClassVar[float] = 1.0
    """How far from its image a training point may lie, in radii of the threat; class radii may exceed 1."""

    expected_failures: ClassVar[Mapping[str, str]] = {}
    """Conformance checks that the method fails on purpose, by name, with the reason, which the board shows."""

    setup: Setup = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in self.parameters().items():
            setattr(self, name, checked_hyperparameter(type(self), name, value))
        check_effects(type(self), self.parameters())

    # The hooks, in the order of their calls. All but `loss` may be left alone.

    def recipe(self, recipe: Recipe) -> Recipe:
        """The suite's recipe as this method needs it (a fine-tuning stage is shorter and slower)."""
        return recipe

    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """Runs that must exist first."""
        return ()

    def refuses(self, network: "nn.Module") -> str:
        """Why this method cannot train such a network, as a sentence; "" if it can. Asked before it is trained."""
        del network
        return ""

    def start(self) -> None:
        """Allocate the method's state in its final shape; called before the first epoch and before a resume."""

    def begin_epoch(self, epoch: int, validation: Validation) -> None:
        """Called before every epoch, counted from 0, with what `validation` declares, for the model as it is."""

    def sampling(self) -> "Tensor | None":
        """How often the next batch draws from each class, (classes,), in any unit; None: every image once an epoch.

        Asked before every batch. The trainer draws the class of each image, then the image, with replacement. An epoch
        keeps its number of steps, and a class without training images is never drawn.
        """
        return None

    @abstractmethod
    def loss(self, batch: Batch) -> "Tensor | None":
        """The scalar to minimise; the model is in train mode. None skips the update (nothing to learn here).

        A training without any update in its first epoch ends there, as failed: what a method measures before it learns
        belongs into `begin_epoch`, with the setup's `train_batches`.
        """

    def step(self, batch: Batch, update: "Callable[[Tensor | None], None]") -> None:
        """One update: `update` clears the gradients, differentiates the loss, checks the gradients and steps."""
        update(self.loss(batch))

    def admits(self, validation: Validation) -> bool:
        """Whether this epoch's weights enter the average (CFA's gate).

        Asked only where the recipe averages, from `averaging_start` on, with what `begin_epoch` is given too.
        """
        del validation
        return True

    def end_epoch(self, epoch: int) -> Mapping[str, float | list[float]]:
        """Called after every epoch; update the state and return what the history should show of it."""
        del epoch
        return {}

    def state_dict(self) -> "dict[str, Tensor]":
        """State that must survive a kill between two epochs; tensors of final shape."""
        return {}

    def load_state_dict(self, state: "dict[str, Tensor]") -> None:
        """Take up the state saved by `state_dict`, after `start`."""
        del state

    # What the trainer gave, under short names.

    @property
    def model(self) -> "nn.Module":
        """The network in training."""
        return self.setup.model

    @property
    def threat(self) -> Threat:
        """Norm, radius and the training attack's step and steps."""
        return self.setup.threat

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.setup.classes

    @property
    def noise(self) -> "torch.Generator":
        """The generator of the attacks' noise."""
        return self.setup.noise

    def parameters(self) -> dict[str, Parameter]:
        """Hyper-parameters by name, resolved."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @classmethod
    def configured(cls, changes: Mapping[str, str | Parameter]) -> "Method":
        """An instance with some hyper-parameters changed; text is read as the field's type.

        Raises:
            UserError: for an unknown name, an unreadable value, or one that is not allowed.
        """
        known = {f.name for f in fields(cls) if f.init}
        for name in changes:
            if name not in known:
                raise unknown(f"hyper-parameter of {cls.__name__}", name, known)
        return cls(**{name: read_hyperparameter(cls, name, value) for name, value in changes.items()})
