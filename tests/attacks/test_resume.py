"""Verdicts on disk: an evaluation that was interrupted, killed or finished goes on, and only that one."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench import Threat, UserError
from fairbench.attacks import autoattack as module
from fairbench.attacks import watched
from fairbench.attacks.autoattack import AutoAttack, AutoAttacked, log_name
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Engine, Evaluation

QUICK = AutoAttackSettings(apgd_iterations=8, fab_iterations=5, square_queries=60, targets=3)
LINF = Threat(epsilon=0.1, step=0.03)
L2 = Threat(norm="L2", epsilon=0.5, step=0.1)
EVALUATION = Evaluation(pgd_step=0.03, batch_size=16)


def same(first: AutoAttacked, second: AutoAttacked) -> bool:
    return torch.equal(first.predictions, second.predictions) and first.broken_by == second.broken_by


def records(folder: Path) -> list[dict[str, Any]]:
    """The log without its wall times."""
    (log,) = folder.glob("*.jsonl")
    lines = log.read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


class Interrupted(Exception):  # noqa: N818  it is none
    """The power fails."""


def test_interrupted_at_any_moment_it_repeats_an_undisturbed_run(
    attack: Callable[..., AutoAttacked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = attack(folder=tmp_path / "undisturbed")
    monkeypatch.setattr(watched, "HEARTBEAT", -1.0)  # a call per forward: some interruptions hit the middle of a chunk
    chance, sessions = random.Random(0), 0

    def fragile(_stage: str, _done: int, _total: int) -> None:
        if chance.random() < 0.004:
            raise Interrupted

    while True:
        torch.rand(3)  # the caller's random state is another one in every session
        sessions += 1
        try:
            resumed = attack(folder=tmp_path / "resumed", progress=fragile)
            break
        except Interrupted:
            continue
    assert sessions > 3
    assert same(undisturbed, resumed)
    assert records(tmp_path / "undisturbed") == records(tmp_path / "resumed")


def test_a_finished_evaluation_is_not_repeated(
    attack: Callable[..., AutoAttacked], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = attack()
    monkeypatch.setattr(module, "_attack_chunk", lambda *_args, **_options: pytest.fail("attacked again"))
    second = attack()
    assert same(first, second)
    assert (first.unverified, first.seconds) == (second.unverified, second.seconds)
    assert min(first.seconds.values()) > 0


SESSION = """
import sys
from pathlib import Path

import torch

from fairbench.attacks.autoattack import AutoAttack
from fairbench.protocol.attack_names import ATTACKS

