"""How `review` looks at a bundle."""

from dataclasses import dataclass
from pathlib import Path

import click

from fairbench.commands.options.option import FOLDER, NEW_FILE, option


@dataclass(frozen=True, kw_only=True)
class Reviewing:
    """What the keeper of a board decides.

    Attributes:
        results: outcomes that are on the board already.
        limit: images of every seed that count as robust, to be attacked again; a quarter as many others follow.
        seed: which images; None for a draw that nobody can foresee.
        tolerance: verdicts that speak for the submission and are not confirmed, put down to round-off.
        run_code: run the code that the submission brings.
        suite: file of a suite that does not ship; "" for the one that the submission names.
        dataset: the `.npz` file, if the dataset is one; else "".
        data_dir: downloads of datasets and zoo models.
        batch_size: images attacked together.
        comment: file for the comment on the pull request; None prints it.
        record: write receipts beside the outcomes, if the submission is accepted.
    """

    results: Path = option("--results", "Outcomes of the board as it is.", default=Path("results"), kind=FOLDER)
    limit: int = option(
        "--limit",
        "Images that count as robust, of every seed; a quarter as many others follow.",
        default=100,
        kind=click.IntRange(min=1),
        metavar="N",
    )
    seed: int | None = option(
        "--seed",
        "Which images; default: drawn anew every time.",
        default=None,
        kind=click.IntRange(0, 2**31 - 1),
        metavar="N",
    )
    tolerance: int = option(
        "--tolerance",
        "Verdicts too good that are put down to round-off.",
        default=0,
        kind=click.IntRange(min=0),
        metavar="N",
    )
    run_code: bool = option("--run-code", "Run the submission's code. Only where it can do no harm.", default=False)
    suite: str = option("--suite", "The suite's file, if it does not ship.", default="", metavar="FILE.toml")
    dataset: str = option("--dataset", "The file, if the dataset is one.", default="", metavar="FILE.npz")
    data_dir: Path = option("--data-dir", "Downloaded datasets and models.", default=Path("data"), kind=FOLDER)
    batch_size: int = option("--batch-size", "Images at a time.", default=500, kind=click.IntRange(min=1), metavar="N")
    comment: Path | None = option(
        "--comment", "Write the comment there instead of printing it.", default=None, kind=NEW_FILE, metavar="FILE.md"
    )
    record: bool = option("--record", "Write receipts beside the outcomes, if they are accepted.", default=False)
