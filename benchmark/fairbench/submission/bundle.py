"""The bundle of a submission: one folder, laid out as it will lie among the results.

    <suite>/<label>/submission.json             who submits what: this module
    <suite>/<label>/seed<k>.parquet             outcomes
    <suite>/<label>/weights/seed<k>.safetensors the selected checkpoint
    <suite>/<label>/code/*.py                   the plug-in, or the file that builds the network, if it is no package

It repeats nothing that can be derived: no accuracy, no rank, no interval.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from fairbench.atomic import atomic
from fairbench.errors import UserError, not_allowed
from fairbench.fields import Allowed, TableError, check_fields
from fairbench.typed_json import read_object

SUBMISSION = "submission.json"
SUBMISSION_SCHEMA = 1
WEIGHTS, CODE = "weights", "code"

_PATH = re.compile(r"(?:[A-Za-z0-9_]+/)*[A-Za-z0-9_]+\.py")
_LINK = re.compile(r"https://[^\s<>\"'`()\\]{3,500}")
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .+()-]{0,99}")


def _is_text(text: str) -> bool:
    """Whether people can read it: printable, on one line, and not endless."""
    return 0 < len(text.strip()) <= 500 and text.isprintable()


Sha256 = Annotated[str, Allowed(holds=re.compile("[0-9a-f]{64}").fullmatch, words="64 lower-case hexadecimal digits")]
Numbers = Annotated[
    str, Allowed(holds=re.compile(r"[0-9.,]{0,200}").fullmatch, words="numbers with commas, or nothing")
]
Folder = Annotated[
    str,
    Allowed(
        holds=re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}").fullmatch,
        words="letters, digits, '.', '_' and '-', a letter or digit first",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedRun:
    """One seed.

    Attributes:
        seed: of its training; its files are named after it.
        outcomes: SHA-256 of its outcome file.
        weights: SHA-256 of its safetensors file; "" for a model that brings its weights, as those of RobustBench do.
    """

    seed: Annotated[int, Allowed(at_least=0, below=2**31)]
    outcomes: Sha256
    weights: Annotated[str, Allowed(holds=re.compile("(?:[0-9a-f]{64})?").fullmatch, words="a SHA-256, or nothing")] = (
        ""
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedCode:
    """Whose code made the row; nothing of it for what fairbench has itself.

    Attributes:
        file: below `code/`, the file that is loaded.
        package: of an index of packages, if the code is installed.
        version: of that package.
    """

    file: str = ""
    package: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        check_fields(self, prefix="code.")
        if self.file and not _PATH.fullmatch(self.file):
            raise not_allowed(f"code.file = {self.file!r}", "a Python file below code/, as mine.py")
        if self.file and self.package:
            raise not_allowed(f"code.package = {self.package!r} beside a file", "either a file or a package")
        for name in ("package", "version"):
            value = getattr(self, name)
            if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}", value):
                raise not_allowed(f"code.{name} = {value!r}", "letters, digits, '.', '_', '+', '!' and '-'")


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What `submission.json` says.

    Attributes:
        suite: name of the board's folder of results.
        label: name of the row.
        runs: one per seed.
        code: whose code made it.
        by: who submits.
        link: to a paper or a page, https.
        licence: of the weights and the code, as SPDX spells it.
        mean: per channel, with commas, of a network that does not normalise images itself; "" if it does.
        std: alike.
    """

    suite: Folder
    label: Folder
    runs: Annotated[tuple[SubmittedRun, ...], Allowed(holds=bool, words="at least one run")]
    code: SubmittedCode = SubmittedCode()
    by: Annotated[str, Allowed(holds=_is_text, words="a name, on one line of at most 500 characters")]
    link: Annotated[str, Allowed(holds=_LINK.fullmatch, words="an address that starts with https://")]
    licence: Annotated[str, Allowed(holds=_LICENCE.fullmatch, words="a licence as SPDX spells it, such as MIT")]
    mean: Numbers = ""
    std: Numbers = ""

    def __post_init__(self) -> None:
        check_fields(self)
        seeds = [run.seed for run in self.runs]
        if len(set(seeds)) < len(seeds):
            raise not_allowed(f"runs with the seeds {', '.join(map(str, seeds))}", "every seed once")


def outcomes_file(folder: Path, run: SubmittedRun) -> Path:
    """Where the outcomes of a seed lie in a bundle."""
    return folder / f"seed{run.seed}.parquet"


def weights_file(folder: Path, run: SubmittedRun) -> Path:
    """Where its selected checkpoint lies."""
    return folder / WEIGHTS / f"seed{run.seed}.safetensors"


def write_submission(folder: Path, submission: Submission) -> None:
    """Write `submission.json` atomically."""
    content = json.dumps({"schema": SUBMISSION_SCHEMA, **asdict(submission)}, indent=1, allow_nan=False)
    with atomic(folder / SUBMISSION) as temporary:
        temporary.write_text(content + "\n", encoding="utf-8")


def read_submission(content: bytes) -> Submission:
    """Read and check what a stranger wrote.

    Raises:
        UserError: if it is no JSON object, of another schema, or says something that is not allowed.
    """
    try:
        return read_object(Submission, content, origin=SUBMISSION, schema=SUBMISSION_SCHEMA)
    except UserError as error:
        found = error.__cause__
        if isinstance(found, TableError) and not found.unexpected:
            raise UserError(f"{SUBMISSION}: {found}") from error  # what is allowed, beside the name
        raise
