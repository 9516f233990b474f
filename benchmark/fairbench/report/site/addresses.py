"""Where boards and rows stand: file names that every file system takes, whatever suites and rows are called.

method_address(board, row)      # "methods/board-digits-full-1c0f62e9/trades.html"
suite_pages(boards)             # {"digits": "index.html"}, or {"digits": "suites/digits.html", "mnist": ...}
"""

import re
from collections.abc import Sequence

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.identity import content_key
from fairbench.report.headings import anchor

PAGE = "index.html"
"""The first page: the boards themselves if all are of one suite, or a list of them."""

SUITES = "suites"
"""Folder of the pages of suites, where there are several."""

LONGEST = 60
"""Characters of a name that are kept."""


def suite_pages(boards: Sequence[Board]) -> dict[str, str]:
    """By suite, the page of its boards, relative to the site; no two suites share one, unless there is only one."""
    suites = dict.fromkeys(board.suite for board in boards)
    if len(suites) < 2:
        return dict.fromkeys(suites, PAGE)
    return {suite: f"{SUITES}/{_suite_name(suite)}.html" for suite in suites}


def _suite_name(suite: str) -> str:
    name = _plain(suite)
    return name if name == suite else f"{name}-{content_key({'suite': suite})[:8]}".strip("-")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[:LONGEST]


def method_address(board: Board, row: Row) -> str:
    """Relative to the site; no two rows of a board share one."""
    name = _plain(row.label)
    if name != row.label or sum(other.label == row.label for other in board.rows) > 1:
        description = {name: value for name, value in row.provenance.description.items() if name != "seed"}
        key = content_key({"label": row.label, "role": row.provenance.role, "description": description})
        name = f"{name}-{key[:8]}".strip("-")
    return f"methods/{anchor(board)}/{name}.html"
