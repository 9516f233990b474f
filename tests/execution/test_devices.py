"""What `--device` stands for, and how much is done at once."""

import os

import pytest
import torch

from fairbench.errors import UserError
from fairbench.execution.devices import devices, tasks_at_once


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """A machine with that many."""
    count: int = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    return count


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("gpus", "choice", "found"),
    [
        (0, "auto", ("cpu",)),
        (0, "cpu", ("cpu",)),
        (2, "auto", ("cuda:0", "cuda:1")),
        (2, "cuda", ("cuda:0", "cuda:1")),
        (2, "cuda:1", ("cuda:1",)),
        (2, "cpu", ("cpu",)),
    ],
    indirect=["gpus"],
)
def test_a_choice(choice: str, found: tuple[str, ...]) -> None:
    assert devices(choice) == found


@pytest.mark.parametrize(
    ("gpus", "choice"), [(0, "cuda"), (0, "cuda:0"), (2, "cuda:2"), (2, "gpu"), (2, "")], indirect=["gpus"]
)
def test_what_this_machine_lacks(gpus: int, choice: str) -> None:
    there = ", ".join(["auto", "cpu", *(f"cuda:{i}" for i in range(gpus))])
    with pytest.raises(UserError, match=rf"--device {choice} is not available; available here: {there}\."):
        devices(choice)


def test_one_task_for_every_gpu_or_every_core_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine that is shared, `sched_getaffinity` says more than the number of cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 3, 5}, raising=False)
    assert tasks_at_once(("cpu",)) == 3
    assert tasks_at_once(("cuda:0", "cuda:1")) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert tasks_at_once(("cpu",)) == 1
