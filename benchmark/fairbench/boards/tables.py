"""Boards as tables for analysis: one line per run, class and attack; or one per method, with what is certain about it.

    runs_table(boards)          # suite, label, seed, class, attack, images, correct, accuracy, ...
    methods_table(boards)       # suite, label, rank, worst, worst_low, worst_high, worst_first_place, ...

Accuracies are shares in [0, 1]. A line of the first holds counts, so that everything else can be computed from it; a
number that does not exist is missing, and never 0.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.statistics import KEYS

Line = dict[str, Any]

OF_A_BOARD = ("suite", "board", "protocol", "tier")
OF_A_ROW = (*OF_A_BOARD, "kind", "label", "method", "title")

RUN_COLUMNS = (*OF_A_ROW, "seed", "verified", "class", "attack", "images", "correct", "accuracy")
METHOD_COLUMNS = (
    *(*OF_A_ROW, "rank", "reason", "seeds", "verified_seeds", "cost"),
    *(
        f"{key}{ending}"
        for key in KEYS
        for ending in ("", "_low", "_high", "_first_place", "_last_place", "_group", "_against_baseline")
    ),
)
_WHOLE = {"rank": "Int64", "seeds": "int64", "verified_seeds": "int64"} | {
    f"{key}{ending}": "Int64"
    for key in KEYS
    for ending in ("_first_place", "_last_place", "_group", "_against_baseline")
}


def runs_table(boards: Iterable[Board]) -> pd.DataFrame:
    """One line per finished run, class with test images, and attack, in the order of the boards.

    A teacher, or a model that was trained elsewhere, stands on every board on which it is shown.
    """
    lines = (line for board in boards for row, kind in _rows(board) for line in _run_lines(board, row, kind))
    return pd.DataFrame(lines, columns=list(RUN_COLUMNS)).astype(
        {"seed": "int64", "images": "int64", "correct": "int64"}
    )


def methods_table(boards: Iterable[Board]) -> pd.DataFrame:
    """One line per row of every board: what ranks it, with intervals, places and groups by every key.

    `<key>_against_baseline` is 1 if the row is better than the suite's baseline, -1 if it is worse, 0 if that is not
    known. Rows without a rank have no such columns, and incomplete ones no numbers.
    """
    lines = (_method_line(board, row, kind) for board in boards for row, kind in _rows(board))
    return pd.DataFrame(lines, columns=list(METHOD_COLUMNS)).astype(_WHOLE)


def _rows(board: Board) -> Iterator[tuple[Row, str]]:
    """Every row with its kind."""
    kinds = {
        "ranked": board.ranked,
        "incomplete": board.unranked,
        "teacher": board.teachers,
        "external": board.external,
    }
    return ((row, kind) for kind, rows in kinds.items() for row in rows)


def _of_row(board: Board, row: Row, kind: str) -> Line:
    title = row.provenance.card.get("title")
    return {
        "suite": board.suite,
        "board": board.key,
        "protocol": str(board.protocol["protocol"]),
        "tier": board.tier,
        "kind": kind,
        "label": row.label,
        "method": row.provenance.method,
        "title": title if isinstance(title, str) and title else row.label,
    }


def _run_lines(board: Board, row: Row, kind: str) -> Iterator[Line]:
    shared = _of_row(board, row, kind)
    for result in row.finished:
        for attack, found in result.accuracies.items():
            for name, images, correct in zip(board.class_names, found.counts, found.correct, strict=True):
                if images:
                    yield shared | {
                        "seed": result.provenance.seed,
                        "verified": result.verified,
                        "class": name,
                        "attack": attack,
                        "images": int(images),
                        "correct": int(correct),
                        "accuracy": int(correct) / int(images),
                    }


def _method_line(board: Board, row: Row, kind: str) -> Line:
    line = _of_row(board, row, kind) | {
        "reason": row.reason,
        "seeds": len(row.finished),
        "verified_seeds": sum(result.verified for result in row.finished),
    }
    if kind == "incomplete" or not row.finished:
        return line
    line |= {"cost": row.cost} | {key: float(row.exact(board.attack, key)) for key in KEYS}
    return line | (_standing(board, board.ranked.index(row)) if kind == "ranked" else {})


def _standing(board: Board, number: int) -> Line:
    line: Line = {"rank": number + 1}
    for key, found in board.standings.items():
        low, high = found.intervals[number].tolist()
        first, last = found.ranks[number].tolist()
        line |= {f"{key}_low": low, f"{key}_high": high, f"{key}_first_place": first, f"{key}_last_place": last}
        line[f"{key}_group"] = next(place for place, group in enumerate(found.groups, start=1) if number in group)
        if found.against is not None:
            line[f"{key}_against_baseline"] = int(found.against.decisions[number])
    return line
