"""A board as a Markdown table. Whatever comes from results is escaped: no markup, no HTML, no further column."""

import re
from collections.abc import Sequence

from fairbench.boards.board import Board
from fairbench.report.paper.paper_table import PaperCell, paper_table

ACTIVE = re.compile(r"([\\`*_{}\[\]<>#|&~$@]|:(?=//)|^[-+])")
"""What some dialect gives a meaning inside a line, or at its beginning."""


def to_markdown(board: Board, *, top: int | None = None) -> str:
    """The table, then its caption."""
    table = paper_table(board, top=top)
    lines = [
        _row([PaperCell(text=name) for name in table.headings]),
        "| --- | --- |" + " ---: |" * (len(table.headings) - 2),
    ]
    lines += [_row(line.cells) for block in table.blocks for line in block]
    return "\n".join([*lines, "", escape(table.caption)]) + "\n"


def escape(text: str) -> str:
    """Text that Markdown prints as it stands, on one line."""
    return ACTIVE.sub(r"\\\1", " ".join(text.split()))


def _row(cells: Sequence[PaperCell]) -> str:
    return f"| {' | '.join(f'**{escape(cell.text)}**' if cell.best else escape(cell.text) for cell in cells)} |"
