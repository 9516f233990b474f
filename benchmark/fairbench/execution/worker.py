"""Computing one run from beginning to end: prerequisites, training, evaluation, outcomes.

This is the border at which every problem of a run becomes a sentence: a failed training is a stored result, anything
else is written into the run's folder and told to the runner, and the other runs go on.
"""

import contextlib
import json
import shutil
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from filelock import Timeout
from torch import nn

from fairbench.atomic import atomic
from fairbench.data.dataset import Dataset
from fairbench.data.loading import load_dataset
from fairbench.errors import TrainingFailedError, UserError
from fairbench.evaluation.judgement import Judgement, judge
from fairbench.execution.plan import State, is_trained, run_lock, run_status
from fairbench.execution.task import Ended, Ending, Task
from fairbench.machine import hardware, peak_memory, source, versions
from fairbench.method import registry
from fairbench.method.contract import Method
from fairbench.method.explanation import explained_card, explained_hyperparameters
from fairbench.models.checkpoint import load_weights
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import Outcomes, no_rows, write_outcomes
from fairbench.progress import Progress
from fairbench.protocol.run import Run, plain
from fairbench.training.loop import Trained, model_of, read_trained, train

PATIENCE = 2.0
"""Seconds to wait for a lock that somebody may only be looking at."""


def execute(task: Task, progress: Progress) -> Ended:
    """Compute a run; never raises for what goes wrong inside it."""
    folder = task.run.work_folder(task.work_dir)
    key = task.run.key
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _log(folder / "log.txt"), run_lock(folder).acquire(timeout=PATIENCE):
            return _locked(task, folder, progress)
    except Timeout:
        return Ended(key=key, ending=Ending.BUSY)
    except UserError as error:
        return Ended(key=key, ending=Ending.FAILED, reason=str(error))
    except OSError as error:
        return Ended(key=key, ending=Ending.FAILED, reason=f"Cannot write {folder}: {error.strerror or error}.")


def _locked(task: Task, folder: Path, progress: Progress) -> Ended:
    run = task.run
    _sweep(task, folder)
    if task.fresh:
        _forget(folder)
        run.result_file(task.results).unlink(missing_ok=True)
    elif _finished(task):
        return Ended(key=run.key, ending=Ending.DONE)
    (folder / "failure.json").unlink(missing_ok=True)
    try:
        _compute(task, folder, progress)
    except TrainingFailedError as error:
        if not task.evaluate:
            _remember_failure(folder, str(error))
        return Ended(key=run.key, ending=Ending.FAILED, reason=str(error))
    except Exception as error:  # noqa: BLE001  the border of a run: its problem must not stop the others
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        traceback.print_exc()
        _remember_failure(folder, reason)
        where = "" if isinstance(error, UserError) else f" (details in {folder / 'log.txt'})"
        return Ended(key=run.key, ending=Ending.FAILED, reason=reason + where)
    return Ended(key=run.key, ending=Ending.DONE)


def _remember_failure(folder: Path, reason: str) -> None:
    """For `status`; a full disk must not hide the reason from the runner."""
    with contextlib.suppress(UserError), atomic(folder / "failure.json") as temporary:
        temporary.write_text(json.dumps({"reason": reason}), encoding="utf-8")


def _compute(task: Task, folder: Path, progress: Progress) -> None:
    run, device = task.run, torch.device(task.device)
    torch.set_num_threads(1)  # runs are what is parallel; sums do not depend on the number of jobs
    dataset = load_dataset(run.suite.dataset, folder=run.suite.folder, data_dir=task.data_dir)
    method = registry.create(run.method, dict(run.parameters), plugins=task.plugins)
    result = run.result_file(task.results)
    if not is_trained(folder):
        try:
            prerequisites = {role: _trained_model(task, needed, dataset) for role, needed in run.prerequisites}
            train(
                run,
                method,
                dataset,
                folder=folder,
                device=device,
                prerequisites=prerequisites,
                prerequisite_cost=_prerequisite_cost(task),
                progress=progress,
            )
        except TrainingFailedError as error:
            if task.evaluate:  # outcomes that came from elsewhere are not ours to replace
                provenance = _failed(_origin(task, method, dataset), error)
                write_outcomes(result, Outcomes(rows=no_rows(), provenance=provenance))
            raise
    if not task.evaluate:
        return
    trained = read_trained(folder)
    selected, last = (_load(folder, rule, run, dataset).to(device) for rule in ("selected", "last"))
    began = time.monotonic()
    judgement = judge(
        selected,
        last,
        dataset.test.images.to(device),
        dataset.test.labels.to(device),
        classes=dataset.classes,
        threat=run.suite.threat,
        evaluation=run.suite.evaluation,
        folder=folder / "attacks",
        indices=dataset.test_indices,
        progress=progress,
    )
    origin = _origin(task, method, dataset)
    provenance = _done(origin, trained, judgement, seconds=time.monotonic() - began)
    write_outcomes(result, Outcomes(rows=judgement.rows, provenance=provenance))


