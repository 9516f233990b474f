"""A row of a board: one method over seeds, and everything that its verdicts say about it.

    row.summary("autoattack", worst).mean       # the headline: the worst class per seed, averaged over seeds
    row.envelope("autoattack")                  # an interval that holds whatever the classes do
    row.candidates("autoattack")                # the classes that may be the worst
    row.results[0].confusion("autoattack")         # which classes absorb the errors

Numbers of a row are taken over its finished seeds, of which there must be one.
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fairbench.boards.seed_result import SeedResult
from fairbench.identity import content_key
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.metrics import (
    Counts,
    Interval,
    Vector,
    average,
    worst,
)
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.tried import attack_title
from fairbench.protocol.attack_names import Attack
from fairbench.statistics import (
    Verdicts,
    candidate_set,
    envelope,
    exact_value,
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
        results: by seed; at least one.
        reason: why the row cannot be ranked; "" if it can.
    """

    label: str
    results: tuple[SeedResult, ...]
    reason: str

    @property
    def provenance(self) -> Provenance:
        """Of the first seed, for what all seeds share: method, card, changed hyper-parameters."""
        return self.results[0].provenance

    @cached_property
    def finished(self) -> tuple[SeedResult, ...]:
        """Results with verdicts."""
        return tuple(result for result in self.results if result.finished)

    @property
    def verified(self) -> bool:
        """Whether every finished seed is."""
        return bool(self.finished) and all(result.verified for result in self.finished)

    @property
    def audits(self) -> dict[int, Audit]:
        """By seed, what audits left open; those of promoted ones left nothing open."""
        return {
            result.provenance.seed: result.audit for result in self.results if result.audit and result.tier == "fast"
        }

    @property
    def cost(self) -> float:
        """Mean training cost."""
        return Summary(values=tuple(result.cost for result in self.finished)).mean

    def summary(self, attack: Attack, metric: Callable[[Vector], float]) -> Summary:
        """A metric of the class accuracies, seed by seed."""
        return Summary(values=tuple(metric(result.accuracies[attack].values) for result in self.finished))

    def last(self, attack: Attack, metric: Callable[[Vector], float]) -> Summary:
        """The same of the last checkpoint, clean or under PGD-20."""
        return Summary(values=tuple(metric(result.last(attack).values) for result in self.finished))

    def selected_to_last(self, attack: Attack, metric: Callable[[Vector], float]) -> Summary:
        """The selected checkpoint's metric minus the last one's, seed by seed; positive where training overfits."""
        pairs = zip(self.summary(attack, metric).values, self.last(attack, metric).values, strict=True)
        return Summary(values=tuple(selected - last for selected, last in pairs))

    @property
    def further(self) -> tuple[str, ...]:
        """What was tried beside on any seed, in the ball of the threat, as people read it."""
        texts = (text for result in self.finished for text in result.further)
        return tuple(map(attack_title, dict.fromkeys(texts)))

    def hardest(self, attack: Attack, metric: Callable[[Vector], float]) -> Summary:
        """A metric of what is correct under an attack and under all that was tried beside, seed by seed."""
        return Summary(values=tuple(metric(result.hardest(attack).values) for result in self.finished))

    def envelope(self, attack: Attack) -> Interval:
        """Guaranteed interval of 95 % of the worst class, over images and seeds; `Standings.intervals` are narrower."""
        return envelope([result.accuracies[attack] for result in self.finished])

    def candidates(self, attack: Attack) -> frozenset[int]:
        """Classes that may be the worst of the method, on average over trainings (95 %)."""
        if attack not in self._candidates:
            self._candidates[attack] = candidate_set(self.correct(attack), self.finished[0].labels)
        return self._candidates[attack]

    @cached_property
    def _candidates(self) -> dict[Attack, frozenset[int]]:
        """What was asked before: a page and its downloads name them four times."""
        return {}

    def exact(self, attack: Attack, key: str) -> Fraction:
        """A key of `fairbench.statistics`, the mean over seeds, without round-off."""
        return exact_value([result.accuracies[attack] for result in self.finished], key)

    def worst_class_counts(self, attack: Attack) -> Counts:
        """Number of seeds in which each class is the worst, (classes,)."""
        return worst_class_counts(result.accuracies[attack] for result in self.finished)

    def class_means(self, attack: Attack) -> Vector:
        """Accuracy per class, the mean over seeds, (classes,); never to take a minimum of."""
        means: Vector = np.mean([result.accuracies[attack].values for result in self.finished], axis=0)
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
        return np.stack([result.correct(attack) for result in self.finished])

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Resolved hyper-parameters; none of a model that was trained elsewhere."""
        parameters: Mapping[str, Any] = self.provenance.description.get("parameters", {})
        return parameters


def verdicts_of(rows: Sequence[Row], attack: Attack) -> Verdicts:
    """The verdicts of finished rows of one board, named by label; rows that share one, by their hyper-parameters too.

    Raises:
        ValueError: if there is no row.
    """
    labels = Counter(row.label for row in rows)
    names = [row.label if labels[row.label] == 1 else f"{row.label} {content_key(row.parameters)}" for row in rows]
    example = next(result for row in rows for result in row.finished) if rows else None
    if example is None:
        raise ValueError("Verdicts need at least one row.")
    return Verdicts(
        labels=example.labels,
        classes=len(example.provenance.class_names),
        correct={name: row.correct(attack) for name, row in zip(names, rows, strict=True)},
    )
