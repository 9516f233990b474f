"""What `push` puts onto a hub."""

from dataclasses import dataclass
from pathlib import Path

from fairbench.commands.options.option import FILE, FOLDER, option


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """Where to, and whether at all.

    Attributes:
        to: `org/name` of the repository.
        licence: of the weights.
        upload: do it; else it is shown what would be done.
        private: make a repository that nobody else sees, if there is none yet.
        checkpoint: the weights, if they are not in the work folder.
        results: outcomes of the run.
        work_dir: checkpoints.
    """

    to: str = option("--to", "Repository on the hub.", metavar="ORG/NAME")
    licence: str = option("--licence", "Of the weights, as SPDX spells it.", metavar="SPDX")
    upload: bool = option("--upload", "Do it; without this it is only shown.", default=False)
    private: bool = option(
        "--private", "If there is no such repository yet, make one that nobody else sees.", default=False
    )
    checkpoint: Path | None = option(
        "--checkpoint", "Weights that are not in the work folder.", default=None, kind=FILE, metavar="FILE"
    )
    results: Path = option("--results", "Outcomes of the run.", default=Path("results"), kind=FOLDER)
    work_dir: Path = option("--work-dir", "Checkpoints of runs.", default=Path("runs"), kind=FOLDER)
