"""What the runner hands to an executor, and what it hears back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol
from uuid import uuid4

from fairbench.execution.shipped_plugin import ShippedPlugin
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.run import Run

Rerun = Literal["never", "failed", "always"]
"""Which outcomes are computed again."""


class Ending(Enum):
    """How a task ended."""

    DONE = "done"
    FAILED = "failed"
    BUSY = "busy"  # somebody else computes this run
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A share of the images on which one run is attacked; with the others it makes the whole.

    Attributes:
        number: from 1.
        of: how many there are.
    """

    number: int
    of: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"shard-{self.number}-of-{self.of}"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run to compute, or a part of it.

    Attributes:
        run: which.
        results: folder of the outcomes.
        work_dir: folder of checkpoints, partial attacks and logs.
        data_dir: folder of downloaded datasets.
        plugins: files whose methods must be known, as they were when the run was planned.
        trackers: who watches, see `fairbench.tracking.watching`.
        device: `auto`, `cpu`, `cuda` or `cuda:i`, of the machine that computes.
        judge: False if only the checkpoints are missing (the outcomes came from elsewhere).
        fresh: forget earlier work and replace an existing result.
        part: the training alone, or a shard of the attacks; None for all that is missing.
        order: identifies this task among others on the same run; all attempts to carry it out have it.
    """

    run: Run
    results: Path
    work_dir: Path
    data_dir: Path
    plugins: tuple[ShippedPlugin, ...] = ()
    trackers: tuple[str, ...] = ()
    device: str = "auto"
    judge: bool = True
    fresh: bool = False
    part: Literal["training"] | Shard | None = None
    order: str = field(default_factory=lambda: uuid4().hex)

    @property
    def key(self) -> str:
        """Of the run, and of the part if it is one."""
        return task_key(self.run, self.part)

    @property
    def title(self) -> str:
        """For people."""
        if isinstance(self.part, Shard):
            return f"{self.run.title}, attacks {self.part.number} of {self.part.of}"
        return f"{self.run.title}, {self.part}" if self.part else self.run.title

    @property
    def folder(self) -> WorkFolder:
        """Where it works, under a lock of its own."""
        whole = WorkFolder.of(self.run, self.work_dir)
        return WorkFolder(whole.attacks / self.part.name) if isinstance(self.part, Shard) else whole


def task_key(run: Run, part: Literal["training"] | Shard | None = None) -> str:
    """What a task is known by."""
    return f"{run.key}/{part.name if isinstance(part, Shard) else part}" if part else run.key


@dataclass(frozen=True, kw_only=True, slots=True)
class Advanced:
    """A task went on: `done` of `total` units of its stage."""

    key: str
    stage: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A task ended, with a reason unless it is done."""

    key: str
    ending: Ending
    reason: str = ""


Event = Advanced | Ended


class Executor(Protocol):
    """Computes tasks somewhere: in processes on this machine, or on a cluster."""

    @property
    def idle(self) -> int:
        """How many more tasks can be taken now."""

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks, as many as are `idle` at most, to start them in this order."""

    def events(self, timeout: float) -> Iterable[Event]:
        """What happened since the last call, waiting at most `timeout` seconds for something to happen."""

    def cancel(self) -> None:
        """Stop everything at once; work on disk stays and is resumed later."""

    def close(self) -> None:
        """Every task has ended: leave nothing behind."""
