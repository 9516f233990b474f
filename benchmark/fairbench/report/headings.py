"""What a board is called: boards of one suite are told apart wherever several stand on one page.

headings(boards)        # ["Digits, quick", "Digits, quick · tier fast", ...]
anchor(boards[1])       # "board-digits-fast-1c0f62e9": a link to it survives other boards
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairbench.boards.board import Board
from fairbench.report.phrases import ball, settings


def heading(board: Board) -> str:
    """Title, and how the rows were judged where that is not the rule."""
    evaluation = board.protocol["evaluation"]
    title = board.title or board.suite
    if not board.trains:
        title = f"Models trained elsewhere on {board.suite}, {ball(board)}"
    remarks = [f"tier {board.tier}"] if board.tier != "full" else []
    remarks += ["AutoAttack by pyautoattack"] if evaluation.get("engine") == "reference" else []
    remarks += ["searched in bf16"] if evaluation.get("search") == "bf16" else []
    return " · ".join([title, *remarks])


def headings(boards: Sequence[Board]) -> list[str]:
    """One for every board, no two alike: those that would be say in what their protocols differ."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for board in boards:
        alike.setdefault(heading(board), []).append(_identity(board))
    told = []
    for board in boards:
        own, group = _identity(board), alike[heading(board)]
        differing = {
            name: value for name, value in own.items() if any(name not in x or x[name] != value for x in group)
        }
        told.append(" · ".join([heading(board), *settings(differing)]))
    return told


def anchor(board: Board) -> str:
    """Where the board stands on its page; depends on no other board."""
    readable = re.sub(r"[^a-z0-9.]+", "-", board.suite.lower()).strip("-")
    return f"board-{readable}-{board.tier}-{board.key}"


def _identity(board: Board) -> dict[str, Any]:
    images = {"images": board.images[:8]} if board.images else {}
    return {"suite": board.suite, **images, **dict(_leaves(board.protocol))}


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`threat.epsilon` and the like, with what they are."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
