"""What `verify` attacks again."""

from dataclasses import dataclass
from pathlib import Path

import click

from fairbench.commands.options.option import FOLDER, option
from fairbench.commands.options.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """A sample of a submission, and the model that is said to have made it.

    Attributes:
        model: as for `evaluate`; "" for the architecture of the submission.
        weights: of it.
        dataset: the `.npz` file, if the dataset is one; else "".
        limit: images.
        seed: which images; None for a draw that nobody can foresee.
        batch_size: images attacked together.
        data_dir: downloads of datasets and zoo models.
        record: write a receipt beside the file.
    """

    model: str = option(
        "--model", "As for evaluate; default: the architecture of the submission.", default="", metavar="SPEC"
    )
    weights: Weights
    dataset: str = option("--dataset", "The file, if the dataset is one.", default="", metavar="FILE.npz")
    limit: int = option("--limit", "Images.", default=100, kind=click.IntRange(min=1), metavar="N")
    seed: int | None = option(
        "--seed", "Which images; default: drawn anew every time.", default=None, kind=click.IntRange(min=0), metavar="N"
    )
    batch_size: int = option("--batch-size", "Images at a time.", default=500, kind=click.IntRange(min=1), metavar="N")
    data_dir: Path = option("--data-dir", "Downloaded datasets and models.", default=Path("data"), kind=FOLDER)
    record: bool = option("--record", "Write what was found beside FILE, for the board.", default=False)
