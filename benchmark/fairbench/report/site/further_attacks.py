"""What else was tried on a row: a line for every attack, and which class can be made into which.

further_lines(board, row)[0].title          # "targeted"
made_into_tables(board, row)[0].lines       # of the images of a class, which share becomes each other one
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.metrics import average, worst, worst_class
from fairbench.outcomes.tried import attack_title
from fairbench.report.phrases import MANY_CLASSES, NOTHING, attack_names, percent, radius


@dataclass(frozen=True, kw_only=True, slots=True)
class FurtherLine:
    """One attack on one seed.

    Attributes:
        seed: which.
        title: of the attack, as it was asked for.
        ball: where it searched; "" for the ball of the threat.
        worst: accuracy of the worst class, with its name.
        average: over classes.
        classes: accuracy of every class; "" where there are too many.
        passes: image passes, forward and back to the input.
        unverified: claims that did not hold.
    """

    seed: int
    title: str
    ball: str
    worst: str
    average: str
    classes: tuple[str, ...]
    passes: str
    unverified: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeInto:
    """Which class can be made into which, by one attack on one seed; shares of correctly classified images.

    Attributes:
        seed: which.
        title: of the attack.
        lines: class, and for every class the share of its images that become it, in percent; a dash for itself.
        targets: by class, the share of all images of others that become it.
    """

    seed: int
    title: str
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    targets: tuple[str, ...]


def further_lines(board: Board, row: Row) -> list[FurtherLine]:
    """Of every finished seed: its further attacks, and at the end all of them together with the one that ranks."""
    return [line for result in row.finished for line in _lines(board, result)]


def _lines(board: Board, result: SeedResult) -> Iterator[FurtherLine]:
    found = result.kept.tried
    names, seed = result.provenance.class_names, result.provenance.seed
    together = {"": result.hardest(board.attack)} if result.further else {}
    for text, accuracies in {**found, **together}.items():
        facts = result.provenance.tried.get(text, {})
        values = accuracies.values
        yield FurtherLine(
            seed=seed,
            title=attack_title(text) or f"{attack_names(board)[board.attack]} and these in its ball",
            ball=_ball(facts),
            worst=f"{percent(worst(values))} ({names[worst_class(values)]})",
            average=percent(average(values)),
            classes=tuple(map(percent, values)) if len(names) <= MANY_CLASSES else (),
            passes=f"{_count(facts, 'forwards')} + {_count(facts, 'backwards')}" if text else "",
            unverified=_count(facts, "unverified") if text else "",
        )


def _count(facts: dict[str, object], name: str) -> str:
    """A number from a file, which may hold anything."""
    value = facts.get(name)
    return f"{value:,}" if isinstance(value, int) else NOTHING


def _ball(facts: dict[str, object]) -> str:
    norm, size = facts.get("norm"), facts.get("radius")
    if norm is None or not isinstance(size, int | float):
        return ""
    return "all images" if (norm, size) == ("Linf", 1) else f"{norm} {radius(float(size))}"


def made_into_tables(board: Board, row: Row) -> list[MadeInto]:
    """Of every attack in the ball of the threat that turns an image into several classes, unless classes are many."""
    if len(board.class_names) > MANY_CLASSES:
        return []
    return [_made_into(board, result, text) for result in row.finished for text in result.kept.made_into]


def _made_into(board: Board, result: SeedResult, text: str) -> MadeInto:
    counts = result.kept.made_into[text]
    correct = np.diag(counts)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, correct[:, None], out=shares, where=correct[:, None] > 0)
    targets = (counts.sum(axis=0) - correct) / np.maximum(correct.sum() - correct, 1)
    return MadeInto(
        seed=result.provenance.seed,
        title=attack_title(text),
        lines=tuple(
            (name, tuple("–" if t == c else percent(share) for t, share in enumerate(shares[c])))
            for c, name in enumerate(board.class_names)
        ),
        targets=tuple(map(percent, targets)),
    )
