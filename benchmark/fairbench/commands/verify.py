"""`fairbench verify`: does a submission's file say what its checkpoint does?"""

import secrets
from dataclasses import replace
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table

from fairbench.atomic import check_writable
from fairbench.commands.given_model import given_model
from fairbench.commands.options.repetition import Repetition
from fairbench.data.digest import file_digest
from fairbench.errors import INTERRUPTED, UserError
from fairbench.evaluation.circumstances import recorded_versions
from fairbench.execution.devices import devices
from fairbench.execution.freed_memory import keep_freed_memory
from fairbench.external.sample import Sample, load_described
from fairbench.external.specification import External
from fairbench.external.verification import Verified, judged_by
from fairbench.external.verification import verify as compare
from fairbench.machine import hardware
from fairbench.models import model_names
from fairbench.out_of_memory import is_out_of_memory
from fairbench.outcomes.receipt import Receipt, outcomes_sha256, receipt_file, write_receipt
from fairbench.outcomes.store import Outcomes, read_outcomes
from fairbench.report.terminal.console import console
from fairbench.report.terminal.display import StageDisplay

SHOWN = 20
"""Disagreements printed."""


def verify(file: Path, repetition: Repetition, *, device: str) -> int:
    """Attack a class-stratified sample again. Returns the exit code: 0 only if every verdict is confirmed."""
    keep_freed_memory()
    out = console()
    if repetition.record:
        check_writable(file.parent)
    digest = outcomes_sha256(file)
    outcomes = read_outcomes(file)
    judged_by(outcomes)
    where_to = devices(device)[0]
    # Drawn afresh: an author who knew the sample could be honest about that alone.
    draw = secrets.randbelow(2**31) if repetition.seed is None else repetition.seed
    whole = _images(outcomes, dataset=repetition.dataset, data_dir=repetition.data_dir)
    sample = whole.part(repetition.limit, draw=f"verify {draw}")
    external = _model(outcomes, sample, repetition)
    for remark in external.remarks:
        out.print(remark, markup=False)
    claimed = outcomes.provenance.checkpoints.get("selected", "")
    if claimed and external.file_sha256 and claimed != external.file_sha256:
        out.print(
            f"Note: {repetition.weights.checkpoint} is not the file that was evaluated (SHA-256 "
            f"{external.file_sha256[:16]}..., the submission says {claimed[:16]}...); the verdicts decide.",
            markup=False,
        )
    drawn = f"{len(sample.images)} of {len(whole.images)} images (--seed {draw})"
    out.print(
        f"{file}: attacking {drawn if len(sample.images) < len(whole.images) else 'all images'} again.", markup=False
    )
    try:
        with StageDisplay(out) as display:
            verified = compare(
                outcomes,
                external.model.to(where_to),
                sample,
                batch_size=repetition.batch_size,
                progress=display.advanced,
            )
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"{repetition.batch_size} images at a time do not fit into the memory of {where_to}; give a smaller "
            "--batch-size."
        ) from error
    except KeyboardInterrupt:
        out.print("Interrupted. Nothing is kept of a verification; the same command begins again.")
        return INTERRUPTED
    ending = _tell(verified, outcomes)
    if not repetition.record:
        out.print("Not recorded; with --record the board shows it.")
        return ending
    receipt = Receipt(
        outcomes=digest,
        weights=external.file_sha256,
        seed=draw,
        attacked=list(verified.attacked),
        disagreements=len(verified.disagreements),
        overstated=verified.overstated,
        versions=recorded_versions(),
        hardware=hardware(torch.device(where_to)),
        device=torch.device(where_to).type,
    )
    write_receipt(receipt_file(file), receipt)
    out.print(f"Recorded in {receipt_file(file)}; `fairbench report` shows it.", markup=False)
    return ending


def _images(outcomes: Outcomes, *, dataset: str, data_dir: Path) -> Sample:
    """The submission's images."""
    identity = outcomes.provenance.description["protocol"]["dataset"]
    digest, size, named = str(identity.get("sha256", "")), identity.get("image_size", 0), str(identity.get("name", ""))
    if not isinstance(size, int) or size < 0:
        raise UserError(f"The submission resized its images to {size!r} pixels, which is no size.")
    if digest and not dataset:
        raise UserError(
            f"The submission was evaluated on a file with the SHA-256 {digest[:16]}...; give it with --dataset "
            "FILE.npz."
        )
    if digest and (not dataset.lower().endswith(".npz") or file_digest(Path(dataset)) != digest):
        raise UserError(f"--dataset {dataset} is not the submission's file, which has the SHA-256 {digest[:16]}....")
    if not digest and dataset not in ("", named):
        raise UserError(f"--dataset {dataset} is not the submission's dataset, {named}.")
    whole = load_described(identity, file=dataset if digest else "", data_dir=data_dir)
    try:
        return whole.numbered(torch.from_numpy(outcomes.rows["index"].to_numpy().astype("int64")))
    except UserError as error:
        raise UserError(f"The submission has other images: {error}") from error


def _model(outcomes: Outcomes, sample: Sample, repetition: Repetition) -> External:
    """The model: as the user says, or the submission's, if that cannot run a stranger's code."""
    description = outcomes.provenance.description
    given = repetition.model or str(description.get("external", description["protocol"])["model"])
    if not repetition.model and given not in model_names() and not given.startswith(("robustbench:", "hf:")):
        raise UserError(
            f"The submission names the model {given!r}, which is code of its author; if you trust it, give it with "
            "--model."
        )
    if repetition.weights.checkpoint is None and given in model_names():
        raise UserError(f"The model {given} needs its weights: give the file with --checkpoint.")
    threat, _ = judged_by(outcomes)
    submitted = str(description.get("external", {}).get("transform", ""))
    weights = replace(repetition.weights, transform=repetition.weights.transform or submitted)
    return given_model(given, weights, sample=sample, norm=threat.norm, data_dir=repetition.data_dir)


def _tell(verified: Verified, outcomes: Outcomes) -> int:
    out, rows = console(), verified.disagreements
    attacked, submitted = sum(verified.attacked), sum(verified.submitted)
    if not len(rows):
        others = submitted - attacked
        rest = (
            f" At most {verified.others_at_most} of the other {others} images could disagree (95 %)." if others else ""
        )
        out.print(f"Every verdict on {attacked} images is confirmed.{rest}", markup=False)
        return 0
    table = Table(title="Disagreements", title_justify="left")
    for column in rows.columns:
        table.add_column(str(column), justify="right" if column == "index" else "left")
    names = {-1: "not attacked", **dict(enumerate(outcomes.provenance.class_names))}
    for index, label, attack, claimed, found in rows.head(SHOWN).to_numpy().tolist():
        table.add_row(str(index), escape(names[label]), attack, escape(names[claimed]), escape(names[found]))
    out.print(table)
    shown = f" The first {SHOWN} are shown." if len(rows) > SHOWN else ""
    out.print(
        f"{len(rows)} verdicts on {rows['index'].nunique()} of {attacked} images disagree; {verified.overstated} of "
        f"them speak for the submission and should not.{shown}",
        markup=False,
    )
    out.print(
        "One or two on another machine or library version are round-off; more are another model, other images or other "
        "settings."
    )
    if judged_by(outcomes)[1].engine == "reference":
        out.print("The reference engine draws noise by batch: a sample does not repeat it exactly.")
    return 1
