"""Which board is meant, as `compare` and `export` share it."""

from dataclasses import dataclass
from pathlib import Path

from fairbench.commands.options.option import RESULTS, option


@dataclass(frozen=True, kw_only=True)
class NamedBoard:
    """What the user says about it.

    Attributes:
        suite: of the board; "" for any.
        board: its name, as in its link on the page; "" for any.
        results: outcomes.
    """

    suite: str = option("--suite", "Of the board; needed if several fit.", default="", metavar="NAME")
    board: str = option("--board", "As in its link on the page, if still several do.", default="", metavar="NAME")
    results: Path = option("--results", "Outcomes, one parquet file per run.", default=Path("results"), kind=RESULTS)
