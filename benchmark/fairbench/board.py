"""A board: rows that may be compared, each a method over seeds, each seed with its class accuracies.

These are values alone; `fairbench.ranking` builds them from outcome files, `fairbench.report` shows them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fairbench.audit import Audit
from fairbench.comparability import reached_tier
from fairbench.metrics import Attack, ClassAccuracies, Vector, worst_class
from fairbench.provenance import Provenance


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One file.

    Attributes:
        file: its path below the results folder.
        provenance: where it comes from.
        accuracies: by attack, in the order of the evaluation; empty if the run failed.
        images: digest of the test images' indices, labels and class names; "" if the run failed.
        audit: what the audit of tier `fast` saw; None if there was none.
    """

    file: str
    provenance: Provenance
    accuracies: Mapping[Attack, ClassAccuracies]
    images: str = ""
    audit: Audit | None = None

    @property
    def finished(self) -> bool:
        """Whether the run has verdicts."""
        return self.provenance.status == "done"

    @property
    def external(self) -> bool:
        """Whether the model was trained elsewhere."""
        return self.provenance.role == "external"

    @property
    def tier(self) -> str:
        """The one in which the run counts."""
        return reached_tier(self.provenance)

    @property
    def attack(self) -> Attack:
        """The strongest of its tier, which ranks."""
        return _strongest(self.tier)

    @property
    def cost(self) -> float:
        """Training cost as a multiple of PGD-10 AT, hot start included; NaN if nobody counted it."""
        return math.nan if self.external else self.provenance.cost + self.provenance.prerequisite_cost

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

    @property
    def audits(self) -> dict[int, Audit]:
        """By seed, what audits left open; those of promoted runs left nothing open."""
        return {run.provenance.seed: run.audit for run in self.runs if run.audit and run.tier == "fast"}

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
        suite: name of the suite; of the dataset if all rows were trained elsewhere.
        title: one line for people; "" if there is none.
        protocol: what all rows share, as plain values; see `fairbench.comparability`.
        images: digest of what all rows were tested on; "" if nothing finished.
        class_names: by label.
        counts: test images per class.
        ranked: complete rows, best first.
        unranked: rows that lack seeds, with their reason.
        teachers: rows of the teacher architecture; they serve others and compete with nobody.
        external: rows of models that were trained elsewhere, best first; judged alike, and ranked nowhere.
        promoted: labels that have no row here because a higher tier took every run.
        missing: expected methods without a single file.
    """

    suite: str
    title: str
    protocol: Mapping[str, Any]
    images: str
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    ranked: tuple[Row, ...]
    unranked: tuple[Row, ...]
    teachers: tuple[Row, ...]
    external: tuple[Row, ...]
    promoted: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All of them, in the order in which they are shown."""
        return (*self.ranked, *self.unranked, *self.teachers, *self.external)

    @property
    def tier(self) -> str:
        """The one of all rows."""
        return str(self.protocol["evaluation"]["tier"])

    @property
    def trains(self) -> bool:
        """Whether its rows were trained under one protocol; not if all come from elsewhere."""
        return "model" in self.protocol

    @property
    def attack(self) -> Attack:
        """The one that ranks."""
        return _strongest(self.tier)

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


def _strongest(tier: str) -> Attack:
    return "pgd20" if tier == "screen" else "autoattack"
