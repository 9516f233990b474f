"""Who watches is told every epoch and attack, changes nothing, and stops nothing; adapters are asked for by name."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from fairbench import evaluate
from fairbench.cli import main
from fairbench.errors import UserError
from fairbench.outcomes.metrics import class_accuracies
from fairbench.outcomes.store import read_outcomes
from fairbench.tracking.tracker import Attacked, Epoch, Subject, scalars
from fairbench.tracking.watching import check_trackers, watching

EPOCH = Epoch(
    number=0,
    learning_rate=0.1,
    loss=None,
    clean=(0.5, None, 1.0),
    robust=(0.25, None, 0.75),
    reported={"radius": [0.1, 0.2], "gate": 0.3, "words": "no number"},
)
ATTACKED = Attacked(name="pgd20", accuracies=(0.5, math.nan, 0.25))

WATCHING = """
import json

class Watching:
    def __init__(self, subject):
        self.file = open(subject.folder.parent / "watched.jsonl", "a")
        self.write("began", subject.label)

    def write(self, *what):
        self.file.write(json.dumps(what) + "\\n")

    def on_epoch(self, epoch):
        self.write("epoch", epoch.number, epoch.loss, list(epoch.robust))

    def on_attack(self, attack):
        self.write("attack", attack.name, list(attack.accuracies))

    def close(self):
        self.write("closed")
        self.file.close()

class Clumsy:
    def __init__(self, subject):
        pass

    def on_epoch(self, epoch):
        raise RuntimeError("no disk")

    on_attack = close = on_epoch
