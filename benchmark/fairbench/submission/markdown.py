"""What a keeper reads on the page of a pull request: tables in Markdown, with every stranger's word as plain text."""

from collections.abc import Sequence

from fairbench.report.paper.markdown import escape
from fairbench.submission.movement import KEYS, Movement, Standing

LONGEST = 300
"""Characters of a stranger's text that are shown."""

_NAMES = {"clean": "clean", "pgd20": "PGD-20", "autoattack": "AutoAttack"}
_TITLES = {"worst": "worst class", "average": "average"}
_JOINER = "\N{WORD JOINER}"


def plain(text: object) -> str:
    """A stranger's text that mentions nobody, links to nothing and formats nothing, on one line."""
    said = " ".join(str(text).encode("utf-8", errors="replace").decode().split())
    said = "".join(sign for sign in said if sign.isprintable())
    short = said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
    return escape(short).replace("@", f"@{_JOINER}").replace("\\#", f"\\#{_JOINER}").replace("www.", f"www.{_JOINER}")


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table whose cells are Markdown already."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def moved_table(moved: Movement) -> str:
    """The board before and after: the added row, and every row that it moves."""
    if moved.external is not None:
        worst, average = moved.external
        return (
            f"{plain(moved.own)} was trained elsewhere: it stands beside the board of {plain(moved.suite)} without a "
            f"rank, with {100 * worst:.1f} % of its worst class and {100 * average:.1f} % on average under "
            f"{_NAMES[moved.attack]}."
        )
    shown = [line for line in moved.lines if line.moved or line.label == moved.own]
    headings = ["row", "rank", *(f"{_TITLES[key]}, %: {when}" for key in KEYS for when in ("before", "after"))]
    lines = []
    for line in shown:
        name = plain(line.label)
        cells = [_cell(found.get(key)) for key in KEYS for found in (line.before, line.after)]
        lines.append([f"**{name}**" if line.label == moved.own else name, _ranks(*line.rank), *cells])
    rest = len(moved.lines) - len(shown)
    said = f"\n\nThe other {rest} ranked rows stay where they are." if rest else ""
    return (
        f"Board {plain(moved.suite)}, under {_NAMES[moved.attack]}; value, interval (95 %), places that it may have, "
        f"group.\n\n{table(headings, lines)}{said}"
    )


def _cell(found: Standing | None) -> str:
    if found is None:
        return "–"
    places = f"{found.first}" if found.first == found.last else f"{found.first}–{found.last}"
    interval = f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"
    return f"{100 * found.value:.1f} {interval}, places {places}, group {found.group}"


def _ranks(before: int | None, after: int | None) -> str:
    if before == after:
        return str(after)
    return f"{before or 'new'} → {after or 'none'}"
