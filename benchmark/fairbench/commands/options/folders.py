"""Where things are: by default in the current directory."""

from dataclasses import dataclass
from pathlib import Path

from fairbench.commands.options.option import FOLDER, RESULTS, option


@dataclass(frozen=True, kw_only=True)
class WorkFolders:
    """Of trainings.

    Attributes:
        work_dir: checkpoints, partial attacks and logs.
    """

    work_dir: Path = option("--work-dir", "Checkpoints, partial attacks and logs.", default=Path("runs"), kind=FOLDER)


@dataclass(frozen=True, kw_only=True)
class RunFolders(WorkFolders):
    """Of runs.

    Attributes:
        results: outcomes.
    """

    results: Path = option("--results", "Outcomes, one parquet file per run.", default=Path("results"), kind=RESULTS)


@dataclass(frozen=True, kw_only=True)
class ModelFolders:
    """Of models that others trained.

    Attributes:
        results: outcomes.
        work_dir: partial verdicts.
        data_dir: downloads of datasets and zoo models.
    """

    results: Path = option("--results", "Outcomes, one parquet file per model.", default=Path("results"), kind=RESULTS)
    work_dir: Path = option("--work-dir", "Partial verdicts.", default=Path("runs"), kind=FOLDER)
    data_dir: Path = option("--data-dir", "Downloaded datasets and models.", default=Path("data"), kind=FOLDER)
