"""`fairbench export`: a board as text, for a paper or a spreadsheet."""

import sys
from pathlib import Path

from fairbench.commands.boards import choose, read_boards
from fairbench.report.paper import FORMATS


def export(results: Path, *, form: str, suite: str, board: str) -> int:
    """Print the board. Returns the exit code: not 0 if a file could not be used."""
    boards = read_boards(results)
    # A lone surrogate in a result cannot be encoded, and must not take the table down.
    text = FORMATS[form](choose(boards.boards, suite=suite, name=board)).encode("utf-8", errors="replace").decode()
    sys.stdout.write(text)
    return 1 if boards.problems else 0
