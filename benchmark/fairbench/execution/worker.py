"""Computing one run from beginning to end: prerequisites, training, evaluation, outcomes.

This is the border at which every problem of a run becomes a sentence: a failed training is a stored result, anything
else is written into the run's folder and told to the runner, and the other runs go on.
"""

import contextlib
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch
from filelock import Timeout
from torch import nn

from fairbench.atomic import sweep
from fairbench.data.dataset import Dataset
from fairbench.data.digest import dataset_digest
from fairbench.data.loading import load_dataset
from fairbench.errors import TrainingFailedError, UserError
from fairbench.evaluation.chance import chance_remark
from fairbench.evaluation.circumstances import circumstances
from fairbench.evaluation.judgement import judge
from fairbench.evaluation.sharing import attack_share, gather
from fairbench.execution.devices import devices
from fairbench.execution.file_locks import lock_problem
from fairbench.execution.finished import is_finished
from fairbench.execution.privileges import privileges
from fairbench.execution.progress_file import ProgressFile
from fairbench.execution.task import Ended, Ending, Shard, Task
from fairbench.execution.visibility import visible
from fairbench.foreign_code import ForeignFile
from fairbench.method import registry
from fairbench.method.attack_registry import resolve
from fairbench.method.contract import Method
from fairbench.method.explanation import explained_card, explained_hyperparameters
from fairbench.models.checkpoint import load_weights
from fairbench.out_of_memory import is_out_of_memory
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import Outcomes, no_rows, write_outcomes
from fairbench.outcomes.work_folder import CHECKPOINTS, WorkFolder
from fairbench.progress import Progress
from fairbench.protocol.attack_names import Checkpoint
from fairbench.protocol.run import Run, plain
from fairbench.tracking.tracker import Subject, Tracker
from fairbench.tracking.watching import watching
from fairbench.training.loop import Trained, model_of, read_trained, train

PATIENCE = 2.0
"""Seconds to wait for a lock that somebody may only be looking at."""


def execute(task: Task, progress: Progress) -> Ended:
    """Compute a run or a part of it; never raises for what goes wrong inside it."""
    folder, key = task.folder, task.key
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        if problem := lock_problem(folder.path):
            return Ended(key=key, ending=Ending.FAILED, reason=problem)
        with _log(folder.log), folder.lock().acquire(timeout=PATIENCE):
            told = ProgressFile(folder.progress, order=task.order, listener=progress)
            return _locked(replace(task, device=devices(task.device)[0]), folder, told)
    except Timeout:
        return Ended(key=key, ending=Ending.BUSY)
    except UserError as error:
        return Ended(key=key, ending=Ending.FAILED, reason=str(error))
    except OSError as error:
        return Ended(key=key, ending=Ending.FAILED, reason=f"Cannot write {folder.path}: {error.strerror or error}.")


def _locked(task: Task, folder: WorkFolder, progress: Progress) -> Ended:
    run = task.run
    result = run.result_file(task.results)
    folder.sweep()
    sweep(result.parent, result.name)
    if task.fresh and not folder.is_cleared_for(task.order):
        folder.clear(task.order)
        result.unlink(missing_ok=True)
    elif is_finished(task):
        return Ended(key=task.key, ending=Ending.DONE)
    folder.forget_failure()
    try:
        _compute(task, folder, progress)
    except TrainingFailedError as error:
        if not task.judge:
            folder.remember_failure(str(error), training=True)
        return Ended(key=task.key, ending=Ending.FAILED, reason=str(error))
    except Exception as error:  # noqa: BLE001  the border of a run: its problem must not stop the others
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        if is_out_of_memory(error):
            reason = (
                f"It does not fit into the memory of {task.device}: compute fewer runs at a time (--jobs), or write a "
                f"smaller batch_size into [recipe] or [evaluation] of the suite. {reason}"
            )
        traceback.print_exc()
        folder.remember_failure(reason)
        where = "" if isinstance(error, UserError) else f" (details in {folder.log})"
        return Ended(key=task.key, ending=Ending.FAILED, reason=reason + where)
    return Ended(key=task.key, ending=Ending.DONE)


def _compute(task: Task, folder: WorkFolder, progress: Progress) -> None:
    run = task.run
    subject = Subject(
        suite=run.suite.name,
        label=run.label,
        seed=run.seed,
        key=run.key,
        parameters=plain(run.parameters),
        folder=folder.path,
    )
    with watching(task.trackers, subject) as tracker:
        _watched(task, folder, progress, tracker)


