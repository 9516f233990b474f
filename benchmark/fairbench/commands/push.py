"""`fairbench push`: a checkpoint and its card onto the Hugging Face hub; shown first, done with `--upload`."""

import re
import shutil
import tempfile
from pathlib import Path

from fairbench.boards.reading import seed_result
from fairbench.commands.options.pushed import Pushed
from fairbench.errors import UserError, first_line, not_allowed
from fairbench.external.hub import DESCRIPTION, WEIGHTS, description_json, endpoint, hub_client
from fairbench.models import model_names
from fairbench.outcomes.store import read_outcomes
from fairbench.report.hub_card import hub_card
from fairbench.report.terminal.console import console
from fairbench.submission.assembling import FoundRun, find_runs


def push(given: Path, pushed: Pushed) -> int:
    """Show what would be uploaded, or upload it. Returns the exit code."""
    out = console()
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", pushed.to):
        raise not_allowed(f"--to {pushed.to}", "org/name, as in the address of the repository")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", pushed.licence):
        raise not_allowed(f"--licence {pushed.licence}", "a licence as SPDX spells it, such as MIT")
    run = _run(given, pushed)
    with tempfile.TemporaryDirectory(prefix="fairbench-push-") as folder:
        card = _write(Path(folder), run, pushed)
        if pushed.upload:
            out.print(f"Uploaded to {_upload(Path(folder), pushed)}.", markup=False)
            out.print(f"Use it as --model hf:{pushed.to}.", markup=False)
            return 0
        for path in sorted(Path(folder).iterdir()):
            out.print(f"{path.stat().st_size:>12,} bytes  {path.name}", markup=False)
    out.print(f"\n{card}", markup=False)
    out.print(f"Nothing was uploaded: this is what --upload would put onto {pushed.to}.", markup=False)
    return 0


def _run(given: Path, pushed: Pushed) -> FoundRun:
    """The one run, if its network is one of ours."""
    checkpoints = [pushed.checkpoint] if pushed.checkpoint else []
    found = find_runs([given], results=pushed.results, work_dir=pushed.work_dir, checkpoints=checkpoints)
    if len(found) != 1:
        raise UserError(f"{given} holds {len(found)} runs; a repository holds one. Give a single outcome file.")
    (run,) = found
    if run.provenance.status != "done":
        raise UserError(f"This run failed ({run.provenance.reason}); it has no model to push.")
    if run.provenance.role == "external" or run.provenance.description["protocol"]["model"] not in model_names():
        raise UserError(
            f"{run.file} is of a network that was not trained here; upload it with `hf upload`, without us."
        )
    return run


def _write(folder: Path, run: FoundRun, pushed: Pushed) -> str:
    """Every file of the repository; returns the card."""
    assert run.checkpoint is not None
    result = seed_result(read_outcomes(run.file), file=run.file.name)
    card = hub_card(result, repo=pushed.to, licence=pushed.licence)
    try:
        shutil.copyfile(run.checkpoint, folder / WEIGHTS)
        shutil.copyfile(run.file, folder / "outcomes.parquet")
        (folder / DESCRIPTION).write_text(
            description_json(str(run.provenance.description["protocol"]["model"])), encoding="utf-8"
        )
        (folder / "README.md").write_bytes(card.encode("utf-8", errors="replace"))
    except OSError as error:
        raise UserError(f"Cannot write {error.filename or folder}: {error.strerror or error}.") from error
    return card


def _upload(folder: Path, pushed: Pushed) -> str:
    """Make the repository if there is none, and put the files into one commit. Returns its address."""
    hub = hub_client()
    api = hub.HfApi(endpoint=endpoint(), library_name="fairbench")
    try:
        api.create_repo(pushed.to, private=pushed.private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=pushed.to, folder_path=folder, commit_message="Checkpoint and card, by fairbench push"
        )
    except hub.errors.LocalTokenNotFoundError as error:
        raise UserError("You are not logged in to the hub; type `hf auth login`, or set HF_TOKEN.") from error
    except Exception as error:  # the border to the hub's client, and to the network behind it
        raise UserError(
            f"{pushed.to} cannot be written ({first_line(error)}). Log in with `hf auth login` as somebody who may."
        ) from error
    return str(commit.commit_url)
