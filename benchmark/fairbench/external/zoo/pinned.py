"""Files fetched once from a server that publishes no checksums: the first download pins what every later use must find.

    remark = pinned(Path("models/Wong2020Fast.pt"), fetch=download, check=is_a_checkpoint)

Beside `Wong2020Fast.pt` then lies `Wong2020Fast.pt.sha256`, in the format of the command `sha256sum`. The file appears
under its name only when it is complete and was found to be what it should be: an error page of the server, a download
that broke off, and a file that is not the one of last time never do.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from fairbench.atomic import atomic
from fairbench.errors import UserError
from fairbench.identity import file_sha256


def pinned(path: Path, *, fetch: Callable[[Path], None], check: Callable[[Path], None]) -> str:
    """Make sure that a file is there and is the same as ever.

    A file that somebody put there without a `.sha256` is taken as it is. One process downloads at a time.

    Args:
        path: where the file belongs.
        fetch: downloads to the path it is given.
        check: raises a UserError if what it is given is not such a file.

    Returns:
        A sentence that names the SHA-256 and says what it was compared with.

    Raises:
        UserError: if the file is not the pinned one or the folder cannot be written; and what `fetch`, `check` raise.
    """
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.parent / ".lock"):
                if not path.exists():  # while this process waited, another one may have fetched it
                    return _fetched(path, fetch=fetch, check=check)
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror or error}. Choose another folder.") from error
    digest = file_sha256(path)
    if not _pin(path).exists():
        return f"{path.name}: SHA-256 {digest}, not compared: it was put there by hand, without {_pin(path).name}."
    _compare(path, digest, advice=f"It was damaged or exchanged. Delete {path} and run again to download it anew.")
    return f"{path.name}: SHA-256 {digest}, as pinned at the first download."


def _fetched(path: Path, *, fetch: Callable[[Path], None], check: Callable[[Path], None]) -> str:
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        fetch(temporary)
        check(temporary)
        digest = file_sha256(temporary)
        if _pin(path).exists():
            advice = "It was not kept. If its publisher replaced it and you trust the new one, delete"
            _compare(path, digest, advice=f"{advice} {_pin(path)} and run again.")
        with atomic(_pin(path)) as pin:
            pin.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
        temporary.replace(path)  # after its pin, so that no crash leaves a download without one
    return f"{path.name}: SHA-256 {digest}, pinned at the first download; its publisher gives no checksum."


def _compare(path: Path, digest: str, *, advice: str) -> None:
    recorded = _pin(path).read_text(encoding="utf-8").split()[:1]
    if recorded != [digest]:
        raise UserError(
            f"{path.name} has the SHA-256 {digest}, but {_pin(path)} records {' '.join(recorded) or 'none'} "
            f"from the first download. {advice}"
        )


def _pin(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
