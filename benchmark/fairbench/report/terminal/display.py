"""Showing progress: bars with an ETA on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fairbench.execution.task import Advanced, Ended, Ending, Task

STAGES = {
    "training": 0.5,
    "pgd20": 0.01,
    "pgd20 last": 0.01,
    "apgd-ce": 0.05,
    "apgd-t": 0.12,
    "fab-t": 0.17,
    "square": 0.14,
}
"""Rough shares of a run's time, for the ETA alone."""

QUIET_SECONDS = 30.0
"""On no terminal, how often a long run says how far it is."""


class Display:
    """Listens to a runner.

    Args:
        console: where to write.
        total: number of tasks.
        reused: runs that were finished before.
    """

    def __init__(self, console: Console, *, total: int, reused: int) -> None:
        self._console = console
        self._total = total
        self._ended = 0
        self._titles: dict[str, str] = {}
        self._shares: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._spoken: dict[str, float] = {}
        self._progress = _bars(console)
        self._tables: Sequence[RenderableType] = ()
        self._live = Live(get_renderable=self._shown, console=console, vertical_overflow="ellipsis")
        self._overall = self._progress.add_task("[bold]all runs", total=float(total))
        if reused:
            console.print(f"Runs to compute: {total}; finished before: {reused}.")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tables = ()  # the end shows them whole
        self._live.stop()

    def show(self, tables: Sequence[RenderableType]) -> None:
        """Boards as they are now: above the bars on a terminal; elsewhere nothing repeats them."""
        self._tables = tables

    def _shown(self) -> RenderableType:
        return Group(*self._tables, self._progress.get_renderable())

    def started(self, task: Task) -> None:
        """A task is handed over; it has a bar as soon as it says something, which in a queue may take a day."""
        key = task.key
        self._titles[key] = task.title
        self._shares.setdefault(key, 0.0)  # a task that found its run busy starts again
        self._spoken[key] = time.monotonic()
        self._update_overall()

    def advanced(self, event: Advanced) -> None:
        """A task went on; nothing is shown of one that has ended."""
        if event.key not in self._shares:
            return
        self._shares[event.key] = max(_share(event), self._shares[event.key])
        title = self._titles[event.key]
        if event.key not in self._bars:
            self._bars[event.key] = self._progress.add_task(title, total=1.0)
        self._progress.update(
            self._bars[event.key],
            completed=self._shares[event.key],
            description=f"{title}: {event.stage} {event.done}/{event.total}",
        )
        self._update_overall()
        if not self._console.is_terminal and time.monotonic() - self._spoken[event.key] > QUIET_SECONDS:
            self._spoken[event.key] = time.monotonic()
            self._console.print(f"  {title}: {event.stage} {event.done}/{event.total}")

    def ended(self, task: Task, ended: Ended) -> None:
        """A task ended; failures say why at once."""
        self._ended += 1
        bar = self._bars.pop(task.key, None)
        self._shares.pop(task.key, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self._update_overall()
        mark = "done" if ended.ending is Ending.DONE else "[red]failed[/red]"
        count = f"[{self._ended}/{self._total}]".replace("[", r"\[")
        self._console.print(f"{count} {task.title}: {mark}")
        if ended.reason:
            self._console.print(f"    {ended.reason}", markup=False)

    def _update_overall(self) -> None:
        silent = len(self._shares) - len(self._bars)
        self._progress.update(
            self._overall,
            completed=self._ended + sum(self._shares.values()),
            description="[bold]all runs" + (f"[/bold], {silent} waiting" if silent else ""),
        )


class StageDisplay:
    """Shows the stages of one evaluation: a bar for each, plain lines elsewhere.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = _bars(console)
        self._stages: dict[str, TaskID] = {}
        self._spoken = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advanced(self, stage: str, done: int, total: int) -> None:
        """A stage went on: `done` of `total` images."""
        if stage not in self._stages:
            self._stages[stage] = self._progress.add_task(stage)
        self._progress.update(self._stages[stage], completed=done, total=total, description=f"{stage} {done}/{total}")
        if not self._console.is_terminal and time.monotonic() - self._spoken > QUIET_SECONDS:
            self._spoken = time.monotonic()
            self._console.print(f"  {stage} {done}/{total}")


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=600,
    )


def _share(event: Advanced) -> float:
    """How much of its run an event's stage completes, from 0 to 1."""
    done = event.done / event.total if event.total else 1.0
    before = 0.0
    for stage, weight in STAGES.items():
        if stage == event.stage:
            return before + weight * done
        before += weight
    return 0.0
