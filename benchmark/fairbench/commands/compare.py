"""`fairbench compare`: two rows of a board on the same images."""

from fairbench.boards.board import Board
from fairbench.boards.head_to_head import head_to_head
from fairbench.boards.row import Row
from fairbench.commands.boards import choose, read_boards
from fairbench.commands.options.named_board import NamedBoard
from fairbench.errors import UserError, unknown
from fairbench.report.terminal.console import console
from fairbench.report.terminal.duel import duel


def compare(first: str, second: str, named: NamedBoard) -> int:
    """Print the comparison. Returns the exit code: not 0 if a file could not be used.

    Raises:
        UserError: if a label does not exist, is not complete, or no one board or several have both.
    """
    if first == second:
        raise UserError(f"{first!r} is compared with itself; name two rows.")
    found = read_boards(named.results)
    boards = [one for one in found.boards if named.suite in ("", one.suite)] or list(found.boards)
    with_both = [one for one in boards if {first, second} <= {row.label for row in one.rows}]
    for label in (first, second):
        labels = {row.label for one in boards for row in one.rows}
        if label not in labels:
            raise unknown("row", label, labels)
    if not with_both:
        raise UserError(f"No board has both {first!r} and {second!r}; rows of different boards are never compared.")
    chosen = choose(with_both, suite=named.suite, name=named.board)
    console().print(duel(chosen, head_to_head(chosen, _row(chosen, first), _row(chosen, second))))
    return 1 if found.problems else 0


def _row(board: Board, label: str) -> Row:
    """The complete row of that label."""
    rows = [row for row in board.rows if row.label == label]
    complete = [row for row in rows if row in board.ranked or row in board.external]
    if len(complete) == 1:
        return complete[0]
    if complete:
        raise UserError(f"Several rows are called {label!r}, with other hyper-parameters each; remove all but one.")
    teaches = rows[0] in board.teachers
    reason = "it teaches others and competes with nobody" if teaches else rows[0].reason
    raise UserError(f"{label!r} cannot be compared: {reason}.")
