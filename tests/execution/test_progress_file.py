"""What a run says of itself, for whoever looks from elsewhere."""

from pathlib import Path

import pytest

from fairbench.execution import progress_file
from fairbench.execution.progress_file import ProgressFile, read_progress
from fairbench.progress import silent


def test_an_attempt_replaces_what_an_earlier_one_left(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    ProgressFile(path, order="first", listener=silent)("training", 29, 30)
    ProgressFile(path, order="second", listener=silent)
    found = read_progress(path)
    assert found is not None
    assert (found.order, found.stage) == ("second", "")
    assert found.sentence().startswith("starting on ")


def test_every_word_is_passed_on_and_few_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    path = tmp_path / "progress.json"
    written = ProgressFile(path, order="", listener=lambda *event: told.append(event))
    for step in range(3):
        written("training", step, 3)
    assert told == [("training", step, 3) for step in range(3)]
    found = read_progress(path)
    assert found is not None
    assert found.done == 0
    monkeypatch.setattr(progress_file, "SECONDS", -1.0)
    for step in range(2):
        written("apgd-ce", step, 3)
    found = read_progress(path)
    assert found is not None
    assert found.sentence().startswith("apgd-ce 1/3 on ")


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1, "order": 3}', "[" * 9])
def test_what_cannot_be_read_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text(text)
    assert read_progress(tmp_path / "progress.json") is None
    assert read_progress(tmp_path / "absent.json") is None


def test_a_folder_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ProgressFile(tmp_path / "file" / "progress.json", order="", listener=silent)("training", 1, 2)
