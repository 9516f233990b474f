"""A results folder to boards: what `reading` reads, as `ranking` ranks it.

boards = build_boards(Path("results"))
boards.boards[0].ranked             # rows, best worst-class AutoAttack accuracy first
boards.problems                     # files that could not be used, each with its reason
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fairbench.boards.board import Boards
from fairbench.boards.ranking import rank
from fairbench.boards.reading import read_results
from fairbench.statistics.bootstrap import DRAWS


def build_boards(folder: Path, *, expected: Iterable[str] = (), draws: int = DRAWS) -> Boards:
    """Read every outcome file and receipt, and arrange the results into boards.

    Args:
        folder: of `<suite>/<label>/seed<k>.parquet`; it need not exist.
        expected: registered names of methods that a complete board has.
        draws: resamples behind the standings.
    """
    read = read_results(folder)
    ranked = rank(read.results, expected=expected, draws=draws)
    problems = sorted((*read.problems, *ranked.problems), key=lambda problem: problem.file)
    return replace(ranked, problems=tuple(problems))
