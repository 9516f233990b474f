"""Outcome files to boards: which rows may be compared, which may be ranked, and in which order.

    boards = build_boards(Path("results"))
    boards.boards[0].ranked             # rows, best worst-class AutoAttack accuracy first
    boards.boards[0].standings          # what of that order is certain
    boards.problems                     # files that could not be used, each with its reason

A board holds runs of one suite whose protocols are equal and which were judged in one tier on the same images; nothing
else is ever compared. A row is one method with one set of hyper-parameters over several seeds. Metrics are computed per
seed and then averaged: averaging class vectors first would hide that each seed has its own worst class. Incomplete rows
keep their seeds, and get no mean and no rank. Models that were trained elsewhere stand beside every board whose
judgement they share, and are ranked on none.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairbench.boards.board import Board, Boards, Problem
from fairbench.boards.reading import run_of
from fairbench.boards.row import Row
from fairbench.boards.seed_result import SeedResult
from fairbench.boards.verified_runs import with_receipts
from fairbench.errors import UserError
from fairbench.identity import content_key
from fairbench.outcomes.comparability import asked_tier, conditions, judged_protocol
from fairbench.outcomes.metrics import average, worst
from fairbench.outcomes.store import read_outcomes, result_files
from fairbench.protocol.attack_names import TIERS, Attack
from fairbench.protocol.thresholds import BOOTSTRAP_SEED, REQUIRED_SEEDS
from fairbench.statistics import Verdicts, standings
from fairbench.statistics.bootstrap import DRAWS

UNFIT = ("randomised", "grad_at_inference")
"""Flags of models for which AutoAttack standard says too little; a person has to look first."""

BoardKey = tuple[str, int, str]
"""Suite, tier and protocol of a board; sorts the highest tier first."""


def build_boards(results: Path, *, expected: Iterable[str] = (), draws: int = DRAWS) -> Boards:
    """Read every outcome file and arrange the runs into boards.

    Args:
        results: folder of `<suite>/<label>/seed<k>.parquet`; it need not exist.
        expected: registered names of methods that a complete board has.
        draws: resamples behind the standings.
    """
    runs: list[SeedResult] = []
    problems: list[Problem] = []
    for path in result_files(results):
        file = path.relative_to(results).as_posix()
        try:
            runs.append(run_of(read_outcomes(path), file=file))
        except UserError as error:
            problems.append(Problem(file=file, message=str(error).replace(str(path), file)))
    runs, unfit = with_receipts(runs, results)
    runs, duplicates = _unique(runs)
    problems += [*unfit, *duplicates]
    external = [run for run in runs if run.external]
    teachers = [run for run in runs if run.provenance.role == "teacher"]
    methods = [run for run in runs if run.provenance.role == "method"]
    served = {_shared(run) for run in methods}
    groups: dict[BoardKey, list[SeedResult]] = defaultdict(list)
    for run in (*methods, *(teacher for teacher in teachers if _shared(teacher) not in served)):
        groups[_place(run)].append(run)
    promoted: dict[BoardKey, list[SeedResult]] = defaultdict(list)
    for run in methods:
        if run.tier != asked_tier(run.provenance):
            promoted[_place(run, tier=asked_tier(run.provenance))].append(run)
    boards = []
    for place in sorted(groups):
        group, strays = _same_images(groups[place])
        problems += strays
        boards.append(
            _board(
                group,
                teachers=teachers,
                external=external,
                promoted=promoted[place],
                expected=expected,
                draws=draws,
            )
        )
    standing = {run.file for board in boards for row in board.external for run in row.runs}
    strangers: dict[tuple[str, str], list[SeedResult]] = defaultdict(list)
    for run in external:
        if run.file not in standing:
            strangers[_beside(run)].append(run)
    boards += [
        _board(group, external=group) for group in sorted(strangers.values(), key=lambda group: _place(group[0]))
    ]
    return Boards(boards=tuple(boards), problems=tuple(sorted(problems, key=lambda problem: problem.file)))


def ranking(rows: Sequence[Row], attack: Attack) -> tuple[Row, ...]:
    """Complete rows in order: worst-class accuracy, then the average, then the label."""
    return tuple(
        sorted(
            rows,
            key=lambda row: (-row.summary(attack, worst).mean, -row.summary(attack, average).mean, row.label),
        )
    )


def verdicts(rows: Sequence[Row], attack: Attack) -> Verdicts:
    """The verdicts of finished rows of one board, named by label; rows that share one, by their hyper-parameters too.

    Raises:
        ValueError: if there is no row.
    """
    labels = Counter(row.label for row in rows)
    names = [row.label if labels[row.label] == 1 else f"{row.label} {content_key(row.parameters)}" for row in rows]
    example = next(run for row in rows for run in row.finished) if rows else None
    if example is None:
        raise ValueError("Verdicts need at least one row.")
    return Verdicts(
        labels=example.rows["label"].to_numpy(),
        classes=len(example.provenance.class_names),
        correct={name: row.correct(attack) for name, row in zip(names, rows, strict=True)},
    )


def _place(run: SeedResult, *, tier: str = "") -> BoardKey:
    """Where a run stands, in the tier that it reached or in another one."""
    protocol = judged_protocol(run.provenance, tier=tier)
    height = TIERS.index(protocol["evaluation"]["tier"])
    return run.provenance.suite, -height, content_key(protocol)


def _shared(run: SeedResult) -> tuple[str, str]:
    """What a teacher has in common with the rows that it serves."""
    return run.provenance.suite, content_key({**judged_protocol(run.provenance), "model": None})


def _beside(run: SeedResult) -> tuple[str, str]:
    """What a model trained elsewhere has in common with the rows that it stands beside."""
    return content_key(conditions(run.provenance)), run.images


def _setting(run: SeedResult, *, tier: str = "") -> str:
    """What the seeds of a row share."""
    if run.external:
        return "-".join(_beside(run))
    description = run.provenance.description
    shared = {name: description.get(name) for name in ("method", "parameters")}
    return content_key({"protocol": judged_protocol(run.provenance, tier=tier), **shared})


def _unique(runs: Iterable[SeedResult]) -> tuple[list[SeedResult], list[Problem]]:
    """The runs without repetitions, and the files that repeat one."""
    first: dict[tuple[object, ...], SeedResult] = {}
    problems = []
    for run in runs:
        provenance = run.provenance
        identity = (provenance.suite, provenance.role, provenance.label, _setting(run), provenance.seed)
        known = first.setdefault(identity, run)
        if known is not run:
            message = f"{run.file} holds the same run as {known.file} and is left out; remove one of them."
            problems.append(Problem(file=run.file, message=message))
    return list(first.values()), problems


def _same_images(runs: list[SeedResult]) -> tuple[list[SeedResult], list[Problem]]:
    """The runs on the most common test set, and the others as problems; a failed run fits any."""
    tested = Counter(run.images for run in runs if run.finished)
    usual = tested.most_common(1)[0][0] if tested else ""
    strays = [run for run in runs if run.images not in ("", usual)]
    message = "{} was evaluated on other images or classes than the rest of its board; it cannot be compared."
    return (
        [run for run in runs if run not in strays],
        [Problem(file=run.file, message=message.format(run.file)) for run in strays],
    )


def _rows(runs: Iterable[SeedResult], *, promoted: Iterable[SeedResult] = ()) -> list[Row]:
    groups: dict[tuple[str, str], list[SeedResult]] = defaultdict(list)
    for run in runs:
        groups[run.provenance.label, _setting(run)].append(run)
    gone: dict[tuple[str, str], list[SeedResult]] = defaultdict(list)
    for run in promoted:
        gone[run.provenance.label, _setting(run, tier=asked_tier(run.provenance))].append(run)
    rows = []
    for key, group in sorted(groups.items()):
        ordered = tuple(_by_seed(group))
        rows.append(Row(label=key[0], runs=ordered, reason=_reason(ordered, promoted=_by_seed(gone[key]))))
    return rows


def _by_seed(runs: Iterable[SeedResult]) -> list[SeedResult]:
    return sorted(runs, key=lambda run: run.provenance.seed)


def _reason(runs: Sequence[SeedResult], *, promoted: Sequence[SeedResult]) -> str:
    """Why a row is not ranked; "" if it is."""
    if failed := [run for run in runs if not run.finished]:
        return f"{len(failed)} of {len(runs)} seeds failed"
    if promoted:
        seeds = [
            f"seed {run.provenance.seed} was promoted to {run.tier}: {run.provenance.promotion}" for run in promoted
        ]
        return "; ".join([*seeds, f"run the others with --tier {promoted[0].tier}"])
    if len(runs) < REQUIRED_SEEDS:
        return f"{len(runs)} of the {REQUIRED_SEEDS} seeds that a rank needs"
    if unfit := [flag for flag in UNFIT if any(run.provenance.flags.get(flag) is True for run in runs)]:
        return f"AutoAttack standard does not fit this model: {', '.join(unfit)}"
    return ""


def _board(
    runs: Sequence[SeedResult],
    *,
    external: Iterable[SeedResult],
    teachers: Iterable[SeedResult] = (),
    promoted: Sequence[SeedResult] = (),
    expected: Iterable[str] = (),
    draws: int = DRAWS,
) -> Board:
    example = next((run for run in runs if run.finished), runs[0])
    provenance = example.provenance
    rows = _rows((run for run in runs if run.provenance.role == "method"), promoted=promoted)
    ranked = ranking([row for row in rows if not row.reason], example.attack)
    present = {row.provenance.method for row in rows} | {run.provenance.method for run in promoted}
    return Board(
        suite=provenance.suite,
        title=provenance.suite_title,
        protocol=conditions(provenance) if example.external else judged_protocol(provenance),
        images=example.images,
        class_names=tuple(provenance.class_names),
        counts=tuple(int(count) for count in example.accuracies["clean"].counts) if example.finished else (),
        ranked=ranked,
        standings=standings(verdicts(ranked, example.attack), seed=BOOTSTRAP_SEED, draws=draws) if ranked else {},
        bootstrap_seed=BOOTSTRAP_SEED,
        draws=draws,
        unranked=tuple(row for row in rows if row.reason),
        teachers=tuple(_rows(run for run in teachers if _shared(run) == _shared(example))),
        external=ranking(_rows(run for run in external if _beside(run) == _beside(example)), example.attack),
        promoted=tuple(sorted({run.provenance.label for run in promoted} - {row.label for row in rows})),
        missing=tuple(sorted(set(expected) - present)),
    )
