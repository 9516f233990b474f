"""Files appear complete, checked and recorded, or not at all; and never change unnoticed."""

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fairbench.errors import UserError
from fairbench.external.zoo.pinned import pinned

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def write(path: Path, *, content: bytes = CONTENT) -> None:
    path.write_bytes(content)


def unexpected(path: Path) -> None:
    pytest.fail(f"{path} was fetched")


def accept(path: Path) -> None:
    assert path.is_file()


def names(folder: Path) -> set[str]:
    """What is in a folder, but for the lock."""
    return {path.name for path in folder.iterdir()} - {".lock"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "net.pt"


def test_first_download_is_recorded_as_sha256sum_writes_it(path: Path) -> None:
    remark = pinned(path, fetch=write, check=accept)
    assert path.read_bytes() == CONTENT
    assert path.with_name("net.pt.sha256").read_text(encoding="utf-8") == f"{DIGEST}  net.pt\n"
    assert DIGEST in remark
    assert "no checksum" in remark
    assert names(path.parent) == {"net.pt", "net.pt.sha256"}


def test_later_uses_compare_and_download_nothing(path: Path) -> None:
    pinned(path, fetch=write, check=accept)
    assert f"{DIGEST}, as pinned" in pinned(path, fetch=unexpected, check=unexpected)


def test_a_file_that_changed_is_refused_with_both_sums(path: Path) -> None:
    pinned(path, fetch=write, check=accept)
    path.write_bytes(b"other weights")
    with pytest.raises(UserError, match=DIGEST) as caught:
        pinned(path, fetch=unexpected, check=unexpected)
    assert hashlib.sha256(b"other weights").hexdigest() in str(caught.value)
    assert f"Delete {path}" in str(caught.value)


def test_a_second_download_must_equal_the_first(path: Path) -> None:
    pinned(path, fetch=write, check=accept)
    path.unlink()
    with pytest.raises(UserError, match=r"delete .*net\.pt\.sha256") as caught:
        pinned(path, fetch=partial(write, content=b"exchanged"), check=accept)
    assert DIGEST in str(caught.value)
    assert names(path.parent) == {"net.pt.sha256"}
    pinned(path, fetch=write, check=accept)


def test_a_file_put_there_by_hand_is_taken_and_said_to_be_unchecked(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    remark = pinned(path, fetch=unexpected, check=unexpected)
    assert DIGEST in remark
    assert "by hand" in remark
    assert names(path.parent) == {"net.pt"}


def refuse(path: Path) -> None:
    raise UserError(f"{path.name} is a web page")


def break_off(path: Path) -> None:
    path.write_bytes(b"wei")
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("fetch", "check", "error"), [(write, refuse, UserError), (break_off, accept, KeyboardInterrupt)]
)
def test_nothing_is_left_of_what_failed(
    path: Path, fetch: Callable[[Path], None], check: Callable[[Path], None], error: type[BaseException]
) -> None:
    with pytest.raises(error):
        pinned(path, fetch=fetch, check=check)
    assert names(path.parent) == set()


def test_an_empty_record_is_a_mismatch(path: Path) -> None:
    pinned(path, fetch=write, check=accept)
    path.with_name("net.pt.sha256").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="records none"):
        pinned(path, fetch=unexpected, check=unexpected)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(UserError, match="Choose another folder"):
        pinned(tmp_path / "models" / "net.pt", fetch=unexpected, check=unexpected)


def test_two_at_once_download_once(path: Path) -> None:
    fetched = []
    second = threading.Thread(target=lambda: pinned(path, fetch=unexpected, check=unexpected))

    def slowly(temporary: Path) -> None:
        second.start()
        second.join(timeout=0.3)
        assert second.is_alive(), "the second waits for the first"
        fetched.append(temporary)
        temporary.write_bytes(CONTENT)

    pinned(path, fetch=slowly, check=accept)
    second.join(timeout=5)
    assert not second.is_alive()
    assert len(fetched) == 1
