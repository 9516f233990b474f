"""What `submit` bundles: whose row it is, and where its parts lie."""

from dataclasses import dataclass
from pathlib import Path

from fairbench.commands.options.option import FILE, FOLDER, option
from fairbench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What the user says about a submission.

    Attributes:
        checkpoints: weights that are not in the work folder.
        key: entry of the checkpoints.
        mean: of a network that has none inside; "" if it normalises.
        std: alike.
        model: as it was given to `evaluate`, for a model that was trained elsewhere; "" for what the file names.
        plugin: file of the method; None for an installed one.
        suite: file of a suite that does not ship; "" for the one that the file names.
        dataset: the `.npz` file, if the dataset is one; else "".
        by: who submits; "" for the authors of the card.
        link: to a paper or a page; "" for that of the card.
        licence: of weights and code; "" for that of the card.
        to: folder in which the bundle is written.
        results: outcomes of the board.
        work_dir: checkpoints.
        data_dir: downloaded datasets.
    """

    checkpoints: tuple[Path, ...] = option(
        "--checkpoint",
        "Weights that are not in the work folder (repeatable).",
        default=(),
        repeatable=True,
        kind=FILE,
        metavar="FILE",
    )
    key: str = option("--key", "Entry of the checkpoint that holds the weights, if several do.", default="")
    mean: str = option("--mean", "Normalisation of a network that has none inside.", default="", metavar="R,G,B")
    std: str = option("--std", "Goes with --mean.", default="", metavar="R,G,B")
    model: str = option(
        "--model", "As it was given to evaluate; default: as the file says.", default="", metavar="SPEC"
    )
    plugin: Path | None = option("--plugin", "The file with the method.", default=None, kind=FILE, metavar="FILE")
    suite: str = option("--suite", "The suite's file, if it does not ship.", default="", metavar="FILE.toml")
    dataset: str = option("--dataset", "The file, if the dataset is one.", default="", metavar="FILE.npz")
    by: str = option("--by", "Who submits; default: the authors of the card.", default="", metavar="NAME")
    link: str = option("--link", "To a paper or a page; default: as on the card.", default="", metavar="URL")
    licence: str = option(
        "--licence", "Of weights and code, as SPDX spells it; default: as on the card.", default="", metavar="SPDX"
    )
    to: Path = option("--to", "Where the bundle is written.", default=Path("submissions"), kind=FOLDER)
    results: Path = option("--results", "Outcomes of the board.", default=Path("results"), kind=FOLDER)
    work_dir: Path = option("--work-dir", "Checkpoints of runs.", default=Path("runs"), kind=FOLDER)
    data_dir: Path = option("--data-dir", "Downloaded datasets.", default=Path("data"), kind=FOLDER)

    def __post_init__(self) -> None:
        if bool(self.mean) != bool(self.std):
            raise UserError("--mean and --std go together: a network is normalised by both.")
