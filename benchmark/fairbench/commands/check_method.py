"""`fairbench check-method`: the conformance checks, and what to do about each that fails."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fairbench.errors import UserError
from fairbench.method import registry
from fairbench.report.terminal.console import console
from fairbench.testing import Checked, Outcome, check_method

COLOURS = {Outcome.PASSED: "green", Outcome.EXPECTED_FAILURE: "yellow"}


def check(given: str) -> int:
    """Check a registered method, or every method of a file. Returns the exit code: 0 only if all is as it should be."""
    out = console()
    plugins = [Path(given)] if given.endswith(".py") else []
    names = sorted(set(registry.names(plugins=plugins)) - set(registry.names())) if plugins else [given]
    if not plugins:
        registry.load(given)  # a name that nobody has is a mistake, and no method that fails
    good = True
    for name in names:
        try:
            registry.create(name, {}, plugins=plugins)
        except UserError as error:  # the other methods of a file are checked all the same
            out.print(f"{name}: {error}", markup=False)
            good = False
            continue
        checked = list(check_method(registry.load(name, plugins=plugins), plugins=plugins))
        _show(name, checked, out)
        good = good and all(one.good for one in checked)
    return 0 if good else 1


def _show(name: str, checked: list[Checked], out: Console) -> None:
    table = Table(title=name, title_justify="left")
    for heading in ("check", "outcome", "reason"):
        table.add_column(heading, overflow="fold")
    for one in checked:
        colour = COLOURS.get(one.outcome, "red")
        reason = f"as {one.same_as}" if one.same_as else one.reason
        table.add_row(one.check.name, f"[{colour}]{one.outcome.value}", escape(reason))
    out.print(table)
    for one in (one for one in checked if not one.same_as):
        if not one.good:
            out.print(f"{one.check.name}: {one.reason}", markup=False)
        if one.outcome is Outcome.FAILED:
            out.print(f"    What to do: {one.check.advice}", markup=False)
    counts = Counter(one.outcome for one in checked)
    summary = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])
    out.print(f"{name}: {summary}.", markup=False)
