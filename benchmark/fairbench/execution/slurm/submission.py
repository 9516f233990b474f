"""Arrays of jobs through submitit, and where their answers lie.

100 single submissions take 20 seconds and an array of 500 less than one, so tasks are handed over together.
"""

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

from submitit import AutoExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError, JobPaths

from fairbench.errors import UserError
from fairbench.execution.cluster_options import SlurmOptions
from fairbench.execution.slurm.queue import array_limit

ENDLESS = 1_000_000
"""Requeues at the time limit; `Attempt` decides when it is enough."""


def submit_array(
    calls: Sequence[Callable[[], object]],
    options: SlurmOptions,
    *,
    folder: Path,
    name: str,
    at_once: int,
    minutes: int | None = None,
) -> list[str]:
    """Submit calls as jobs, in their order; their ids, which are those of the site's arrays.

    Args:
        calls: that can be stored.
        options: of each.
        folder: for what is stored, and for the answers; on a file system that the nodes share.
        name: of the jobs.
        at_once: how many may run at a time.
        minutes: their time limit, if it is not that of the options.

    Raises:
        UserError: if Slurm refuses.
    """
    executor = AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=ENDLESS)
    chosen = {field: getattr(options, field) for field in ("partition", "account", "qos", "constraint")}
    limit = minutes or options.minutes
    executor.update_parameters(
        name=name,
        timeout_min=limit,
        cpus_per_task=options.cpus,
        mem_gb=options.memory_gb,
        slurm_array_parallelism=at_once,
        slurm_signal_delay_s=min(options.warning_seconds, 30 * limit),
        slurm_setup=list(options.setup) or None,
        slurm_additional_parameters={"requeue": True},
        **({"gpus_per_node": options.gpus} if options.gpus else {}),
        **{f"slurm_{field}": value for field, value in chosen.items() if value},
    )
    size, ids = array_limit(), list[str]()
    try:
        for first in range(0, len(calls), size):
            ids += [job.job_id for job in executor.submit_array(calls[first : first + size])]
    except (FailedJobError, FailedSubmissionError) as error:
        said = [line.strip() for line in str(error).splitlines() if "error:" in line] or [str(error).strip()]
        raise UserError(
            f"Slurm refuses the jobs ({' '.join(said)}). Compare [slurm] in the executor options with what `sinfo` "
            "and `sacctmgr show qos` allow; `submitted` and `parallel` bound how many jobs there are."
        ) from error
    return ids


def answers(folder: Path) -> set[str]:
    """Ids of the jobs that have answered; listing the folder, a network file system shows what is new in it."""
    ending = "_0_result.pkl"
    try:
        return {path.name.removesuffix(ending) for path in folder.iterdir() if path.name.endswith(ending)}
    except OSError:
        return set()


def answer(folder: Path, job: str) -> object:
    """What a job returned.

    Raises:
        UserError: with what it raised instead, or why that cannot be read.
    """
    path = JobPaths(folder, job_id=job).result_pickle
    try:
        outcome, value = pickle.loads(path.read_bytes())  # noqa: S301  a job of ours wrote it
    except (OSError, pickle.UnpicklingError, EOFError, ImportError, AttributeError) as error:
        raise UserError(f"The answer {path} of job {job} cannot be read: {error}.") from error
    if outcome == "error":
        raise UserError(f"job {job} ended by {str(value).strip().splitlines()[-1]} (details in {path.parent})")
    return value


def log_of(folder: Path, job: str) -> Path:
    """What a job has printed, apart from the log of its run."""
    return Path(JobPaths(folder, job_id=job).stderr)
