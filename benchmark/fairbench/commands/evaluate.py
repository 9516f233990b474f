"""`fairbench evaluate`: judge models that others trained, per class, under PGD-20 and AutoAttack."""

from dataclasses import dataclass, replace
from pathlib import Path

from filelock import Timeout
from rich.console import Console
from rich.markup import escape

from fairbench.atomic import atomic
from fairbench.comparability import tier_below
from fairbench.console import console as make_console
from fairbench.display import StageDisplay
from fairbench.errors import INTERRUPTED, UserError
from fairbench.execution.devices import devices
from fairbench.external.evaluate import check_name, describe, evaluate_sample, outcome_file, work_folder
from fairbench.external.normalisation import Normalisation
from fairbench.external.sample import Sample, load_sample, usual_suite
from fairbench.external.specification import External, load_external
from fairbench.fingerprint import weights_sha256
from fairbench.plan import run_lock
from fairbench.report.class_table import class_table
from fairbench.store import Outcomes, read_outcomes, write_outcomes
from fairbench.suite import Evaluation, Norm, Threat, content_key
from fairbench.suite_file import parse_number

LINF_EPSILON = 8 / 255
"""Where no suite ships for a dataset."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user wants to know of which models.

    Attributes:
        models: specifications, each `robustbench:NAME` or another form that needs a name.
        name: of the row; "" for the name in the zoo.
        checkpoint: weights, for a single model.
        key: entry of the checkpoint.
        mean: per channel, with commas; "" if the model normalises.
        std: alike.
        dataset: name or `.npz` file.
        image_size: height and width to resize to; None as usual for the dataset.
        norm: of the threat.
        epsilon: its radius as text; "" as usual for the dataset.
        evaluation: tier, engine, search and batch size; its step follows from epsilon.
        limit: images, class-stratified; None for all.
        seed: of the training.
    """

    models: tuple[str, ...]
    name: str = ""
    checkpoint: Path | None = None
    key: str = ""
    mean: str = ""
    std: str = ""
    dataset: str
    image_size: int | None = None
    norm: Norm = "Linf"
    epsilon: str = ""
    evaluation: Evaluation
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where things are.

    Attributes:
        results: outcomes.
        work_dir: partial verdicts.
        data_dir: downloads of datasets and zoo models.
    """

    results: Path
    work_dir: Path
    data_dir: Path


def evaluate(asked: Asked, folders: Folders, *, device: str) -> int:
    """Evaluate one model after the other. Returns the exit code: 0 only if every one of them has its outcomes."""
    names = _names(asked)
    normalisation = _normalisation(asked)
    threat = _threat(asked)
    where_to = devices(device)[0]
    out = make_console()
    sample = load_sample(asked.dataset, data_dir=folders.data_dir, image_size=asked.image_size)
    if asked.limit is not None:
        sample = sample.part(asked.limit)
    out.print(
        f"{len(sample.images)} test images of {sample.name}, {threat.norm} within {threat.epsilon:.6g} = "
        f"{255 * threat.epsilon:.5g}/255, tier {asked.evaluation.tier}.",
        markup=False,
    )
    failed = 0
    for given, name in zip(asked.models, names, strict=True):
        try:
            external = load_external(
                given,
                dataset=sample.name,
                classes=len(sample.class_names),
                channels=sample.images.shape[1],
                size=(sample.images.shape[2], sample.images.shape[3]),
                checkpoint=asked.checkpoint,
                key=asked.key,
                normalisation=normalisation,
                norm=asked.norm,
                folder=folders.data_dir,
            )
            _one(external, sample, asked, folders, out, name=name, threat=threat, device=where_to)
        except UserError as error:
            if len(asked.models) == 1:
                raise
            failed += 1
            out.print(f"[red]{escape(name)}:[/red] {escape(str(error))}")
        except KeyboardInterrupt:
            out.print("Interrupted. Verdicts found so far are kept; the same command goes on from here.")
            return INTERRUPTED
    return 1 if failed else 0


def _one(
    external: External,
    sample: Sample,
    asked: Asked,
    folders: Folders,
    out: Console,
    *,
    name: str,
    threat: Threat,
    device: str,
) -> None:
    """Evaluate, store and show one model; what is stored already is shown and not computed again."""
    evaluation = replace(asked.evaluation, pgd_step=threat.step)
    description = describe(
        sample,
        name=name,
        seed=asked.seed,
        specification=external.specification,
        weights=weights_sha256(external.model),
        threat=threat,
        evaluation=evaluation,
    )
    for remark in external.remarks:
        out.print(f"{name}: {remark}", markup=False)
    path = folders.results / sample.name / f"external-{name}" / f"seed{asked.seed}.parquet"
    known = _known(path, description)
    if known is not None:
        out.print(f"Nothing to do: {path} holds these outcomes.", markup=False)
        out.print(class_table(known))
        return
    folder = work_folder(description, folders.work_dir)
    _check_writable(path.parent)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with run_lock(folder).acquire(timeout=0), StageDisplay(out) as display:
            outcomes = evaluate_sample(
                external.model.to(device),
                sample,
                name=name,
                seed=asked.seed,
                threat=threat,
                evaluation=evaluation,
                specification=external.specification,
                file_sha256=external.file_sha256,
                remarks=external.remarks,
                work_dir=folders.work_dir,
                progress=display.advanced,
            )
    except Timeout as error:
        raise UserError(f"{name} is being evaluated in another process, in {folder}; wait for it.") from error
    write_outcomes(outcome_file(outcomes.provenance, folders.results), outcomes)
    out.print(class_table(outcomes))
    out.print(f"Wrote {path}; `fairbench report` shows it beside the boards it fits.", markup=False)


def _known(path: Path, description: dict[str, object]) -> Outcomes | None:
    """The outcomes of an earlier call, if they are these; None if there are none, or of a lower tier.

    Raises:
        UserError: if the file holds something else, which is not ours to replace.
    """
    if not path.exists():
        return None
    found = read_outcomes(path)
    if found.provenance.key == content_key(description):
        return found
    if tier_below(found.provenance.description, description):
        return None
    raise UserError(
        f"{path} holds the outcomes of another evaluation (other weights, images, threat or settings, or a higher "
        "tier). Choose another --name, --seed or --results, or move the file away."
    )


def _names(asked: Asked) -> list[str]:
    """A name for every model."""
    zoo = "robustbench:"
    if len(asked.models) > 1 and (asked.name or asked.checkpoint or asked.mean or asked.std):
        raise UserError("--name, --checkpoint, --mean and --std are for a single --model; evaluate them one by one.")
    if len(set(asked.models)) < len(asked.models):
        raise UserError("The same --model is given twice.")
    strangers = [given for given in asked.models if not given.startswith(zoo)]
    if strangers and not asked.name:
        raise UserError(f"--model {strangers[0]} needs --name, which names its row; models of the zoo bring theirs.")
    names = [asked.name or given.removeprefix(zoo) for given in asked.models]
    for name in names:
        check_name(name)
    return names


def _normalisation(asked: Asked) -> Normalisation | None:
    if bool(asked.mean) != bool(asked.std):
        raise UserError("--mean and --std go together: a network is normalised by both.")
    return Normalisation.parse(asked.mean, asked.std) if asked.mean else None


def _threat(asked: Asked) -> Threat:
    """The threat, with the evaluating step of a quarter of its radius."""
    suite = usual_suite(asked.dataset)
    if asked.epsilon:
        epsilon = parse_number(asked.epsilon, field="epsilon")
    elif asked.norm == "L2":
        raise UserError("--norm L2 needs --eps, such as --eps 0.5 or --eps 128/255.")
    else:
        epsilon = suite.threat.epsilon if suite else LINF_EPSILON
    return Threat(norm=asked.norm, epsilon=epsilon, step=epsilon / 4)


def _check_writable(folder: Path) -> None:
    """Before anything is computed."""
    probe = folder / ".writable"
    with atomic(probe):
        pass
    probe.unlink(missing_ok=True)
