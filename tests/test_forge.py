"""Workflows and forms of the forge: pinned, with few permissions, no logic of their own; and the scripts they call."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def workflow(path: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def steps(path: Path) -> Iterator[dict[str, Any]]:
    return (step for job in workflow(path)["jobs"].values() for step in job["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
class TestEveryWorkflow:
    def test_actions_are_the_forges_own_by_major_version(self, path: Path) -> None:
        used = [step["uses"] for step in steps(path) if "uses" in step]
        assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used), used

    def test_a_step_is_one_command(self, path: Path) -> None:
        """What it does can be tried here: a script of `.ci`, pip, or fairbench; nothing of an event stands in it."""
        for command in (step["run"] for step in steps(path) if "run" in step):
            assert "\n" not in command.strip()
            assert re.match(r"(board/)?\.ci/(run|review|comment)|pip install \S+$|fairbench ", command), command
            assert "${{" not in command

    def test_permissions_are_said_and_few(self, path: Path) -> None:
        content = workflow(path)
        assert content["permissions"] in ({}, {"contents": "read"})
        for job in content["jobs"].values():
            writes = {name for name, value in job.get("permissions", {}).items() if value == "write"}
            assert writes <= {"pull-requests", "pages", "id-token"}
            assert job["timeout-minutes"] <= 120

    def test_nothing_that_is_brought_meets_a_token_that_writes(self, path: Path) -> None:
        content = workflow(path)
        triggers = content[True]  # YAML reads `on` as true
        assert "pull_request_target" not in triggers
        for job in content["jobs"].values():
            if "write" in job.get("permissions", {}).values():
                assert "pull_request" not in triggers
                refs = [step.get("with", {}).get("ref") for step in job["steps"] if "checkout" in step.get("uses", "")]
                assert refs in ([], [None]), "the main branch alone"
        checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)

    def test_it_is_what_the_forge_reads(self, path: Path) -> None:
        for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
            check(schema, path)


def check(schema: str, *paths: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *(str(path) for path in paths)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout


def test_the_forms_are_what_the_forge_reads() -> None:
    assert {path.stem for path in FORMS} == {"bug", "method", "board", "config"}
    check("vendor.github-issue-forms", *(path for path in FORMS if path.stem != "config"))
    check("vendor.github-issue-config", *(path for path in FORMS if path.stem == "config"))


def test_a_wrong_workflow_is_found(tmp_path: Path) -> None:
    """The check itself can fail."""
    path = tmp_path / "ci.yml"
    path.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("runs-on:", "run-on:"), encoding="utf-8")
    with pytest.raises(AssertionError):
        check("vendor.github-workflows", path)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Results of a board, and what somebody brings: as yet the same."""
    for folder in ("board", "brought"):
        path = tmp_path / folder / "digits" / "trades" / "seed0.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"outcomes")
    return tmp_path