torch.set_num_threads(1)
model, images, labels, options = torch.load(sys.argv[1], weights_only=False)
AutoAttack(model, images, labels, folder=Path(sys.argv[2]), **options).attack(*ATTACKS)
"""


def test_killed_it_goes_on(engine: Engine, trained: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    images, labels = digits
    with torch.no_grad():
        clean = trained(images).argmax(dim=1)
    evaluation = replace(EVALUATION, batch_size=8, engine=engine)
    options = {"clean": clean, "classes": 10, "threat": LINF, "evaluation": evaluation}
    options["settings"] = AutoAttackSettings(apgd_iterations=40, fab_iterations=10, square_queries=100)
    torch.save((trained, images, labels, options), tmp_path / "session.pt")
    log = tmp_path / "killed" / log_name(evaluation)
    with subprocess.Popen([sys.executable, "-c", SESSION, str(tmp_path / "session.pt"), str(log.parent)]) as session:
        while not log.exists() or log.read_bytes().count(b"\n") < 4:
            assert session.poll() is None
            time.sleep(0.01)
        session.send_signal(signal.SIGKILL)
    assert session.returncode == -signal.SIGKILL
    undisturbed, resumed = (
        AutoAttack(trained, images, labels, folder=folder, **options).attack(*ATTACKS)
        for folder in (tmp_path, log.parent)
    )
    assert same(undisturbed, resumed)
    assert records(tmp_path) == records(log.parent)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.7, 0.9, 0.99])
def test_a_log_that_was_cut_off_is_completed(share: float, attack: Callable[..., AutoAttacked], tmp_path: Path) -> None:
    undisturbed, complete = attack(), records(tmp_path)
    (log,) = tmp_path.glob("*.jsonl")
    content = log.read_bytes()
    log.write_bytes(content[: int(share * len(content))])
    assert same(undisturbed, attack())
    assert records(tmp_path) == complete


@pytest.mark.parametrize("garbage", [b"\0" * 50, b'{"attack": "apgd-ce"}\n', b"[1]\n", b"\xff\xfe\n", b"\n"])
def test_garbage_at_the_end_of_a_log_is_dropped(
    garbage: bytes, attack: Callable[..., AutoAttacked], tmp_path: Path
) -> None:
    undisturbed, complete = attack(), records(tmp_path)
    (log,) = tmp_path.glob("*.jsonl")
    log.write_bytes(log.read_bytes() + garbage)
    assert same(undisturbed, attack())
    assert records(tmp_path) == complete


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"threat": replace(LINF, epsilon=0.11)}, "settings"),
        ({"threat": L2}, "settings"),
        ({"evaluation": replace(EVALUATION, seed=1)}, "settings"),
        ({"settings": replace(QUICK, square_queries=61)}, "settings"),
        ({"labels": torch.zeros(50, dtype=torch.long)}, "data"),
        ({"images": torch.zeros(50, 1, 8, 8)}, "clean predictions and other data"),
        ({"indices": torch.arange(1, 51)}, "data"),
    ],
    ids=str,
)
def test_the_log_of_another_evaluation_is_refused(
    options: dict[str, Any], part: str, attack: Callable[..., AutoAttacked], tmp_path: Path
) -> None:
    attack()
    (log,) = tmp_path.glob("*.jsonl")
    content = log.read_bytes()
    with pytest.raises(UserError, match=rf"another evaluation, with other {part}; use another folder"):
        attack(**options)
    assert log.read_bytes() == content


@pytest.mark.parametrize("engine", ["reference", "fairbench"])
def test_only_the_library_depends_on_the_batch_size(engine: Engine, attack: Callable[..., AutoAttacked]) -> None:
    """It draws noise for a batch, so that its log cannot go on with another one; ours can."""
    first, other = attack(), replace(EVALUATION, batch_size=17)
    if engine == "fairbench":
        assert same(first, attack(evaluation=other))
        return
    with pytest.raises(UserError, match="another evaluation, with other settings"):
        attack(evaluation=other)


def test_an_engine_arbitrates_beside_the_other(
    trained: nn.Module,
    digits: tuple[Tensor, Tensor],
    tmp_path: Path,
    attack: Callable[..., AutoAttacked],
    engine: Engine,
) -> None:
    """In the same folder, where each has a log of its own."""
    first = attack()
    other: Engine = "reference" if engine == "fairbench" else "fairbench"
    images, labels = digits
    with torch.no_grad():
        clean = trained(images).argmax(dim=1)
    options: dict[str, Any] = {"clean": clean, "classes": 10, "threat": LINF, "settings": QUICK, "folder": tmp_path}
    AutoAttack(trained, images, labels, evaluation=replace(EVALUATION, engine=other), **options).attack(*ATTACKS)
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert same(first, attack())


@pytest.mark.parametrize("among", [range(0, 50, 2), range(20), ()], ids=str)
def test_what_others_faced_stays_out_of_the_verdicts(
    among: Sequence[int], trained: nn.Module, digits: tuple[Tensor, Tensor], engine: Engine, tmp_path: Path
) -> None:
    """An audit finds the same beside the log of a complete evaluation as without one."""
    images, labels = digits
    with torch.no_grad():
        clean = trained(images).argmax(dim=1)
    chosen = torch.zeros(50, dtype=torch.bool)
    chosen[list(among)] = True

    def audited(folder: Path) -> AutoAttacked:
        attacking = AutoAttack(
            trained,
            images,
            labels,
            clean=clean,
            classes=10,
            threat=LINF,
            evaluation=replace(EVALUATION, engine=engine, batch_size=1),
            folder=folder,
            settings=QUICK,
        )
        return attacking.attack(*ATTACKS, among=chosen)

    first = audited(tmp_path / "alone")
    options: dict[str, Any] = {"clean": clean, "classes": 10, "threat": LINF, "settings": QUICK}
    evaluation = replace(EVALUATION, engine=engine, batch_size=1)
    attacking = AutoAttack(trained, images, labels, evaluation=evaluation, folder=tmp_path / "whole", **options)
    whole = attacking.attack(*ATTACKS)
    assert same(first, audited(tmp_path / "whole"))
    assert torch.equal(first.predictions[chosen], whole.predictions[chosen])
    assert torch.equal(first.predictions[~chosen], clean[~chosen])


def test_other_weights_are_refused(trained: nn.Sequential, attack: Callable[..., AutoAttacked]) -> None:
    attack()
    other = deepcopy(trained)
    with torch.no_grad():
        next(other.parameters())[0, 0, 0, 0] += 1e-3
    with pytest.raises(UserError, match="with other weights;"):
        attack(other)
    with pytest.raises(UserError, match="with other data and other settings and other weights"):
        attack(other, labels=torch.ones(50, dtype=torch.long), threat=L2)


def test_a_file_that_is_no_log_is_left_alone(
    attack: Callable[..., AutoAttacked], engine: Engine, tmp_path: Path
) -> None:
    log = tmp_path / log_name(replace(EVALUATION, engine=engine))
    log.write_text("my notes\n")
    with pytest.raises(UserError, match="no log of verdicts; move it away"):
        attack()
    assert log.read_text() == "my notes\n"


def test_a_folder_that_cannot_be_written_is_named(attack: Callable[..., AutoAttacked], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write"):
        attack(folder=tmp_path / "file" / "below")
