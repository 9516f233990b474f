"""Styles, scripts and vendored libraries: one copy for the whole site, in its folder `assets`.

    shared_files()["assets/page.css"]       # b":root {..."

Pages refer to them relatively, so that a site works from a disk, and from any address that it is put to. The content
security policy of a page allows these files and nothing else; `file:` names what `'self'` does not promise to cover.
"""

from importlib import resources
from importlib.resources.abc import Traversable

FOLDER = "assets"

POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""No script within a page, none from elsewhere, none from text. Styles stand at cells of the heat map as well."""


def shared_files() -> dict[str, bytes]:
    """By their path in the site, as they ship with this package."""
    return _files(resources.files("fairbench.report.site") / "assets", FOLDER)


def _files(folder: Traversable, path: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        inside = f"{path}/{entry.name}"
        found |= _files(entry, inside) if entry.is_dir() else {inside: entry.read_bytes()}
    return found
