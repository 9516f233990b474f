"""Seed results to boards: a pure function of what `fairbench.boards.reading` reads.

    ranked = rank(read_results(Path("results")).results)
    ranked.boards[0].ranked             # rows, best worst-class AutoAttack accuracy first
    ranked.boards[0].standings          # what of that order is certain
    ranked.problems                     # results that fit nowhere, each with its reason

Metrics are computed per seed and then averaged: averaging class vectors first would hide that each seed has its own
worst class. Incomplete rows keep their seeds, and get no mean and no rank. Models that were trained elsewhere stand
beside every board whose judgement they share, and are ranked on none.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from fairbench.boards.belonging import asked_row_key, row_key
from fairbench.boards.board import Board, Boards
from fairbench.boards.grouping import Group, groups_of
from fairbench.boards.row import Row, verdicts_of
from fairbench.boards.seed_result import SeedResult
from fairbench.boards.unranked import reason_without_rank
from fairbench.outcomes.comparability import conditions, judged_protocol
from fairbench.outcomes.provenance import Provenance
from fairbench.protocol.attack_names import Attack
from fairbench.protocol.thresholds import BOOTSTRAP_SEED
from fairbench.statistics import Standings, standings
from fairbench.statistics.bootstrap import DRAWS


def rank(results: Iterable[SeedResult], *, expected: Iterable[str] = (), draws: int = DRAWS) -> Boards:
    """Arrange seed results into boards.

    Args:
        results: of any suites.
        expected: registered names of methods that a complete board has.
        draws: resamples behind the standings.
    """
    return Ranker(expected=expected, draws=draws).rank(results)


class Ranker:
    """Ranks, and a board again only if one of its results has changed: a page is written while runs end.

    Args:
        expected: registered names of methods that a complete board has.
        draws: resamples behind the standings.
    """

    def __init__(self, *, expected: Iterable[str] = (), draws: int = DRAWS) -> None:
        self._expected, self._draws = set(expected), draws
        self._known: dict[tuple[tuple[SeedResult, ...], ...], Board] = {}

    def rank(self, results: Iterable[SeedResult]) -> Boards:
        """Arrange seed results of any suites into boards."""
        groups, problems = groups_of(results)
        known, self._known = self._known, {}
        for group in groups:
            made_of = (group.members, group.teachers, group.external, group.promoted)  # results are equal if the same
            board = known.get(made_of) or _board(group, expected=self._expected, draws=self._draws)
            self._known[made_of] = board
        return Boards(boards=tuple(self._known.values()), problems=tuple(problems))


def _board(group: Group, *, expected: Collection[str], draws: int) -> Board:
    example = group.example
    provenance = example.provenance
    rows = _rows((result for result in group.members if result.provenance.role == "method"), promoted=group.promoted)
    ranked = _in_order([row for row in rows if not row.reason], example.attack)
    baseline = baseline_of(result.provenance for result in group.members)
    present = {row.provenance.method for row in rows} | {result.provenance.method for result in group.promoted}
    return Board(
        suite=provenance.suite,
        title=provenance.suite_title,
        baseline_name=baseline,
        protocol=conditions(provenance) if example.external else judged_protocol(provenance),
        images=example.images,
        class_names=tuple(provenance.class_names),
        counts=tuple(int(count) for count in example.accuracies["clean"].counts) if example.finished else (),
        ranked=ranked,
        standings=_standings(ranked, example.attack, baseline=baseline, draws=draws),
        bootstrap_seed=BOOTSTRAP_SEED,
        draws=draws,
        unranked=tuple(row for row in rows if row.reason),
        teachers=tuple(_rows(group.teachers)),
        external=_in_order(_rows(group.external), example.attack),
        promoted=tuple(sorted({result.provenance.label for result in group.promoted} - {row.label for row in rows})),
        missing=() if example.external else tuple(sorted(set(expected) - present)),
    )


def _standings(ranked: Sequence[Row], attack: Attack, *, baseline: str, draws: int) -> dict[str, Standings]:
    if not ranked:
        return {}
    judged = verdicts_of(ranked, attack)
    name = next((name for row, name in zip(ranked, judged.names, strict=True) if row.label == baseline), "")
    return standings(judged, baseline=name, seed=BOOTSTRAP_SEED, draws=draws)


def baseline_of(members: Iterable[Provenance]) -> str:
    """The one that the suite named when most of its runs were made; the first by name where as many name another."""
    named = Counter(provenance.baseline for provenance in members)
    return min(named, key=lambda name: (-named[name], name))


def _rows(results: Iterable[SeedResult], *, promoted: Iterable[SeedResult] = ()) -> list[Row]:
    """Rows by label, with their reasons."""
    present: dict[tuple[str, str], list[SeedResult]] = defaultdict(list)
    for result in results:
        present[row_key(result)].append(result)
    taken: dict[tuple[str, str], list[SeedResult]] = defaultdict(list)
    for result in promoted:
        taken[asked_row_key(result)].append(result)
    rows = []
    for key in sorted(present):
        seeds = _by_seed(present[key])
        rows.append(Row(label=key[0], results=seeds, reason=reason_without_rank(seeds, promoted=_by_seed(taken[key]))))
    return rows


def _by_seed(results: Iterable[SeedResult]) -> tuple[SeedResult, ...]:
    return tuple(sorted(results, key=lambda result: result.provenance.seed))


def _in_order(rows: Sequence[Row], attack: Attack) -> tuple[Row, ...]:
    """Complete rows: worst-class accuracy, then the average, then the label; equal counts tie exactly."""
    return tuple(sorted(rows, key=lambda row: (-row.exact(attack, "worst"), -row.exact(attack, "average"), row.label)))
