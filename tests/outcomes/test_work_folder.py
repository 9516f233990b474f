"""A work folder: its layout, which people's runs have, who works in it, and what a new attempt keeps."""

from pathlib import Path

import pytest

from fairbench.atomic import atomic
from fairbench.outcomes.work_folder import CHECKPOINTS, WorkFolder


@pytest.fixture
def folder(tmp_path: Path) -> WorkFolder:
    """An empty one."""
    return WorkFolder(tmp_path)


def test_the_layout_is_that_of_folders_that_people_have(folder: WorkFolder) -> None:
    files = (folder.state, *map(folder.checkpoint, CHECKPOINTS), folder.summary, folder.attacks, folder.log)
    names = ["state.pt", "selected.safetensors", "last.safetensors", "training.json", "attacks", "log.txt"]
    assert [file.relative_to(folder.path).as_posix() for file in files] == names
    (folder.path / "failure.json").write_text('{"reason": "out of memory"}', encoding="utf-8")
    assert folder.failure == "out of memory"
    with folder.lock():
        assert (folder.path / "lock").exists()


def test_training_has_ended_when_everything_is_there(folder: WorkFolder) -> None:
    """Not when only the summary of an earlier training is, or the weights of one that was killed."""
    needed = (folder.summary, *map(folder.checkpoint, CHECKPOINTS))
    for file in needed:
        assert not folder.is_trained
        file.touch()
    assert folder.is_trained
    assert folder.is_begun
    for file in needed:
        file.unlink()
        assert not folder.is_trained
        file.touch()


def test_a_state_is_something_to_go_on_from(folder: WorkFolder) -> None:
    assert not folder.is_begun
    folder.state.touch()
    assert folder.is_begun
    assert not folder.is_trained


def test_whoever_looks_for_a_lock_leaves_none(folder: WorkFolder) -> None:
    assert not folder.is_locked
    assert list(folder.path.iterdir()) == []
    with folder.lock():
        assert folder.is_locked
    assert not folder.is_locked
    assert not WorkFolder(folder.path / "missing").is_locked


def test_a_failure_is_remembered_until_the_next_attempt(folder: WorkFolder) -> None:
    assert folder.failure is None
    folder.forget_failure()
    folder.remember_failure("the loss became nan")
    assert folder.failure == "the loss became nan"
    folder.forget_failure()
    assert folder.failure is None


def test_a_failure_that_cannot_be_written_is_no_further_failure(folder: WorkFolder) -> None:
    folder.path.joinpath("file").touch()
    WorkFolder(folder.path / "file").remember_failure("the disk is full")


def test_a_sweep_removes_what_a_kill_left_and_nothing_else(folder: WorkFolder) -> None:
    folder.attacks.mkdir()
    strays = []
    for path in (folder.state, folder.attacks / "full.jsonl"):
        killed = atomic(path)
        strays.append(killed.__enter__())
        path.touch()
    (folder.path / ".hidden").touch()
    folder.sweep()
    assert not any(stray.exists() for stray in strays)
    assert {path.name for path in folder.path.rglob("*")} == {"state.pt", "attacks", "full.jsonl", ".hidden"}


def test_clearing_keeps_the_lock_and_the_log(folder: WorkFolder) -> None:
    """Both are open while a run is computed afresh."""
    folder.attacks.mkdir()
    for file in (folder.state, folder.summary, folder.log, folder.attacks / "full.jsonl"):
        file.touch()
    with folder.lock():
        folder.clear("order")
        assert {path.name for path in folder.path.iterdir()} == {"lock", "log.txt", "cleared.txt"}
    assert folder.is_cleared_for("order")
    assert not folder.is_cleared_for("another order")
