"""Everything a board says about order, key by key: intervals, separations, rank intervals, tie groups.

found = standings(verdicts, seed=0)
found["average"].ranks              # (methods, 2): first and last place each may have
found["worst"].groups               # [[0, 2], [1]]: methods by index, best group first
"""

from dataclasses import dataclass

import numpy as np

from fairbench.outcomes.metrics import Counts, Vector
from fairbench.statistics.bootstrap import DRAWS, Resampled, bootstrap
from fairbench.statistics.envelope import envelope
from fairbench.statistics.keys import KEYS, SHARES, share_size
from fairbench.statistics.rank_intervals import best_probability, rank_intervals
from fairbench.statistics.seeds import t_interval
from fairbench.statistics.separation import Better, separated, separated_by_worst_class
from fairbench.statistics.tie_groups import tie_groups
from fairbench.statistics.verdicts import Verdicts


@dataclass(frozen=True, kw_only=True, eq=False)
class Standings:
    """All methods by one key, in the order of the verdicts.

    Attributes:
        names: of the methods.
        values: the key per seed, averaged over seeds, (methods,).
        intervals: over seeds and images, (methods, 2): the envelope where the key is a minimum, else percentiles.
        seed_intervals: Student's t over seeds alone, (methods, 2), not clipped; infinite for one seed.
        better: row separated above column, (methods, methods).
        ranks: first and last place, (methods, 2); all hold together.
        groups: tie groups, by index, best first.
        best: share of resamples won, (methods,); a description, as is anything a bootstrap says about a minimum.
    """

    names: tuple[str, ...]
    values: Vector
    intervals: Vector
    seed_intervals: Vector
    better: Better
    ranks: Counts
    groups: list[list[int]]
    best: Vector


def standings(verdicts: Verdicts, *, seed: int, level: float = 0.95, draws: int = DRAWS) -> dict[str, Standings]:
    """Standings by every key of `KEYS`; the same for any order of the methods.

    Args:
        verdicts: of all methods that are ranked.
        seed: of the bootstrap, to be recorded.
        level: of every interval, and 1 - alpha of the separations.
        draws: number of resamples.
    """
    resampled = bootstrap(verdicts, KEYS, seed=seed, draws=draws)
    average = resampled["average"].values
    by_worst = separated_by_worst_class(verdicts, alpha=1 - level)
    envelopes = np.array([envelope(verdicts.accuracies(name), level=level) for name in verdicts.names])
    classes = len(np.unique(verdicts.labels))
    minima = {"worst"} | {key for key, percent in SHARES.items() if share_size(classes, percent=percent) == 1}
    return {
        key: _standings(found, average, better=by_worst, intervals=envelopes, level=level)
        if key in minima
        else _standings(
            found,
            average,
            better=separated(found, alpha=1 - level),
            intervals=found.interval(level=level),
            level=level,
        )
        for key, found in resampled.items()
    }


def _standings(found: Resampled, average: Vector, *, better: Better, intervals: Vector, level: float) -> Standings:
    return Standings(
        names=found.names,
        values=found.values,
        intervals=intervals,
        seed_intervals=np.array([t_interval(values, level=level) for values in found.seeds]),
        better=better,
        ranks=rank_intervals(better),
        groups=tie_groups(found.values, average, better=better),
        best=best_probability(found.both),
    )
