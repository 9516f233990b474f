"""`fairbench push`: a checkpoint with its card; shown by default, and nothing leaves this machine."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from fairbench.identity import file_sha256
from fairbench.outcomes.store import read_outcomes
from fixture_types import Cli

RUN = "results/tiny/pgd-at/seed0.parquet"
PUSH = ("push", RUN, "--to", "ann/tiny-cnn", "--licence", "MIT")


def words(done: Result) -> str:
    return " ".join(done.output.split())


class Api:
    """As much of the hub's client as is asked for; it keeps what it is given."""

    uploaded: dict[str, bytes]

    def __init__(self, **given: Any) -> None:
        assert given["library_name"] == "fairbench"

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        assert (repo, private, exist_ok) == ("ann/tiny-cnn", True, True)

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> Any:
        assert repo_id == "ann/tiny-cnn"
        assert commit_message
        Api.uploaded = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        return type("Commit", (), {"commit_url": "https://huggingface.co/ann/tiny-cnn/commit/1"})


def test_it_is_shown_first(desk: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection, or a login."""

    def connect(*_arguments: object) -> None:
        raise AssertionError("somebody connects")

    monkeypatch.setattr("socket.socket.connect", connect)
    done = desk(*PUSH)
    assert done.exit_code == 0, done.output
    for name in ("README.md", "fairbench.json", "model.safetensors", "outcomes.parquet"):
        assert f"bytes {name}" in words(done)
    assert "Nothing was uploaded: this is what --upload would put onto ann/tiny-cnn." in words(done)
    assert 'license: "mit"' in done.output
    assert "| apple | 20 | 100.0 |" in done.output
    assert "--model hf:ann/tiny-cnn" in done.output


def test_with_upload_it_is_done(desk: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    done = desk(*PUSH, "--upload", "--private")
    assert done.exit_code == 0, done.output
    assert "Uploaded to https://huggingface.co/ann/tiny-cnn/commit/1." in words(done)
    (trained,) = Path("runs/tiny/pgd-at").glob("seed0-*/selected.safetensors")
    assert Api.uploaded["model.safetensors"] == trained.read_bytes()
    assert Api.uploaded["outcomes.parquet"] == Path(RUN).read_bytes()
    assert file_sha256(trained) == read_outcomes(Path(RUN)).provenance.checkpoints["selected"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("push", RUN, "--to", "ann", "--licence", "MIT"), "--to ann is not allowed; allowed: org/name"),
        (("push", RUN, "--to", "a/b", "--licence", "<b>"), "--licence <b> is not allowed"),
        (("push", "results/tiny/pgd-at", "--to", "a/b", "--licence", "MIT"), "holds 3 runs; a repository holds one."),
        (
            (
                "push",
                "results/tiny/external-plain",
                "--to",
                "a/b",
                "--licence",
                "MIT",
                "--checkpoint",
                "ours.safetensors",
            ),
            "is of a network that was not trained here",
        ),
    ],
)
def test_what_cannot_be_pushed(desk: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = desk(*arguments)
    assert done.exit_code == 2
    assert said in words(done)


def test_a_hub_that_refuses(desk: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_none")
    done = desk(*PUSH, "--upload")
    assert done.exit_code == 2
    assert "ann/tiny-cnn cannot be written (" in words(done)
