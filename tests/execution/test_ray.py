"""`run-all` on a real Ray cluster of two nodes: equal to local, although a worker and a node are killed under it."""

import json
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairbench.outcomes.store import read_outcomes, result_files
from fixture_types import Command, Start

SLOW = """
import time
from dataclasses import dataclass
from pathlib import Path
from fairbench import Card, Method, cross_entropy

@dataclass(kw_only=True)
class Slow(Method):
    "Clean training that waits after its first epoch for as long as it is told."
    card = Card(title="S", authors="A", venue="V", year=2026, link="https://example.org", bibtex="@a", code_licence="")
    def loss(self, batch):
        while batch.progress > 0.4 and Path(__file__).with_name("hold").exists():
            time.sleep(0.1)
        return cross_entropy(self.model(batch.images), batch.labels).mean()
"""

LOCAL = ("run-all", "--suite", "short.toml", "--method", "frl", "--method", "rslad", "--seed", "0")
ON_RAY = ("--executor", "ray", "--executor-options", "cluster.toml")
SLOWLY = ("run-all", "--suite", "short.toml", "--plugin", "slow.py", "--method", "slow", *ON_RAY)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that computes nothing, and two nodes of two processors, in name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that Ray imports
        pytest.importorskip("ray", reason="ray is not installed (pip install 'fairbench[ray]')")
        from ray.cluster_utils import Cluster

        started = _started(Cluster)
        try:
            yield started
        finally:
            started.shutdown()


def _started(kind: Callable[..., Any]) -> Any:
    """Its limit of 30 s for a start is fixed, and a busy machine may miss it once."""
    memory = {"object_store_memory": 80 << 20, "include_dashboard": False}
    for attempt in (1, 2):
        found = kind()
        try:
            found.add_node(num_cpus=0, **memory)
            found.nodes = [found.add_node(num_cpus=2, **memory) for _ in range(2)]
        except Exception:
            found.shutdown()
            if attempt == 2:
                raise
        else:
            return found
    raise AssertionError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, short_file: Path, cluster: Any) -> Path:
    assert short_file.parent == tmp_path
    (tmp_path / "cluster.toml").write_text(f'[ray]\naddress = "{cluster.address}"\ngpus = 0\n')
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


def waiting(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.1)


def told(folder: Path, method: str, seed: int = 0) -> dict[str, Any]:
    path = next(folder.glob(f"runs/short/{method}/seed{seed}-*/progress.json"), None)
    return json.loads(path.read_text()) if path else {}


def trained(results: Path) -> dict[str, tuple[object, ...]]:
    found = {}
    for path in result_files(results):
        outcomes = read_outcomes(path)
        p = outcomes.provenance
        found[path.name, p.label] = (outcomes.rows.to_csv(index=False), p.key, p.history, p.passes, p.checkpoints)
    return {str(name): value for name, value in found.items()}


def test_equal_to_local_although_a_worker_is_killed(start: Start, fairbench: Command, folder: Path) -> None:
    suite = folder / "short.toml"
    suite.write_text(suite.read_text().replace("epochs = 3", "epochs = 8"))
    process = start(*LOCAL, *ON_RAY)
    waiting(lambda: any(folder.glob("runs/short/trades/*/state.pt")), "it trains")
    os.kill(told(folder, "trades")["process"], signal.SIGKILL)
    assert fairbench(*LOCAL, "--results", "local", "--work-dir", "here").returncode == 0
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert trained(folder / "results") == trained(folder / "local")
    assert {path.parent.name for path in result_files(folder / "local")} == {"frl", "rslad", "trades"}


def test_a_lost_node_ctrl_c_a_killed_command_and_the_next_one(start: Start, folder: Path, cluster: Any) -> None:
    """Two runs, one on a node that dies with its workers: it goes on elsewhere; then all is stopped and resumed."""
    (folder / "hold").touch()
    process = start(*SLOWLY)
    waiting(lambda: len(list(folder.glob("runs/short/slow/*/state.pt"))) == 2, "both train")
    first = {told(folder, "slow", seed)["process"] for seed in (0, 1)}
    cluster.remove_node(cluster.nodes.pop(), allow_graceful=False)
    waiting(lambda: any(not _runs(worker) for worker in first), "one is lost")
    waiting(lambda: {told(folder, "slow", seed)["process"] for seed in (0, 1)} != first, "it goes on elsewhere")
    second = {told(folder, "slow", seed)["process"] for seed in (0, 1)}
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "the same command goes on from here" in output
    waiting(lambda: not any(_runs(worker) for worker in second), "no worker is left")
    killed = start(*SLOWLY)
    waiting(lambda: all(_runs(told(folder, "slow", seed)["process"]) for seed in (0, 1)), "both go on")
    third = {told(folder, "slow", seed)["process"] for seed in (0, 1)}
    killed.kill()
    waiting(lambda: not any(_runs(worker) for worker in third), "its tasks end with it")
    (folder / "hold").unlink()
    again = start(*SLOWLY)
    output, _ = again.communicate(timeout=240)
    assert again.returncode == 0, output
    paths = list(result_files(folder / "results"))
    assert [len(read_outcomes(path).provenance.history) for path in paths] == [3, 3]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_no_cluster_is_one_sentence(start: Start, folder: Path) -> None:
    (folder / "cluster.toml").write_text('[ray]\naddress = "127.0.0.1:1"\ngpus = 0\n')
    refused = start(*SLOWLY)
    said = refused.communicate(timeout=180)[0]
    assert refused.returncode == 2, said
    assert "No Ray cluster answers at '127.0.0.1:1'" in " ".join(said.split())
