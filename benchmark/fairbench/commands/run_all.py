"""`fairbench run-all`: compute whatever of a board is missing."""

import json
import sys

from rich.console import Console
from rich.markup import escape

from fairbench.atomic import atomic
from fairbench.boards.building import build_boards
from fairbench.commands.options.computing import Computing
from fairbench.commands.options.folders import RunFolders
from fairbench.commands.options.selection import Selection
from fairbench.commands.planning import Planned, plan
from fairbench.errors import INTERRUPTED
from fairbench.execution.executors import local_executor
from fairbench.execution.plan import RunStatus, State
from fairbench.execution.runner import Runner, Where, needed_tasks, run_statuses
from fairbench.execution.task import Ending, Task
from fairbench.report.terminal.console import console as make_console
from fairbench.report.terminal.display import Display
from fairbench.report.terminal.table import terminal_table


def run_all(selection: Selection, folders: RunFolders, computing: Computing) -> int:
    """Plan, compute, and show the board. Returns the exit code: 0 only if every run of the plan is done."""
    where = Where(
        results=folders.results,
        work_dir=folders.work_dir,
        data_dir=computing.data_dir,
        plugins=selection.plugins,
    )
    console = make_console(stderr=computing.as_json)
    planned = plan(selection)
    found = run_statuses(planned.runs, where)
    tasks = needed_tasks(found, where, rerun=computing.rerun)
    executor = local_executor(tasks=len(tasks), jobs=computing.jobs, device=computing.device) if tasks else None
    blocked = _blocked(found, tasks)
    problems = [*planned.problems, *blocked]
    if computing.dry_run:
        _show_plan(found, tasks, problems, as_json=computing.as_json, console=console)
        return 1 if problems else 0
    for problem in problems:
        console.print(f"[yellow]Note:[/yellow] {escape(problem)}")
    if executor is None:
        finished = sum(one.state is State.DONE for one in found)
        said = "was computed" if blocked else "to do"
        console.print(f"Nothing {said}: {finished} of {len(found)} runs of {planned.suite.name} are done.")
        _show_board(planned, where, console)
        return 1 if problems else 0
    _check_folders(planned, where)
    _check_data(planned, where)
    failed = False
    with Display(console, total=len(tasks), reused=len(planned.runs) - len(tasks) - len(blocked)) as display:
        runner = Runner(executor, started=display.started, advanced=display.advanced, ended=display.ended)
        try:
            endings = runner.run(tasks, reasons={one.run.key: one.reason for one in found if one.reason})
            failed = any(ended.ending is not Ending.DONE for ended in endings.values())
        except KeyboardInterrupt:
            command = "the same command" if computing.rerun == "never" else "the same command without --rerun"
            console.print(f"Interrupted. Everything finished so far is kept; {command} goes on from here.")
            return INTERRUPTED
    _show_board(planned, where, console)
    return 1 if failed or problems else 0


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
    console.print(f"{len(tasks)} of {len(found)} runs would be computed.")


def _show_board(planned: Planned, where: Where, console: Console) -> None:
    """The board that was asked for, and the one to which its runs were promoted."""
    suite = planned.suite
    boards = [board for board in build_boards(where.results).boards if board.suite == suite.name and board.trains]
    promoted = any(board.promoted for board in boards if board.tier == suite.evaluation.tier)
    for board in boards:
        if board.tier == suite.evaluation.tier or promoted:
            console.print(terminal_table(board))


def _check_folders(planned: Planned, where: Where) -> None:
    """Write and remove a file in both folders, so that a problem is one message before anything is trained."""
    for folder in (where.results / planned.suite.name, where.work_dir / planned.suite.name):
        probe = folder / ".writable"
        with atomic(probe):
            pass
        probe.unlink(missing_ok=True)


def _check_data(planned: Planned, where: Where) -> None:
    """Load the data and build the models once, so that a problem is one message before anything is trained."""
    from fairbench.data.loading import load_dataset  # noqa: PLC0415  imports torch
    from fairbench.training.loop import model_of  # noqa: PLC0415

    dataset = load_dataset(planned.suite.dataset, folder=planned.suite.folder, data_dir=where.data_dir)
    for run in {run.suite.model: run for run in planned.runs}.values():
        model_of(run, dataset)
