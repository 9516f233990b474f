"""Who is better than whom beyond doubt: a matrix from which rank intervals and tie groups follow.

    duels = pairs(found["average"], noise=moderated(found["average"], spread=class_spread(verdicts)))
    separated(duels)[i, j]                          # i is better than j; holds for all pairs together
    against(duels, baseline=2).decisions            # every method against one that was named in advance

Over all pairs together the probability of a false statement is at most alpha, as far as the variance of a method over
seeds is what its board leads to expect (`fairbench.statistics.seed_variance`). The methods may have other variances,
and other classes.

Keys that look at the worst classes are biased down, and most for the fairest method. The lower one of a pair is given
the upper bound of `Resampled.bias`, the higher one the lower. So the worst class needs no class that both have in
common.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fairbench.outcomes.metrics import Vector
from fairbench.statistics.bootstrap import Resampled
from fairbench.statistics.holm import holm, holm_pairs
from fairbench.statistics.seed_variance import SeedVariance
from fairbench.statistics.seeds import welch_degrees
from fairbench.statistics.two_noises import half_width, p_value

Better = npt.NDArray[np.bool_]
"""(methods, methods): row is better than column; both ways false for a tie."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """All pairs of methods on one key; row minus column.

    Attributes:
        values: the key, averaged over seeds, (methods,).
        bias: how far each value lies below the truth on average, at least and at most, (methods, 2).
        images: variance of the difference over test sets, (methods, methods).
        training: its variance over trainings.
        degrees: of freedom of that.
    """

    values: Vector
    bias: Vector
    images: Vector
    training: Vector
    degrees: Vector

    @property
    def differences(self) -> Vector:
        """(methods, methods)."""
        return self.values[:, None] - self.values

    @property
    def doubt(self) -> Vector:
        """How far a difference may lie above the truth on average, at most, (methods, methods)."""
        least, most = self.bias.T
        found: Vector = most - least[:, None]
        return found

    @cached_property
    def p_values(self) -> Vector:
        """Two-sided, (methods, methods), not yet adjusted; of the lead less its doubt."""
        lead = np.where(self.differences > 0, self.differences - self.doubt, -self.differences - self.doubt.T)
        upper = np.triu_indices(len(lead), k=1)
        parts = (self.images[upper], self.training[upper], self.degrees[upper])
        found = np.ones_like(lead)
        found[upper] = p_value(lead[upper], *parts)
        both: Vector = np.minimum(found, found.T)
        return both

    def half_widths(self, *, level: float) -> Vector:
        """Of intervals of the differences, (methods, methods), without the bias."""
        return half_width(self.images, self.training, self.degrees, level=level)


@dataclass(frozen=True, kw_only=True, eq=False)
class AgainstOne:
    """Every method against one that was named before anybody looked.

    Attributes:
        differences: of the key, method minus that one, (methods,).
        intervals: of the differences, (methods, 2); all hold together.
        decisions: 1 better, -1 worse, 0 not known, (methods,); all hold together.
        visible: difference that is found half the time, the median over the methods; NaN without another method.
    """

    differences: Vector
    intervals: Vector
    decisions: npt.NDArray[np.int64]
    visible: float


def pairs(resampled: Resampled, *, noise: SeedVariance) -> Pairs:
    """What is known of every pair.

    Args:
        resampled: the key.
        noise: of single seeds on that key.
    """
    seeds = np.array([len(values) for values in resampled.seeds])
    training = noise.variances / seeds
    own = np.diag(resampled.shared)
    return Pairs(
        values=resampled.values,
        bias=resampled.bias,
        images=np.maximum(0, own[:, None] + own - 2 * resampled.shared),
        training=training[:, None] + training,
        degrees=welch_degrees(training, noise.degrees),
    )


def separated(duels: Pairs, *, alpha: float = 0.05) -> Better:
    """By Holm's correction over all pairs."""
    significant = holm_pairs(duels.p_values) <= alpha
    return significant & (duels.differences > 0)


def against(duels: Pairs, baseline: int, *, alpha: float = 0.05) -> AgainstOne:
    """The family of pairs with one method: Holm's correction over those alone, and Bonferroni's for the intervals."""
    differences = duels.differences[:, baseline]
    others = np.arange(len(differences)) != baseline
    adjusted = np.ones(len(differences))
    adjusted[others] = holm(duels.p_values[others, baseline])
    half = duels.half_widths(level=1 - alpha / max(1, int(others.sum())))[:, baseline]
    over, under = duels.doubt[:, baseline], duels.doubt[baseline]
    low, high = differences - half - over, differences + half + under
    decisions = np.where(adjusted <= alpha, np.sign(differences), 0).astype(np.int64)
    # Holm may decide where Bonferroni leaves a little of the other side open.
    low, high = np.where(decisions > 0, np.maximum(0, low), low), np.where(decisions < 0, np.minimum(0, high), high)
    intervals = np.where(others[:, None], np.stack([low, high], axis=1), 0)
    visible = (half + over)[others]
    return AgainstOne(
        differences=differences,
        intervals=intervals,
        decisions=decisions,
        visible=float(np.median(visible)) if others.any() else np.nan,
    )


def visible_difference(duels: Pairs, *, alpha: float = 0.05) -> float:
    """The lead that a pair of the board needs to be told apart while all pairs are corrected for; the median of pairs.

    A true difference of that size is found half the time. NaN for one method.
    """
    upper = np.triu_indices(len(duels.values), k=1)
    if not upper[0].size:
        return np.nan
    half = duels.half_widths(level=1 - alpha / upper[0].size)
    return float(np.median((half + np.maximum(duels.doubt, duels.doubt.T))[upper]))
