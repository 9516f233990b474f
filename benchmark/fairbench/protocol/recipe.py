"""How every method of a suite is optimised."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fairbench.fields import Allowed, check_fields
from fairbench.protocol.threat import Precision

Schedule = Literal["steps", "one-cycle"]
Averaging = Literal["none", "ema"]

BelowOne = Annotated[float, Allowed(at_least=0, below=1, words="[0, 1)")]


def _rising(drops: tuple[float, ...]) -> bool:
    return list(drops) == sorted({drop for drop in drops if 0 < drop < 1})


Drops = Annotated[tuple[float, ...], Allowed(holds=_rising, words="rising fractions of the training in (0, 1)")]


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
    batch_size: Annotated[int, Allowed(at_least=1, words="1 or more")] = 128
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
