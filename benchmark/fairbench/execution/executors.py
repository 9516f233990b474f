"""Executors by what the user asks for; today there is one, in processes of this machine."""

from fairbench.execution.devices import devices, tasks_at_once
from fairbench.execution.processes import LocalProcesses
from fairbench.execution.task import Executor


def local_executor(*, tasks: int, jobs: int | None, device: str) -> Executor:
    """Processes of this machine: one per GPU, or one per core.

    Args:
        tasks: how many there will be at most.
        jobs: tasks at a time, if the user says so.
        device: `auto`, `cpu`, `cuda` or `cuda:i`.

    Raises:
        UserError: for a device that this machine lacks.
    """
    found = devices(device)
    return LocalProcesses(jobs=min(jobs or tasks_at_once(found), tasks), devices=found)
