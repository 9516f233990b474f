"""A board: rows that may be compared, each a method over seeds, each seed with its class accuracies.

These are values alone; `fairbench.ranking` builds them from outcome files, `fairbench.report` shows them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fairbench.metrics import Attack, ClassAccuracies, Vector, worst_class
from fairbench.provenance import Provenance


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One file.

    Attributes:
        file: its path below the results folder.
        provenance: where it comes from.
        accuracies: by attack, in the order of the evaluation; empty if the run failed.
    """

    file: str
    provenance: Provenance
    accuracies: Mapping[Attack, ClassAccuracies]

    @property
    def finished(self) -> bool:
        """Whether the run has verdicts."""
        return self.provenance.status == "done"

    @property
    def cost(self) -> float:
        """Training cost as a multiple of PGD-10 AT, hot start included."""
        return self.provenance.cost + self.provenance.prerequisite_cost

    def worst_class(self, attack: Attack) -> str:
        """Name of the worst class."""
        return self.provenance.class_names[worst_class(self.accuracies[attack].values)]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A number over seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over all seeds."""
        return math.fsum(self.values) / len(self.values)

    @property
    def low(self) -> float:
        """The lowest seed."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest seed."""
        return max(self.values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One method with one set of hyper-parameters.

    Attributes:
        label: directory name, unique in a suite.
        runs: by seed; at least one.
        reason: why the row cannot be ranked; "" if it can.
    """

    label: str
    runs: tuple[Run, ...]
    reason: str

    @property
    def provenance(self) -> Provenance:
        """Of the first seed, for what all seeds share: method, card, changed hyper-parameters."""
        return self.runs[0].provenance

    @property
    def finished(self) -> tuple[Run, ...]:
        """Runs with verdicts."""
        return tuple(run for run in self.runs if run.finished)

    def summary(self, attack: Attack, metric: Callable[[Vector], float]) -> Summary:
        """A metric of the class accuracies, seed by seed."""
        return Summary(values=tuple(metric(run.accuracies[attack].values) for run in self.finished))

    @property
    def cost(self) -> float:
        """Mean training cost of the finished seeds, of which there must be one."""
        return Summary(values=tuple(run.cost for run in self.finished)).mean


@dataclass(frozen=True, kw_only=True, eq=False)
class Board:
    """Comparable rows.

    Attributes:
        suite: name of the suite.
        title: one line for people.
        protocol: what all rows share, as plain values; see `fairbench.suite.protocol_description`.
        attack: the one that ranks.
        class_names: by label.
        counts: test images per class.
        ranked: complete rows, best first.
        unranked: rows that lack seeds, with their reason.
        teachers: rows of the teacher architecture; they serve others and compete with nobody.
        missing: expected methods without a single file.
    """

    suite: str
    title: str
    protocol: Mapping[str, Any]
    attack: Attack
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    ranked: tuple[Row, ...]
    unranked: tuple[Row, ...]
    teachers: tuple[Row, ...]
    missing: tuple[str, ...]

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """What the rows were judged by, weakest first."""
        return ("clean", "pgd20", "autoattack") if self.attack == "autoattack" else ("clean", "pgd20")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file that could not be used, and why."""

    file: str
    message: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Boards:
    """Everything below a results folder."""

    boards: tuple[Board, ...]
    problems: tuple[Problem, ...]
