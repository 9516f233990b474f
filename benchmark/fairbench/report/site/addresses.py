"""Where the page of a row stands: a file name that every file system takes, whatever the row is called.

method_address(board, row)      # "methods/board-digits-full-1c0f62e9/trades.html"
"""

import re

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.identity import content_key
from fairbench.report.headings import anchor

LONGEST = 60
"""Characters of a name that are kept."""


def method_address(board: Board, row: Row) -> str:
    """Relative to the site; no two rows of a board share one."""
    name = re.sub(r"[^a-z0-9._-]+", "-", row.label.lower()).strip("-.")[:LONGEST]
    if name != row.label or sum(other.label == row.label for other in board.rows) > 1:
        description = {name: value for name, value in row.provenance.description.items() if name != "seed"}
        key = content_key({"label": row.label, "role": row.provenance.role, "description": description})
        name = f"{name}-{key[:8]}".strip("-")
    return f"methods/{anchor(board)}/{name}.html"
