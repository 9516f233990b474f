"""Two rows of a board against each other, on the same images: what is certain, what is a tie, and what it would take.

    found = head_to_head(board, first, second)
    found.decisions(found.standings)["worst"]    # 1: the first is better beyond doubt; 0: a tie; -1: the second is
    found.contests[0].paired.p_value            # on all images

The worst class is no paired quantity: each row has its own. A paired test needs a class that was chosen before anybody
looked at these images, as the one that is worst on the validation split. The rows' own worst classes are shown as well,
marked as picked, because a row is at its unluckiest there.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from fairbench.boards.board import Board
from fairbench.boards.row import Row, verdicts_of
from fairbench.outcomes.metrics import worst_class
from fairbench.statistics import (
    Paired,
    Standings,
    Verdicts,
    distinct_keys,
    holm_pairs,
    images_needed,
    paired,
    seeds_needed,
    standings,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Contest:
    """The paired test on a set of images.

    Attributes:
        name: what the images are.
        picked: whether they were chosen by looking at the verdicts on them; the test then proves nothing.
        images: how many.
        paired: the difference, first minus second, with its p-values.
        adjusted: Holm's p-value over all pairs.
    """

    name: str
    picked: bool
    images: int
    paired: Paired
    adjusted: float

    @property
    def discordant(self) -> float:
        """Share of the images on which the two differ, mean over seeds."""
        return float((self.paired.first_only + self.paired.second_only).mean()) / self.images

    @property
    def effect(self) -> float:
        """Cohen's g: the first's share of the discordant images, minus one half; NaN if there are none."""
        first, both = self.paired.first_only.sum(), (self.paired.first_only + self.paired.second_only).sum()
        return float(first / both) - 0.5 if both else math.nan

    def images_for(self, difference: float, *, tests: int = 1) -> int | None:
        """Images that two checkpoints with so many discordant ones need, power 80 %; None if out of reach."""
        return images_needed(difference, discordant=max(difference, self.discordant), alpha=0.05 / tests)

    def seeds_for(self, difference: float, *, images: int, tests: int = 1) -> int | None:
        """Seeds of each method on that many such images, power 80 %; None if no number is enough."""
        return seeds_needed(
            difference,
            shared=self.paired.shared,
            luck=self.paired.luck,
            images=images,
            seed_deviation=self.paired.seed_deviation,
            alpha=0.05 / tests,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadToHead:
    """Two rows.

    Attributes:
        first: one of them.
        second: the other.
        rows: among whom Holm corrects and places are given: all ranked rows, or these two if one of them is not.
        standings: of those rows, by key; a key that is another one on so few classes is left out.
        alone: of these two, by key, for those who wanted to know of no other pair beforehand.
        contests: on all images first.
    """

    first: Row
    second: Row
    rows: tuple[Row, ...]
    standings: Mapping[str, Standings]
    alone: Mapping[str, Standings]
    contests: tuple[Contest, ...]

    @property
    def pairs(self) -> int:
        """Pairs that Holm corrects for."""
        return math.comb(len(self.rows), 2)

    @property
    def places(self) -> tuple[int, int]:
        """Where the two stand in the rows and standings."""
        return self.rows.index(self.first), self.rows.index(self.second)

    def decisions(self, standings: Mapping[str, Standings]) -> dict[str, int]:
        """By key, 1 if the first is better beyond doubt, -1 if the second is, 0 for a tie."""
        i, j = (0, 1) if standings is self.alone else self.places
        return {key: int(found.better[i, j]) - int(found.better[j, i]) for key, found in standings.items()}


def head_to_head(board: Board, first: Row, second: Row) -> HeadToHead:
    """Compare two complete rows, which may have been trained elsewhere."""
    everybody = first in board.ranked and second in board.ranked
    rows = board.ranked if everybody else (first, second)
    judged = verdicts_of(rows, board.attack)
    pair_alone = standings(verdicts_of((first, second), board.attack), seed=board.bootstrap_seed, draws=board.draws)
    keys = distinct_keys(sum(count > 0 for count in board.counts))
    alone = {key: pair_alone[key] for key in keys}
    pair = rows.index(first), rows.index(second)
    return HeadToHead(
        first=first,
        second=second,
        rows=rows,
        standings={key: board.standings[key] for key in keys} if everybody else alone,
        alone=alone,
        contests=tuple(
            _contest(judged, images, pair, name=name, picked=picked)
            for name, picked, images in _image_sets(board, first, second, judged)
        ),
    )


def reference_class(board: Board) -> int | None:
    """The class that is worst on the validation split, of the baseline or, without it, of all ranked rows.

    None if the results do not hold the validation accuracies of the selected epochs.
    """
    rows = (board.baseline,) if board.baseline else board.ranked
    found = [one for row in rows for result in row.results if (one := result.validation.selected) is not None]
    return worst_class(np.mean(found, axis=0)) if found else None


def _image_sets(
    board: Board, first: Row, second: Row, judged: Verdicts
) -> Iterator[tuple[str, bool, npt.NDArray[np.bool_]]]:
    """Name, whether it was picked, and which images."""
    yield f"all {len(judged.labels):,} images", False, np.ones(len(judged.labels), dtype=bool)
    chosen = reference_class(board)
    if chosen is not None and board.counts[chosen]:
        owner = board.baseline.label if board.baseline else "all rows"
        yield f"class {board.class_names[chosen]}: worst of {owner} on validation data", False, judged.labels == chosen
    worst_of: dict[int, list[str]] = {}
    for row in (first, second):
        worst_of.setdefault(_usual_worst(row, board), []).append(row.label)
    for k, labels in worst_of.items():
        if k != chosen:
            name = f"class {board.class_names[k]}: worst of {' and '.join(labels)} on these images"
            yield name, True, judged.labels == k


def _usual_worst(row: Row, board: Board) -> int:
    """The class that is the worst in most seeds."""
    return Counter(worst_class(result.accuracies[board.attack].values) for result in row.finished).most_common(1)[0][0]


def _contest(
    judged: Verdicts, images: npt.NDArray[np.bool_], pair: tuple[int, int], *, name: str, picked: bool
) -> Contest:
    correct = [runs[:, images] for runs in judged.correct.values()]
    p_values = np.ones((len(correct), len(correct)))
    for i, j in combinations(range(len(correct)), 2):
        p_values[i, j] = p_values[j, i] = paired(correct[i], correct[j]).p_value
    first, second = (correct[i] for i in pair)
    return Contest(
        name=name,
        picked=picked,
        images=int(images.sum()),
        paired=paired(first, second),
        adjusted=float(holm_pairs(p_values)[pair]),
    )
