"""From what the user named (a results folder, a suite, a board) to one board."""

from collections.abc import Sequence
from pathlib import Path

from fairbench.boards.board import Board, Boards
from fairbench.boards.building import build_boards
from fairbench.errors import UserError, unknown
from fairbench.report.headings import anchor, headings
from fairbench.report.terminal.console import console


def read_boards(results: Path) -> Boards:
    """All boards; files that could not be used are named on the error stream.

    Raises:
        UserError: if there is no folder, or no result in it.
    """
    if not results.is_dir():
        raise UserError(f"There is no folder {results}; run `fairbench run-all` first, or name it with --results.")
    boards = build_boards(results)
    for problem in boards.problems:
        console(stderr=True).print(f"Left out: {problem.message}", markup=False)
    if not boards.boards:
        raise UserError(f"{results} holds no result that can be used; run `fairbench run-all` first.")
    return boards


def choose(boards: Sequence[Board], *, suite: str = "", name: str = "") -> Board:
    """The one board that fits.

    Args:
        boards: to choose from; at least one.
        suite: of the board; "" for any.
        name: anchor of the board, as on the page and in the error below; "" for any.

    Raises:
        UserError: if none fits or several do, naming them.
    """
    if suite and suite not in {board.suite for board in boards}:
        raise unknown("suite", suite, {board.suite for board in boards})
    if name and name not in map(anchor, boards):
        raise unknown("board", name, map(anchor, boards))
    fitting = [board for board in boards if suite in ("", board.suite) and name in ("", anchor(board))]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UserError(f"--suite {suite} and --board {name} contradict each other; give one of them.")
    titles = zip(fitting, headings(fitting), strict=True)
    listed = "\n".join(f"  --board {anchor(board)}   {title}" for board, title in titles)
    raise UserError(f"Several boards fit; choose one:\n{listed}")
