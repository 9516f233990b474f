"""A board: rows that may be compared, each a method over seeds, and how sure their order is.

    board.standings["worst"].ranks[0]       # first and last place that board.ranked[0] may have
    board.standings["average"].groups       # rows that the data cannot tell apart

These are values alone; `fairbench.boards.building` builds them from outcome files, `fairbench.report` shows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fairbench.boards.row import Row
from fairbench.identity import content_key
from fairbench.protocol.attack_names import Attack, strongest
from fairbench.statistics.standings import Standings


@dataclass(frozen=True, kw_only=True, eq=False)
class Board:
    """Comparable rows.

    Attributes:
        suite: name of the suite; of the dataset if all rows were trained elsewhere.
        title: one line for people; "" if there is none.
        baseline_name: the method with which the suite compares every other one.
        protocol: what all rows share, as plain values; see `fairbench.outcomes.comparability`.
        images: digest of what all rows were tested on; "" if nothing finished.
        class_names: by label.
        counts: test images per class.
        ranked: complete rows, best first.
        standings: of the ranked rows, in their order, by every key of `fairbench.statistics.KEYS`; empty without any.
        bootstrap_seed: behind the standings.
        draws: resamples behind the standings.
        unranked: rows that lack seeds, with their reason.
        teachers: rows of the teacher architecture; they serve others and compete with nobody.
        external: rows of models that were trained elsewhere, best first; judged alike, and ranked nowhere.
        promoted: labels that have no row here because a higher tier took every run.
        missing: expected methods without a single file.
    """

    suite: str
    title: str
    baseline_name: str
    protocol: Mapping[str, Any]
    images: str
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    ranked: tuple[Row, ...]
    standings: Mapping[str, Standings]
    bootstrap_seed: int
    draws: int
    unranked: tuple[Row, ...]
    teachers: tuple[Row, ...]
    external: tuple[Row, ...]
    promoted: tuple[str, ...]
    missing: tuple[str, ...]

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All of them, in the order in which they are shown."""
        return (*self.ranked, *self.unranked, *self.teachers, *self.external)

    @cached_property
    def key(self) -> str:
        """Eight hexadecimal digits of what all rows share; no two boards of a site have the same."""
        return content_key({"suite": self.suite, "protocol": self.protocol, "images": self.images})[:8]

    @property
    def tier(self) -> str:
        """The one of all rows."""
        return str(self.protocol["evaluation"]["tier"])

    @property
    def trains(self) -> bool:
        """Whether its rows were trained under one protocol; not if all come from elsewhere."""
        return "model" in self.protocol

    @property
    def attack(self) -> Attack:
        """The one that ranks."""
        return strongest(self.tier)

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """What the rows were judged by, weakest first."""
        return ("clean", "pgd20", "autoattack") if self.attack == "autoattack" else ("clean", "pgd20")

    @cached_property
    def tries(self) -> bool:
        """Whether anything was tried beside on any row, in the ball of the threat."""
        return any(row.further for row in self.rows)

    @cached_property
    def baseline(self) -> Row | None:
        """The row of the suite's baseline with its default hyper-parameters; None if it is not ranked."""
        return next((row for row in self.ranked if row.label == self.baseline_name), None)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file that could not be used, and why."""

    file: str
    message: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Boards:
    """Everything below a results folder."""

    boards: tuple[Board, ...]
    problems: tuple[Problem, ...]
