"""`run-all` on a real Slurm of two nodes: equal to local, whatever happens to workers, nodes, or the command itself."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fairbench.outcomes.store import read_outcomes, result_files
from fixture_types import Command, Start

OPTIONS = """
[slurm]
gpus = 0
cpus = 1
memory_gb = 0.5
minutes = 30
"""

SLOW = """
import time
from dataclasses import dataclass
from pathlib import Path
from fairbench import Card, Method, cross_entropy

CARD = Card(title="S", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@a", code_licence="")
HOLD = Path(__file__).with_name("hold")

@dataclass(kw_only=True)
class Slow(Method):
    "Clean training that waits after its first epoch for as long as it is told."
    card = CARD
    def loss(self, batch):
        while batch.progress > 0.4 and HOLD.exists():
            time.sleep(0.1)
        return cross_entropy(self.model(batch.images), batch.labels).mean()

@dataclass(kw_only=True)
class Endless(Method):
    "Clean training whose first epoch is longer than a job."
    card = CARD
    def loss(self, batch):
        while True:
            time.sleep(0.1)
"""

ON_SLURM = ("run-all", "--suite", "short.toml", "--executor", "slurm", "--executor-options", "cluster.toml")
SLOWLY = (*ON_SLURM, "--plugin", "slow.py", "--method", "slow", "--seed", "0")

Cluster = Any


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, short_file: Path, slurm: Cluster) -> Path:
    """With a suite, a slow method, and what to ask Slurm for."""
    assert short_file.parent == tmp_path
    assert slurm
    (tmp_path / "cluster.toml").write_text(OPTIONS)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "hold").touch()
    return tmp_path


def verdicts_and_trainings(results: Path) -> dict[str, tuple[object, ...]]:
    """All that must not depend on where it was computed."""
    found: dict[str, tuple[object, ...]] = {}
    for path in result_files(results):
        outcomes = read_outcomes(path)
        p = outcomes.provenance
        verdicts = outcomes.rows.to_csv(index=False)
        found[path.relative_to(results).as_posix()] = (verdicts, p.key, p.history, p.passes, p.checkpoints, p.cost)
    return found


def told(folder: Path, method: str = "slow") -> dict[str, Any]:
    """What the run of a method says of itself."""
    path = next(folder.glob(f"runs/short/{method}/*/progress.json"), None)
    return json.loads(path.read_text()) if path else {}


def job_of(folder: Path, method: str = "slow") -> str:
    path = next(folder.glob(f"runs/short/{method}/*/job.json"))
    return str(json.loads(path.read_text())["job"])


def trains(folder: Path, method: str = "slow") -> bool:
    return any(folder.glob(f"runs/short/{method}/*/state.pt"))


def test_equal_to_local_although_a_worker_is_killed(
    start: Start, fairbench: Command, slurm: Cluster, folder: Path, waiting: Any
) -> None:
    """A hot start and a teacher, both of which others wait for; the killed one goes on in another job."""
    methods = ("--method", "frl", "--method", "rslad", "--seed", "0")
    suite = folder / "short.toml"
    suite.write_text(suite.read_text().replace("epochs = 3", "epochs = 8"))
    before = slurm.jobs()
    process = start(*ON_SLURM, *methods)
    waiting(lambda: trains(folder, "trades"), "it trains")
    os.kill(told(folder, "trades")["process"], signal.SIGKILL)
    local = fairbench("run-all", "--suite", "short.toml", *methods, "--results", "local", "--work-dir", "here")
    assert local.returncode == 0, local.stdout
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "was lost (FAILED); it is submitted again" in output
    assert verdicts_and_trainings(folder / "results") == verdicts_and_trainings(folder / "local")
    assert len(result_files_of(folder)) == 3
    assert len(slurm.jobs()) - len(before) == 5  # the probe, the hot start twice, an array of two
    assert not any((folder / "runs" / "slurm").iterdir())
    assert not list(folder.glob("runs/**/job.json"))


def result_files_of(folder: Path) -> list[Path]:
    return list(result_files(folder / "results"))


def test_the_next_command_adopts_what_lives_and_a_preempted_job_goes_on(
    start: Start, fairbench: Command, slurm: Cluster, folder: Path, waiting: Any
) -> None:
    """The command is killed, its job preempted; of two commands that follow neither submits it again."""
    before = slurm.jobs()
    first = start(*SLOWLY)
    waiting(lambda: trains(folder), "it trains")
    (run,) = json.loads(fairbench("status", *SLOWLY[1:3], *SLOWLY[7:], "--json").stdout)["runs"]
    assert (run["state"], run["reason"].split()[0]) == ("running", "training")
    first.send_signal(signal.SIGKILL)
    first.wait()
    job, worker = job_of(folder), told(folder)["process"]
    slurm("sbatch", "-p", "urgent", "-N2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 0.1")
    waiting(lambda: slurm.jobs()[job] == "PENDING", "it is preempted")
    (run,) = json.loads(fairbench("status", *SLOWLY[1:3], *SLOWLY[7:], "--json").stdout)["runs"]
    assert (run["state"], run["reason"]) == ("queued", f"job {job}: BeginTime")
    others = [start(*SLOWLY), start(*SLOWLY)]
    slurm.let_go_on(job)
    waiting(lambda: told(folder)["process"] != worker, "it goes on")
    waiting(lambda: len(list(folder.glob("runs/slurm/*/lock"))) == 3, "both watch it")
    (folder / "hold").unlink()
    outputs = [other.communicate(timeout=240)[0] for other in others]
    assert [other.returncode for other in others] == [0, 0], outputs
    assert all("1 jobs of an earlier command go on." in output for output in outputs)
    assert len(slurm.jobs()) - len(before) == 3  # the probe, the run, and the urgent job
    assert len(read_outcomes(folder / "results/short/slow/seed0.parquet").provenance.history) == 3


def test_ctrl_c_empties_the_queue(start: Start, slurm: Cluster, folder: Path, waiting: Any) -> None:
    process = start(*SLOWLY, "--seed", "1")
    waiting(lambda: trains(folder), "it trains")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "the same command goes on from here" in output
    waiting(lambda: set(slurm.jobs().values()) <= {"COMPLETED", "CANCELLED", "FAILED"}, "the queue is empty")
    assert not list(folder.glob("runs/**/job.json"))


def test_a_plugin_computes_as_it_was_when_its_job_was_queued(
    start: Start, slurm: Cluster, folder: Path, waiting: Any
) -> None:
    """And a job that its owner cancels is not submitted again."""
    (folder / "hold").unlink()
    gate = folder / "gate"
    gate.touch()
    closed = f'[ -z "$SLURM_ARRAY_TASK_ID" ] || while [ -e {gate} ]; do sleep 0.1; done'  # the probe is no array
    (folder / "cluster.toml").write_text(f"{OPTIONS}setup = ['{closed}']\n")
    process = start(*SLOWLY, "--seed", "1")
    waiting(lambda: len(list(folder.glob("runs/**/job.json"))) == 2, "both wait")
    (folder / "slow.py").write_text(SLOW.replace("cross_entropy(self", "no_longer_there(self"))
    second = next(folder.glob("runs/short/*/seed1-*/job.json"))
    slurm("scancel", json.loads(second.read_text())["job"])
    gate.unlink()
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1, output
    assert "seed 0: done" in output
    assert "was cancelled" in output
    (only,) = result_files_of(folder)
    assert only.name == "seed0.parquet"


def test_at_its_time_limit_a_job_is_queued_again_unless_an_epoch_is_longer(
    start: Start, slurm: Cluster, folder: Path, waiting: Any
) -> None:
    """Slurm's warning is sent by hand; it takes a minute at least. One run goes on, the other ends with advice."""
    (folder / "cluster.toml").write_text(OPTIONS.replace("minutes = 30", "minutes = 2\nwarning_seconds = 30"))
    process = start(*SLOWLY, "--method", "endless")
    waiting(lambda: trains(folder) and told(folder, "endless").get("stage"), "both train")
    jobs = [job_of(folder), job_of(folder, "endless")]
    attempt = told(folder, "endless")["process"]
    for job in jobs:
        slurm("scancel", "--signal=USR2", job)
    for job in jobs:
        slurm.let_go_on(job)
    (folder / "hold").unlink()
    waiting(lambda: told(folder, "endless")["process"] != attempt and told(folder, "endless")["stage"], "once more")
    slurm("scancel", "--signal=USR2", jobs[1])
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1, output
    assert "2 jobs of 2 minutes, one after the other, ended before another epoch was done" in " ".join(output.split())
    assert len(read_outcomes(folder / "results/short/slow/seed0.parquet").provenance.history) == 3


def test_a_lost_node_keeps_its_run_and_nobody_computes_it_twice(
    start: Start, slurm: Cluster, folder: Path, waiting: Any
) -> None:
    """What it had started runs on; the job that Slurm starts again elsewhere finds the run busy."""
    process = start(*SLOWLY)
    waiting(lambda: trains(folder), "it trains")
    job, worker = job_of(folder), told(folder)["process"]
    node = slurm("squeue", "-h", "-j", job, "-o", "%N")
    slurm.kill_node(node)
    try:
        slurm.let_go_on(job)
        waiting(lambda: slurm.jobs()[job] == "COMPLETED", "it finds the run busy")
        (folder / "hold").unlink()
        output, _ = process.communicate(timeout=240)
    finally:
        slurm.start_node(node)
    assert process.returncode == 0, output
    assert told(folder)["process"] == worker
    (path,) = result_files_of(folder)
    assert len(read_outcomes(path).provenance.history) == 3


def test_locks_that_hold_nobody_on_a_node_are_one_sentence(fairbench: Command, folder: Path, slurm: Cluster) -> None:
    """A node on which `flock` is told to do nothing, as NFS does with `nolock`."""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "sitecustomize.py").write_text("import fcntl\nfcntl.flock = lambda *_: None\n")
    setup = f"export PYTHONPATH={folder / 'elsewhere'}:$PYTHONPATH"
    (folder / "cluster.toml").write_text(f'{OPTIONS}setup = ["{setup}"]\n')
    refused = fairbench(*SLOWLY)
    assert refused.returncode == 2
    assert "exclude nobody. Mount it with locks" in " ".join(refused.stderr.split())
    assert not list(folder.glob("runs/**/job.json"))
    (folder / "cluster.toml").write_text(f'{OPTIONS}partition = "gold"\n')
    refused = fairbench(*SLOWLY)
    assert refused.returncode == 2
    assert "Slurm refuses the jobs" in refused.stderr
    assert "gold" in refused.stderr
    assert slurm.jobs()
