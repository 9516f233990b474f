"""How long a plan will take on this machine, before it is computed: in hours of a core, or of a GPU.

    estimate = estimated(tasks, results=Path("results"), calibrate=lambda run: ...)
    estimate.sentence("cpu")    # "About 3.1 core-hours, from 12 runs that are done."

Runs that are done say what others of their row take, and what rows take that nobody has computed yet. Before the first
one is, a few steps of PGD-10 adversarial training are timed.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from fairbench.errors import UserError
from fairbench.execution.task import Task
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import read_provenance, result_files
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.run import Run


@dataclass(frozen=True, kw_only=True)
class Duration:
    """Seconds of one run on one core or GPU."""

    training: float
    evaluation: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a plan will take.

    Attributes:
        seconds: of one core or GPU, all tasks together; NaN if nothing is known.
        done: runs that it was taken from; 0 for a calibration.
    """

    seconds: float
    done: int

    def sentence(self, device: str) -> str:
        """For people; "" if nothing is known.

        Args:
            device: `cpu`, or one of the GPUs.
        """
        if not math.isfinite(self.seconds):
            return ""
        unit = "core-hours" if device == "cpu" else "GPU-hours"
        source = f"from {self.done} runs that are done" if self.done else "from a few steps that were timed"
        return f"About {self.seconds / 3600:.2g} {unit}, {source}."


def estimated(tasks: Sequence[Task], *, results: Path, calibrate: Callable[[Run], Duration | None]) -> Estimate:
    """Of tasks of one suite.

    Args:
        tasks: what is to be computed.
        results: folder in which finished runs are looked for.
        calibrate: times a run where none is done; None if it cannot, as long as the data are not here.
    """
    known = durations(results, {task.run.suite.name for task in tasks})
    usual = _mean([one for row in known.values() for one in row])
    calibrated = calibrate(tasks[0].run) if tasks and usual is None else None
    seconds = 0.0
    for task in tasks:
        found = _mean(known.get(task.run.label, [])) or usual or calibrated
        if found is None:
            return Estimate(seconds=math.nan, done=0)
        trained = WorkFolder.of(task.run, task.work_dir).is_trained and not task.fresh
        seconds += (0 if trained else found.training) + (found.evaluation if task.judge else 0)
    return Estimate(seconds=seconds, done=sum(map(len, known.values())))


def longest_first(tasks: Sequence[Task], *, results: Path) -> list[Task]:
    """Tasks in an order that leaves no long one for the end, where many can be computed at once.

    A task is as long as what follows from it: itself, and the longest of those that need it. What nobody has computed
    yet is as long as the mean of the others.

    Args:
        tasks: of one suite.
        results: folder in which finished runs are looked for.
    """
    known = durations(results, {task.run.suite.name for task in tasks})
    usual = _mean([one for row in known.values() for one in row]) or Duration(training=1.0, evaluation=1.0)
    length: dict[str, float] = {}
    for task in reversed(tasks):  # prerequisites stand before what needs them
        found = _mean(known.get(task.run.label, [])) or usual
        trained = found.training + length.get(task.run.key, 0.0)
        length[task.run.key] = max(trained, found.training + found.evaluation)
        for _, needed in task.run.prerequisites:
            length[needed.key] = max(length.get(needed.key, 0.0), length[task.run.key])
    return sorted(tasks, key=lambda task: -length[task.run.key])


def durations(results: Path, suites: Iterable[str]) -> Mapping[str, list[Duration]]:
    """What the finished runs of these suites took, by label of the row."""
    wanted, found = set(suites), dict[str, list[Duration]]()
    for path in result_files(results):
        if path.parent.parent.name not in wanted:
            continue
        try:
            provenance = read_provenance(path)
        except UserError:  # whoever plans the run says what is wrong with its file
            continue
        if (took := _duration(provenance)) is not None:
            found.setdefault(provenance.label, []).append(took)
    return found


def _duration(provenance: Provenance) -> Duration | None:
    training, evaluation = (provenance.seconds.get(stage, 0.0) for stage in ("training", "evaluation"))
    return Duration(training=training, evaluation=evaluation) if training > 0 and evaluation > 0 else None


def _mean(found: Sequence[Duration]) -> Duration | None:
    if not found:
        return None
    return Duration(training=fmean(one.training for one in found), evaluation=fmean(one.evaluation for one in found))
