"""A released version of a board from the address of its site: fetched once, checked by its digest, kept.

    folder = published_version("https://fairbench.github.io/fairbench", "cifar10-small-1")
    build_boards(folder)

Any address that fsspec opens will do: https, a folder of the disk, object storage. A version never changes, so whoever
gives its digest is served from the cache, without a network; else the list of versions is read anew each time.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from fairbench.atomic import check_writable
from fairbench.errors import UserError, first_line
from fairbench.outcomes.board_version import content_sha256
from fairbench.outcomes.version_archive import LARGEST as LARGEST_ARCHIVE
from fairbench.outcomes.version_archive import unpack
from fairbench.outcomes.version_index import INDEX, archive_of, read_index
from fairbench.outcomes.version_index import LARGEST as LARGEST_INDEX

_PART = 2**20


def published_version(site: str, tag: str, *, sha256: str = "", cache: Path | None = None) -> Path:
    """A folder of results with what that version is made of; not to be written into.

    Args:
        site: address of the root of the site.
        tag: `<suite>-<number>`; "" asks which there are.
        sha256: digest of the version, as on its page; "" trusts the site.
        cache: where versions are kept; by default `$XDG_CACHE_HOME/fairbench`, or `~/.cache/fairbench`.

    Raises:
        UserError: if the site cannot be read, has no such version, or gives something else than its digest says.
    """
    kept = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairbench"
    if sha256 and _is_whole(kept / sha256, sha256):
        return kept / sha256
    root = site.rstrip("/")
    index = read_index(_fetched(f"{root}/{INDEX}", largest=LARGEST_INDEX), origin=f"{root}/{INDEX}")
    version = index.find(tag, origin=root)
    if sha256 and sha256 != version.sha256:
        raise UserError(f"{version.tag} of {root} has the digest {version.sha256}, not {sha256}, which was asked for.")
    folder = kept / version.sha256
    if _is_whole(folder, version.sha256):
        return folder
    check_writable(kept)
    address = f"{root}/{archive_of(version)}"
    packed = _fetched(address, largest=LARGEST_ARCHIVE)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=kept) as fresh:
        unpacked = Path(fresh, "results")
        unpacked.mkdir()
        unpack(packed, unpacked, origin=address)
        if (found := content_sha256(unpacked)) != version.sha256:
            raise UserError(
                f"{address} has the digest {found}, where {INDEX} says {version.sha256}: it was damaged on the way, or "
                "changed after its release. Nothing of it was kept."
            )
        shutil.rmtree(folder, ignore_errors=True)  # what is there is damaged
        with contextlib.suppress(OSError):  # somebody else was faster
            unpacked.rename(folder)
    return folder


def _is_whole(folder: Path, sha256: str) -> bool:
    return folder.is_dir() and content_sha256(folder) == sha256


def _fetched(address: str, *, largest: int) -> bytes:
    """The bytes of a file at an address.

    Raises:
        UserError: if it cannot be read, or is larger than allowed.
    """
    import fsspec  # noqa: PLC0415  a fifth of a second that reading a folder need not pay

    content = bytearray()
    try:
        files, path = fsspec.url_to_fs(address)
        streaming = {"block_size": 0} if address.startswith("http") else {}  # a server need not know ranges
        with files.open(path, "rb", **streaming) as file:
            while len(content) <= largest and (part := file.read(_PART)):  # of a stream, as much as has arrived
                content += part
    except Exception as error:  # the border to a dozen clients of networks, each with errors of its own
        reason = error.__cause__ or error  # fsspec says of a server that does not answer that the file is not there
        if isinstance(reason, FileNotFoundError) or getattr(reason, "status", 0) == 404:
            advice = f"A site that publishes versions has {INDEX} at its root; `fairbench report` writes one."
            raise UserError(f"There is no {address}. {advice}") from error
        raise UserError(f"Cannot read {address}: {type(reason).__name__}: {first_line(reason)}.") from error
    if len(content) > largest:
        raise UserError(f"{address} is larger than {largest // 2**20} MiB, the most that is read.")
    return bytes(content)
