"""A run: suite, method, hyper-parameters and seed; the unit of work, identified by its content key.

`Run` is what this package trains. A model that others trained is a run as well (`fairbench.external.run`); what both
have is `AnyRun`.
"""

import math
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from fairbench.identity import content_key
from fairbench.protocol.recipe import Recipe
from fairbench.protocol.suite import Parameter, Suite, protocol_description, trained_by
from fairbench.protocol.tuning import Trial


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is trained and evaluated, resolved completely.

    Attributes:
        suite: the protocol; for a teacher on a larger network, with that network as its model.
        method: registered name.
        parameters: all hyper-parameters, resolved, sorted by name.
        changed: those that differ from the method's defaults in this suite, sorted by name.
        recipe: the suite's recipe as the method asked for it.
        seed: training seed.
        role: `teacher` for a run on the suite's teacher network where that differs from its model.
        prerequisites: role and run of what must be trained first.
        dataset_digest: SHA-256 of an `.npz` dataset, "" for a built-in one.
        rate: of learning, times the suite's; `recipe` has it already.
        trials: by which the rate was found; none if the row is not tuned.
    """

    suite: Suite
    method: str
    parameters: tuple[tuple[str, Parameter], ...]
    changed: tuple[tuple[str, Parameter], ...] = ()
    recipe: Recipe
    seed: int
    role: Literal["method", "teacher"] = "method"
    prerequisites: tuple[tuple[str, "Run"], ...] = ()
    dataset_digest: str = ""
    rate: float = 1.0
    trials: tuple[Trial, ...] = ()

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits; equal for equal content, whatever the machine, the paths or the order."""
        return content_key({**self._described(), "protocol": self._protocol, "trials": len(self.trials)})

    @cached_property
    def training_key(self) -> str:
        """The same for what is trained: runs that differ in engine, tier or search alone share their checkpoints."""
        return content_key({**self._described(), "protocol": trained_by(self._protocol)})

    def description(self) -> dict[str, object]:
        """What the key is the hash of, as plain values."""
        return {**self._described(), "protocol": deepcopy(self._protocol), "trials": len(self.trials)}

    def with_seed(self, seed: int) -> "Run":
        """The same with another seed, hot starts included; teachers keep theirs, which is one for all."""
        others = tuple((role, run if role == "teacher" else run.with_seed(seed)) for role, run in self.prerequisites)
        other = replace(self, seed=seed, prerequisites=others)
        vars(other)["_protocol"] = self._protocol  # describing a suite is the larger part of a plan
        return other

    @cached_property
    def _protocol(self) -> dict[str, object]:
        """Of the suite, as plain values; never given away, so that nobody changes it."""
        return protocol_description(self.suite, dataset_digest=self.dataset_digest)

    def _described(self) -> dict[str, object]:
        """All but the protocol; how a prerequisite is judged changes nothing for who needs it."""
        return {
            "method": self.method,
            "parameters": plain(self.parameters),
            "rate": self.rate,
            "seed": self.seed,
            "prerequisites": {role: run.training_key for role, run in self.prerequisites},
        }

    @property
    def label(self) -> str:
        """Name of the row: the method, and a short hash where hyper-parameters differ from the defaults."""
        name = f"teacher-{self.method}" if self.role == "teacher" else self.method
        return f"{name}-{content_key(plain(self.changed))[:8]}" if self.changed else name

    @property
    def title(self) -> str:
        """For progress bars and messages: `trades, seed 0`."""
        return f"{self.label}, seed {self.seed}"

    def result_file(self, results: Path) -> Path:
        """Where the outcomes belong."""
        return results.joinpath(self.suite.name, self.label, f"seed{self.seed}.parquet")

    def work_folder(self, work_dir: Path) -> Path:
        """Where checkpoints, partial attacks and the log lie; another training has another folder."""
        return work_dir.joinpath(self.suite.name, self.label, f"seed{self.seed}-{self.training_key[:8]}")


class AnyRun(Protocol):
    """What is evaluated, whoever trained it: what identifies it, and where its files belong."""

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits, equal for equal content."""

    @property
    def label(self) -> str:
        """Name of the row."""

    @property
    def seed(self) -> int:
        """Of the training."""

    @property
    def role(self) -> Literal["method", "teacher", "external"]:
        """What the row is on a board."""

    def description(self) -> dict[str, object]:
        """What the key is the hash of, as plain values."""

    def result_file(self, results: Path) -> Path:
        """Where the outcomes belong."""

    def work_folder(self, work_dir: Path) -> Path:
        """Where partial work lies, see `fairbench.outcomes.work_folder`."""


def plain(parameters: tuple[tuple[str, Parameter], ...]) -> dict[str, object]:
    """Hyper-parameters as values that JSON can hold (an infinite weight is spelled out)."""
    return {name: str(v) if isinstance(v, float) and not math.isfinite(v) else v for name, v in parameters}
