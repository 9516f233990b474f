"""Numbers from the literature, published or measured again by others, each with its source.

    for row in read_published(Path("results/published.csv")):
        row.method, row.dataset, row.autoattack.worst, row.source

They stand beside a board and never on it: protocols, architectures and the choice of the checkpoint differ from ours
and from one another, and most are single runs.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fairbench.errors import UserError, first_line

FILE = "published.csv"
"""Below a results folder."""

EVIDENCE = {
    "paper": "by the authors",
    "third-party": "measured again by others",
    "code-log": "log of the official code",
}
"""What a number rests on, by its word in the file."""

TEXTS = ("method", "base", "dataset", "architecture", "epsilon", "checkpoint")
NUMBERS = ("clean_avg", "clean_worst", "pgd20_avg", "pgd20_worst", "aa_avg", "aa_worst")
COLUMNS = (*TEXTS, *NUMBERS, "std_note", "source", "evidence")
"""Of the file, in order; accuracies in percent, empty where a source has none."""

_REQUIRED = ("method", "dataset", "source")


class Reported(NamedTuple):
    """Accuracies under one attack, in [0, 1]; NaN where the source has none."""

    average: float
    worst: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One line of the file.

    Attributes:
        method: registered name, where we have the method.
        base: variant, as the source calls it.
        dataset: name.
        architecture: of the model.
        epsilon: radius as written; "" if unstated.
        checkpoint: how the checkpoint was chosen.
        clean: without an attack.
        pgd20: under PGD-20.
        autoattack: under AutoAttack.
        note: on deviations and settings.
        source: publication or log.
        evidence: one of `EVIDENCE`.
    """

    method: str
    base: str
    dataset: str
    architecture: str
    epsilon: str
    checkpoint: str
    clean: Reported
    pgd20: Reported
    autoattack: Reported
    note: str
    source: str
    evidence: str


def read_published(path: Path) -> tuple[Published, ...]:
    """Read and check the file, in its order; nothing if there is none.

    Raises:
        UserError: naming the file, the line, what is wrong and what is allowed.
    """
    if not path.is_file():
        return ()
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise UserError(f"{path} needs the columns {', '.join(COLUMNS)}; found: {', '.join(header) or 'none'}.")
            return tuple(_published(cells, origin=f"{path}, line {reader.line_num}") for cells in reader if cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a readable CSV file ({first_line(error)}); repair or remove it.") from error


def _published(cells: list[str], *, origin: str) -> Published:
    if len(cells) != len(COLUMNS):
        raise UserError(f"{origin} has {len(cells)} cells instead of {len(COLUMNS)}; quote texts that contain commas.")
    texts = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
    if empty := [name for name in _REQUIRED if not texts[name]]:
        raise UserError(f"{origin} says nothing under {', '.join(empty)}; every number needs it.")
    if texts["evidence"] not in EVIDENCE:
        raise UserError(f"{origin} has evidence {texts['evidence']!r}; allowed: {', '.join(EVIDENCE)}.")
    clean, pgd20, autoattack = (_reported(texts, attack, origin=origin) for attack in ("clean", "pgd20", "aa"))
    return Published(
        **{name: texts[name] for name in TEXTS},
        clean=clean,
        pgd20=pgd20,
        autoattack=autoattack,
        note=texts["std_note"],
        source=texts["source"],
        evidence=texts["evidence"],
    )


def _reported(texts: dict[str, str], attack: str, *, origin: str) -> Reported:
    average, worst = (_share(texts, f"{attack}_{name}", origin=origin) for name in ("avg", "worst"))
    if worst > average:
        raise UserError(f"{origin} has a worst class above the average under {attack}.")
    return Reported(average, worst)


def _share(texts: dict[str, str], column: str, *, origin: str) -> float:
    if not texts[column]:
        return math.nan
    try:
        percent = float(texts[column])
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise UserError(f"{origin} has {column} = {texts[column]!r}; allowed: a percentage from 0 to 100, or nothing.")
    return percent / 100
