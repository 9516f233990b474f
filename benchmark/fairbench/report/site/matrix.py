"""What errors under attack turn into: the confusion matrix of a row, which classes attract them, how long they resist.

    found = matrix(row, "autoattack", class_names=board.class_names)
    found.lines[0].shares               # of the images of class 0: predicted as each class
    found.absorbed                      # CFPS: share of all errors that each class receives (BAT, AAAI 2023)

Counts are summed over the finished seeds. A matrix of many classes would be a wall of zeros; then its largest
entries are listed instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairbench.boards.row import Row
from fairbench.outcomes.metrics import Counts, Vector
from fairbench.protocol.attack_names import Attack
from fairbench.report.phrases import MANY_CLASSES
from fairbench.statistics import error_shares, spectral_norm

LARGEST = 20
"""Entries that are listed instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixLine:
    """A class: how its images are predicted, and how many iterates of PGD-20 they survive.

    Attributes:
        name: of the class.
        shares: predicted as each class, (classes,), sums to 1; NaN without test images.
        absorbed: share of all errors of the row that are predicted as this class; NaN without an error.
        survived: mean iterates of PGD-20 over images and seeds; NaN without test images.
    """

    name: str
    shares: Vector
    absorbed: float
    survived: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Confused:
    """An entry off the diagonal: images of class `name` that become `into`, and their share of the class."""

    name: str
    into: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """The confusion of a row.

    Attributes:
        lines: one for each class.
        full: whether the matrix is small enough to be shown.
        largest: entries off the diagonal, most images first.
        spectral: largest singular value of the off-diagonal shares.
    """

    lines: tuple[MatrixLine, ...]
    full: bool
    largest: tuple[Confused, ...]
    spectral: float


def matrix(row: Row, attack: Attack, *, class_names: Sequence[str]) -> Matrix:
    """Over the finished seeds, of which there must be one."""
    counts: Counts = np.sum([result.confusion(attack) for result in row.finished], axis=0)
    survived = np.mean([result.steps_survived for result in row.finished], axis=0)
    images = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, images, out=np.full(counts.shape, np.nan), where=images > 0)
    absorbed = error_shares(counts)
    lines = tuple(
        MatrixLine(name=name, shares=shares[k], absorbed=float(absorbed[k]), survived=float(survived[k]))
        for k, name in enumerate(class_names)
    )
    entries = [(int(counts[k, j]), k, j) for k, j in zip(*np.nonzero(counts), strict=True) if k != j]
    largest = tuple(
        Confused(name=class_names[k], into=class_names[j], count=count, share=float(shares[k, j]))
        for count, k, j in sorted(entries, key=lambda entry: (-entry[0], entry[1:]))[:LARGEST]
    )
    return Matrix(lines=lines, full=len(class_names) <= MANY_CLASSES, largest=largest, spectral=spectral_norm(counts))
