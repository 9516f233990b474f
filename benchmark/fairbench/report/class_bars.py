"""Accuracy of every class for every seed, as bars with their Wilson intervals.

class_bars(row, "autoattack", class_names=board.class_names)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairbench.metrics import Attack, Interval, wilson
from fairbench.report.axis import Axis, linear_axis
from fairbench.report.labels import shortened
from fairbench.row import Row

LEFT, RIGHT, TOP = 150.0, 740.0, 28.0
"""Of the plane beside the names, in the unit of the picture."""

BAR, GAP = 8.0, 8.0
"""Height of a bar, and between classes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A class in one seed.

    Attributes:
        seed: of the training.
        correct: images classified correctly.
        count: images of the class.
        interval: Wilson, 95 %.
        clean: accuracy without an attack.
        end: of the bar.
        low: end of the interval.
        high: its other end.
        clean_end: where the clean accuracy lies.
        y: middle of the bar.
    """

    seed: int
    correct: int
    count: int
    interval: Interval
    clean: float
    end: float
    low: float
    high: float
    clean_end: float
    y: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassLine:
    """A class: its name, possibly shortened in `text`, its middle, a bar for each seed; none without test images."""

    name: str
    text: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassBars:
    """The picture; `seeds` are those of the bars of every class."""

    seeds: tuple[int, ...]
    lines: tuple[ClassLine, ...]
    ticks: tuple[tuple[float, str], ...]
    height: float

    @property
    def bars(self) -> Iterator[Bar]:
        """All of them, from the top."""
        return (bar for line in self.lines for bar in line.bars)


def class_bars(row: Row, attack: Attack, *, class_names: Sequence[str]) -> ClassBars:
    """Arrange the finished seeds of a row."""
    axis = linear_axis([0.0, 1.0], start=LEFT, end=RIGHT, show=lambda share: f"{round(100 * share)} %")
    step = BAR * len(row.finished) + GAP
    lines = []
    for k, name in enumerate(class_names):
        top = TOP + step * k
        bars = tuple(
            bar
            for number, run in enumerate(row.finished)
            if (
                bar := _bar(
                    run.provenance.seed,
                    (int(run.accuracies[attack].correct[k]), int(run.accuracies[attack].counts[k])),
                    clean=float(run.accuracies["clean"].values[k]),
                    axis=axis,
                    y=top + BAR * (number + 0.5),
                )
            ).count
        )
        lines.append(ClassLine(name=name, text=shortened(name), y=top + (step - GAP) / 2, bars=bars))
    seeds = tuple(run.provenance.seed for run in row.finished)
    return ClassBars(seeds=seeds, lines=tuple(lines), ticks=axis.ticks, height=TOP + step * len(lines) + 4)


def _bar(seed: int, found: tuple[int, int], *, clean: float, axis: Axis, y: float) -> Bar:
    correct, count = found
    interval = wilson(correct, count)
    return Bar(
        seed=seed,
        correct=correct,
        count=count,
        interval=interval,
        clean=clean,
        end=axis.at(correct / count) if count else axis.start,
        low=axis.at(interval.low),
        high=axis.at(interval.high),
        clean_end=axis.at(clean) if count else axis.start,
        y=y,
    )
