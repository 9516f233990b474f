"""`fairbench status`: the state of every run of a suite."""

import json
import sys

from rich.markup import escape
from rich.table import Table

from fairbench.commands.options.folders import RunFolders
from fairbench.commands.options.selection import Selection
from fairbench.commands.planning import plan
from fairbench.execution.plan import State
from fairbench.execution.runner import Where, run_statuses
from fairbench.execution.slurm.queued import with_queued
from fairbench.report.terminal.console import console

COLOURS = {
    State.DONE: "green",
    State.RUNNING: "cyan",
    State.QUEUED: "blue",
    State.INTERRUPTED: "yellow",
    State.NOT_RUN: "dim",
    State.LOWER_TIER: "yellow",
}


def status(selection: Selection, folders: RunFolders, *, as_json: bool) -> int:
    """Print the states. Returns the exit code: 0 only if every run is done."""
    planned = plan(selection)
    where = Where(results=folders.results, work_dir=folders.work_dir)
    found = with_queued(run_statuses(planned.runs, where), where.work_dir)
    if as_json:
        rows = [one.plain() for one in found]
        sys.stdout.write(
            json.dumps({"suite": planned.suite.name, "runs": rows, "problems": planned.problems}, indent=2) + "\n"
        )
    else:
        out = console()
        table = Table(title=f"{planned.suite.name}: {planned.suite.title}", title_justify="left")
        for heading in ("run", "seed", "state", "reason"):
            table.add_column(heading, overflow="fold")
        for one in found:
            colour = COLOURS.get(one.state, "red")
            table.add_row(one.run.label, str(one.run.seed), f"[{colour}]{one.state.value}", escape(one.reason))
        out.print(table)
        for problem in planned.problems:
            out.print(problem, markup=False)
    return 0 if all(one.state is State.DONE for one in found) and not planned.problems else 1
