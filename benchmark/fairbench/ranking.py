"""Outcome files to boards: which rows may be compared, which may be ranked, and in which order.

    boards = build_boards(Path("results"))
    boards.boards[0].ranked             # rows, best worst-class AutoAttack accuracy first
    boards.problems                     # files that could not be used, each with its reason

A board holds runs of one suite whose protocols are equal and which were judged by the same attacks on the same images;
nothing else is ever compared. A row is one method with one set of hyper-parameters over several seeds. Metrics are
computed per seed and then averaged: averaging class vectors first would hide that each seed has its own worst class.
Incomplete rows keep their seeds, and get no mean and no rank.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairbench.board import Board, Boards, Problem, Row, Run
from fairbench.errors import UserError
from fairbench.metrics import Attack, average, class_accuracies, worst
from fairbench.store import NOT_RUN, Outcomes, read_outcomes, result_files
from fairbench.suite import Evaluation, Recipe, Threat, content_key

REQUIRED_SEEDS = 3
"""Finished seeds of a ranked row."""

UNFIT = ("randomised", "grad_at_inference")
"""Flags of models for which AutoAttack standard says too little; a person has to look first."""


def build_boards(results: Path, *, expected: Iterable[str] = ()) -> Boards:
    """Read every outcome file and arrange the runs into boards.

    Args:
        results: folder of `<suite>/<label>/seed<k>.parquet`; it need not exist.
        expected: registered names of methods that a complete board has.
    """
    runs: list[Run] = []
    problems: list[Problem] = []
    images: dict[str, str] = {}
    for path in result_files(results):
        file = path.relative_to(results).as_posix()
        try:
            outcomes = read_outcomes(path)
            runs.append(_run(file, outcomes))
            images[file] = _test_set(outcomes)
        except UserError as error:
            problems.append(Problem(file=file, message=str(error).replace(str(path), file)))
    runs, duplicates = _unique(runs)
    teachers = [run for run in runs if run.provenance.role == "teacher"]
    served = {_shared(run) for run in runs if run.provenance.role == "method"}
    groups: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        if run.provenance.role == "method" or _shared(run) not in served:
            groups[run.provenance.suite, content_key(_protocol(run)), _ranking_attack(run)].append(run)
    boards = []
    for key in sorted(groups):
        group, strays = _same_images(groups[key], images)
        problems += strays
        boards.append(_board(group, teachers=teachers, expected=expected))
    problems += duplicates
    return Boards(boards=tuple(boards), problems=tuple(sorted(problems, key=lambda problem: problem.file)))


def ranking(rows: Sequence[Row], attack: Attack) -> tuple[Row, ...]:
    """Complete rows in order: worst-class accuracy, then the average, then the label."""
    return tuple(
        sorted(
            rows,
            key=lambda row: (-row.summary(attack, worst).mean, -row.summary(attack, average).mean, row.label),
        )
    )


def _run(file: str, outcomes: Outcomes) -> Run:
    provenance = outcomes.provenance
    _check_description(file, provenance.description)
    if provenance.status == "failed":
        return Run(file=file, provenance=provenance, accuracies={})
    judged = outcomes.rows["autoattack"] != NOT_RUN
    attacks: tuple[Attack, ...] = ("clean", "pgd20", "autoattack") if judged.any() else ("clean", "pgd20")
    try:
        accuracies = {
            attack: class_accuracies(outcomes.rows, len(provenance.class_names), attack) for attack in attacks
        }
    except ValueError as error:
        raise UserError(f"{file}: {error}") from error
    return Run(file=file, provenance=provenance, accuracies=accuracies)


def _check_description(file: str, description: Mapping[str, Any]) -> None:
    """Refuse a file that does not say in full under which protocol it was made."""
    try:
        content_key(description)  # refuses NaN
        protocol = description["protocol"]
        Threat(**protocol["threat"])
        Recipe(**protocol["recipe"])
        Evaluation(**protocol["evaluation"])
        complete = {"protocol", "model"} <= set(protocol) and isinstance(protocol["dataset"], dict)
        complete &= isinstance(description["parameters"], dict)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} does not say in full under which protocol it was made ({error}).") from error
    if not complete:
        raise UserError(f"{file} does not say in full under which protocol it was made.")


def _protocol(run: Run) -> dict[str, Any]:
    protocol: dict[str, Any] = run.provenance.description["protocol"]
    return protocol


def _shared(run: Run) -> tuple[str, str]:
    """What a teacher has in common with the rows that it serves."""
    return run.provenance.suite, content_key({**_protocol(run), "model": None})


def _ranking_attack(run: Run) -> Attack:
    """AutoAttack if it was run; a failed run stands where its protocol wanted it."""
    evaluated: Iterable[str] = run.accuracies
    if not run.finished:
        evaluated = _protocol(run)["evaluation"]["attacks"]
    return "autoattack" if "autoattack" in evaluated else "pgd20"


def _setting(run: Run) -> str:
    """What the seeds of a row share."""
    description = run.provenance.description
    return content_key({name: description.get(name) for name in ("protocol", "method", "parameters")})


def _unique(runs: Iterable[Run]) -> tuple[list[Run], list[Problem]]:
    """The runs without repetitions, and the files that repeat one."""
    first: dict[tuple[object, ...], Run] = {}
    problems = []
    for run in runs:
        provenance = run.provenance
        identity = (provenance.suite, provenance.role, provenance.label, _setting(run), provenance.seed)
        known = first.setdefault(identity, run)
        if known is not run:
            message = f"{run.file} holds the same run as {known.file} and is left out; remove one of them."
            problems.append(Problem(file=run.file, message=message))
    return list(first.values()), problems


def _test_set(outcomes: Outcomes) -> str:
    """Digest of images and labels; "" for a failed run, which fits any."""
    if outcomes.provenance.status == "failed":
        return ""
    digest = hashlib.sha256(repr(outcomes.provenance.class_names).encode())
    for column in ("index", "label"):
        digest.update(outcomes.rows[column].to_numpy().tobytes())
    return digest.hexdigest()


def _same_images(runs: list[Run], images: Mapping[str, str]) -> tuple[list[Run], list[Problem]]:
    """The runs on the most common test set, and the others as problems."""
    tested = Counter(images[run.file] for run in runs if images[run.file])
    usual = tested.most_common(1)[0][0] if tested else ""
    strays = [run for run in runs if images[run.file] not in ("", usual)]
    message = "{} was evaluated on other images or classes than the rest of its board; it cannot be compared."
    return (
        [run for run in runs if run not in strays],
        [Problem(file=run.file, message=message.format(run.file)) for run in strays],
    )


def _rows(runs: Iterable[Run]) -> list[Row]:
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.provenance.label, _setting(run)].append(run)
    rows = []
    for (label, _), group in sorted(groups.items()):
        ordered = tuple(sorted(group, key=lambda run: run.provenance.seed))
        rows.append(Row(label=label, runs=ordered, reason=_reason(ordered)))
    return rows


def _reason(runs: Sequence[Run]) -> str:
    failed = [run.provenance.seed for run in runs if not run.finished]
    if failed:
        return f"{len(failed)} of {len(runs)} seeds failed"
    if len(runs) < REQUIRED_SEEDS:
        return f"{len(runs)} of the {REQUIRED_SEEDS} seeds that a rank needs"
    if unfit := [flag for flag in UNFIT if any(run.provenance.flags.get(flag) is True for run in runs)]:
        return f"AutoAttack standard does not fit this model: {', '.join(unfit)}"
    return ""


def _board(runs: Sequence[Run], *, teachers: Iterable[Run], expected: Iterable[str]) -> Board:
    example = next((run for run in runs if run.finished), runs[0])
    provenance, attack = example.provenance, _ranking_attack(example)
    rows = _rows(run for run in runs if run.provenance.role == "method")
    present = {row.provenance.method for row in rows}
    return Board(
        suite=provenance.suite,
        title=provenance.suite_title,
        protocol=_protocol(example),
        attack=attack,
        class_names=tuple(provenance.class_names),
        counts=tuple(int(count) for count in example.accuracies["clean"].counts) if example.finished else (),
        ranked=ranking([row for row in rows if not row.reason], attack),
        unranked=tuple(row for row in rows if row.reason),
        teachers=tuple(_rows(run for run in teachers if _shared(run) == _shared(example))),
        missing=tuple(sorted(set(expected) - present)),
    )
