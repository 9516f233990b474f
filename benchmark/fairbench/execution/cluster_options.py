"""What a cluster is asked for: the file of `--executor-options`. Nothing of it enters a run's key.

[slurm]
partition = "gpu"
minutes = 720

[ray]
address = "auto"
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fairbench.errors import UserError, first_line, not_allowed
from fairbench.fields import Allowed, build

_None = Allowed(at_least=0)
_One = Allowed(at_least=1)


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """Of every job; "" leaves a choice to the site.

    Attributes:
        partition: where jobs run.
        account: who pays.
        qos: quality of service.
        constraint: features that nodes must have.
        gpus: of a run; with 0 it computes on the CPU.
        cpus: of a run.
        memory_gb: of a run.
        minutes: time limit of a job; a run that takes longer is queued again and goes on.
        warning_seconds: how long before its limit a job is queued again.
        parallel: jobs that run at once.
        submitted: jobs in the queue at once.
        setup: shell commands before Python starts.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gpus: Annotated[int, _None] = 1
    cpus: Annotated[int, _One] = 4
    memory_gb: Annotated[float, Allowed(above=0)] = 16.0
    minutes: Annotated[int, _One] = 720
    warning_seconds: Annotated[int, _One] = 120
    parallel: Annotated[int, _One] = 64
    submitted: Annotated[int, _One] = 400
    setup: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.warning_seconds >= 60 * self.minutes:
            raise not_allowed(f"slurm.warning_seconds = {self.warning_seconds}", "less than slurm.minutes")


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Of every task.

    Attributes:
        address: of the cluster; `auto` finds the one that this machine belongs to.
        gpus: of a run; with 0 it computes on the CPU.
        cpus: of a run.
        retries: how often a run is started again whose worker or node died.
        submitted: tasks that the cluster knows of at once.
    """

    address: str = "auto"
    gpus: Annotated[float, _None] = 1.0
    cpus: Annotated[float, _None] = 1.0
    retries: Annotated[int, _None] = 3
    submitted: Annotated[int, _One] = 1000


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """A table for each engine."""

    slurm: SlurmOptions = field(default_factory=SlurmOptions)
    ray: RayOptions = field(default_factory=RayOptions)


def read_cluster_options(path: Path) -> ClusterOptions:
    """From a TOML file.

    Raises:
        UserError: if it cannot be read, or has a field that does not exist or a value that is not allowed.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not a TOML file: {first_line(error)}.") from error
    try:
        return build(ClusterOptions, table)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
