"""How `run-all` and `tune` compute what is missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click

from fairbench.commands.options.option import FILE, FOLDER, option
from fairbench.execution.cluster_options import ClusterOptions, read_cluster_options
from fairbench.execution.executors import Engine
from fairbench.execution.task import Rerun


@dataclass(frozen=True, kw_only=True)
class Machine:
    """With which data, and on what.

    Attributes:
        data_dir: downloaded datasets.
        jobs: runs at a time; None for one per GPU or core, or for what the executor options say.
        device: `auto`, `cpu`, `cuda` or `cuda:i`.
        executor: on this machine, or on a cluster.
        executor_options: file that says what the cluster is asked for; None for the defaults.
    """

    data_dir: Path = option("--data-dir", "Downloaded datasets.", default=Path("data"), kind=FOLDER)
    jobs: int | None = option(
        "--jobs",
        "Runs at a time; default: one per GPU or core.",
        default=None,
        kind=click.IntRange(min=1),
        metavar="N",
    )
    device: str = option("--device", "Where to compute.", default="auto", metavar="auto|cpu|cuda[:i]")
    executor: Engine = option(
        "--executor", "On this machine, or on a cluster.", default="local", kind=click.Choice(get_args(Engine))
    )
    executor_options: Path | None = option(
        "--executor-options", "What the cluster is asked for, as TOML.", default=None, kind=FILE, metavar="FILE"
    )

    def __post_init__(self) -> None:
        if self.executor_options and self.executor == "local":
            raise click.UsageError("--executor-options are for a cluster; add --executor slurm or --executor ray.")

    @property
    def cluster_options(self) -> ClusterOptions:
        """What the file says.

        Raises:
            UserError: if it cannot be used.
        """
        return read_cluster_options(self.executor_options) if self.executor_options else ClusterOptions()


@dataclass(frozen=True, kw_only=True)
class Computing(Machine):
    """What to compute of it, and whether at all.

    Attributes:
        site: where the page is written, while runs end and at the end.
        shards: workers that share the evaluation of one run.
        trackers: who watches the runs, see `fairbench.tracking`.
        rerun: what is computed again although it has an outcome.
        dry_run: show the plan instead.
        as_json: the plan as JSON.
    """

    site: Path = option("--site", "Where the page is written.", default=Path("site"), kind=FOLDER)
    shards: int = option(
        "--shards",
        "Workers that share the evaluation of a run; shortens the end of few long runs.",
        default=1,
        kind=click.IntRange(1, 1000),
        metavar="N",
    )
    trackers: tuple[str, ...] = option(
        "--track",
        "Report epochs and attacks while they go: tensorboard, wandb or file.py:Class (repeatable).",
        default=(),
        repeatable=True,
        metavar="NAME",
    )
    rerun: Rerun = option(
        "--rerun",
        "What to compute again although it has an outcome.",
        default="never",
        kind=click.Choice(get_args(Rerun)),
    )
    dry_run: bool = option("--dry-run", "Show what would be computed.", default=False)
    as_json: bool = option("--json", "With --dry-run: the plan as JSON.", default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.as_json and not self.dry_run:
            raise click.UsageError("--json goes with --dry-run; the outcomes themselves are the parquet files.")
