"""A model of ours from a repository of the Hugging Face hub: `hf:org/repo[@revision][/file]`.

    found = hub_model("hf:ann/robust-cnn@v1")
    found.architecture          # "resnet18", as the repository's fairbench.json says
    found.weights               # the file, in the cache
    found.specification         # "hf:ann/robust-cnn@4f1c.../model.safetensors": the commit

`fairbench push` writes such repositories. Weights are safetensors; pickles are never loaded from a hub, and no code of
a repository is run. What was fetched once is found again without a network.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from fairbench.errors import UserError, first_line, unknown
from fairbench.fields import Allowed, check_fields
from fairbench.models import model_names
from fairbench.typed_json import read_object

PREFIX = "hf:"
DESCRIPTION = "fairbench.json"
DESCRIPTION_SCHEMA = 1
WEIGHTS = "model.safetensors"
FORM = "hf:org/repo, hf:org/repo@revision or hf:org/repo@revision/file.safetensors"

_NAMED = re.compile(
    r"hf:(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>[\w./-]+))?"
)
_LARGEST = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class HubDescription:
    """What `fairbench.json` of a repository says.

    Attributes:
        architecture: a name of `fairbench list models`.
        weights: file in the repository.
    """

    architecture: str
    weights: Annotated[
        str,
        Allowed(
            holds=re.compile(r"(?:[\w-]+/)*[\w.-]+\.safetensors").fullmatch, words="a file that ends in .safetensors"
        ),
    ] = WEIGHTS

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class HubModel:
    """A model in a repository, fetched.

    Attributes:
        architecture: of ours.
        weights: the file on this disk.
        specification: the repository with its commit, and the file.
    """

    architecture: str
    weights: Path
    specification: str


def hub_model(given: str, *, folder: Path) -> HubModel:
    """Fetch a model, or find it in the cache.

    Args:
        given: as in `FORM`.
        folder: of downloads; the hub's cache lies in `folder/huggingface`.

    Raises:
        UserError: if the extra is missing, the name cannot be read, or the repository has no such model.
    """
    named = _NAMED.fullmatch(given)
    if named is None:
        raise UserError(f"{given} is not understood; a model of a hub is given as {FORM}.")
    repo, revision, file = named["repo"], named["revision"], named["file"]
    if file and not file.endswith(".safetensors"):
        raise UserError(
            f"{given} is no safetensors file; nothing else is loaded from a hub, for a pickle can run code."
        )
    if file and ".." in file.split("/"):
        raise UserError(f"{given} leads out of its repository; a model of a hub is given as {FORM}.")
    try:
        described = _fetched(repo, DESCRIPTION, revision=revision, folder=folder)
    except FileNotFoundError as error:
        raise UserError(
            f"{repo} has no {DESCRIPTION}, which names the architecture of its weights; `fairbench push` writes it. "
            f"Fetch them with `hf download {repo}`, and give them with --model NAME|file.py:factory --checkpoint FILE."
        ) from error
    description = _read(described, origin=f"{DESCRIPTION} of {repo}")
    commit = described.parent.name  # snapshots/<commit>/fairbench.json
    file = file or description.weights
    try:
        weights = _fetched(repo, file, revision=commit, folder=folder)
    except FileNotFoundError as error:
        raise UserError(f"{repo} has no file {file} at {revision or 'its main revision'}.") from error
    return HubModel(
        architecture=description.architecture, weights=weights, specification=f"{PREFIX}{repo}@{commit}/{file}"
    )


def description_json(architecture: str) -> str:
    """As `fairbench.json`."""
    content = asdict(HubDescription(architecture=architecture))
    return json.dumps({"schema": DESCRIPTION_SCHEMA, **content}, indent=1) + "\n"


def hub_client() -> Any:
    """The library of the hub.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import huggingface_hub  # noqa: PLC0415  an extra, for those who ask for it
    except ImportError as error:
        raise UserError("Models of a hub need another package: pip install 'fairbench[hub]'.") from error
    return huggingface_hub


def endpoint() -> str | None:
    """Address of the hub, if the environment names another one than huggingface.co."""
    return os.environ.get("HF_ENDPOINT") or None


def _read(path: Path, *, origin: str) -> HubDescription:
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{origin} is larger than any that `fairbench push` writes.")
    description = read_object(HubDescription, path.read_bytes(), origin=origin, schema=DESCRIPTION_SCHEMA)
    if description.architecture not in model_names():
        raise unknown(f"architecture in {origin}", description.architecture, model_names())
    return description


def _fetched(repo: str, file: str, *, revision: str | None, folder: Path) -> Path:
    """A file of a repository on this disk.

    Raises:
        FileNotFoundError: if the repository has no such file.
        UserError: if there is no such repository or revision, or the hub cannot be reached.
    """
    hub = hub_client()
    try:
        return Path(
            hub.hf_hub_download(
                repo,
                file,
                revision=revision,
                cache_dir=folder / "huggingface",
                endpoint=endpoint(),
                library_name="fairbench",
            )
        )
    except hub.errors.LocalEntryNotFoundError as error:
        raise UserError(f"{repo} is not in {folder / 'huggingface'}, and the hub cannot be reached.") from error
    except hub.errors.EntryNotFoundError as error:
        raise FileNotFoundError(file) from error
    except hub.errors.RevisionNotFoundError as error:
        raise UserError(f"{repo} has no revision {revision!r}; give a branch, a tag or a commit.") from error
    except hub.errors.RepositoryNotFoundError as error:
        raise UserError(
            f"There is no repository {repo} on the hub, or it is not yours to read; check the name, or log in with "
            "`hf auth login`."
        ) from error
    except Exception as error:  # the border to the hub's client, and to the network behind it
        raise UserError(f"{repo} cannot be fetched from the hub ({first_line(error)}).") from error
