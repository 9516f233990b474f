"""A board for a paper or a spreadsheet: the same rows, order and intervals as on the page, as text.

to_latex(board)         # a table for booktabs
FORMATS["csv"](board, top=10)
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from fairbench.boards.board import Board
from fairbench.report.paper.bibtex import to_bibtex as to_bibtex
from fairbench.report.paper.latex import to_latex as to_latex
from fairbench.report.paper.markdown import to_markdown as to_markdown
from fairbench.report.paper.raw_numbers import to_csv as to_csv


class Format(Protocol):
    """Writes a board as text."""

    def __call__(self, board: Board, *, top: int | None = None) -> str:
        """With `top`, the first ranked rows and no others, as they stand among all of them."""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {"csv": to_csv, "latex": to_latex, "markdown": to_markdown, "bibtex": to_bibtex}
)
"""By name, what `fairbench export` offers."""
