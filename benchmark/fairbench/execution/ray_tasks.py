"""An executor on Ray: a task for each run, which Ray places, and starts again where a worker or a node died.

The tasks die with the command that submitted them; the next one goes on from the work folders, which lie on a file
system that all nodes share.
"""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, TaskCancelledError

from fairbench.errors import UserError, first_line
from fairbench.execution.cluster_options import RayOptions
from fairbench.execution.finished import is_finished
from fairbench.execution.probe import Probe, probing
from fairbench.execution.progress_file import read_progress
from fairbench.execution.task import Advanced, Ended, Ending, Event, Task
from fairbench.progress import silent

PROGRESS_SECONDS = 2.0
"""Between two looks at what the runs say of themselves."""


class RayTasks:
    """Tasks of one command.

    Args:
        options: of each task.
        jobs: tasks at once, if the user says so.
        device: of a task that leaves it open.
        say: told what people should know.

    Raises:
        UserError: if there is no cluster at that address.
    """

    def __init__(self, options: RayOptions, *, jobs: int | None, device: str, say: Callable[[str], None]) -> None:
        self._device, self._say = device, say
        self._capacity = min(jobs or options.submitted, options.submitted)
        try:
            _check_answers(options.address)
            ray.init(address=options.address, log_to_driver=False, logging_level="ERROR", namespace="fairbench")
        except (OSError, RuntimeError, ValueError, RayError) as error:
            raise UserError(
                f"No Ray cluster answers at {options.address!r} ({first_line(error)}). Start one (`ray start --head`), "
                "or give its address under [ray] in the executor options."
            ) from error
        placed = {"num_cpus": options.cpus, "num_gpus": options.gpus, "max_retries": options.retries, "max_calls": 1}
        self._execute = ray.remote(**placed)(_execute)
        self._probe = ray.remote(**placed)(_probe)
        self._live: dict[Any, Task] = {}
        self._proven = False
        self._looked = -float("inf")
        self._heard: dict[str, tuple[str, int, int]] = {}

    @property
    def idle(self) -> int:
        """How many more tasks Ray is given now; it holds those back that find no room."""
        return self._capacity - len(self._live)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Hand tasks over in this order; the first time a probe goes ahead of them."""
        if not self._proven:
            self._prove(tasks[0])
        for task in tasks:
            placed = replace(task, device=self._device) if task.device == "auto" else task
            self._live[self._execute.remote(placed)] = placed

    def events(self, timeout: float) -> Iterator[Event]:
        """What happened since the last call, waiting at most `timeout` seconds for an end."""
        if not self._live:
            time.sleep(timeout)
            return
        done, _ = ray.wait(list(self._live), num_returns=len(self._live), timeout=timeout, fetch_local=False)
        for reference in done:
            yield _ended(reference, self._live.pop(reference))
        if time.monotonic() - self._looked >= PROGRESS_SECONDS:
            self._looked = time.monotonic()
            for task in self._live.values():
                yield from self._progress(task)

    def cancel(self) -> None:
        """Kill what runs and forget what waits."""
        for reference in self._live:
            ray.cancel(reference, force=True)
        self._live.clear()
        ray.shutdown()

    def close(self) -> None:
        """Leave the cluster, which goes on for others."""
        ray.shutdown()

    def _progress(self, task: Task) -> Iterator[Advanced]:
        found = read_progress(task.folder.progress)
        if found is None or found.order != task.order or not found.stage:
            return
        said = (found.stage, found.done, found.total)
        if self._heard.get(task.key) != said:
            self._heard[task.key] = said
            yield Advanced(key=task.key, stage=found.stage, done=found.done, total=found.total)

    def _prove(self, task: Task) -> None:
        """Run a probe on a worker.

        Raises:
            UserError: with what it cannot do there.
        """
        with probing(task.results, task.work_dir) as probe:
            reference = self._probe.remote(probe)
            began, told = time.monotonic(), False
            while True:
                try:
                    problem = ray.get(reference, timeout=1.0)
                    break
                except GetTimeoutError:
                    if not told and time.monotonic() - began > 10:
                        told = True
                        self._say(
                            "Waiting for a worker of Ray that has the resources of [ray] in the executor options."
                        )
                except RayError as error:
                    problem = f"A worker of Ray cannot start: {_said(error)}. Is fairbench installed on its machine?"
                    break
        if problem:
            raise UserError(problem)
        self._proven = True


def _check_answers(address: str) -> None:
    """Ray itself tries for minutes where nobody listens.

    Raises:
        OSError: where nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _execute(task: Task) -> Ended:
    """On a worker, in a process of its own."""
    from fairbench.execution.freed_memory import keep_freed_memory  # noqa: PLC0415
    from fairbench.execution.worker import execute  # noqa: PLC0415  imports torch

    keep_freed_memory()
    return execute(task, silent)


def _probe(probe: Probe) -> str:
    return probe()


def _ended(reference: Any, task: Task) -> Ended:
    """How a task ended; what Ray could not save may be done all the same."""
    try:
        ended: Ended = ray.get(reference)
    except TaskCancelledError:
        return Ended(key=task.key, ending=Ending.FAILED, reason="its task was cancelled")
    except RayError as error:
        if is_finished(task):
            return Ended(key=task.key, ending=Ending.DONE)
        return Ended(key=task.key, ending=Ending.FAILED, reason=f"Ray lost it: {_said(error)}")
    return ended


def _said(error: RayError) -> str:
    return f"{type(error).__name__}: {first_line(error)}".rstrip(".")
