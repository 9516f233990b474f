"""Models from a hub, and onto it: against a server on this machine that answers as the hub does."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save
from torch import nn

from fairbench.cli import main
from fairbench.errors import UserError
from fairbench.external.hub import description_json, hub_model
from fairbench.outcomes.store import read_outcomes
from fixture_types import Cli

COMMIT = "4f1c" * 10


class Hub(BaseHTTPRequestHandler):
    """Files of one repository `ann/cnn` at one commit."""

    files: dict[str, bytes]
    told: list[tuple[str, str, bytes]]

    def _resolve(self) -> None:
        found = re.fullmatch(r"/ann/cnn/resolve/([^/]+)/(.+)", self.path)
        if found is None:
            self._refuse("RepoNotFound")
        elif found[1] not in ("main", "v1", COMMIT):
            self._refuse("RevisionNotFound")
        elif found[2] not in self.files:
            self._refuse("EntryNotFound")
        else:
            content = self.files[found[2]]
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    do_GET = do_HEAD = _resolve  # noqa: N815  as the server looks for them

    def do_POST(self) -> None:
        self.told.append((self.command, self.path, self.rfile.read(int(self.headers["Content-Length"] or 0))))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        del arguments


@pytest.fixture
def hub(digits: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """The hub with the digits model, as `push` puts it there."""
    content = {
        "fairbench.json": description_json("digits-cnn").encode(),
        "model.safetensors": save({name: tensor.contiguous() for name, tensor in digits.state_dict().items()}),
    }
    handler: type[Hub] = type("Handler", (Hub,), {"files": content, "told": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_none")
    monkeypatch.chdir(tmp_path)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cli() -> Cli:
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def words(done: Result) -> str:
    return " ".join(done.output.split())


EVALUATE = ("evaluate", "--dataset", "digits", "--tier", "screen", "--limit", 20, "--name", "mine", "--model")


def test_a_model_is_evaluated_and_verified(hub: type[Hub], cli: Cli) -> None:
    """By its tag; the outcomes name the commit, so that it is the same model for good; then without a hub."""
    done = cli(*EVALUATE, "hf:ann/cnn@v1")
    assert done.exit_code == 0, done.output
    path = Path("results/digits/external-mine/seed0.parquet")
    provenance = read_outcomes(path).provenance
    assert provenance.description["external"]["model"] == f"hf:ann/cnn@{COMMIT}/model.safetensors"
    assert provenance.checkpoints["selected"] == hashlib.sha256(hub.files["model.safetensors"]).hexdigest()
    hub.files.clear()
    done = cli("verify", path)
    assert done.exit_code == 0, done.output
    assert "Every verdict on 20 images is confirmed." in words(done)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hf:ann", "hf:ann is not understood; a model of a hub is given as hf:org/repo, hf:org/repo@revision or"),
        (
            "hf:ann/cnn/weights.pt",
            "is no safetensors file; nothing else is loaded from a hub, for a pickle can run code",
        ),
        ("hf:ann/cnn/../x.safetensors", "leads out of its repository"),
        ("hf:ann/other", "There is no repository ann/other on the hub, or it is not yours to read"),
        ("hf:ann/cnn@v9", "ann/cnn has no revision 'v9'; give a branch, a tag or a commit."),
        ("hf:ann/cnn/none.safetensors", "ann/cnn has no file none.safetensors at its main revision."),
    ],
)
def test_what_is_not_there(hub: type[Hub], tmp_path: Path, given: str, said: str) -> None:
    assert hub.files
    with pytest.raises(UserError, match=re.escape(said)):
        hub_model(given, folder=tmp_path)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (None, "ann/cnn has no fairbench.json, which names the architecture of its weights"),
        ({"schema": 2}, "fairbench.json of ann/cnn has schema 2; this fairbench reads 1."),
        ({"schema": 1, "architecture": "os.system"}, "Unknown architecture in fairbench.json of ann/cnn 'os.system'"),
        ({"schema": 1, "architecture": "digits-cnn", "weights": "../x.pt"}, "has content of a wrong type: weights"),
    ],
)
def test_a_repository_that_describes_no_model(hub: type[Hub], tmp_path: Path, description: Any, said: str) -> None:
    if description is None:
        del hub.files["fairbench.json"]
    else:
        hub.files["fairbench.json"] = json.dumps(description).encode()
    with pytest.raises(UserError, match=re.escape(said)):
        hub_model("hf:ann/cnn", folder=tmp_path)


def test_weights_that_are_a_pickle(hub: type[Hub], cli: Cli, tmp_path: Path) -> None:
    """Whatever its name says, nothing of it is run."""

    class Payload:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"weights": Payload()}, tmp_path / "weights.pt")
    hub.files["model.safetensors"] = (tmp_path / "weights.pt").read_bytes()
    done = cli(*EVALUATE, "hf:ann/cnn")
    assert done.exit_code == 2
    assert "holds more than tensors: loading it would run" in words(done)
    assert not (tmp_path / "ran").exists()


def test_weights_beside_it_are_refused(hub: type[Hub], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(hub.files["model.safetensors"])
    done = cli(*EVALUATE, "hf:ann/cnn", "--checkpoint", "x.safetensors")
    assert "hf:ann/cnn brings its weights; leave out --checkpoint x.safetensors." in words(done)


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"ann/cnn is not in .*, and the hub cannot be reached|cannot be fetched from the hub"
    ):
        hub_model("hf:ann/cnn", folder=tmp_path)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=re.escape("pip install 'fairbench[hub]'")):
        hub_model("hf:ann/cnn", folder=tmp_path)
