"""The code of a submission by its hash, without running it.

problem(bundle.code(), submission, outcomes.provenance)     # "" if these files are what the run names
"""

from collections.abc import Mapping

from fairbench.foreign_code import code_sha256
from fairbench.method import registry
from fairbench.outcomes.provenance import Provenance
from fairbench.submission.bundle import SubmittedCode

OURS = "fairbench"
"""The package whose methods need no code beside them."""


def is_ours(method: str) -> bool:
    """Whether a method comes with fairbench, so that loading it runs no stranger's code."""
    return method in registry.names() and registry.code(method).get("package") == OURS


def needs_code(found: Provenance) -> bool:
    """Whether somebody else's code made the run, as a method or as the network."""
    if found.role == "external":
        return bool(found.description["external"].get("code"))
    return not is_ours(found.method) or found.code.get("package", OURS) != OURS


def problem(files: Mapping[str, bytes], code: SubmittedCode, found: Provenance) -> str:
    """What speaks against the code that a bundle brings; "" if nothing does.

    Args:
        files: Python files by their path below `code/`.
        code: what the bundle says of it.
        found: of one of its runs.
    """
    who = f"Seed {found.seed}"
    if found.role == "external":
        return _problem_of_file(files, code, str(found.description["external"].get("code", "")), who)
    package, version = found.code.get("package", ""), found.code.get("version", "")
    if package == OURS and not is_ours(found.method):
        return f"{who} says that fairbench trained it by {found.method!r}, which is no method of this fairbench."
    if not found.code and not is_ours(found.method):
        return f"{who} does not say whose code trained it: it is older than that. Train it again with this fairbench."
    if package not in ("", OURS) and (code.package, code.version) != (package, version):
        named = f"{code.package} {code.version}".strip() or "no package"
        return f"{who} was trained by {package} {version}, where the bundle names {named}."
    return _problem_of_file(files, code, found.code.get("sha256", ""), who)


def _problem_of_file(files: Mapping[str, bytes], code: SubmittedCode, recorded: str, who: str) -> str:
    """The same of code that is a file, with the SHA-256 that the run recorded; "" if there was no file."""
    if recorded and not code.file:
        return f"{who} was made with a file of its author's, and the bundle brings none."
    if not recorded and code.file:
        return f"{who} names no file that made it, but the bundle brings {code.file}."
    if recorded and bundled_sha256(files, code.file) != recorded:
        return f"{who} was made with code of another SHA-256 than that of code/{code.file} and what lies beside it."
    return ""


def bundled_sha256(files: Mapping[str, bytes], main: str) -> str:
    """As `fairbench.foreign_code` recognises a file and what it imported from beside it; "" if it is missing.

    Args:
        files: by path; all beside the main one are what it imported.
        main: path of the file that is loaded.
    """
    if main not in files:
        return ""
    siblings: dict[str, bytes] = {}
    for path, content in files.items():
        if path == main:
            continue
        *folders, name = path.removesuffix(".py").split("/")
        for depth in range(1, len(folders) + 1):  # a folder without a file of its own counts by its name
            siblings.setdefault(".".join(folders[:depth]), b"")
        siblings[".".join(folders if name == "__init__" else [*folders, name])] = content
    return code_sha256(files[main], siblings)
