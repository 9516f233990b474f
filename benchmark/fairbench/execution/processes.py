"""Tasks in processes of this machine: one per core, or one per GPU.

Each task gets a process of its own, so that a crash, a leak or a kill touches one run only. Processes are forked from a
server that has imported torch once. If the parent dies, even by kill -9, its workers notice and die with it.
"""

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import NamedTuple

from fairbench.execution.freed_memory import keep_freed_memory
from fairbench.execution.task import Advanced, Ended, Ending, Event, Task

PRELOADED = ["fairbench.execution.worker", "torch.utils.flop_counter"]
"""What every run needs, imported once for all of them."""


class _Job(NamedTuple):
    task: Task
    device: str
    process: ForkServerProcess
    channel: Connection


class LocalProcesses:
    """An executor on this machine.

    Args:
        jobs: tasks at a time.
        devices: given to tasks in turn; one entry per GPU, or `cpu`.
    """

    def __init__(self, *, jobs: int, devices: tuple[str, ...]) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        # Several jobs may share a device; each takes the least used one.
        self._devices = devices
        self._capacity = jobs
        self._jobs: list[_Job] = []

    @property
    def idle(self) -> int:
        """How many more tasks can be taken now."""
        return self._capacity - len(self._jobs)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Start each task on the device that is least used."""
        for task in tasks:
            self._start(task)

    def _start(self, task: Task) -> None:
        used = [job.device for job in self._jobs]
        device = min(self._devices, key=used.count)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(replace(task, device=device), theirs), daemon=True)
        process.start()
        theirs.close()
        self._jobs.append(_Job(task, device, process, ours))

    def events(self, timeout: float) -> Iterator[Event]:
        """What happened, waiting at most `timeout` seconds for something to happen."""
        if not self._jobs:
            time.sleep(timeout)
        ready = wait([job.channel for job in self._jobs], timeout=timeout)
        for job in [job for job in self._jobs if job.channel in ready]:
            yield from self._read(job)

    def cancel(self) -> None:
        """Kill every worker; what they wrote is complete, and the rest is computed again."""
        for job in self._jobs:
            job.process.kill()
        for job in self._jobs:
            job.process.join()
            job.channel.close()
        self._jobs.clear()

    def close(self) -> None:
        """Nothing is left: every process ended with its task."""

    def _read(self, job: _Job) -> Iterator[Event]:
        """Everything a worker has sent; its end, if it has none left to send."""
        try:
            while job.channel.poll():
                event = job.channel.recv()
                if isinstance(event, Ended):
                    yield self._close(job, event)
                    return
                yield event
        except (EOFError, ConnectionError):
            job.process.join()
            yield self._close(job, Ended(key=job.task.key, ending=Ending.FAILED, reason=_death(job.process.exitcode)))

    def _close(self, job: _Job, ended: Ended) -> Ended:
        self._jobs.remove(job)
        job.channel.close()
        job.process.join()
        return ended


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = "; the system may have run out of memory, try fewer --jobs" if -exitcode == signal.SIGKILL else ""
        return f"its process was killed by {name}{hint}"
    return f"its process ended without a word (exit code {exitcode})"


def _work(task: Task, channel: Connection) -> None:
    """The life of a worker process."""
    from fairbench.execution.worker import execute  # noqa: PLC0415  imports torch, preloaded in the server

    keep_freed_memory()
    gc.freeze()  # what was imported stays; without it a collection takes 0.2 s, once in ten epochs on the digits
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with_parent, args=(channel,), daemon=True).start()

    def advanced(stage: str, done: int, total: int) -> None:
        channel.send(Advanced(key=task.key, stage=stage, done=done, total=total))

    channel.send(execute(task, advanced))


def _die_with_parent(channel: Connection) -> None:
    """Wait for a message that never comes: the channel breaks when the parent is gone."""
    try:
        channel.recv()
    except (EOFError, OSError):
        os._exit(1)
