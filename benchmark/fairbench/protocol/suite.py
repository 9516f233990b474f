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
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from fairbench.errors import UserError

Parameter = bool | int | float | str
"""The type of a hyper-parameter."""

Norm = Literal["Linf", "L2"]
Precision = Literal["fp32", "bf16"]
Schedule = Literal["steps", "one-cycle"]
Averaging = Literal["none", "ema"]
Tier = Literal["screen", "fast", "full"]
Engine = Literal["fairbench", "reference"]


def check(*, holds: bool, field: str, value: object, allowed: str) -> None:
    """Refuse a value with its field and what is allowed.

    Raises:
        UserError: if the condition does not hold.
    """
    if not holds:
        raise UserError(f"{field} = {value!r} is not allowed; allowed: {allowed}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """Published images that a suite does without.

    Attributes:
        why: a sentence for people; it enters no key.
        train: positions in the published training set, from 0, in any order.
        test: positions in the published test set.
    """

    why: str = ""
    train: tuple[int, ...] = ()
    test: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for part, positions in (("train", self.train), ("test", self.test)):
            stray = next((at for at, count in Counter(positions).items() if at < 0 or count > 1), 0)
            check(
                holds=len(set(positions)) == len(positions) and min(positions, default=0) >= 0,
                field=f"dataset.exclude.{part}",
                value=stray,
                allowed="positions from 0, each of them once",
            )
        check(
            holds=bool(self.why) == bool(self.train or self.test),
            field="dataset.exclude.why",
            value=self.why,
            allowed="a sentence that says why the images are left out, and none without images",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelDigests:
    """What a suite insists on: SHA-256, in hexadecimal, of the published images and labels that are not excluded.

    Of a split's uint8 images (n, height, width, channels) in their order, then its labels as little-endian int64.

    Attributes:
        train: of the training split; "" checks nothing.
        test: of the test split.
    """

    train: str = ""
    test: str = ""

    def __post_init__(self) -> None:
        for part, digest in (("train", self.train), ("test", self.test)):
            check(
                holds=not digest or (len(digest) == 64 and set(digest) <= set("0123456789abcdef")),
                field=f"dataset.pixels.{part}",
                value=digest,
                allowed="64 lower-case hexadecimal digits, the SHA-256 of images and labels",
            )


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

    name: str
    file: str = ""
    validation: float = 0.06
    image_size: int = 0
    train_images: int = 0
    exclude: Exclusion = Exclusion()
    pixels: PixelDigests = PixelDigests()

    def __post_init__(self) -> None:
        check(holds=bool(self.name), field="dataset.name", value=self.name, allowed="a name")
        check(
            holds=0 < self.validation <= 0.5,
            field="dataset.validation",
            value=self.validation,
            allowed="a share of the training set in (0, 0.5], such as 0.06 or '1/7'",
        )
        check(
            holds=self.image_size == 0 or self.image_size >= 8,
            field="dataset.image_size",
            value=self.image_size,
            allowed="0 (as stored) or at least 8 pixels",
        )
        check(
            holds=self.train_images >= 0,
            field="dataset.train_images",
            value=self.train_images,
            allowed="a number of training images, or 0 for all of them",
        )

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
    steps: int = 10
    attack_precision: Precision = "fp32"

    def __post_init__(self) -> None:
        limit = 1.0 if self.norm == "Linf" else math.inf
        check(
            holds=0 < self.epsilon <= limit or self.epsilon == self.step == 0,
            field="threat.epsilon",
            value=self.epsilon,
            allowed=f"a number in (0, {limit:g}], written as a fraction of 255 such as '8/255' or as a decimal",
        )
        check(
            holds=0 < self.step <= 2 * self.epsilon or self.epsilon == self.step == 0,
            field="threat.step",
            value=self.step,
            allowed="a positive number of at most twice epsilon",
        )
        check(holds=1 <= self.steps <= 1000, field="threat.steps", value=self.steps, allowed="1 to 1000")


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

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "steps"
    drops: tuple[float, ...] = ()
    drop_factor: float = 0.1
    warmup: float = 0.3
    crop_padding: int = 4
    flip: bool = True
    averaging: Averaging = "none"
    averaging_decay: float = 0.85
    averaging_start: float = 0.25
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        check(holds=1 <= self.epochs <= 100_000, field="recipe.epochs", value=self.epochs, allowed="1 to 100000")
        check(holds=self.batch_size >= 1, field="recipe.batch_size", value=self.batch_size, allowed="1 or more")
        check(
            holds=0 < self.learning_rate < math.inf,
            field="recipe.learning_rate",
            value=self.learning_rate,
            allowed="a positive number",
        )
        check(holds=0 <= self.momentum < 1, field="recipe.momentum", value=self.momentum, allowed="[0, 1)")
        check(holds=0 <= self.weight_decay < 1, field="recipe.weight_decay", value=self.weight_decay, allowed="[0, 1)")
        check(
            holds=all(0 < drop < 1 for drop in self.drops) and list(self.drops) == sorted(set(self.drops)),
            field="recipe.drops",
            value=list(self.drops),
            allowed="rising fractions of the training in (0, 1)",
        )
        check(holds=0 < self.drop_factor <= 1, field="recipe.drop_factor", value=self.drop_factor, allowed="(0, 1]")
        check(holds=0 <= self.warmup < 1, field="recipe.warmup", value=self.warmup, allowed="[0, 1)")
        check(holds=self.crop_padding >= 0, field="recipe.crop_padding", value=self.crop_padding, allowed="0 or more")
        check(
            holds=0 <= self.averaging_decay < 1,
            field="recipe.averaging_decay",
            value=self.averaging_decay,
            allowed="[0, 1)",
        )
        check(
            holds=0 <= self.averaging_start < 1,
            field="recipe.averaging_start",
            value=self.averaging_start,
            allowed="[0, 1)",
        )


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
    """

    tier: Tier = "full"
    pgd_steps: int = 20
    pgd_step: float
    seed: int = 0
    batch_size: int = 500
    engine: Engine = "fairbench"
    search: Precision = "fp32"
    audit: float = 0.1

    def __post_init__(self) -> None:
        check(
            holds=self.search == "fp32" or self.engine == "fairbench",
            field="evaluation.search",
            value=self.search,
            allowed="fp32 with the reference engine, which searches in the precision of the model",
        )
        check(
            holds=0 < self.audit <= 1,
            field="evaluation.audit",
            value=self.audit,
            allowed="a share of the survivors in (0, 1]",
        )
        check(
            holds=1 <= self.pgd_steps <= 10_000,
            field="evaluation.pgd_steps",
            value=self.pgd_steps,
            allowed="1 to 10000",
        )
        check(holds=self.pgd_step >= 0, field="evaluation.pgd_step", value=self.pgd_step, allowed="0 or more")
        check(holds=0 <= self.seed < 2**31, field="evaluation.seed", value=self.seed, allowed="0 to 2^31 - 1")
        check(holds=self.batch_size >= 1, field="evaluation.batch_size", value=self.batch_size, allowed="1 or more")


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
        model: architecture (`fairbench list models`).
        teacher: architecture of the teacher of distillation methods, trained by TRADES in the same suite.
        seeds: training seeds of a complete row.
        methods: hyper-parameters that are others here than by a method's own defaults; part of the runs' keys.
        folder: where the suite file lies; resolves `dataset.file` and enters no key.
    """

    name: str
    title: str = ""
    protocol: str = "fairbench-1"
    dataset: DatasetSource
    model: str
    teacher: str
    threat: Threat
    recipe: Recipe
    evaluation: Evaluation
    seeds: tuple[int, ...] = (0, 1, 2)
    methods: tuple[MethodDefaults, ...] = ()
    folder: str = ""

    def __post_init__(self) -> None:
        letters = set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        check(
            holds=bool(self.name) and set(self.name) <= letters and not self.name.startswith("."),
            field="name",
            value=self.name,
            allowed="lower-case letters, digits, '-', '_' and '.'",
        )
        check(holds=bool(self.model), field="model", value=self.model, allowed="a name of `fairbench list models`")
        check(
            holds=bool(self.teacher), field="teacher", value=self.teacher, allowed="a name of `fairbench list models`"
        )
        check(
            holds=bool(self.seeds)
            and len(set(self.seeds)) == len(self.seeds)
            and all(0 <= s < 2**31 for s in self.seeds),
            field="seeds",
            value=list(self.seeds),
            allowed="distinct integers from 0 to 2^31 - 1",
        )
        check(
            holds=self.threat.epsilon > 0,
            field="threat.epsilon",
            value=self.threat.epsilon,
            allowed="a positive number; nothing can be trained against a ball of one point",
        )
        check(
            holds=0 < self.evaluation.pgd_step <= 2 * self.threat.epsilon,
            field="evaluation.pgd_step",
            value=self.evaluation.pgd_step,
            allowed="a positive number of at most twice threat.epsilon",
        )

    def defaults_of(self, method: str) -> dict[str, Parameter]:
        """What the suite sets of a method's hyper-parameters, by name."""
        return {name: value for found in self.methods if found.method == method for name, value in found.parameters}

    def teaching(self) -> "Suite":
        """The same protocol with the teacher's architecture in the model's place."""
        return replace(self, model=self.teacher)


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
    return {
        "protocol": suite.protocol,
        "dataset": dataset,
        "model": suite.model,
        "threat": asdict(suite.threat),
        "recipe": asdict(suite.recipe),
        "evaluation": asdict(suite.evaluation),
    }


def trained_by(protocol: Mapping[str, object]) -> dict[str, object]:
    """The part of a description that training depends on: of the evaluation only what selects checkpoints."""
    evaluation = protocol["evaluation"]
    assert isinstance(evaluation, Mapping)
    selecting = ("pgd_steps", "pgd_step", "seed", "batch_size")
    return {**protocol, "evaluation": {name: evaluation[name] for name in selecting}}
