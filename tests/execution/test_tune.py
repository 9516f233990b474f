"""`tune` as a stranger uses it: killed and gone on with, for a plug-in, and with everything that can be wrong."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from fairbench.outcomes.store import read_outcomes
from fixture_types import Command, Start

ARGUMENTS = ("tune", "--suite", "short.toml", "--method", "frl", "--jobs", "2")
"""FRL brings TRADES with it: three trials of each."""

PLUGIN = """
from dataclasses import dataclass
from fairbench import Batch, Card, Method, cross_entropy, hyperparameter

@dataclass(kw_only=True)
class Faulty(Method):
    '''Clean training with a fault.'''
    card = Card(
        title="Faulty", authors="A", venue="V", year=2026, link="https://x.org", bibtex="@misc{a}", code_licence="-"
    )
    scale: float = hyperparameter(1.0, "factor of the loss, for tests", at_least=0, at_most=1e300)

    def loss(self, batch: Batch):
        return self.scale * cross_entropy(self.model(batch.images), batch.labels).mean()
"""


@pytest.fixture(autouse=True)
def tunable(short_file: Path) -> None:
    """The short suite with two rates, and trials of two epochs."""
    short_file.write_text(f'{short_file.read_text()}\n[tuning]\nrates = ["1/3", 1]\nfraction = "2/3"\nseed = 77\n')


def _found(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "short.tuned.json").read_text())["methods"]


def test_killed_at_any_moment_equals_undisturbed_and_runs_use_what_was_found(
    fairbench: Command, start: Start, tmp_path: Path
) -> None:
    """Prerequisites first, as many trials for each row, none on a ranked seed, no verdict on a test image."""
    undisturbed = fairbench(*ARGUMENTS, "--work-dir", "elsewhere", "--tuned", "other.json")
    assert undisturbed.returncode == 0, undisturbed.stdout + undisturbed.stderr
    for seconds in (5.0, 7.0):
        process = start(*ARGUMENTS)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    resumed = fairbench(*ARGUMENTS)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    found = _found(tmp_path)
    assert found == json.loads((tmp_path / "other.json").read_text())["methods"]
    assert {label: len(row["trials"]) for label, row in found.items()} == {"frl": 3, "trades": 3}
    assert {trial["epoch"] for trial in found["trades"]["trials"]} <= {0, 1}  # two epochs of three
    assert not list(tmp_path.glob("results/**/*.parquet"))
    assert {path.name.split("-")[0] for path in tmp_path.glob("runs/short/*/*")} == {"seed77"}
    again = fairbench(*ARGUMENTS)
    assert again.returncode == 0
    assert "training" not in again.stdout

    computed = fairbench("run-all", "--suite", "short.toml", "--method", "trades", "--method", "pgd-at", "--seed", "0")
    assert computed.returncode == 0, computed.stdout + computed.stderr
    best = max(found["trades"]["trials"], key=lambda trial: trial["average"] + trial["worst"])
    provenance = read_outcomes(tmp_path / "results/short/trades/seed0.parquet").provenance
    assert provenance.description["rate"] == best["rate"]
    assert provenance.tuning == found["trades"]["trials"]
    untuned = read_outcomes(tmp_path / "results/short/pgd-at/seed0.parquet").provenance
    assert (untuned.description["rate"], untuned.tuning) == (1.0, [])
    page = (tmp_path / "site" / "index.html").read_text()
    assert page.count(">not tuned<") == 1
    assert "the best of 3 trials on the validation split" in next(tmp_path.glob("site/methods/*/trades*")).read_text()


def test_a_plug_in_is_tuned_and_run_by_file(fairbench: Command, tmp_path: Path) -> None:
    """One that fails at every rate has spent its trials, is told so, and runs at the suite's rate."""
    (tmp_path / "faulty.py").write_text(PLUGIN)
    options = ("--suite", "short.toml", "--plugin", "faulty.py", "--method", "faulty", "--tuned", "mine.json")
    good = fairbench("tune", *options)
    assert good.returncode == 0, good.stdout + good.stderr
    bad = fairbench("tune", *options, "--set", "scale=1e300")
    assert bad.returncode == 0, bad.stdout + bad.stderr
    assert "failed at every rate" in bad.stdout
    rows = json.loads((tmp_path / "mine.json").read_text())["methods"]
    (label,) = set(rows) - {"faulty"}
    assert all("epoch 1" in trial["reason"] for trial in rows[label]["trials"])
    run = fairbench("run-all", *options, "--seed", "0")
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(read_outcomes(tmp_path / "results/short/faulty/seed0.parquet").provenance.tuning) == 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("rates = [0, 1]", "tuning.rates"),
        ("rates = [-1, 1]", "tuning.rates"),
        ("rates = [1]", "tuning.rates"),
        ("rates = [3, 1]", "tuning.rates"),
        ("rates = [1, 3]\nfraction = 0", "tuning.fraction"),
        ("rates = [1, 3]\nseed = 1", "tuning.seed = 1 is not allowed; allowed: a seed that no run of the suite has"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(fairbench: Command, short_file: Path, table: str, message: str) -> None:
    text = short_file.read_text()
    short_file.write_text(f"{text[: text.index('[tuning]')]}[tuning]\n{table}\n")
    done = fairbench("tune", "--suite", "short.toml", "--method", "pgd-at")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_rates_of_another_suite_are_refused_and_kept(fairbench: Command, tmp_path: Path) -> None:
    content = '{"schema": 1, "suite": "digits", "protocol": "fairbench-2", "key": "0", "methods": {}, "versions": {}}'
    (tmp_path / "digits.json").write_text(content)
    for command in (("run-all", "--dry-run"), ("tune",)):
        done = fairbench(*command, "--suite", "short.toml", "--method", "pgd-at", "--tuned", "digits.json")
        assert done.returncode == 2
        assert "digits.json holds the rates of suite digits, and this is suite short" in " ".join(done.stderr.split())
    assert (tmp_path / "digits.json").read_text() == content


def test_the_tuning_seed_is_no_seed_of_a_run(fairbench: Command) -> None:
    done = fairbench("run-all", "--suite", "short.toml", "--method", "pgd-at", "--seed", "77", "--dry-run")
    assert done.returncode == 2
    assert "--seed 77 is the tuning seed of short" in done.stderr


def test_a_suite_that_says_nothing_on_tuning_says_how(fairbench: Command, short_file: Path) -> None:
    text = short_file.read_text()
    short_file.write_text(text[: text.index("[tuning]")])
    done = fairbench("tune", "--suite", "short.toml", "--method", "pgd-at")
    assert done.returncode == 2
    assert "add a table [tuning]" in done.stderr
