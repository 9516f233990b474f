"""A board as a Markdown table. Whatever comes from results is escaped: no markup, no HTML, no further column."""

import re
from collections.abc import Sequence

from fairbench.board import Board
from fairbench.export.paper_table import Cell, paper_table

ACTIVE = re.compile(r"([\\`*_{}\[\]<>#|&~$@]|:(?=//)|^[-+])")
"""What some dialect gives a meaning inside a line, or at its beginning."""


def to_markdown(board: Board) -> str:
    """The table, then its caption."""
    table = paper_table(board)
    lines = [
        _row([Cell(text=name) for name in table.headings]),
        "| --- | --- |" + " ---: |" * (len(table.headings) - 2),
    ]
    lines += [_row(line.cells) for block in table.blocks for line in block]
    return "\n".join([*lines, "", escape(table.caption)]) + "\n"


def escape(text: str) -> str:
    """Text that Markdown prints as it stands, on one line."""
    return ACTIVE.sub(r"\\\1", " ".join(text.split()))


def _row(cells: Sequence[Cell]) -> str:
    return f"| {' | '.join(f'**{escape(cell.text)}**' if cell.best else escape(cell.text) for cell in cells)} |"
