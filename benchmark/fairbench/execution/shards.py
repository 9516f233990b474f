"""One evaluation over several workers: the training, shards of the attacks, and the judgement that takes them up.

    tasks = in_shards(tasks, 4)

A verdict depends on its image alone, so who found it does not matter: what judges the run finds the verdicts of all
shards in its log, attacks what they left out, and goes on as if it had found them itself. Audits and promotions look at
all images, and come after.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

from fairbench.errors import UserError
from fairbench.execution.task import Shard, Task


def in_shards(tasks: Iterable[Task], shards: int) -> list[Task]:
    """Every task that attacks by AutoAttack, followed by that many shards, and what judges.

    Args:
        tasks: of runs, in order.
        shards: workers that share an evaluation; 1 leaves the tasks as they are.

    Raises:
        UserError: for the engine `reference`, whose verdicts depend on the images that are attacked together.
    """
    found: list[Task] = []
    for task in tasks:
        evaluation = task.run.suite.evaluation
        if shards == 1 or not task.judge or evaluation.tier == "screen":
            found.append(task)
            continue
        if evaluation.engine == "reference":
            raise UserError(
                f"--shards {shards} is not allowed with --engine reference: pyautoattack draws noise for a batch, so "
                "verdicts depend on the images that are attacked together. Leave --shards out."
            )
        found.append(replace(task, part="training", order=uuid4().hex))
        resumed = replace(task, fresh=False)
        found += [
            replace(resumed, part=Shard(number=number, of=shards), order=uuid4().hex) for number in range(1, shards + 1)
        ]
        found.append(resumed)
    return found


def parts_of(tasks: Iterable[Task]) -> Mapping[str, Sequence[str]]:
    """Keys of the parts of each run that has some, by the key of the run."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        if task.part is not None:
            found.setdefault(task.run.key, []).append(task.key)
    return found
