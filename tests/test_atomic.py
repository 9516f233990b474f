"""A file appears complete or not at all, whatever goes wrong."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairbench.atomic import atomic
from fairbench.errors import UserError


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_appears_at_the_end_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.txt"
    with atomic(path) as temporary:
        temporary.write_text("content", encoding="utf-8")
        assert not path.exists()
        assert temporary.parent == path.parent, "only a rename within one file system is atomic"
    assert path.read_text(encoding="utf-8") == "content"
    assert names(path.parent) == ["x.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old", encoding="utf-8")

    def write_half() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["x.txt"]


def test_an_operating_system_error_becomes_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    with pytest.raises(UserError, match=r"Cannot write .*x\.txt: No space left on device"), atomic(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses the bytes: a limit on file size is the full disk that a test can have."""
    path = tmp_path / "x.bin"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UserError, match=r"Cannot write .*File too large"), atomic(path) as temporary:
            temporary.write_bytes(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write"), atomic(tmp_path / "file" / "x.txt"):
        pytest.fail("the block must not run")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that refuses files even to root")
def test_a_folder_that_cannot_be_written_is_an_error() -> None:
    with pytest.raises(UserError, match="Cannot write"), atomic(Path("/proc/self/x.txt")):
        pytest.fail("the block must not run")


def test_a_folder_in_place_of_the_file_is_an_error_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="Cannot write"), atomic(tmp_path / "x") as temporary:
        temporary.write_text("content", encoding="utf-8")
    assert names(tmp_path) == ["x"]


def test_a_killed_writer_leaves_no_result(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from fairbench.atomic import atomic\n"
        "with atomic(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "digits" / "trades" / "seed0.parquet"
    finished = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert finished.returncode == -signal.SIGKILL
    assert not path.exists()
    assert not list(tmp_path.glob("*/*/seed*.parquet")), "what is left does not look like a result"
