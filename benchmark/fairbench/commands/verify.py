"""`fairbench verify`: does a submission's file say what its checkpoint does?"""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from fairbench.console import console
from fairbench.data.digest import file_digest
from fairbench.display import StageDisplay
from fairbench.errors import UserError
from fairbench.execution.devices import devices
from fairbench.external.sample import Sample, load_sample
from fairbench.external.specification import External, load_external
from fairbench.external.verification import Verified, judged_by
from fairbench.external.verification import verify as compare
from fairbench.models import model_names
from fairbench.store import Outcomes, read_outcomes

SHOWN = 20
"""Disagreements printed."""


def verify(
    file: Path,
    *,
    checkpoint: Path | None,
    model: str,
    key: str,
    dataset: str,
    limit: int,
    batch_size: int,
    data_dir: Path,
    device: str,
) -> int:
    """Attack a class-stratified sample again. Returns the exit code: 0 only if every verdict is confirmed."""
    out = console()
    outcomes = read_outcomes(file)
    judged_by(outcomes)
    where_to = devices(device)[0]
    sample = _sample(outcomes, dataset=dataset, limit=limit, data_dir=data_dir)
    external = _model(outcomes, sample, checkpoint=checkpoint, model=model, key=key, data_dir=data_dir)
    for remark in external.remarks:
        out.print(remark, markup=False)
    claimed = outcomes.provenance.checkpoints.get("selected", "")
    if claimed and external.file_sha256 and claimed != external.file_sha256:
        out.print(
            f"Note: {checkpoint} is not the file that was evaluated (SHA-256 {external.file_sha256[:16]}..., the "
            f"submission says {claimed[:16]}...); the verdicts decide.",
            markup=False,
        )
    with StageDisplay(out) as display:
        verified = compare(
            outcomes, external.model.to(where_to), sample, batch_size=batch_size, progress=display.advanced
        )
    return _tell(verified, outcomes)


def _sample(outcomes: Outcomes, *, dataset: str, limit: int, data_dir: Path) -> Sample:
    """Some of the submission's images, as many of each class as of the others."""
    try:
        identity = outcomes.provenance.description["protocol"]["dataset"]
        digest, size = str(identity.get("sha256", "")), int(identity.get("image_size", 0))
        name = dataset or str(identity["name"] if not digest else "")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"The submission does not say on which dataset it was evaluated ({error}).") from error
    if not name:
        raise UserError(f"The dataset was a file with SHA-256 {digest[:16]}...; give it with --dataset FILE.npz.")
    if digest and (not name.endswith(".npz") or file_digest(Path(name)) != digest):
        raise UserError(f"--dataset {name} is not the submission's dataset, which has the SHA-256 {digest[:16]}....")
    if dataset and not digest and dataset != identity["name"]:
        raise UserError(f"--dataset {dataset} is not the submission's dataset, {identity['name']}.")
    whole = load_sample(name, data_dir=data_dir, image_size=size)
    positions = outcomes.rows["index"].to_numpy()
    if positions.max() >= len(whole.images):
        raise UserError(
            f"The submission has {positions.max() + 1} test images or more, {name} has {len(whole.images)}."
        )
    import torch  # noqa: PLC0415  after the cheap checks

    return whole.at(torch.from_numpy(positions.astype("int64"))).part(limit)


def _model(
    outcomes: Outcomes, sample: Sample, *, checkpoint: Path | None, model: str, key: str, data_dir: Path
) -> External:
    """The model: as the user says, or the submission's, if that cannot run a stranger's code."""
    description = outcomes.provenance.description
    given = model or str(description.get("external", description.get("protocol", {})).get("model", ""))
    if not model and given not in model_names() and not given.startswith("robustbench:"):
        raise UserError(
            f"The submission names the model {given!r}, which is code of its author; if you trust it, give it with "
            "--model."
        )
    if checkpoint is None and not given.startswith("robustbench:") and ":" not in given:
        raise UserError(f"The model {given} needs its weights: give the file with --checkpoint.")
    threat, _ = judged_by(outcomes)
    return load_external(
        given,
        dataset=sample.name,
        classes=len(sample.class_names),
        channels=sample.images.shape[1],
        size=(sample.images.shape[2], sample.images.shape[3]),
        checkpoint=checkpoint,
        key=key,
        norm=threat.norm,
        folder=data_dir,
    )


def _tell(verified: Verified, outcomes: Outcomes) -> int:
    out, rows = console(), verified.disagreements
    provenance = outcomes.provenance
    out.print(
        f"{provenance.label}, seed {provenance.seed}, tier {provenance.tier}: {verified.images} of "
        f"{verified.submitted} images attacked again.",
        markup=False,
    )
    if not len(rows):
        out.print(
            f"Every verdict is confirmed. At most {verified.others_at_most} of the other images could disagree (95 %)."
        )
        return 0
    table = Table(title="Disagreements", title_justify="left")
    for column in rows.columns:
        table.add_column(str(column), justify="right" if column != "attack" else "left")
    names = provenance.class_names
    for index, label, attack, submitted, found in rows.head(SHOWN).to_numpy().tolist():
        table.add_row(str(index), escape(names[label]), attack, escape(names[submitted]), escape(names[found]))
    out.print(table)
    shown = f" The first {SHOWN} are shown." if len(rows) > SHOWN else ""
    out.print(
        f"{len(rows)} verdicts of {rows['index'].nunique()} images disagree; {verified.overstated} of them count for "
        f"the submission and should not.{shown}"
    )
    out.print(
        "One or two on another machine or library version are round-off; more are another model, other images or other "
        "settings."
    )
    if outcomes.provenance.description["protocol"]["evaluation"].get("engine") == "reference":
        out.print("The reference engine draws noise by batch: a sample does not repeat it exactly.")
    return 1
