"""A folder that mirrors results on object storage, in memory and on a server that speaks S3."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.outcomes.object_storage import is_url, mirrored, send
from fairbench.outcomes.store import read_outcomes
from fixture_types import WriteRun

ONE = "digits/trades/seed0.parquet"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A URL; the storage is emptied afterwards."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (pip install 'fairbench[s3]')")
    monkeypatch.chdir(tmp_path)
    yield "memory://bucket/results"
    with contextlib.suppress(FileNotFoundError):
        fsspec.filesystem("memory").rm("/bucket", recursive=True)


def put(url: str, name: str, content: bytes) -> None:
    """As another machine does."""
    import fsspec

    fsspec.filesystem("memory").pipe_file(f"{url.removeprefix('memory:/')}/{name}", content)


def got(url: str, name: str) -> bytes:
    import fsspec

    return bytes(fsspec.filesystem("memory").cat_file(f"{url.removeprefix('memory:/')}/{name}"))


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_is_there_is_mirrored_and_nothing_else(storage: str) -> None:
    """Files that are no results, or lie elsewhere, are not ours to fetch; what is removed there goes here, too."""
    for name in (ONE, "digits/trades/seed0.verified.json", "published.csv", "notes.txt", "../secret/x/seed0.parquet"):
        put(storage, name, name.encode())
    folder = mirrored(storage + "/")
    assert folder == Path("results-memory-bucket-results")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {ONE, "digits/trades/seed0.verified.json", "published.csv", ".storage.json"}
    assert (folder / ONE).read_bytes() == ONE.encode()
    put(storage, ONE, b"newer")
    import fsspec

    fsspec.filesystem("memory").rm("/bucket/results/published.csv")
    mirrored(storage)
    assert (folder / ONE).read_bytes() == b"newer"
    assert not (folder / "published.csv").exists()


def test_what_is_new_is_sent_once(storage: str) -> None:
    folder = mirrored(storage)
    write(folder, ONE, b"ours")
    write(folder, "digits/trades/notes.txt", b"not a result")
    assert send(folder) == []
    assert got(storage, ONE) == b"ours"
    put(storage, ONE, b"theirs, later")
    assert send(folder) == []  # ours has not changed since
    assert got(storage, ONE) == b"theirs, later"
    mirrored(storage)
    write(folder, ONE, b"a higher tier")
    assert send(folder) == []
    assert got(storage, ONE) == b"a higher tier"


def test_nothing_that_changed_there_is_overwritten(storage: str) -> None:
    """Neither what two computed at once, nor what was replaced after it was read; ours stays here, and is named."""
    folder = mirrored(storage)
    path = write(folder, ONE, b"ours")
    put(storage, ONE, b"theirs")
    (problem,) = send(folder)
    assert f"{storage}/{ONE} was changed by somebody else meanwhile" in problem
    assert str(path) in problem
    assert (got(storage, ONE), path.read_bytes()) == (b"theirs", b"ours")
    mirrored(storage)
    assert path.read_bytes() == b"ours"
    path.unlink()
    mirrored(storage)
    assert path.read_bytes() == b"theirs"
    path.write_bytes(b"ours again")
    put(storage, ONE, b"theirs again")
    assert len(send(folder)) == 1
    put(storage, ONE, b"ours again")
    assert send(folder) == []  # the same by chance, or from a sending that was cut off


def test_a_folder_of_its_own_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, ONE, b"ours")
    assert send(tmp_path) == []
    assert not is_url(str(tmp_path))


def test_a_storage_that_nobody_knows_is_a_sentence(storage: str) -> None:
    assert storage
    with pytest.raises(UserError, match=r"nowhere://x cannot be used \(ValueError: Protocol not known"):
        mirrored("nowhere://x")
    with pytest.raises(UserError, match=r"need gcsfs, which is not installed"):
        mirrored("gs://x")


S3 = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(port=0)
server.start()
import boto3
address = "http://127.0.0.1:%d" % server.get_host_and_port()[1]
boto3.client("s3", endpoint_url=address).create_bucket(Bucket="bucket")
print(address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """The environment in which a server answers that keeps one bucket."""
    for module in ("moto", "s3fs", "boto3"):
        pytest.importorskip(module, reason=f"{module} is not installed (pip install 'fairbench[s3]' 'moto[server]')")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = os.environ | keys
    command = [sys.executable, "-c", S3]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(command, env=environment, text=True, stderr=subprocess.DEVNULL, **pipes)  # type: ignore[call-overload]  # literals in a dictionary
    try:
        address = next(line.strip() for line in server.stdout if line.startswith("http"))  # it says more than that
        yield environment | {"AWS_ENDPOINT_URL": address}
    finally:
        server.communicate()


def test_a_board_of_results_on_s3(s3: dict[str, str], tmp_path: Path, write_run: WriteRun) -> None:
    """Read by `report`, sent by what computes; conditions hold on the server."""
    done = write_run("trades", seed=0)

    def python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=s3, capture_output=True, text=True, check=False)

    sending = """
import sys
from pathlib import Path
from fairbench.outcomes.object_storage import mirrored, send

name, content = sys.argv[1], Path(sys.argv[2]).read_bytes()
folder = mirrored("s3://bucket/board")
path = folder / name
path.parent.mkdir(parents=True)
for written in (content, b"x", content):
    path.write_bytes(written)
    print(send(folder))
(folder / ".storage.json").unlink()
mirrored("s3://bucket/board")
path.write_bytes(b"from another machine")
print(send(folder))
"""
    sent = python(sending, ONE, str(done))
    lines = sent.stdout.splitlines()
    assert lines[:3] == ["[]", "[]", "[]"], sent.stderr
    assert "was changed by somebody else meanwhile" in lines[3]
    (tmp_path / "results-s3-bucket-board" / ONE).unlink()
    report = python("from fairbench.cli import main; main()", "report", "--results", "s3://bucket/board")
    assert report.returncode == 0, report.stderr
    found = read_outcomes(tmp_path / "results-s3-bucket-board" / ONE)
    assert found.provenance == read_outcomes(done).provenance
    assert "trades" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    refused = python("from fairbench.cli import main; main()", "status", "--work-dir", "s3://bucket/runs")
    assert refused.returncode == 2
    assert "only --results may be on object storage" in refused.stderr
    absent = python("from fairbench.cli import main; main()", "report", "--results", "s3://no-such-bucket/board")
    assert absent.returncode == 2
    assert "There is no bucket 'no-such-bucket'" in absent.stderr
