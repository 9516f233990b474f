"""The literature behind a board: one BibTeX entry for every paper, in the order of the rows.

Cards come from result files, which are not trusted, and LaTeX runs what it is given: what is not exactly one entry, or
holds other commands than those of names and titles, is left out.
"""

import re
from typing import NamedTuple

from fairbench.boards.board import Board
from fairbench.boards.row import Row

START = re.compile(r"@(?P<kind>[a-zA-Z]+)\s*\{\s*(?P<key>[A-Za-z0-9:_./+-]+)\s*,")
NO_ENTRY = ("comment", "preamble", "string")

COMMANDS = frozenset(
    "aa AA ae AE c d emph H i j k l L o O oe OE r ss t textbf textit textsc texttt u url v".split()  # noqa: SIM905
)
"""Letters, accents and emphasis."""


class Entry(NamedTuple):
    """One work."""

    key: str
    text: str


def entry_of(row: Row) -> Entry | None:
    """The entry of a row's method; None if its card has none that can be used."""
    text = str(row.provenance.card.get("bibtex", "")).strip()
    found = START.match(text)
    if not found or found["kind"].lower() in NO_ENTRY or not (_closes_at_its_end(text) and _harmless(text)):
        return None
    return Entry(found["key"], text)


def to_bibtex(board: Board, *, top: int | None = None) -> str:
    """Every entry once; where two rows give one key to different works, the first has it."""
    entries: dict[str, str] = {}
    for row in board.rows if top is None else board.ranked[:top]:
        if entry := entry_of(row):
            entries.setdefault(entry.key, entry.text)
    return "\n".join(f"{text}\n" for text in entries.values())


def _closes_at_its_end(text: str) -> bool:
    """Whether the first brace that opens is closed by the last character, and not before."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if sign == "}" and depth <= 0:
            return depth == 0 and place == len(text) - 1
    return False


def _harmless(text: str) -> bool:
    """Whether LaTeX does nothing but set it; `^^5c` is a backslash in disguise."""
    return "^^" not in text and set(re.findall(r"\\([A-Za-z@]+)", text)) <= COMMANDS
