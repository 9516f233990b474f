"""A row of a board: one method over seeds, and everything that its verdicts say about it.

    row.summary("autoattack", worst).mean       # the headline: the worst class per seed, averaged over seeds
    row.envelope("autoattack")                  # its interval
    row.candidates("autoattack")                # the classes that may be the worst
    row.runs[0].confusion("autoattack")         # which classes absorb the errors

Numbers of a row are taken over its finished seeds, of which there must be one.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.metrics import (
    Counts,
    Interval,
    Vector,
    average,
    worst,
)
from fairbench.outcomes.provenance import Provenance
from fairbench.protocol.attack_names import Attack
from fairbench.statistics import (
    candidate_set,
    envelope,
    worst_class_counts,
)
from fairbench.statistics.comparison import rho_of


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

    @property
    def deviation(self) -> float:
        """Sample standard deviation over seeds; NaN for one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One method with one set of hyper-parameters.

    Attributes:
        label: directory name.
        runs: by seed; at least one.
        reason: why the row cannot be ranked; "" if it can.
    """

    label: str
    runs: tuple[SeedResult, ...]
    reason: str

    @property
    def provenance(self) -> Provenance:
        """Of the first seed, for what all seeds share: method, card, changed hyper-parameters."""
        return self.runs[0].provenance

    @property
    def finished(self) -> tuple[SeedResult, ...]:
        """Runs with verdicts."""
        return tuple(run for run in self.runs if run.finished)

    @property
    def verified(self) -> bool:
        """Whether every finished seed is."""
        return bool(self.finished) and all(run.verified for run in self.finished)

    @property
    def audits(self) -> dict[int, Audit]:
        """By seed, what audits left open; those of promoted runs left nothing open."""
        return {run.provenance.seed: run.audit for run in self.runs if run.audit and run.tier == "fast"}

    @property
    def cost(self) -> float:
        """Mean training cost."""
        return Summary(values=tuple(run.cost for run in self.finished)).mean

    def summary(self, attack: Attack, metric: Callable[[Vector], float]) -> Summary:
        """A metric of the class accuracies, seed by seed."""
        return Summary(values=tuple(metric(run.accuracies[attack].values) for run in self.finished))

    def last(self, attack: Attack, metric: Callable[[Vector], float]) -> Summary:
        """The same of the last checkpoint, clean or under PGD-20."""
        return Summary(values=tuple(metric(run.last(attack).values) for run in self.finished))

    def selected_to_last(self, attack: Attack, metric: Callable[[Vector], float]) -> Summary:
        """The selected checkpoint's metric minus the last one's, seed by seed; positive where training overfits."""
        pairs = zip(self.summary(attack, metric).values, self.last(attack, metric).values, strict=True)
        return Summary(values=tuple(selected - last for selected, last in pairs))

    def envelope(self, attack: Attack) -> Interval:
        """Interval of 95 % of the worst class, over images and seeds."""
        return envelope([run.accuracies[attack] for run in self.finished])

    def candidates(self, attack: Attack) -> frozenset[int]:
        """Classes that may be the truly worst one of some seed."""
        return frozenset[int]().union(*(candidate_set(run.accuracies[attack]) for run in self.finished))

    def worst_class_counts(self, attack: Attack) -> Counts:
        """Number of seeds in which each class is the worst, (classes,)."""
        return worst_class_counts(run.accuracies[attack] for run in self.finished)

    def class_means(self, attack: Attack) -> Vector:
        """Accuracy per class, the mean over seeds, (classes,); never to take a minimum of."""
        means: Vector = np.mean([run.accuracies[attack].values for run in self.finished], axis=0)
        return means

    def rho(self, baseline: "Row", attack: Attack) -> float:
        """Relative gain of the worst class minus relative loss of the average, against a baseline's means over seeds.

        NaN where the baseline's worst class is too weak to divide by.
        """
        worst_mean, average_mean = (self.summary(attack, metric).mean for metric in (worst, average))
        reference = baseline.summary(attack, worst).mean, baseline.summary(attack, average).mean
        return rho_of(worst_mean, average_mean, reference)

    def correct(self, attack: Attack) -> npt.NDArray[np.bool_]:
        """Which images are classified correctly, clean and under the attack, (seeds, images)."""
        return np.stack([run.correct(attack) for run in self.finished])

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Resolved hyper-parameters; none of a model that was trained elsewhere."""
        parameters: Mapping[str, Any] = self.provenance.description.get("parameters", {})
        return parameters
