"""Results on object storage: a folder here that mirrors what lies there, brought up to date before and sent after.

    folder = mirrored("s3://bucket/results")        # results-s3-bucket-results; everything reads and writes it as ever
    problems = send(folder)                         # what is new in it goes there

A new object is put on the condition that none is there, so that of two machines that computed the same run one is kept,
and the other says so; nothing is ever overwritten that changed there since it was read. Work folders stay on a file
system with locks, which object storage has not.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fairbench.atomic import atomic
from fairbench.errors import UserError, first_line
from fairbench.typed_json import read_object

STATE = ".storage.json"
SCHEMA = 1

_NEEDS = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_BUCKETS = ("s3", "gs", "gcs")
_KINDS = re.compile(r"[^/]+/[^/]+/seed[^/]*\.(parquet|verified\.json)|published\.csv")


@dataclass(frozen=True, kw_only=True)
class Known:
    """An object that the folder holds.

    Attributes:
        version: of the object, when it was read or sent.
        stamp: of the file, then: size and time of change in nanoseconds.
    """

    version: str
    stamp: list[int]


@dataclass(kw_only=True)
class State:
    """What a folder mirrors.

    Attributes:
        url: of the objects, without a slash at the end.
        known: by path below it.
    """

    url: str
    known: dict[str, Known] = field(default_factory=dict)


def is_url(given: str) -> bool:
    """Whether a text names object storage rather than a folder."""
    return "://" in given


def mirrored(url: str) -> Path:
    """A folder in the current directory with all results of a storage, as they are now.

    Args:
        url: such as `s3://bucket/results`.

    Raises:
        UserError: if it cannot be reached, or the folder cannot be written.
    """
    url = url.rstrip("/")
    folder = Path("results-" + re.sub(r"\W+", "-", url))
    state = _read(folder) or State(url=url)
    storage = _Storage(url)
    there = storage.versions()
    for name, version in there.items():
        path, known = folder / name, state.known.get(name)
        unsent = path.exists() and (known is None or _stamp(path) != known.stamp)
        if unsent or (known is not None and known.version == version and path.exists()):
            continue  # what was computed here and could not be sent stays, and is sent later or refused
        with atomic(path) as temporary:
            temporary.write_bytes(storage.read(name))
        state.known[name] = Known(version=version, stamp=_stamp(path))
    for name in [name for name in state.known if name not in there]:
        path = folder / name
        if path.exists() and _stamp(path) == state.known[name].stamp:
            path.unlink()
        del state.known[name]
    _write(folder, state)
    return folder


def send(folder: Path) -> list[str]:
    """Put what is new in a folder where it belongs; a sentence for everything that could not be sent, and why.

    Args:
        folder: of results; nothing happens to one that mirrors no storage.
    """
    state = _read(folder)
    if state is None:
        return []
    problems = []
    new = [
        name for name in _files(folder) if name not in state.known or _stamp(folder / name) != state.known[name].stamp
    ]
    try:
        storage = _Storage(state.url)
        for name in new:
            path, known = folder / name, state.known.get(name)
            stamp, content = _stamp(path), path.read_bytes()
            if not storage.put(name, content, instead_of=known.version if known else None):
                problems.append(
                    f"{state.url}/{name} was changed by somebody else meanwhile and stays as it is there; what was "
                    f"computed here is in {path}. Remove one of them."
                )
                continue
            state.known[name] = Known(version=storage.version(name), stamp=stamp)
    except UserError as error:
        problems.append(f"{error} What could not be sent is in {folder}; the same command sends it.")
    if new:
        _write(folder, state)
    return problems


class _Storage:
    """Objects below a URL.

    Raises:
        UserError: if what reads its kind is not installed.
    """

    def __init__(self, url: str) -> None:
        kind = url.partition("://")[0]
        needed = _NEEDS.get(kind, "fsspec")
        if find_spec(needed) is None:
            extra = "pip install 'fairbench[s3]'" if kind == "s3" else f"pip install {needed}"
            raise UserError(f"Results at {url} need {needed}, which is not installed: {extra}.")
        import fsspec  # noqa: PLC0415  an extra

        self._url = url
        with _told(url):
            self._system, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)

    def versions(self) -> dict[str, str]:
        """Of all results, by path below the URL; none where nothing was put yet."""
        with _told(self._url):
            try:
                found: dict[str, Any] = self._system.find(self._root, detail=True)
            except FileNotFoundError:
                found = {}
            if not found and self._url.partition("://")[0] in _BUCKETS:
                bucket = self._root.partition("/")[0]
                if not self._system.exists(bucket):
                    raise UserError(f"There is no bucket {bucket!r} for {self._url}, or none that you may see.")
        names = {path.removeprefix(self._root).lstrip("/"): about for path, about in found.items()}
        return {name: _version(about) for name, about in sorted(names.items()) if _KINDS.fullmatch(name)}

    def version(self, name: str) -> str:
        with _told(self._url):
            return _version(self._system.info(f"{self._root}/{name}"))

    def read(self, name: str) -> bytes:
        with _told(self._url):
            return bytes(self._system.cat_file(f"{self._root}/{name}"))

    def put(self, name: str, content: bytes, *, instead_of: str | None) -> bool:
        """Whether it is there now; not if another one is than the one that it takes the place of."""
        path = f"{self._root}/{name}"
        with _told(self._url):
            if instead_of is not None and self._system.exists(path):
                if _version(self._system.info(path)) != instead_of:
                    return bool(self._system.cat_file(path) == content)
                self._system.pipe_file(path, content)
                return True
            try:
                self._system.pipe_file(path, content, mode="create")
            except FileExistsError:
                return bool(self._system.cat_file(path) == content)
        return True


class _told:  # noqa: N801  reads as a word: `with _told(url)`
    """What goes wrong with a storage becomes a sentence; what its library calls a missing or existing file stays."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, UserError):
            name = type(error).__name__
            raise UserError(
                f"{self._url} cannot be used ({name}: {first_line(error)}). Check its name, your credentials and the "
                "network, or name a folder with --results."
            ) from error


def _version(about: dict[str, Any]) -> str:
    """What tells a version of an object from another."""
    for name in ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "mtime", "created"):
        if found := about.get(name):
            return str(found.timestamp() if isinstance(found, datetime) else found)
    return str(about.get("size"))


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _files(folder: Path) -> Iterator[str]:
    """Results of a folder, by path below it."""
    for path in sorted(folder.glob("*/*/seed*")):
        name = path.relative_to(folder).as_posix()
        if _KINDS.fullmatch(name):
            yield name


def _read(folder: Path) -> State | None:
    path = folder / STATE
    return read_object(State, path.read_bytes(), origin=str(path), schema=SCHEMA) if path.exists() else None


def _write(folder: Path, state: State) -> None:
    with atomic(folder / STATE) as temporary:
        temporary.write_text(json.dumps({"schema": SCHEMA, **asdict(state)}), encoding="utf-8")
