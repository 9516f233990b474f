"""`fairbench tune`: the learning rate of each method, found on the validation split and never on test data."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fairbench.commands.options.computing import Machine
from fairbench.commands.options.folders import WorkFolders
from fairbench.commands.options.selection import Named
from fairbench.commands.planning import Resolved, resolve
from fairbench.errors import INTERRUPTED, UserError
from fairbench.execution.executors import make_executor
from fairbench.execution.plan import Planner
from fairbench.execution.runner import Runner, Where, training_tasks
from fairbench.execution.shipped_plugin import ShippedPlugin
from fairbench.execution.task import Ending
from fairbench.execution.tuning import Tuning
from fairbench.machine import versions
from fairbench.method.contract import Method
from fairbench.outcomes.tuned_rates import (
    TunedRates,
    checked_rates,
    no_rates,
    own_file,
    read_tuned_rates,
    write_tuned_rates,
)
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.report.terminal.console import console as make_console
from fairbench.report.terminal.display import Display


def tune(named: Named, folders: WorkFolders, machine: Machine) -> int:
    """Train every trial that is missing. Returns the exit code: 0 only if every row that was asked for is tuned."""
    console = make_console()
    resolved = resolve(replace(named, tuned=None))
    suite = resolved.suite
    if suite.tuning is None:
        raise UserError(
            f'The suite {suite.name} says nothing on tuning; add a table [tuning] with rates = ["1/3", 1, 3, 10, 30].'
        )
    target = named.tuned or own_file(suite)
    kept = _kept(target, resolved)
    known = resolved.planner.rates or kept
    planner = Planner(
        suite=suite.trial(),
        create=resolved.planner.create,
        rates=replace(known, methods={**known.methods, **kept.methods}),
        dataset_digest=resolved.planner.dataset_digest,
    )
    brought = set(known.methods) - set(kept.methods)
    tuning = Tuning(planner, work_dir=folders.work_dir, grid=suite.tuning.rates)
    for problem in resolved.problems:
        console.print(f"[yellow]Note:[/yellow] {escape(problem)}")
    where = Where(
        results=Path(),  # no outcome is written
        work_dir=folders.work_dir,
        data_dir=machine.data_dir,
        plugins=tuple(map(ShippedPlugin.read, named.plugins)),
    )
    computing = _Computing(where=where, machine=machine, console=console)
    try:
        crashed = computing.train(tuning, resolved.methods, save=lambda: _save(target, tuning, brought))
    except KeyboardInterrupt:
        console.print("Interrupted. Every trial that ended is kept; the same command goes on from here.")
        return INTERRUPTED
    console.print(tuned_table(tuning.found, learning_rate=suite.recipe.learning_rate))
    for sentence in crashed:
        console.print(escape(sentence))
    if set(tuning.found.methods) - brought:
        console.print(f"The rates are in {target}." + ("" if suite.folder else f" Use them by --tuned {target}."))
    return 1 if tuning.waiting or resolved.problems else 0


@dataclass(frozen=True, kw_only=True)
class _Computing:
    """Where trials are trained, and who is told.

    Attributes:
        where: folders.
        machine: how many at a time, and on which device.
        console: for messages.
    """

    where: Where
    machine: Machine
    console: Console

    def train(self, tuning: Tuning, methods: list[tuple[str, Method]], *, save: Callable[[], None]) -> list[str]:
        """Wave after wave, until no trial is missing that can be trained; what went wrong, as sentences."""
        crashed: dict[str, str] = {}
        while True:
            runs = [run for run in tuning.next_runs(methods) if run.key not in crashed]
            save()
            tasks = [task for task in training_tasks(runs, self.where) if task.run.key not in crashed]
            if not tasks:
                return list(crashed.values())
            executor = make_executor(
                self.machine.executor,
                self.machine.cluster_options,
                tasks=len(tasks),
                jobs=self.machine.jobs,
                device=self.machine.device,
                work_dir=self.where.work_dir,
                say=partial(self.console.print, markup=False),
            )
            with Display(self.console, total=len(tasks), reused=0) as display:
                runner = Runner(executor, started=display.started, advanced=display.advanced, ended=display.ended)
                endings = runner.run(tasks)
            by_key = {task.run.key: task.run for task in tasks}
            for key, ended in endings.items():
                folder = WorkFolder.of(by_key[key], self.where.work_dir)
                if ended.ending is not Ending.DONE and folder.training_failure is None:
                    crashed[key] = f"{by_key[key].title} at {by_key[key].rate:g} times the rate: {ended.reason}"


def tuned_table(found: TunedRates, *, learning_rate: float) -> Table:
    """Per row the rate that was found, its accuracies, and the score of every trial.

    Args:
        found: rates of a suite.
        learning_rate: the suite's.
    """
    table = Table(
        title=f"Learning rates of {found.suite}, by average + worst robust accuracy on the validation split",
        title_justify="left",
    )
    for heading in ("row", "learning rate", "average", "worst", "score at each multiple of the suite's rate"):
        table.add_column(heading, overflow="fold")
    for label, method in sorted(found.methods.items()):
        best = method.best
        scores = ", ".join(
            f"{trial.rate:.3g}: failed" if trial.reason else f"{trial.rate:.3g}: {100 * trial.score:.1f}"
            for trial in method.trials
        )
        failed = "failed at every rate" if best.reason else f"{method.rate * learning_rate:.3g}"
        numbers = ("", "") if best.reason else (f"{100 * best.average:.1f}", f"{100 * best.worst:.1f}")
        table.add_row(escape(label), failed, *numbers, scores)
    return table


def _kept(target: Path, resolved: Resolved) -> TunedRates:
    """What the file that is written holds already."""
    digest = resolved.planner.dataset_digest
    if not target.exists():
        return no_rates(resolved.suite, dataset_digest=digest)
    return checked_rates(read_tuned_rates(target), resolved.suite, dataset_digest=digest, origin=str(target))


def _save(target: Path, tuning: Tuning, brought: set[str]) -> None:
    """Write the rows that the suite does not bring, if there are any."""
    found = tuning.found
    own = {label: method for label, method in found.methods.items() if label not in brought}
    if own:
        write_tuned_rates(target, replace(found, methods=own, versions=versions()))
