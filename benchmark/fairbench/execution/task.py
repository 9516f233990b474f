"""What the runner hands to an executor, and what it hears back."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol

from fairbench.protocol.run import Run

Rerun = Literal["never", "failed", "always"]
"""Which outcomes are computed again."""


class Ending(Enum):
    """How a task ended."""

    DONE = "done"
    FAILED = "failed"
    BUSY = "busy"  # somebody else computes this run
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run to compute.

    Attributes:
        run: which.
        results: folder of the outcomes.
        work_dir: folder of checkpoints, partial attacks and logs.
        data_dir: folder of downloaded datasets.
        plugins: files whose methods must be known.
        trackers: who watches, see `fairbench.tracking.watching`.
        device: `auto`, `cpu`, `cuda` or `cuda:i`.
        judge: False if only the checkpoints are missing (the outcomes came from elsewhere).
        fresh: forget earlier work and replace an existing result.
    """

    run: Run
    results: Path
    work_dir: Path
    data_dir: Path
    plugins: tuple[Path, ...] = ()
    trackers: tuple[str, ...] = ()
    device: str = "auto"
    judge: bool = True
    fresh: bool = False


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

    def submit(self, task: Task) -> None:
        """Start a task."""

    def events(self, timeout: float) -> Iterable[Event]:
        """What happened since the last call, waiting at most `timeout` seconds for something to happen."""

    def cancel(self) -> None:
        """Stop everything at once; work on disk stays and is resumed later."""