@pytest.fixture
def review(board: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls the script, with a `fairbench` that notes how it is called and accepts what is called `good`."""
    stub = board / "bin" / "fairbench"
    stub.parent.mkdir()
    stub.write_text(
        f"#!{sys.executable}\n"
        "import sys; from pathlib import Path\n"
        "Path('called').open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "Path(sys.argv[sys.argv.index('--comment') + 1]).write_text('## a comment\\n')\n"
        "sys.exit('good' not in sys.argv[2])\n",
        encoding="utf-8",
    )
    stub.chmod(0o755)

    def call(*options: str) -> subprocess.CompletedProcess[str]:
        script = str(ROOT / ".ci" / "review")
        command = [script, "--board", "board", "--brought", "brought", "--out", "reviewed", *options]
        path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command, cwd=board, env={**os.environ, "PATH": path}, capture_output=True, encoding="utf-8", check=False
        )

    return call


def bring(board: Path, name: str) -> Path:
    bundle = board / "brought" / "digits" / name
    bundle.mkdir(parents=True)
    (bundle / "submission.json").write_text("{}", encoding="utf-8")
    return bundle


def comment(board: Path) -> str:
    return (board / "reviewed" / "comment.md").read_text(encoding="utf-8")


Review = Callable[..., subprocess.CompletedProcess[str]]


def test_every_new_bundle_is_reviewed(board: Path, review: Review) -> None:
    bring(board, "good-one")
    bring(board, "good-two")
    done = review("--run-code", "--limit", "7")
    assert done.returncode == 0, done.stderr
    called = (board / "called").read_text(encoding="utf-8").splitlines()
    assert called[0] == (
        "review brought/digits/good-one --results board --limit 7 --comment reviewed/comment-0.md --run-code"
    )
    assert len(called) == 2
    assert comment(board).count("## a comment") == 2


def test_one_that_is_refused_decides(board: Path, review: Review) -> None:
    bring(board, "good-one")
    bring(board, "poor")
    assert review().returncode == 1


def changes_a_row(board: Path) -> None:
    (board / "brought/digits/trades/seed0.parquet").write_bytes(b"others")


def removes_a_row(board: Path) -> None:
    (board / "brought/digits/trades/seed0.parquet").unlink()


def adds_a_version(board: Path) -> None:
    (board / "brought/digits/versions/1/digits").mkdir(parents=True)
    (board / "brought/digits/versions/submission.json").write_text("{}", encoding="utf-8")


def links_out(board: Path) -> None:
    (board / "brought/digits/linked").symlink_to("/etc")


def edits_the_list(board: Path) -> None:
    (board / "brought/digits/board.toml").write_text("x", encoding="utf-8")


def writes_a_name(board: Path) -> None:
    (board / "brought/digits/```\n## Accepted").write_text("x", encoding="utf-8")


@pytest.mark.parametrize(
    "change", [changes_a_row, removes_a_row, adds_a_version, links_out, edits_the_list, writes_a_name]
)
def test_whatever_else_is_changed_needs_a_person(board: Path, review: Review, change: Callable[[Path], None]) -> None:
    """Beside a good bundle as well."""
    bring(board, "good-one")
    change(board)
    assert review().returncode == 1
    assert "## Other results are changed\n\nA person has to look at these 1 files" in comment(board)
    assert "\n## Accepted" not in comment(board)


def test_nothing_to_review(board: Path, review: Review) -> None:
    assert review().returncode == 1
    assert comment(board).startswith("## There is nothing to review")


class Forge(BaseHTTPRequestHandler):
    """Answers as the forge does, and keeps what it is told."""

    told: list[tuple[str, str, Any]]
    comments: list[dict[str, Any]]

    def _answer(self, content: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def do_GET(self) -> None:
        if "/pulls?" in self.path:
            assert "head=ann%3Amine" in self.path
            self._answer([{"number": 3, "head": {"sha": "old"}}, {"number": 4, "head": {"sha": "abc"}}])
        else:
            assert self.path.startswith("/repos/o/r/issues/4/comments")
            self._answer(self.comments)

    def _keep(self) -> None:
        assert self.headers["Authorization"] == "Bearer secret"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.told.append((self.command, self.path, body))
        self._answer({})

    do_POST = do_PATCH = _keep  # noqa: N815  as the server looks for them

    def log_message(self, *arguments: Any) -> None:
        del arguments


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Callable[..., list[tuple[str, str, Any]]]]:
    """Runs the script that comments against a forge with these comments; what the forge was told."""
    told: list[tuple[str, str, Any]] = []
    handler = type("Handler", (Forge,), {"told": told, "comments": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def post(file: Path, *, comments: list[dict[str, Any]], sha: str = "abc") -> list[tuple[str, str, Any]]:
        handler.comments = comments  # type: ignore[attr-defined]
        run = {"head_sha": sha, "head_branch": "mine", "head_repository": {"owner": {"login": "ann"}}}
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"workflow_run": run}), encoding="utf-8")
        environment = {
            "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
            "GITHUB_TOKEN": "secret",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_EVENT_PATH": str(event),
        }
        command = [ROOT / ".ci" / "comment", file]
        subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
        return told

    yield post
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_comment_is_posted_on_the_pull_request_of_the_event(
    forge: Callable[..., list[tuple[str, str, Any]]], tmp_path: Path
) -> None:
    """Whatever the text says; under a sentence of ours, and shortened."""
    (tmp_path / "comment.md").write_text("## accepted " + "x" * 100_000, encoding="utf-8")
    ((method, path, body),) = forge(
        tmp_path / "comment.md", comments=[{"id": 1, "body": "hello", "user": {"type": "User"}}]
    )
    assert (method, path) == ("POST", "/repos/o/r/issues/4/comments")
    assert body["body"].startswith("<!-- fairbench review -->\n## accepted")
    assert "a keeper reviews again" in body["body"]
    assert len(body["body"]) < 65_536


def test_the_earlier_comment_is_replaced_if_it_is_ours(
    forge: Callable[..., list[tuple[str, str, Any]]], tmp_path: Path
) -> None:
    mark = "<!-- fairbench review -->\n## refused"
    comments = [{"id": 8, "body": mark, "user": {"type": "User"}}, {"id": 9, "body": mark, "user": {"type": "Bot"}}]
    ((method, path, body),) = forge(tmp_path / "missing.md", comments=comments)
    assert (method, path) == ("PATCH", "/repos/o/r/issues/comments/9")
    assert "The review wrote nothing" in body["body"]


def test_newer_commits_are_left_alone(forge: Callable[..., list[tuple[str, str, Any]]], tmp_path: Path) -> None:
    assert forge(tmp_path / "missing.md", comments=[], sha="gone") == []


def test_the_readme_has_the_command_that_ci_runs() -> None:
    """`.ci/run` takes it from there."""
    assert shutil.which("bash")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in script
    assert "<!-- test command -->" in (ROOT / "README.md").read_text(encoding="utf-8")
