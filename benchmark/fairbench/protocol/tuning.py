"""The tuning budget of a suite, the same for every row of its board, and what a trial of it says."""

from dataclasses import dataclass
from typing import Annotated

from fairbench.errors import not_allowed
from fairbench.fields import Allowed, check_fields

Share = Annotated[float, Allowed(at_least=0, at_most=1, words="[0, 1]")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """By which trials a suite tunes the learning rate of every row; one more follows those of the grid.

    Attributes:
        rates: the grid, rising, times the suite's learning rate.
        fraction: of a run's epochs that a trial has.
        seed: of the trials, which no ranked run has.
    """

    rates: Annotated[
        tuple[float, ...],
        Allowed(
            holds=lambda rates: len(rates) > 1 and min(rates) > 0 and list(rates) == sorted(set(rates)),
            words="two or more positive numbers, rising, such as ['1/3', 1, 3, 10, 30]",
        ),
    ]
    fraction: Annotated[float, Allowed(above=0, at_most=1, words="a share of a run in (0, 1]")] = 1.0
    seed: Annotated[int, Allowed(at_least=0, below=2**31, words="0 to 2^31 - 1")] = 1000

    def __post_init__(self) -> None:
        check_fields(self, prefix="tuning.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One training at one learning rate.

    Attributes:
        rate: times the suite's learning rate.
        average: robust accuracy on the validation split at the selected epoch, mean over classes; 0 if it failed.
        worst: the same of the worst class.
        epoch: the selected one, 0-based; -1 if it failed.
        reason: why the training failed, which spends the trial all the same; "" if it did not.
    """

    rate: Annotated[float, Allowed(above=0)]
    average: Share = 0.0
    worst: Share = 0.0
    epoch: Annotated[int, Allowed(at_least=-1)] = -1
    reason: str = ""

    def __post_init__(self) -> None:
        check_fields(self, prefix="trial.")
        if self.worst > self.average:
            raise not_allowed(f"trial.worst = {self.worst!r}", f"at most the average, {self.average!r}")
        if (self.epoch == -1) != bool(self.reason):
            raise not_allowed(f"trial.epoch = {self.epoch!r}", "-1, with a reason, if training failed and only then")

    @property
    def score(self) -> float:
        """What trials are picked by, as checkpoints are: average plus worst; below every other if it failed."""
        return -1.0 if self.reason else self.average + self.worst


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedMethod:
    """The trials of one row, in the order of their rates.

    Attributes:
        trials: at least one.
    """

    trials: Annotated[tuple[Trial, ...], Allowed(holds=bool, words="at least one trial")]

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def best(self) -> Trial:
        """The trial with the best score, the lowest rate of equals."""
        return max(self.trials, key=lambda trial: (trial.score, -trial.rate))

    @property
    def rate(self) -> float:
        """Times the suite's learning rate; 1 if training failed at every one that was tried."""
        return 1.0 if self.best.reason else self.best.rate