def _watched(task: Task, folder: WorkFolder, progress: Progress, tracker: Tracker) -> None:
    run, device = task.run, torch.device(task.device)
    torch.set_num_threads(1)  # runs are what is parallel; sums do not depend on the number of jobs
    _check_data(run)
    dataset = load_dataset(run.suite.dataset, folder=run.suite.folder, data_dir=task.data_dir)
    method = registry.create(run.method, dict(run.parameters), plugins=_plugins(task))
    if isinstance(task.part, Shard):
        _attack_share(task, task.part, dataset, progress)
        return
    result = run.result_file(task.results)
    if not folder.is_trained:
        try:
            prerequisites = {role: _trained_model(task, needed, dataset) for role, needed in run.prerequisites}
            train(
                run,
                method,
                dataset,
                folder=folder,
                device=device,
                prerequisites=prerequisites,
                costs=_costs(task),
                progress=progress,
                tracker=tracker,
            )
        except TrainingFailedError as error:
            if task.judge:  # outcomes that came from elsewhere are not ours to replace
                provenance = _failed(_known(task, method, dataset), error)
                write_outcomes(result, Outcomes(rows=no_rows(), provenance=provenance))
            raise
    if not task.judge or task.part == "training":
        return
    gather(folder.attacks, run.suite.evaluation)
    trained = read_trained(folder)
    selected, last = (_load(folder, rule, run, dataset).to(device) for rule in CHECKPOINTS)
    began = time.monotonic()
    judgement = judge(
        selected,
        last,
        dataset.test.images.to(device),
        dataset.test.labels.to(device),
        classes=dataset.classes,
        threat=run.suite.threat,
        evaluation=run.suite.evaluation,
        folder=folder.attacks,
        indices=dataset.test_indices,
        further=resolve(run.suite.evaluation.attacks, plugins=_plugins(task)),
        progress=progress,
        tracker=tracker,
    )
    seconds = time.monotonic() - began
    known = _known(task, method, dataset)
    guessing = chance_remark(judgement.rows, classes=dataset.classes)
    known = replace(known, warnings=[*known.warnings, guessing]) if guessing else known
    provenance = _done(judgement.recorded(known), trained, seconds=seconds)
    write_outcomes(result, Outcomes(rows=judgement.rows, provenance=provenance))


def _attack_share(task: Task, shard: Shard, dataset: Dataset, progress: Progress) -> None:
    """Of a network that another task has trained."""
    run, device = task.run, torch.device(task.device)
    attack_share(
        _trained_model(task, run, dataset).to(device),
        dataset.test.images.to(device),
        dataset.test.labels.to(device),
        number=shard.number,
        of=shard.of,
        classes=dataset.classes,
        threat=run.suite.threat,
        evaluation=run.suite.evaluation,
        folder=task.folder.attacks,
        indices=dataset.test_indices,
        progress=progress,
    )


def _plugins(task: Task) -> list[ForeignFile]:
    """The files of its plug-ins, as they were when the run was planned."""
    return [plugin.checked() for plugin in task.plugins]


def _known(task: Task, method: Method, dataset: Dataset) -> Provenance:
    """What is known of a run however it ends."""
    run, device = task.run, torch.device(task.device)
    return replace(
        circumstances(run, suite=run.suite.name, method=run.method, class_names=dataset.class_names, device=device),
        suite_title=run.suite.title,
        baseline=run.suite.baseline,
        changed=plain(run.changed),
        code=registry.code(run.method, plugins=_plugins(task)),
        card=explained_card(type(method)),
        hyperparameters=explained_hyperparameters(type(method)),
        privileges=privileges(run, method),
        tuning=[asdict(trial) for trial in run.trials],
        train_counts=list(dataset.train_counts),
        warnings=_declared(method),
    )


def _failed(known: Provenance, failure: TrainingFailedError) -> Provenance:
    return replace(
        known,
        status="failed",
        reason=failure.reason,
        failed_epoch=failure.epoch,
        history=failure.history,
        seconds={"training": failure.seconds},
    )


def _done(judged: Provenance, trained: Trained, *, seconds: float) -> Provenance:
    return replace(
        judged,
        selected_epoch=trained.selected_epoch,
        history=trained.history,
        passes=trained.passes,
        cost=trained.cost,
        prerequisite_cost=trained.prerequisite_cost,
        teacher_cost=trained.teacher_cost,
        seconds={"training": trained.seconds, **judged.seconds, "evaluation": seconds},
        peak_memory=max(trained.peak_memory, judged.peak_memory),
        checkpoints=trained.checkpoints,
    )


def _costs(task: Task) -> dict[str, float]:
    """What each prerequisite cost, its own hot start included, by role."""
    trained = {role: read_trained(WorkFolder.of(needed, task.work_dir)) for role, needed in task.run.prerequisites}
    return {role: found.cost + found.prerequisite_cost for role, found in trained.items()}


def _trained_model(task: Task, needed: Run, dataset: Dataset) -> nn.Module:
    """A prerequisite's selected model; the runner has seen to it that it is trained, maybe on another machine."""
    folder = WorkFolder.of(needed, task.work_dir)
    if not visible(folder.trained_files):
        raise UserError(f"{task.run.title} needs {needed.title}, which is not trained in {folder.path}; run it first.")
    return _load(folder, "selected", needed, dataset)


def _load(folder: WorkFolder, rule: Checkpoint, run: Run, dataset: Dataset) -> nn.Module:
    model = model_of(run, dataset)
    load_weights(folder.checkpoint(rule), model)
    return model


def _check_data(run: Run) -> None:
    """The file of a dataset is what the run's key says."""
    source = run.suite.dataset
    if dataset_digest(source, folder=run.suite.folder) != run.dataset_digest:
        raise UserError(
            f"{Path(run.suite.folder, source.file)} was edited after this run was planned, which makes it another run; "
            "start the command again to compute with the new data."
        )


def _declared(method: Method) -> list[str]:
    """What the author says about conformance, for readers of the board."""
    declared = method.expected_failures.items()
    return [f"The author expects the check {check!r} to fail: {why}" for check, why in declared]


@contextlib.contextmanager
def _log(path: Path) -> Iterator[None]:
    """What a run prints, and its traceback, go to its own file."""
    with path.open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield
