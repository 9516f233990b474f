"""`fairbench run-all`: compute whatever of a board is missing."""

import json
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from fairbench.atomic import atomic
from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.commands.live_page import LivePage
from fairbench.commands.options.computing import Computing
from fairbench.commands.options.folders import RunFolders
from fairbench.commands.options.selection import Selection
from fairbench.commands.planning import Planned, plan
from fairbench.data.sources import is_here
from fairbench.errors import INTERRUPTED, UserError
from fairbench.execution.devices import devices
from fairbench.execution.estimate import Duration, estimated, longest_first
from fairbench.execution.executors import make_executor, worker_device
from fairbench.execution.file_locks import lock_problem
from fairbench.execution.plan import RunStatus, State
from fairbench.execution.runner import Runner, Where, needed_tasks, run_statuses
from fairbench.execution.shards import in_shards
from fairbench.execution.shipped_plugin import ShippedPlugin
from fairbench.execution.task import Ended, Ending, Task
from fairbench.execution.visibility import visible
from fairbench.method import registry
from fairbench.outcomes.object_storage import send
from fairbench.protocol.run import Run
from fairbench.report.site.addresses import PAGE
from fairbench.report.terminal.console import console as make_console
from fairbench.report.terminal.display import Display
from fairbench.report.terminal.table import terminal_table
from fairbench.tracking.watching import check_trackers


def run_all(selection: Selection, folders: RunFolders, computing: Computing) -> int:
    """Plan, compute, and show the board. Returns the exit code: 0 only if every run of the plan is done."""
    where = Where(
        results=folders.results,
        work_dir=folders.work_dir,
        data_dir=computing.data_dir,
        plugins=tuple(map(ShippedPlugin.read, selection.plugins)),
        trackers=computing.trackers,
    )
    check_trackers(computing.trackers)
    console = make_console(stderr=computing.as_json)
    planned = plan(selection)
    found = run_statuses(planned.runs, where)
    tasks = needed_tasks(found, where, rerun=computing.rerun)
    if computing.executor != "local":
        tasks = longest_first(tasks, results=where.results)
    elif tasks:
        devices(computing.device)  # a device that this machine lacks is told before anything else
    blocked = _blocked(found, tasks)
    tasks = in_shards(tasks, computing.shards)
    problems = [*planned.problems, *blocked]
    if computing.dry_run:
        _show_plan(found, tasks, problems, as_json=computing.as_json, console=console)
        if not computing.as_json:
            _say_duration(tasks, planned, where, computing, console)
        return 1 if problems else 0
    for problem in problems:
        console.print(f"[yellow]Note:[/yellow] {escape(problem)}")
    if not tasks:
        finished = sum(one.state is State.DONE for one in found)
        said = "was computed" if blocked else "to do"
        console.print(f"Nothing {said}: {finished} of {len(found)} runs of {planned.suite.name} are done.")
        _show_boards(build_boards(where.results, suite=planned.suite.name).boards, planned, console)
        return 1 if problems else 0
    _check_folders(planned, where, computing.site)
    _check_data(planned, where)
    _say_duration(tasks, planned, where, computing, console)
    page = LivePage(where.results, computing.site)
    endings = _computed(tasks, found, planned, computing, where=where, page=page, console=console)
    _send(where.results, console)
    _show_boards(page.written(), planned, console)
    console.print(f"The leaderboard: {computing.site / PAGE}", markup=False)
    if endings is None:
        command = "the same command" if computing.rerun == "never" else "the same command without --rerun"
        console.print(f"Interrupted. Everything finished so far is kept; {command} goes on from here.")
        return INTERRUPTED
    return 1 if problems or any(endings[task.key].ending is not Ending.DONE for task in _whole(tasks)) else 0


def _computed(
    tasks: list[Task],
    found: list[RunStatus],
    planned: Planned,
    computing: Computing,
    *,
    where: Where,
    page: LivePage,
    console: Console,
) -> Mapping[str, Ended] | None:
    """How each task ended, by key; None after Ctrl-C."""
    executor = make_executor(
        computing.executor,
        computing.cluster_options,
        tasks=len(tasks),
        jobs=computing.jobs,
        device=computing.device,
        work_dir=where.work_dir,
        say=partial(console.print, markup=False),
    )
    runs = {task.run.key for task in tasks}
    reused = len(planned.runs) - len(runs) - len(_blocked(found, tasks))
    with Display(console, total=len(tasks), reused=reused) as display:

        def ended(task: Task, how: Ended) -> None:
            display.ended(task, how)
            if how.ending is Ending.DONE:
                _send(where.results, console)
            try:
                boards = page.refreshed()
            except UserError as error:  # the runs matter more than the page
                console.print(escape(str(error)))
                return
            if boards is not None:
                display.show([terminal_table(board) for board in _asked_for(boards, planned)])

        runner = Runner(executor, started=display.started, advanced=display.advanced, ended=ended)
        try:
            endings = runner.run(tasks, reasons={one.run.key: one.reason for one in found if one.reason})
        except KeyboardInterrupt:
            return None
    if computing.executor != "local":
        done = [task for task in _whole(tasks) if task.judge and endings[task.key].ending is Ending.DONE]
        visible(task.run.result_file(task.results) for task in done)
    return endings


def _send(results: Path, console: Console) -> None:
    """What is new, if the results lie on object storage."""
    for problem in send(results):
        console.print(problem, markup=False)


def _blocked(found: list[RunStatus], tasks: list[Task]) -> list[str]:
    """Runs that have no usable outcome and will not be computed, each with the reason and what to do."""
    taken = {task.run.key for task in tasks}
    sentences = []
    for one in found:
        if one.run.key in taken:
            continue
        if one.state in (State.UNREADABLE, State.OTHER_PROTOCOL):
            sentences.append(one.reason)
        elif one.state is State.FAILED:
            sentences.append(f"{one.run.title} failed: {one.reason} Compute it again with --rerun failed.")
    return sentences


def _show_plan(
    found: list[RunStatus], tasks: list[Task], problems: list[str], *, as_json: bool, console: Console
) -> None:
    computed = {task.run.key for task in tasks}
    if as_json:
        listed = [
            {
                **one.plain(),
                "method": one.run.method,
                "role": one.run.role,
                "compute": one.run.key in computed,
                "prerequisites": {role: run.key for role, run in one.run.prerequisites},
            }
            for one in found
        ]
        sys.stdout.write(json.dumps({"runs": listed, "problems": problems}, indent=2) + "\n")
        return
    for one in found:
        action = "compute" if one.run.key in computed else "keep"
        needs = ", ".join(f"{role}: {run.title}" for role, run in one.run.prerequisites)
        line = f"{action:8}{one.run.title} ({one.state.value})" + (f"  needs {needs}" if needs else "")
        console.print(line, markup=False)
    for problem in problems:
        console.print(f"Note: {problem}", markup=False)
    console.print(f"{len(computed)} of {len(found)} runs would be computed.")


def _say_duration(tasks: list[Task], planned: Planned, where: Where, computing: Computing, console: Console) -> None:
    """Roughly, in hours of a core or a GPU; nothing where the data are still to be downloaded.

    On a cluster runs that are done say it, or nobody: this machine is none of its nodes.
    """
    if not tasks:
        return
    if computing.executor != "local":
        device = worker_device(computing.executor, computing.cluster_options, computing.device)
        if sentence := estimated(_whole(tasks), results=where.results, calibrate=lambda _: None).sentence(device):
            console.print(sentence)
        return
    from fairbench.data.loading import load_dataset  # noqa: PLC0415  imports torch
    from fairbench.training.calibration import calibrated  # noqa: PLC0415

    first = devices(computing.device)[0]

    def calibrate(run: Run) -> Duration | None:
        source = planned.suite.dataset
        if not is_here(source, folder=planned.suite.folder, data_dir=where.data_dir):
            return None
        dataset = load_dataset(source, folder=planned.suite.folder, data_dir=where.data_dir)
        training, evaluation = calibrated(run, dataset, device=first)
        return Duration(training=training, evaluation=evaluation)

    sentence = estimated(_whole(tasks), results=where.results, calibrate=calibrate).sentence(first.partition(":")[0])
    if sentence:
        console.print(sentence)


def _whole(tasks: Iterable[Task]) -> list[Task]:
    """Those that are no part of another."""
    return [task for task in tasks if task.part is None]


def _asked_for(boards: Iterable[Board], planned: Planned) -> list[Board]:
    """The board that was asked for, and the one to which its runs were promoted."""
    suite = planned.suite
    own = [board for board in boards if board.suite == suite.name and board.trains]
    promoted = any(board.promoted for board in own if board.tier == suite.evaluation.tier)
    return [board for board in own if board.tier == suite.evaluation.tier or promoted]


def _show_boards(boards: Iterable[Board], planned: Planned, console: Console) -> None:
    for board in _asked_for(boards, planned):
        console.print(terminal_table(board))


def _check_folders(planned: Planned, where: Where, site: Path) -> None:
    """Write, lock and remove a file where it will be needed: a problem is one message before anything is trained."""
    for folder in (where.results / planned.suite.name, where.work_dir / planned.suite.name, site):
        probe = folder / ".writable"
        with atomic(probe):
            pass
        probe.unlink(missing_ok=True)
    if problem := lock_problem(where.work_dir):
        raise UserError(problem)


def _check_data(planned: Planned, where: Where) -> None:
    """Load the data and build the networks once, so that a problem is one message before anything is trained."""
    from fairbench.data.loading import load_dataset  # noqa: PLC0415  imports torch
    from fairbench.training.loop import model_of  # noqa: PLC0415
    from fairbench.training.network_check import check_network  # noqa: PLC0415

    dataset = load_dataset(planned.suite.dataset, folder=planned.suite.folder, data_dir=where.data_dir)
    networks: dict[object, Any] = {}
    asked = {(run.method, run.parameters, run.suite.model, run.suite.model_factory): run for run in planned.runs}
    for run in asked.values():
        key = (run.suite.model, run.suite.model_factory)
        if key not in networks:
            networks[key] = model_of(run, dataset)
        method = registry.create(run.method, dict(run.parameters), plugins=[plugin.file for plugin in where.plugins])
        check_network(run, method, dataset, network=networks[key])
