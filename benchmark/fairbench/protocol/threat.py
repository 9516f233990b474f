"""What an attacker may do: the ball that every image of a suite is attacked in.

Images are in [0, 1] everywhere and epsilon is in the same unit; 8/255 is written as a fraction in the files.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from fairbench.errors import not_allowed
from fairbench.fields import Allowed, check_fields

Norm = Literal["Linf", "L2"]
Precision = Literal["fp32", "bf16"]


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
