"""A file that another machine has written appears after a while."""

import threading
import time
from pathlib import Path

from fairbench.execution.visibility import visible


def test_what_is_there_is_seen_at_once_and_what_never_comes_is_not(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    began = time.monotonic()
    assert visible([tmp_path / "there"])
    assert visible([])
    assert not visible([tmp_path / "there", tmp_path / "nowhere" / "absent"], seconds=0.2)
    assert time.monotonic() - began < 2


def test_what_comes_later_is_waited_for(tmp_path: Path) -> None:
    late = threading.Timer(0.3, (tmp_path / "late").touch)
    late.start()
    assert visible([tmp_path / "late"], seconds=20)
    late.join()
