"""Whether a task is done already, by whomever."""

from fairbench.execution.plan import State, run_status
from fairbench.execution.task import Shard, Task


def is_finished(task: Task) -> bool:
    """Whether nothing is left to do: the outcomes are there; of a training, its checkpoints.

    Whether a shard is finished only its log knows, which takes whoever goes on with it at once to the end.
    """
    found = run_status(task.run, results=task.results, work_dir=task.work_dir)
    if isinstance(task.part, Shard):
        return found.state is State.DONE
    return found.trained if task.part == "training" or not task.judge else found.state is State.DONE
