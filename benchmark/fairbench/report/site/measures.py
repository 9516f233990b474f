"""What is measured of a row, seed by seed and under every attack: the table "In numbers" of its page.

    for one in measures(board, row):
        one.name, one.meaning
        one.cells["autoattack"]         # MeasureCell(mean="26.8", seeds="27.2, 26.9, 26.3", note="cat")

Every number is computed per seed and only then averaged; what is not ranked is not averaged. A number that no seed has
is left out.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from fairbench.boards.board import Board
from fairbench.boards.row import Row, Summary
from fairbench.outcomes.metrics import (
    Interval,
    Vector,
    average,
    deviation,
    gini,
    minimum_envelope,
    normalised_deviation,
    spread,
    worst,
    worst_share,
)
from fairbench.protocol.attack_names import Attack
from fairbench.report.phrases import NOTHING, attack_names, most_frequent, percent
from fairbench.report.site.heat_map import points
from fairbench.statistics import largest
from fairbench.statistics.comparison import SMALLEST_BASELINE, rho_of
from fairbench.statistics.keys import SHARES


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureCell:
    """A number under one attack, as text.

    Attributes:
        mean: over seeds; "" if the row is not ranked.
        seeds: of each finished seed, in their order.
        note: the classes in which it lies.
    """

    mean: str = ""
    seeds: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A line of the table.

    Attributes:
        name: with its unit.
        meaning: formula, or description in few words.
        cells: by attack, where it applies.
    """

    name: str
    meaning: str
    cells: Mapping[Attack, MeasureCell]


Metric = Callable[[Vector], float]
Show = Callable[[float], str]
PerClass = Mapping[Attack, Sequence[Vector]]
"""By attack and seed, a number of every class."""

Notes = Mapping[Attack, Sequence[str]]
"""By attack and seed, the class in which a number lies."""

_NO_NOTES: Notes = MappingProxyType({})


def measures(board: Board, row: Row) -> list[Measure]:
    """Of a row with a finished seed, in the order in which they are read."""
    found = [*_of_accuracies(board, row), *_of_attacks(board, row), *_of_baseline(board, row), *_of_choice(board, row)]
    return [one for one in found if one.cells]


def rho_remark(board: Board, row: Row) -> str:
    """Why a row has no rho; "" if it has one, or if nobody would ask."""
    if row.provenance.role == "teacher":
        return ""
    if board.baseline is None:
        return f"There is no ρ, because {board.baseline_name} is not ranked here."
    if math.isnan(row.rho(board.baseline, board.attack)):
        name, least = attack_names(board)[board.attack], f"{100 * SMALLEST_BASELINE:g} %"
        return f"There is no ρ under {name}, because the worst class of {board.baseline_name} is below {least}."
    return ""


def _of_accuracies(board: Board, row: Row) -> Iterator[Measure]:
    """What the class accuracies under one attack say."""

    def line(name: str, meaning: str, metric: Metric, show: Show = percent, notes: Notes = _NO_NOTES) -> Measure:
        found = {attack: row.summary(attack, metric) for attack in board.attacks}
        return _measure(board, row, name=name, meaning=meaning, found=found, show=show, notes=notes)

    yield line("Average, %", "mean of the classes", average)
    if len({count for count in board.counts if count}) > 1:
        yield _measure(
            board,
            row,
            name="All images, %",
            meaning="share of the images; classes differ in size",
            found={
                attack: _summary(result.accuracies[attack].overall for result in row.finished)
                for attack in board.attacks
            },
        )
    names = {attack: [result.worst_class(attack) for result in row.finished] for attack in board.attacks}
    yield line("Worst class, %", "the lowest, in each seed", worst, notes=names)
    yield _envelopes(board, row)
    for share in SHARES.values():
        metric = partial(worst_share, percent=share)
        yield line(f"Worst {share} % of classes, %", "mean of the lowest, rounded up", metric)
    yield line("SD, points", "population standard deviation over classes", deviation)
    yield line("Range, points", "best minus worst class", spread)
    yield line("NSD", "SD divided by the average", normalised_deviation, _three_digits)
    yield line("Gini", "Σ |aᵢ − aⱼ| / (2 C² average), over C classes", gini, _three_digits)


