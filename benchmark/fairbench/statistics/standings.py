"""Everything a board says about order, key by key: intervals, separations, rank intervals, tie groups.

found = standings(verdicts, baseline="pgd-at", seed=0)
found["average"].ranks              # (methods, 2): first and last place each may have
found["worst"].groups               # [[0, 2], [1]]: methods by index, best group first
found["average"].against            # each method against the baseline; None without one
"""

from dataclasses import dataclass

import numpy as np

from fairbench.outcomes.metrics import Counts, Vector
from fairbench.statistics.bootstrap import DRAWS, bootstrap
from fairbench.statistics.exact_values import exact_value
from fairbench.statistics.keys import KEYS, SHARES, distinct_keys, first_of_equals, share_size
from fairbench.statistics.rank_intervals import best_probability, rank_intervals
from fairbench.statistics.row_interval import row_intervals, worst_class_interval
from fairbench.statistics.seed_variance import class_spread, moderated
from fairbench.statistics.seeds import t_interval
from fairbench.statistics.separation import AgainstOne, Better, against, pairs, separated, visible_difference
from fairbench.statistics.tie_groups import tie_groups
from fairbench.statistics.verdicts import Verdicts


@dataclass(frozen=True, kw_only=True, eq=False)
class Standings:
    """All methods by one key, in the order of the verdicts.

    Attributes:
        names: of the methods.
        values: the key per seed, averaged over seeds, (methods,).
        intervals: over seeds and images, (methods, 2), within what the key can be.
        seed_intervals: Student's t over seeds alone, (methods, 2), not clipped; infinite for one seed.
        better: row separated above column, (methods, methods).
        ranks: first and last place, (methods, 2); all hold together.
        groups: tie groups, by index, best first.
        visible: difference that any one pair is told apart by half the time, all pairs being corrected for; NaN for one
            method.
        against: every method against the baseline; None without one.
        best: share of resamples won, (methods,); a description, as is anything a bootstrap says about a minimum.
    """

    names: tuple[str, ...]
    values: Vector
    intervals: Vector
    seed_intervals: Vector
    better: Better
    ranks: Counts
    groups: list[list[int]]
    visible: float
    against: AgainstOne | None
    best: Vector


def standings(
    verdicts: Verdicts, *, seed: int, baseline: str = "", level: float = 0.95, draws: int = DRAWS
) -> dict[str, Standings]:
    """Standings by every key of `KEYS`; the same for any order of the methods.

    Args:
        verdicts: of all methods that are ranked.
        seed: of the bootstrap, to be recorded.
        baseline: the method with which the others are compared as a family of its own; "" for none.
        level: of every interval, and 1 - alpha of the separations.
        draws: number of resamples.
    """
    present = len(np.unique(verdicts.labels))
    equals = first_of_equals(present)
    resampled = bootstrap(verdicts, {key: KEYS[key] for key in distinct_keys(present)}, seed=seed, draws=draws)
    seeds = {name: verdicts.accuracies(name) for name in verdicts.names}
    exact = {key: [exact_value(seeds[name], key) for name in verdicts.names] for key in resampled}
    spread = class_spread(verdicts)
    found = {}
    for key, one in resampled.items():
        noise = moderated(one, spread=spread)
        duels = pairs(one, noise=noise)
        better = separated(duels, alpha=1 - level)
        intervals = row_intervals(one, noise=noise, level=level)
        if key == "worst" or share_size(present, percent=SHARES.get(key, 100)) == 1:
            runs = zip(intervals, seeds.values(), strict=True)
            intervals = np.array([worst_class_interval(own, counted, level=level) for own, counted in runs])
        found[key] = Standings(
            names=one.names,
            values=one.values,
            intervals=intervals.clip(0, 2 if key == "average+worst" else 1),
            seed_intervals=np.array([t_interval(values, level=level) for values in one.seeds]),
            better=better,
            ranks=rank_intervals(better),
            groups=tie_groups(exact[key], exact["average"], better=better),
            visible=visible_difference(duels, alpha=1 - level),
            against=against(duels, one.names.index(baseline), alpha=1 - level) if baseline in one.names else None,
            best=best_probability(one.both),
        )
    return {key: found[equals[key]] for key in KEYS}