"""

SUITE = """
model = "digits-cnn"
teacher = "digits-cnn"
[dataset]
name = "digits"
validation = "1/7"
[threat]
epsilon = 0.15
step = 0.075
steps = 1
[recipe]
epochs = 2
crop_padding = 1
flip = false
[evaluation]
tier = "screen"
pgd_steps = 3
pgd_step = 0.05
"""


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return Subject(
        suite="digits", label="trades", seed=1, key="k" * 16, parameters={"beta": 6.0}, folder=tmp_path / "run"
    )


class Listening:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[Epoch | Attacked] = []

    def on_epoch(self, epoch: Epoch) -> None:
        self.heard.append(epoch)

    def on_attack(self, attack: Attacked) -> None:
        self.heard.append(attack)

    def close(self) -> None:
        """Nothing to close."""


def test_reports_as_numbers() -> None:
    """What is missing, or no number, is left out, and never 0."""
    found = scalars(EPOCH)
    assert found["validation/clean/average"] == 0.75
    assert found["validation/robust/worst"] == 0.25
    assert found["method/radius 1"] == 0.2
    assert not {"training/loss", "validation/clean/class 1", "method/words"} & set(found)
    assert scalars(ATTACKED) == {
        "test/pgd20/average": 0.375,
        "test/pgd20/worst": 0.25,
        "test/pgd20/class 0": 0.5,
        "test/pgd20/class 2": 0.25,
    }


def test_a_run_is_watched_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a class of one's own, by TensorBoard, and by one that fails: outcomes are as when nobody watches."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    Path("short.toml").write_text(SUITE, encoding="utf-8")
    Path("mine.py").write_text(WATCHING, encoding="utf-8")
    command = ["run-all", "--suite", "short.toml", "--method", "pgd-at", "--seed", "0", "--jobs", "1"]
    watched = ["--track", "mine.py:Watching", "--track", "mine.py:Clumsy", "--track", "tensorboard"]
    for arguments in ([*command, *watched], [*command, "--results", "plain", "--work-dir", "plain-runs"]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
    outcomes, plain = (read_outcomes(Path(folder, "short/pgd-at/seed0.parquet")) for folder in ("results", "plain"))
    assert outcomes.rows.equals(plain.rows)
    assert outcomes.provenance.key == plain.provenance.key
    assert outcomes.provenance.checkpoints == plain.provenance.checkpoints
    lines = Path("runs/short/pgd-at/watched.jsonl").read_text(encoding="utf-8").splitlines()
    heard = [json.loads(line) for line in lines]
    assert [line[:2] for line in heard] == [
        ["began", "pgd-at"],
        ["epoch", 0],
        ["epoch", 1],
        ["attack", "clean"],
        ["attack", "pgd20"],
        ["closed"],
    ]
    history = outcomes.provenance.history
    assert [line[2:] for line in heard[1:3]] == [[entry["loss"], entry["validation_robust"]] for entry in history]
    accuracies = class_accuracies(outcomes.rows, 10, "pgd20").values
    assert heard[4][2] == pytest.approx(accuracies.tolist())
    (folder,) = Path("runs/short/pgd-at").glob("seed0-*")
    assert "The tracker mine.py:Clumsy failed, and is not told anything more: RuntimeError: no disk" in (
        folder / "log.txt"
    ).read_text(encoding="utf-8")
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    losses = events.Scalars("training/loss")
    assert [event.step for event in losses] == [1, 2]
    assert [event.value for event in losses] == pytest.approx([entry["loss"] for entry in history])
    assert events.Scalars("test/pgd20/worst")[0].value == pytest.approx(accuracies.min())


def test_an_evaluation_in_python_is_watched() -> None:
    """Each attack as it ends, as the outcomes have it."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    images, labels = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
    listening = Listening()
    outcomes = evaluate(model, images, labels, epsilon=0.01, tracker=listening)
    heard = [one for one in listening.heard if isinstance(one, Attacked)]
    assert [one.name for one in heard] == ["clean", "pgd20", "autoattack"]
    for one in heard:
        assert list(one.accuracies) == pytest.approx(class_accuracies(outcomes.rows, 3, one.name).values.tolist())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tensorbord", "Unknown tracker 'tensorbord'. Did you mean 'tensorboard'"),
        ("nowhere.py:Mine", "--track nowhere.py:Mine: there is no file nowhere.py."),
    ],
)
def test_a_tracker_that_does_not_exist_is_told_first(name: str, said: str) -> None:
    done = CliRunner().invoke(main, ["run-all", "--suite", "digits", "--dry-run", "--track", name])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("json:Mine", "json has no class 'Mine'; give the one that watches"),
        ("no_such_package:Mine", "The tracker no_such_package cannot be imported: ModuleNotFoundError"),
        ("math:sqrt", "The tracker math:sqrt cannot be made: TypeError"),
    ],
)
def test_a_tracker_that_cannot_be_made(subject: Subject, name: str, said: str) -> None:
    check_trackers([name])
    with pytest.raises(UserError, match=said), watching([name], subject):
        pass


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_without_the_extra(subject: Subject, monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"pip install 'fairbench\[{name}\]'"), watching([name], subject):
        pass


def test_weights_and_biases(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run there, which goes on under its key; the calls are those of its documentation."""
    told: list[tuple[str, Any]] = []

    def say(name: str) -> Callable[..., None]:
        return lambda *values: told.append((name, values[0] if values else None))

    def init(**given: Any) -> Any:
        told.append(("init", given))
        return SimpleNamespace(log=say("log"), summary=SimpleNamespace(update=say("summary")), finish=say("finish"))

    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with watching(["wandb"], subject) as tracker:
        tracker.on_epoch(EPOCH)
        tracker.on_attack(ATTACKED)
    assert [name for name, _ in told] == ["init", "log", "summary", "finish"]
    assert told[0][1]["id"] == subject.key
    assert told[0][1]["resume"] == "allow"
    assert told[0][1]["config"] == {"suite": "digits", "label": "trades", "seed": 1, "beta": 6.0}
    assert told[1][1] == {"epoch": 1, **scalars(EPOCH)}
    assert told[2][1] == scalars(ATTACKED)