def _envelopes(board: Board, row: Row) -> Measure:
    """Of the mean over images and seeds; of a row that has none, of each seed over images."""
    if row in board.ranked:
        over, cells = (
            "seeds and images",
            {attack: MeasureCell(mean=_between(row.envelope(attack))) for attack in board.attacks},
        )
    else:
        over = "images"
        cells = {
            attack: MeasureCell(
                seeds=", ".join(_between(minimum_envelope(result.accuracies[attack])) for result in row.finished)
            )
            for attack in board.attacks
        }
    return Measure(
        name="Its envelope, %", meaning=f"guaranteed interval of 95 % over {over}, Bonferroni-Wilson", cells=cells
    )


def _of_attacks(board: Board, row: Row) -> Iterator[Measure]:
    """What an attack takes from the classes, and what a stronger one takes more."""
    errors = {attack: [result.boundary_error(attack) for result in row.finished] for attack in board.attacks[1:]}
    yield from _of_differences(board, row, errors, name="boundary error", meaning="clean minus robust accuracy")
    if "autoattack" in board.attacks:
        gaps: PerClass = {"autoattack": [result.attack_gap for result in row.finished]}
        meaning = "PGD-20 minus the stronger attack"
        yield from _of_differences(board, row, gaps, name="PGD-20 gap", meaning=meaning)


def _of_differences(board: Board, row: Row, found: PerClass, *, name: str, meaning: str) -> Iterator[Measure]:
    """Mean over the classes, and the largest with its class."""
    most = {attack: [largest(classes) for classes in seeds] for attack, seeds in found.items()}
    yield _measure(
        board,
        row,
        name=f"Mean {name}, points",
        meaning=f"{meaning}, mean of the classes",
        found={attack: _summary(average(classes) for classes in seeds) for attack, seeds in found.items()},
    )
    yield _measure(
        board,
        row,
        name=f"Largest {name}, points",
        meaning=f"{meaning}, largest in each seed",
        found={attack: _summary(value for _, value in seeds) for attack, seeds in most.items()},
        notes={attack: [board.class_names[k] for k, _ in seeds] for attack, seeds in most.items()},
    )


def _of_baseline(board: Board, row: Row) -> Iterator[Measure]:
    base = board.baseline
    if base is None or row.provenance.role == "teacher":
        return
    found = {}
    for attack in board.attacks[1:]:
        reference = base.summary(attack, worst).mean, base.summary(attack, average).mean
        seeds = zip(row.summary(attack, worst).values, row.summary(attack, average).values, strict=True)
        found[attack] = _summary(rho_of(lowest, mean, reference) for lowest, mean in seeds)
    meaning = f"gain of the worst class minus loss of the average, relative to {board.baseline_name}"
    yield _measure(board, row, name="ρ", meaning=meaning, found=found, show=_signed)


def _of_choice(board: Board, row: Row) -> Iterator[Measure]:
    """What choosing a checkpoint gained; a model that was trained elsewhere has only one."""
    if row.results[0].external:
        return
    judged: tuple[Attack, ...] = ("clean", "pgd20")
    for key, metric in (("worst class", worst), ("average", average)):
        yield _measure(
            board,
            row,
            name=f"Selected to last, {key}, points",
            meaning="selected minus last checkpoint",
            found={attack: row.selected_to_last(attack, metric) for attack in judged},
            show=points,
        )


def _measure(
    board: Board,
    row: Row,
    *,
    name: str,
    meaning: str,
    found: Mapping[Attack, Summary],
    show: Show = percent,
    notes: Notes = _NO_NOTES,
) -> Measure:
    """A line; without an attack under which no seed has the number."""
    cells = {
        attack: MeasureCell(
            mean=show(summary.mean) if row in board.ranked else "",
            seeds=", ".join(map(show, summary.values)),
            note=most_frequent(notes.get(attack, ())),
        )
        for attack, summary in found.items()
        if any(map(math.isfinite, summary.values))
    }
    return Measure(name=name, meaning=meaning, cells=cells)


def _summary(values: Iterable[float]) -> Summary:
    return Summary(values=tuple(values))


def _three_digits(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else NOTHING


def _signed(value: float) -> str:
    """Two decimals; nothing is below zero that is shown as zero."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−") if math.isfinite(value) else NOTHING


def _between(interval: Interval) -> str:
    return f"{percent(interval.low)}–{percent(interval.high)}"
