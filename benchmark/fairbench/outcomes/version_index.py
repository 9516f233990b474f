"""The list of the versions that a site publishes, as programs read it: `versions.json` at the root of the site.

{"schema": 1, "versions": [{"suite": "cifar10-small", "number": 1, ..., "sha256": "3f1c..."}]}

index = read_index(content, origin="https://.../versions.json")
index.find("cifar10-small-1", origin="https://...").archive       # "versions/cifar10-small-1/results.zip"
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from fairbench.errors import UserError, unknown
from fairbench.outcomes.board_version import FOLDER, BoardVersion
from fairbench.typed_json import read_object

INDEX = "versions.json"
INDEX_SCHEMA = 1

LARGEST = 2**22
"""Bytes; a version takes less than five hundred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionIndex:
    """What a site publishes.

    Attributes:
        versions: of all suites.
    """

    versions: tuple[BoardVersion, ...]

    def find(self, tag: str, *, origin: str) -> BoardVersion:
        """The version of that tag.

        Raises:
            UserError: if there is none, naming those that there are; `origin` names the site.
        """
        by_tag = {version.tag: version for version in self.versions}
        if tag in by_tag:
            return by_tag[tag]
        if not by_tag:
            raise UserError(f"{origin} has released no version of a board yet.")
        if not tag:
            raise UserError(
                f"Say which version of {origin} is meant, version={self.newest!r}; it has {', '.join(sorted(by_tag))}."
            )
        raise unknown(f"version of {origin}", tag, by_tag)

    @property
    def newest(self) -> str:
        """Tag of the last released one."""
        return max(self.versions, key=lambda version: (version.released, version.tag)).tag


def archive_of(version: BoardVersion) -> str:
    """Where the outcome files of a version lie, below the root of its site."""
    return f"{site_of(version)}results.zip"


def site_of(version: BoardVersion) -> str:
    """Folder of a version's own pages, below the root of its site, with the slash at its end."""
    return f"{FOLDER}/{version.tag}/"


def index_json(versions: Sequence[BoardVersion]) -> str:
    """As `versions.json`."""
    content = {"schema": INDEX_SCHEMA, "versions": [asdict(version) for version in versions]}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def read_index(content: bytes, *, origin: str) -> VersionIndex:
    """Read and check a list.

    Raises:
        UserError: if it is not one, or has a version that is not allowed; `origin` names it.
    """
    return read_object(VersionIndex, content, origin=origin, schema=INDEX_SCHEMA, content="versions")
