"""Sentences that only the site has, generated from the values of a board and never written by hand."""

import shlex

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.metrics import wilson
from fairbench.report.phrases import plural

FEW = 200
"""Test images of a class below which the minimum over classes is mostly noise."""


def precision_sentence(board: Board) -> str:
    """How well a test set of this size knows one class."""
    smallest = smallest_class(board)
    if not smallest:
        return ""
    low, high = wilson(smallest // 2, smallest - smallest % 2)
    sentence = (
        f"The smallest class has {plural(smallest, 'test image')}: one seed knows a class accuracy of 50 % to "
        f"±{50 * (high - low):.0f} points (95 %, Wilson). Smaller differences are no evidence."
    )
    if not few_images(board):
        return sentence
    return f"{sentence} With so few images the mean of the worst classes says more than the single worst one."


def smallest_class(board: Board) -> int:
    """Its test images, of the classes that have any; 0 if none has."""
    return min((count for count in board.counts if count), default=0)


def few_images(board: Board) -> bool:
    """Whether the single worst class is mostly noise, so that the mean of the worst classes stands out beside it."""
    return 0 < smallest_class(board) < FEW


def statistics_sentence(board: Board) -> str:
    """How the intervals of a ranking come about, and how to make them again."""
    return (
        "Intervals are 95 % for a row by itself, over images and seeds, by a bootstrap within classes "
        f"({board.draws:,} draws, seed {board.bootstrap_seed}) and Student’s t; those of the worst classes reach "
        "further up, because an observed minimum lies below the true one. A row may have any rank of its span, for all "
        "rows together at 95 %, key by key; rows of one group cannot be told from the best of it."
    )


def best_sentence(board: Board) -> str:
    """What a share of resamples won is, and what it is not."""
    return (
        f"“Best” is the share of {board.draws:,} resamples of seeds and images that the row wins, a tie shared: the "
        "bootstrap’s probability of being best. It describes these results and proves no order, because every resample "
        "starts from the order that was observed, and a bootstrap of a minimum is biased."
    )


def promotions(row: Row) -> list[str]:
    """Why runs were judged in a higher tier than their protocol asks for, seed by seed."""
    return [
        f"seed {result.provenance.seed} was promoted to {result.tier}: {result.provenance.promotion}"
        for result in row.results
        if result.provenance.promotion
    ]


def weakest_audit(row: Row) -> tuple[int, Audit] | None:
    """Seed and audit that leave most open; None without audits."""
    return max(row.audits.items(), key=lambda item: item[1].missed_at_most_in_all, default=None)


def fill_command(board: Board) -> str:
    """What computes the missing runs of a board."""
    engine = " --engine reference" if board.protocol["evaluation"].get("engine") == "reference" else ""
    return f"fairbench run-all --suite {shlex.quote(board.suite)} --tier {board.tier}{engine}"
