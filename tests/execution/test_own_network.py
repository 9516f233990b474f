"""`run-all` on networks that somebody's own code builds, as models, as teachers and from the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairbench.cli import main
from fairbench.outcomes.store import read_outcomes
from fixture_types import Command

NETS = """
from torch import nn

def net(*, classes, width=16):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))
"""

OWN = """
model = "nets/nets.py:net"
teacher = "nets/nets.py:net"
seeds = [0]

[teacher_arguments]
width = 32

[dataset]
name = "digits"

[threat]
epsilon = 0.1
step = 0.1
steps = 1

[recipe]
epochs = 2
learning_rate = 0.1
schedule = "one-cycle"
crop_padding = 1
flip = false

[evaluation]
tier = "screen"
pgd_steps = 2
pgd_step = 0.1
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite with its network in a folder beside it, where the tests are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/nets.py").write_text(NETS, encoding="utf-8")
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")


def test_a_network_and_a_teacher_of_ones_own(fairbench: Command, tmp_path: Path) -> None:
    """Trained, judged, shown, and evaluated again from its checkpoint; an edit of the source is another protocol."""
    done = fairbench("run-all", "--suite", "own.toml", "--method", "rslad", "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    student = read_outcomes(tmp_path / "results/own/rslad/seed0.parquet").provenance
    teacher = read_outcomes(tmp_path / "results/own/teacher-trades/seed0.parquet").provenance
    for found, arguments in ((student, {}), (teacher, {"width": 32})):
        protocol = found.description["protocol"]
        assert protocol["model"] == "nets.py:net"
        assert protocol["network"]["arguments"] == arguments
        assert len(protocol["network"]["code"]) == 64
    assert str(tmp_path) not in json.dumps(student.description)
    assert fairbench("status", "--suite", "own.toml", "--method", "rslad").returncode == 0

    (weights,) = (tmp_path / "runs/own/teacher-trades").glob("*/selected.safetensors")
    given = ("--model", "nets/nets.py:net", "--model-argument", "classes=10", "--model-argument", "width=32")
    judged = ("--dataset", "digits", "--eps", "0.1", "--tier", "screen")
    done = fairbench("evaluate", *given, "--checkpoint", weights, "--name", "again", *judged)
    assert done.returncode == 0, done.stdout + done.stderr
    again = read_outcomes(tmp_path / "results/digits/external-again/seed0.parquet")
    expected = read_outcomes(tmp_path / "results/own/teacher-trades/seed0.parquet")
    assert again.rows["clean"].tolist() == expected.rows["clean"].tolist()
    assert again.provenance.description["external"]["model"] == "nets.py:net(classes=10, width=32)"

    with (tmp_path / "nets/nets.py").open("a") as file:
        file.write("# edited\n")
    stale = fairbench("status", "--suite", "own.toml", "--method", "rslad")
    assert "network.code: " in " ".join(stale.stdout.split()).replace("network. code", "network.code")
    assert stale.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--model", "nets/nets.py:net"), "digits-net"),
        (("--model", "nets/nets.py:net", "--model-argument", "width=8"), "digits-net-"),
        (("--model", "digits-cnn-wide"), "digits-digits-cnn-wide"),
    ],
)
def test_a_network_on_the_command_line_is_a_board_of_its_own(arguments: tuple[str, ...], name: str) -> None:
    """Its outcomes lie beside those of the suite, and replace none."""
    found, usual = (
        json.loads(CliRunner().invoke(main, ["status", *given, "--method", "pgd-at", "--json"]).stdout)
        for given in (arguments, ())
    )
    assert found["suite"].startswith(name)
    assert usual["suite"] == "digits"
    assert found["runs"][0]["key"] != usual["runs"][0]["key"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "nets/nets.py:nett"), "has no function 'nett'; it defines: net."),
        (("--model", "nets/none.py:net"), "Cannot read the model"),
        (("--model", "no_such_package:net"), "there is no package 'no_such_package' here"),
        (("--model", "digits-cn"), "Unknown model 'digits-cn'. Did you mean 'digits-cnn'?"),
        (("--model-argument", "width=8"), "'digits-cnn' is an architecture of ours. Give a factory with --model"),
        (("--model", "nets/nets.py:net", "--model-argument", "depth=8"), "unexpected keyword argument 'depth'"),
        (("--model", "nets/nets.py:net", "--set", "attack_bn=train"), " cannot train nets.py:net: attack_bn='train'"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_trained(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = CliRunner().invoke(main, ["run-all", *arguments, "--method", "pgd-at", "--tier", "screen"])
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert said in " ".join(done.output.split())
    assert not list((tmp_path / "runs").rglob("*.pt"))
