"""`fairbench status`: the state of every run of a suite."""

import gc
import json
import sys
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from fairbench.commands.options.folders import RunFolders
from fairbench.commands.options.selection import Selection
from fairbench.commands.planning import plan
from fairbench.execution.plan import RunStatus, State
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
    gc.freeze()  # torch and the methods stay: the collector need not pass over them while thousands of lines are made
    where = Where(results=folders.results, work_dir=folders.work_dir)
    found = with_queued(run_statuses(planned.runs, where), where.work_dir)
    if as_json:
        rows = [one.plain() for one in found]
        sys.stdout.write(
            json.dumps({"suite": planned.suite.name, "runs": rows, "problems": planned.problems}, indent=2) + "\n"
        )
    else:
        out = console()
        title = f"{planned.suite.name}: {planned.suite.title}"
        table = _table(found, title, at_once=True)
        out.print(table if out.measure(table).maximum <= out.width else _table(found, title, at_once=False))
        for problem in planned.problems:
            out.print(problem, markup=False)
    return 0 if all(one.state is State.DONE for one in found) and not planned.problems else 1


def _table(found: Sequence[RunStatus], title: str, *, at_once: bool) -> Table:
    """A line for each run.

    Args:
        found: the runs.
        title: of the table.
        at_once: whether all lines are one cell of each column: the same table, as long as nothing has to be folded, in
            a fifth of the time, which counts where there are thousands.
    """
    table = Table(title=title, title_justify="left")
    for heading in ("run", "seed", "state", "reason"):
        table.add_column(heading, overflow="fold")
    cells = [
        (
            Text(one.run.label),
            Text(str(one.run.seed)),
            Text(one.state.value, COLOURS.get(one.state, "red")),
            Text(one.reason),
        )
        for one in found
    ]
    for line in [map(Text("\n").join, zip(*cells, strict=True))] if at_once and cells else cells:
        table.add_row(*line)
    return table
