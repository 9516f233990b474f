"""A suite: the protocol of one board, as frozen dataclasses.

A suite says on which data, with which model, against which threat, by which recipe and with which evaluation every
method is run. Two runs are comparable exactly if their suites describe the same protocol; `content_key` turns such a
description into a short name that depends on nothing else (no paths, no order, no machine).

    suite = load_suite("digits")            # fairbench.protocol.suite_file reads the TOML
    suite.threat.epsilon                    # 0.15
    replace(suite, seeds=(0, 1, 2, 3, 4))   # a checked copy
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated

from fairbench.errors import not_allowed
from fairbench.fields import Allowed, check_fields
from fairbench.protocol.dataset_source import DatasetSource
from fairbench.protocol.evaluation import Evaluation, check_curve, evaluation_description
from fairbench.protocol.factory import Factory, is_factory, shown
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.threat import Threat
from fairbench.protocol.tuning import Tuning

Parameter = bool | int | float | str
"""The type of a hyper-parameter."""

PROTOCOL = "fairbench-2"
"""Version of the rules. The first one had one learning rate for all methods."""

ModelName = Annotated[
    str, Allowed(holds=bool, words="a name of `fairbench list models`, file.py:factory or package.module:factory")
]
MethodName = Annotated[str, Allowed(holds=bool, words="a name of `fairbench list methods`")]
_NAME = re.compile(r"[a-z0-9_-][a-z0-9_.-]*")


def _distinct(seeds: tuple[int, ...]) -> bool:
    return len({seed for seed in seeds if 0 <= seed < 2**31}) == len(seeds) > 0


Seeds = Annotated[tuple[int, ...], Allowed(holds=_distinct, words="distinct integers from 0 to 2^31 - 1")]


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodDefaults:
    """What a method's hyper-parameters are in a suite, where they have to be chosen by dataset (DAFA, CFA, HAM).

    Attributes:
        method: registered name.
        parameters: names and values; all others have the method's own defaults.
    """

    method: str
    parameters: tuple[tuple[str, Parameter], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """A named, versioned protocol.

    Attributes:
        name: of the board and of its folder under `results/`; lower-case letters, digits, `-`, `_` and `.`.
        title: one line for people.
        protocol: version of the rules; a change of any rule is a new version and a new board.
        model: architecture (`fairbench list models`), or the factory of a network of one's own.
        teacher: the same of the teacher of distillation methods, trained by TRADES in the same suite.
        model_factory: arguments and source of such a network; a file writes the former as [model_arguments].
        teacher_factory: alike; [teacher_arguments].
        seeds: training seeds of a complete row.
        baseline: the method with which every other one is compared, chosen before anybody looked; it changes no run and
            enters no key.
        tuning: the budget by which every row's learning rate is found; None for the recipe's rate for all.
        methods: hyper-parameters that are others here than by a method's own defaults; part of the runs' keys.
        folder: where the suite file lies; resolves `dataset.file` and enters no key.
    """

    name: Annotated[str, Allowed(holds=_NAME.fullmatch, words="lower-case letters, digits, '-', '_' and '.'")]
    title: str = ""
    protocol: str = PROTOCOL
    dataset: DatasetSource
    model: ModelName
    teacher: ModelName
    threat: Threat
    recipe: Recipe
    evaluation: Evaluation
    seeds: Seeds = (0, 1, 2)
    baseline: MethodName = "pgd-at"
    methods: tuple[MethodDefaults, ...] = ()
    tuning: Tuning | None = None
    model_factory: Factory = field(default_factory=Factory)
    teacher_factory: Factory = field(default_factory=Factory)
    folder: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        for role, model, factory in (
            ("model", self.model, self.model_factory),
            ("teacher", self.teacher, self.teacher_factory),
        ):
            if factory.arguments and not is_factory(model):
                raise not_allowed(
                    f"{role}_arguments with {role} = {model!r}",
                    "arguments for a factory of your own, file.py:factory or package.module:factory",
                )
        epsilon, step = self.threat.epsilon, self.evaluation.pgd_step
        if not epsilon > 0:
            allowed = "a positive number; nothing can be trained against a ball of one point"
            raise not_allowed(f"threat.epsilon = {epsilon!r}", allowed)
        check_curve(self.threat, self.evaluation)
        if not 0 < step <= 2 * epsilon:
            raise not_allowed(f"evaluation.pgd_step = {step!r}", "a positive number of at most twice threat.epsilon")
        if self.tuning and self.tuning.seed in self.seeds and self.seeds != (self.tuning.seed,):
            raise not_allowed(f"tuning.seed = {self.tuning.seed!r}", "a seed that no run of the suite has")

    def defaults_of(self, method: str) -> dict[str, Parameter]:
        """What the suite sets of a method's hyper-parameters, by name."""
        return {name: value for found in self.methods if found.method == method for name, value in found.parameters}

    def teaching(self) -> "Suite":
        """The same protocol with the teacher's architecture in the model's place."""
        return replace(self, model=self.teacher, model_factory=self.teacher_factory)

    @property
    def has_a_teacher_of_its_own(self) -> bool:
        """Whether the teacher's network is another one than the model."""
        return (self.teacher, self.teacher_factory) != (self.model, self.model_factory)

    def trial(self) -> "Suite":
        """The same protocol at the length and on the seed of its trials, which are judged on validation data alone."""
        assert self.tuning is not None
        epochs = max(1, round(self.tuning.fraction * self.recipe.epochs))
        return replace(self, recipe=replace(self.recipe, epochs=epochs), seeds=(self.tuning.seed,))


def protocol_description(suite: Suite, *, dataset_digest: str) -> dict[str, object]:
    """Everything of a suite that decides comparability, as plain values.

    Args:
        suite: the protocol.
        dataset_digest: SHA-256 of the `.npz` file, or "" for a built-in dataset, which its name identifies.
    """
    dataset = {
        "name": suite.dataset.name,
        "validation": suite.dataset.validation,
        "image_size": suite.dataset.image_size,
        "sha256": dataset_digest,
        **suite.dataset.restrictions(),
    }
    if dataset_digest:
        del dataset["name"]  # the display name of a file is not its identity
    description: dict[str, object] = {
        "protocol": suite.protocol,
        "dataset": dataset,
        "model": shown(suite.model),
        "threat": asdict(suite.threat),
        "recipe": asdict(suite.recipe),
        "evaluation": evaluation_description(suite.evaluation),
    }
    if is_factory(suite.model):
        description["network"] = described_factory(suite.model_factory)
    return description | ({"tuning": asdict(suite.tuning)} if suite.tuning else {})


def described_factory(factory: Factory) -> dict[str, object]:
    """What identifies a network of somebody's own beside its name, as plain values."""
    return {"arguments": factory.keywords, "code": factory.code}


def trained_by(protocol: Mapping[str, object]) -> dict[str, object]:
    """The part of a description that training depends on: of the evaluation what selects checkpoints, and no tuning."""
    evaluation = protocol["evaluation"]
    assert isinstance(evaluation, Mapping)
    selecting = ("pgd_steps", "pgd_step", "seed", "batch_size")
    trained = {name: part for name, part in protocol.items() if name != "tuning"}
    return {**trained, "evaluation": {name: evaluation[name] for name in selecting}}
