"""Executors by what the user asks for: processes of this machine, or a cluster."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fairbench.errors import UserError
from fairbench.execution.cluster_options import ClusterOptions
from fairbench.execution.devices import devices, tasks_at_once
from fairbench.execution.processes import LocalProcesses
from fairbench.execution.task import Executor

Engine = Literal["local", "slurm", "ray"]


def make_executor(
    engine: Engine,
    options: ClusterOptions,
    *,
    tasks: int,
    jobs: int | None,
    device: str,
    work_dir: Path,
    say: Callable[[str], None],
) -> Executor:
    """What computes.

    Args:
        engine: where.
        options: of the clusters.
        tasks: how many there will be at most.
        jobs: tasks at a time, if the user says so.
        device: `auto`, `cpu`, `cuda` or `cuda:i`.
        work_dir: of all runs.
        say: told what people should know.

    Raises:
        UserError: for a device that this machine lacks, or a cluster that cannot be reached.
    """
    if engine == "slurm":
        return _slurm(options, jobs=jobs, device=device, work_dir=work_dir, say=say)
    if engine == "ray":
        _require("ray", "ray")
        from fairbench.execution.ray_tasks import RayTasks  # noqa: PLC0415  an extra

        return RayTasks(options.ray, jobs=jobs, device=worker_device("ray", options, device), say=say)
    found = devices(device)
    return LocalProcesses(jobs=min(jobs or tasks_at_once(found), tasks), devices=found)


def _slurm(
    options: ClusterOptions, *, jobs: int | None, device: str, work_dir: Path, say: Callable[[str], None]
) -> Executor:
    _require("submitit", "slurm")
    from fairbench.execution.slurm.executor import SlurmExecutor  # noqa: PLC0415  an extra

    slurm = options.slurm
    slurm = replace(slurm, parallel=jobs or slurm.parallel)
    return SlurmExecutor(slurm, work_dir=work_dir, device=worker_device("slurm", options, device), say=say)


def worker_device(engine: Engine, options: ClusterOptions, choice: str) -> str:
    """What `--device` means on a node of a cluster: never the CPU because a GPU was not found."""
    if choice != "auto" or engine == "local":
        return choice
    gpus = options.slurm.gpus if engine == "slurm" else options.ray.gpus
    return "cuda" if gpus else "cpu"


def _require(module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise UserError(f"--executor {extra} needs {module}, which is not installed: pip install 'fairbench[{extra}]'.")
