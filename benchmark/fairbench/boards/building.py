"""A results folder to boards: what `reading` reads, as `ranking` ranks it.

boards = build_boards(Path("results"))
boards.boards[0].ranked             # rows, best worst-class AutoAttack accuracy first
boards.problems                     # files that could not be used, each with its reason
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fairbench.boards.board import Boards
from fairbench.boards.ranking import Ranker
from fairbench.boards.reading import Reader
from fairbench.statistics.bootstrap import DRAWS


def build_boards(folder: Path, *, suite: str = "", expected: Iterable[str] = (), draws: int = DRAWS) -> Boards:
    """Read every outcome file and receipt, and arrange the results into boards.

    Args:
        folder: of `<suite>/<label>/seed<k>.parquet`; it need not exist.
        suite: whose boards are wanted; "" for all. Reading them alone is quicker, and they are the same.
        expected: registered names of methods that a complete board has.
        draws: resamples behind the standings.
    """
    return boards_of(Reader(folder, suite=suite), Ranker(expected=expected, draws=draws))


def boards_of(reader: Reader, ranker: Ranker) -> Boards:
    """The same from a reader and a ranker, which remember what has not changed."""
    read = reader.read()
    ranked = ranker.rank(read.results)
    problems = sorted((*read.problems, *ranked.problems), key=lambda problem: problem.file)
    return replace(ranked, problems=tuple(problems))
