"""Where messages go: colours and bars on a terminal, whole lines and wide tables elsewhere."""

from rich.console import Console

PLAIN_WIDTH = 120
"""Columns of a table that nobody's terminal limits."""


def console(*, stderr: bool = False) -> Console:
    """A console that never breaks a sentence; the terminal does."""
    made = Console(stderr=stderr, soft_wrap=True, highlight=False)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made
