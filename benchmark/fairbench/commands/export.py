"""`fairbench export`: a board as text, for a paper or a spreadsheet."""

import sys

from fairbench.commands.boards import choose, read_boards
from fairbench.commands.options.named_board import NamedBoard
from fairbench.report.paper import FORMATS


def export(named: NamedBoard, *, form: str, top: int | None = None) -> int:
    """Print the board. Returns the exit code: not 0 if a file could not be used."""
    boards = read_boards(named.results)
    # A lone surrogate in a result cannot be encoded, and must not take the table down.
    text = FORMATS[form](choose(boards.boards, suite=named.suite, name=named.board), top=top)
    sys.stdout.write(text.encode("utf-8", errors="replace").decode())
    return 1 if boards.problems else 0
