"""The table of `fairbench status`, and the states of runs whose outcomes are there."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from fairbench.commands.options.selection import Selection
from fairbench.commands.planning import plan
from fairbench.commands.status import _table
from fairbench.execution.plan import RunStatus, State, run_status
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import Outcomes, no_rows, read_outcomes, write_outcomes
from fairbench.protocol.run import Run
from fixture_types import WriteRun


@pytest.fixture(scope="module")
def run() -> Run:
    return plan(Selection(suite="digits", methods=("trades",), seeds=(0,), tier="screen")).runs[-1]


@pytest.mark.parametrize("reason", ["", "it needs [red]trades[/red], seed 0, which failed: é"])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_lines_at_once_are_the_lines_one_by_one(run: Run, reason: str, count: int) -> None:
    found = [
        RunStatus(run=run, state=state, reason=reason if number % 2 else "", work_dir=Path("runs"))
        for number, state in enumerate(list(State)[:count])
    ]
    shown = []
    for at_once in (True, False):
        console = Console(file=io.StringIO(), width=120)
        table = _table(found, "digits: all of them", at_once=at_once)
        assert console.measure(table).maximum <= 120
        console.print(table)
        assert isinstance(console.file, io.StringIO)
        shown.append(console.file.getvalue())
    assert shown[0] == shown[1]
    assert shown[0].count("trades") == count + (reason != "") * (count // 2)


def test_a_run_is_done_if_key_and_description_are_its_own(run: Run, results: Path, write_run: WriteRun) -> None:
    outcomes = read_outcomes(write_run("trades", autoattack=None))
    path = run.result_file(results)

    def state(provenance: Provenance) -> RunStatus:
        rows = no_rows() if provenance.status == "failed" else outcomes.rows
        write_outcomes(path, Outcomes(rows=rows, provenance=provenance))
        return run_status(run, results=results, work_dir=Path("runs"))

    description = json.loads(json.dumps(run.description()))
    own = replace(outcomes.provenance, key=run.key, description=description)
    assert state(own).state is State.DONE
    failed = state(replace(own, status="failed", reason="the loss became NaN", tier=""))
    assert (failed.state, failed.reason) == (State.FAILED, "the loss became NaN")
    protocol = description["protocol"]
    evaluation = protocol["evaluation"] | {"tier": "full"}
    higher = description | {"protocol": protocol | {"evaluation": evaluation}}
    found = state(replace(own, description=higher))
    assert found.state is State.OTHER_PROTOCOL, "anybody can write a key"
    assert "goes further than screen" in found.reason