def _origin(task: Task, method: Method, dataset: Dataset) -> Provenance:
    """What is known of a run however it ends."""
    run, device = task.run, torch.device(task.device)
    return Provenance(
        status="done",
        key=run.key,
        description=run.description(),
        suite=run.suite.name,
        suite_title=run.suite.title,
        method=run.method,
        label=run.label,
        role=run.role,
        changed=plain(run.changed),
        card=explained_card(type(method)),
        hyperparameters=explained_hyperparameters(type(method)),
        seed=run.seed,
        class_names=list(dataset.class_names),
        train_counts=list(dataset.train_counts),
        warnings=_declared(method),
        peak_memory=peak_memory(device),
        versions=versions(),
        source=source(),
        hardware=hardware(device),
        device=device.type,
        threads=torch.get_num_threads(),
    )


def _failed(origin: Provenance, failure: TrainingFailedError) -> Provenance:
    return replace(
        origin,
        status="failed",
        reason=failure.reason,
        failed_epoch=failure.epoch,
        history=failure.history,
        seconds={"training": failure.seconds},
    )


def _done(origin: Provenance, trained: Trained, judgement: Judgement, *, seconds: float) -> Provenance:
    return replace(
        origin,
        selected_epoch=trained.selected_epoch,
        history=trained.history,
        tier=judgement.reached.tier,
        promotion=judgement.reached.promotion,
        audit=judgement.reached.audit.plain() if judgement.reached.audit else {},
        flags=dict(judgement.flags),
        warnings=[*judgement.warnings, *origin.warnings],
        passes=trained.passes,
        cost=trained.cost,
        prerequisite_cost=trained.prerequisite_cost,
        seconds={"training": trained.seconds, **judgement.seconds, "evaluation": seconds},
        peak_memory=max(trained.peak_memory, origin.peak_memory),
        checkpoints=trained.checkpoints,
    )


def _prerequisite_cost(task: Task) -> float:
    """What the hot start cost, its own included."""
    folders = [needed.work_folder(task.work_dir) for role, needed in task.run.prerequisites if role == "hot start"]
    return sum(found.cost + found.prerequisite_cost for found in map(read_trained, folders))


def _trained_model(task: Task, needed: Run, dataset: Dataset) -> nn.Module:
    """A prerequisite's selected model; the runner has seen to it that it is trained."""
    folder = needed.work_folder(task.work_dir)
    if not is_trained(folder):
        raise UserError(f"{task.run.title} needs {needed.title}, which is not trained in {folder}; run it first.")
    return _load(folder, "selected", needed, dataset)


def _load(folder: Path, rule: str, run: Run, dataset: Dataset) -> nn.Module:
    model = model_of(run, dataset)
    load_weights(folder / f"{rule}.safetensors", model)
    return model


def _finished(task: Task) -> bool:
    """Whether another process did the work since it was planned."""
    found = run_status(task.run, results=task.results, work_dir=task.work_dir)
    return found.trained if not task.evaluate else found.state is State.DONE


def _sweep(task: Task, folder: Path) -> None:
    """Remove temporary files that a kill left behind; we hold the lock, so nobody is writing them."""
    result = task.run.result_file(task.results)
    for stray in [*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp"), *result.parent.glob(f".{result.name}.*.tmp")]:
        stray.unlink(missing_ok=True)


def _forget(folder: Path) -> None:
    """Remove earlier work, but neither the lock we hold nor the log we write."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in ("lock", "log.txt"):
            entry.unlink()


def _declared(method: Method) -> list[str]:
    """What the author says about conformance, for readers of the board."""
    declared = method.expected_failures.items()
    return [f"The author expects the check {check!r} to fail: {why}" for check, why in declared]


@contextlib.contextmanager
def _log(path: Path) -> Iterator[None]:
    """What a run prints, and its traceback, go to its own file."""
    with path.open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield
