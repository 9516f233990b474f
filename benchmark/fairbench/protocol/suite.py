"""A suite: the protocol of one board, as frozen dataclasses.

A suite says on which data, with which model, against which threat, by which recipe and with which evaluation every
method is run. Two runs are comparable exactly if their suites describe the same protocol; `content_key` turns such a
description into a short name that depends on nothing else (no paths, no order, no machine).

    suite = load_suite("digits")            # fairbench.protocol.suite_file reads the TOML
    suite.threat.epsilon                    # 0.15
    replace(suite, seeds=(0, 1, 2, 3, 4))   # a checked copy

Images are in [0, 1] everywhere and epsilon is in the same unit; 8/255 is written as a fraction in the files.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Literal

from fairbench.errors import not_allowed
from fairbench.fields import Allowed, check_fields
from fairbench.protocol.factory import Factory, is_factory, shown
from fairbench.protocol.tuning import Tuning

Parameter = bool | int | float | str
"""The type of a hyper-parameter."""

PROTOCOL = "fairbench-2"
"""Version of the rules. The first one had one learning rate for all methods."""

Norm = Literal["Linf", "L2"]
Precision = Literal["fp32", "bf16"]
Schedule = Literal["steps", "one-cycle"]
Averaging = Literal["none", "ema"]
Tier = Literal["screen", "fast", "full"]
Engine = Literal["fairbench", "reference"]

Count = Annotated[int, Allowed(at_least=1, words="1 or more")]
BelowOne = Annotated[float, Allowed(at_least=0, below=1, words="[0, 1)")]
Seed = Annotated[int, Allowed(at_least=0, below=2**31, words="0 to 2^31 - 1")]
ModelName = Annotated[
    str, Allowed(holds=bool, words="a name of `fairbench list models`, file.py:factory or package.module:factory")
]
MethodName = Annotated[str, Allowed(holds=bool, words="a name of `fairbench list methods`")]
_NAME = re.compile(r"[a-z0-9_-][a-z0-9_.-]*")


def _rising(drops: tuple[float, ...]) -> bool:
    return list(drops) == sorted({drop for drop in drops if 0 < drop < 1})


def _distinct(seeds: tuple[int, ...]) -> bool:
    return len({seed for seed in seeds if 0 <= seed < 2**31}) == len(seeds) > 0


Drops = Annotated[tuple[float, ...], Allowed(holds=_rising, words="rising fractions of the training in (0, 1)")]
Seeds = Annotated[tuple[int, ...], Allowed(holds=_distinct, words="distinct integers from 0 to 2^31 - 1")]


def _rising_radii(radii: tuple[float, ...]) -> bool:
    return list(radii) == sorted({radius for radius in radii if radius > 0})


Radii = Annotated[
    tuple[float, ...],
    Allowed(holds=_rising_radii, words="rising radii above 0 in units of pixel values, such as ['2/255', '4/255']"),
]
Furthers = Annotated[
    tuple[str, ...],
    Allowed(holds=lambda names: all(names) and len(set(names)) == len(names), words="attacks, each of them once"),
]

Positions = Annotated[
    tuple[int, ...],
    Allowed(
        holds=lambda found: len(set(found)) == len(found) and min(found, default=0) >= 0,
        words="positions from 0, each of them once",
    ),
]
Digest = Annotated[
    str,
    Allowed(
        holds=lambda digest: not digest or re.fullmatch("[0-9a-f]{64}", digest),
        words="64 lower-case hexadecimal digits, the SHA-256 of images and labels",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """Published images that a suite does without.

    Attributes:
        why: a sentence for people; it enters no key.
        train: positions in the published training set, from 0, in any order.
        test: positions in the published test set.
    """

    why: str = ""
    train: Positions = ()
    test: Positions = ()

    def __post_init__(self) -> None:
        check_fields(self, prefix="dataset.exclude.")
        if bool(self.why) != bool(self.train or self.test):
            allowed = "a sentence that says why the images are left out, and none without images"
            raise not_allowed(f"dataset.exclude.why = {self.why!r}", allowed)


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelDigests:
    """What a suite insists on: SHA-256, in hexadecimal, of the published images and labels that are not excluded.

    Of a split's uint8 images (n, height, width, channels) in their order, then its labels as little-endian int64.

    Attributes:
        train: of the training split; "" checks nothing.
        test: of the test split.
    """

    train: Digest = ""
    test: Digest = ""

    def __post_init__(self) -> None:
        check_fields(self, prefix="dataset.pixels.")


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSource:
    """Where images come from and how the validation split is taken.

    Attributes:
        name: a built-in dataset (`fairbench list datasets`), or the display name of `file`.
        file: an `.npz` file, relative to the suite file; its content, not its path, enters the key.
        validation: share of the training images of every class held out, in (0, 0.5].
        image_size: images are resized to this height and width; 0 keeps them as they are.
        train_images: that many training images are drawn, validation included, each class in equal number, by a fixed
            draw; 0 takes all.
        exclude: published images that are left out before anything else.
        pixels: what the remaining ones must be.
    """

    name: Annotated[str, Allowed(holds=bool, words="a name")]
    file: str = ""
    validation: Annotated[
        float, Allowed(above=0, at_most=0.5, words="a share of the training set in (0, 0.5], such as 0.06 or '1/7'")
    ] = 0.06
    image_size: Annotated[
        int, Allowed(holds=lambda n: n == 0 or n >= 8, words="0 (as stored) or at least 8 pixels")
    ] = 0
    train_images: Annotated[int, Allowed(at_least=0, words="a number of training images, or 0 for all of them")] = 0
    exclude: Exclusion = Exclusion()
    pixels: PixelDigests = PixelDigests()

    def __post_init__(self) -> None:
        check_fields(self, prefix="dataset.")

    def restrictions(self) -> dict[str, object]:
        """What identifies the data beside its name, as plain values; empty where the suite restricts nothing."""
        given: dict[str, object] = {}
        if self.train_images:
            given["train_images"] = self.train_images
        if self.exclude.train or self.exclude.test:
            given["exclude"] = {"train": sorted(self.exclude.train), "test": sorted(self.exclude.test)}
        if self.pixels.train or self.pixels.test:
            given["pixels"] = asdict(self.pixels)
        return given


@dataclass(frozen=True, kw_only=True, slots=True)
class Threat:
    """What an attacker may do, and the attack that training uses against it.

    Attributes:
        norm: the ball, intersected with [0, 1].
        epsilon: its radius, in units of pixel values in [0, 1]; 0 (with step 0) only to evaluate: robust is clean then.
        step: step size of the training attack, same unit.
        steps: number of steps of the training attack.
        attack_precision: arithmetic of the training attack; evaluation is always fp32.
    """

    norm: Norm = "Linf"
    epsilon: float
    step: float
    steps: Annotated[int, Allowed(at_least=1, at_most=1000, words="1 to 1000")] = 10
    attack_precision: Precision = "fp32"

    def __post_init__(self) -> None:
        check_fields(self, prefix="threat.")
        if self.epsilon == self.step == 0:
            return
        limit = 1.0 if self.norm == "Linf" else math.inf
        if not 0 < self.epsilon <= limit:
            written = "written as a fraction of 255 such as '8/255' or as a decimal"
            raise not_allowed(f"threat.epsilon = {self.epsilon!r}", f"a number in (0, {limit:g}], {written}")
        if not 0 < self.step <= 2 * self.epsilon:
            raise not_allowed(f"threat.step = {self.step!r}", "a positive number of at most twice epsilon")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How every method of a suite is optimised: SGD, the same schedule, augmentation and precision for all.

    Attributes:
        epochs: passes over the training split.
        batch_size: images per step; the last batch of an epoch may be smaller.
        learning_rate: the peak.
        momentum: of SGD, without Nesterov.
        weight_decay: on every parameter, biases and batch norm included.
        schedule: `steps` multiplies the rate by `drop_factor` at each of `drops`; `one-cycle` rises linearly from 0
            until `warmup` and falls linearly to 0, per step.
        drops: fractions of the training; in a run of E epochs a drop acts from 0-based epoch round(f E).
        drop_factor: multiplier at each drop.
        warmup: fraction of the training at which `one-cycle` peaks.
        crop_padding: zero padding of the random crop, in pixels; 0 switches it off.
        flip: random horizontal flip.
        averaging: `ema` evaluates an average of the weights (and buffers) over epochs in place of the last ones.
        averaging_decay: d in average <- d average + (1 - d) weights, once per epoch.
        averaging_start: fraction of the training at which averaging begins.
        precision: arithmetic of the training forwards; `bf16` is autocast, weights stay fp32.
    """

    epochs: Annotated[int, Allowed(at_least=1, at_most=100_000, words="1 to 100000")]
    batch_size: Count = 128
    learning_rate: Annotated[float, Allowed(above=0, words="a positive number")] = 0.1
    momentum: BelowOne = 0.9
    weight_decay: BelowOne = 5e-4
    schedule: Schedule = "steps"
    drops: Drops = ()
    drop_factor: Annotated[float, Allowed(above=0, at_most=1, words="(0, 1]")] = 0.1
    warmup: BelowOne = 0.3
    crop_padding: Annotated[int, Allowed(at_least=0, words="0 or more")] = 4
    flip: bool = True
    averaging: Averaging = "none"
    averaging_decay: BelowOne = 0.85
    averaging_start: BelowOne = 0.25
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        check_fields(self, prefix="recipe.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How a trained model is judged.

    Attributes:
        tier: `screen` is PGD-20, on both checkpoints; `full` adds AutoAttack standard on the selected one; `fast`
            leaves its last two attacks out but for an audit: a sample of the images that survive the first two faces
            them, and whatever makes them look necessary promotes the run to `full`.
        pgd_steps: steps of the evaluating PGD, on validation and test.
        pgd_step: its step size, in units of pixel values.
        seed: of the attacks' noise; it is not the training seed.
        batch_size: images attacked together; the resume unit of AutoAttack.
        engine: of AutoAttack; `fairbench` draws noise for each image, `reference` is pyautoattack, for arbitration.
        search: arithmetic in which our engine looks for breaks; each one is verified in fp32, so that `bf16` can miss
            breaks but not invent them.
        audit: share of the survivors of each class that `fast` attacks in full; at least one image of each.
        curve: radii at which every class is judged as well, by the attacks of the tier; see
            `fairbench.evaluation.curve`. Like `attacks`, it enters a key only where it is given, and no comparison of
            rows.
        attacks: what else is tried on the selected checkpoint, by name and settings; see `fairbench.attacks.further`.
    """

    tier: Tier = "full"
    pgd_steps: Annotated[int, Allowed(at_least=1, at_most=10_000, words="1 to 10000")] = 20
    pgd_step: Annotated[float, Allowed(at_least=0, words="0 or more")]
    seed: Seed = 0
    batch_size: Count = 500
    engine: Engine = "fairbench"
    search: Precision = "fp32"
    audit: Annotated[float, Allowed(above=0, at_most=1, words="a share of the survivors in (0, 1]")] = 0.1
    curve: Radii = ()
    attacks: Furthers = ()

    def __post_init__(self) -> None:
        check_fields(self, prefix="evaluation.")
        if self.search != "fp32" and self.engine == "reference":
            allowed = "fp32 with the reference engine, which searches in the precision of the model"
            raise not_allowed(f"evaluation.search = {self.search!r}", allowed)


ADDED = ("curve", "attacks")
"""Fields of an evaluation that add verdicts and change none."""


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


def evaluation_description(evaluation: Evaluation) -> dict[str, object]:
    """An evaluation as plain values; of what is optional, only what is asked for."""
    described = asdict(evaluation)
    for name in ADDED:
        asked = list(described.pop(name))
        described |= {name: asked} if asked else {}
    return described


def check_curve(threat: Threat, evaluation: Evaluation) -> None:
    """Refuse radii that a norm does not have.

    Raises:
        UserError: if one exceeds 1 on L-inf.
    """
    if threat.norm == "Linf" and max(evaluation.curve, default=0.0) > 1:
        raise not_allowed(f"evaluation.curve = {list(evaluation.curve)!r}", "radii of at most 1 where the norm is Linf")


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
