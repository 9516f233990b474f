"""Judging a model that others trained, exactly as a run of ours is: the same attacks with the same noise.

    known = known_outcomes(run, results)            # of an earlier call, or None
    outcomes = compute_outcomes(run, results=results, work_dir=work_dir)

Verdicts are kept as they are found, below the work folder, and an interrupted call goes on from there. A file that
holds another evaluation is never replaced; one of a lower tier is, because the higher one contains its verdicts.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from filelock import Timeout

from fairbench.atomic import check_writable
from fairbench.errors import UserError
from fairbench.evaluation.judgement import judge
from fairbench.execution.plan import run_lock
from fairbench.external.run import ExternalRun
from fairbench.identity import content_key
from fairbench.machine import hardware, peak_memory, source, versions
from fairbench.outcomes.comparability import tier_below
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import Outcomes, read_outcomes, write_outcomes
from fairbench.progress import Progress, silent
from fairbench.protocol.autoattack_settings import STANDARD, AutoAttackSettings


def known_outcomes(run: ExternalRun, results: Path) -> Outcomes | None:
    """The outcomes of an earlier call, if they are these; None if there are none, or of a lower tier.

    Raises:
        UserError: if the file holds something else, which is not ours to replace.
    """
    path = run.result_file(results)
    if not path.exists():
        return None
    found = read_outcomes(path)
    description = found.provenance.description
    if found.provenance.key == content_key(run.description):
        return found
    if tier_below(description, run.description):
        return None
    if tier_below(run.description, description):
        problem = f"these outcomes in tier {found.provenance.tier}, which goes further than {run.evaluation.tier}"
    else:
        problem = f"the outcomes of another evaluation ({_differing(description, run.description)})"
    raise UserError(f"{path} holds {problem}. Choose another name, seed or folder of results, or move the file away.")


def compute_outcomes(
    run: ExternalRun,
    *,
    results: Path | None = None,
    work_dir: Path | None = None,
    settings: AutoAttackSettings = STANDARD,
    progress: Progress = silent,
) -> Outcomes:
    """Judge every image clean, under PGD-20 and, as far as the tier goes, under AutoAttack.

    Args:
        run: the model, the images and the protocol.
        results: where the outcome file is written; nowhere by default.
        work_dir: partial verdicts are kept below it; forgotten by default.
        settings: effort of AutoAttack; anything but the default is no AutoAttack standard.
        progress: told the stage, images done, and their total.

    Raises:
        UserError: if the model returns no logits of these classes, a folder cannot be written, or another process
            evaluates the same.
    """
    sample, device = run.sample, run.device
    with ExitStack() as stack:
        if results is not None:
            check_writable(run.result_file(results).parent)
        if work_dir is None:
            folder = Path(stack.enter_context(TemporaryDirectory()))
        else:
            folder = run.work_folder(work_dir)
            check_writable(folder)
            try:
                stack.enter_context(run_lock(folder).acquire(timeout=0))
            except Timeout as error:
                raise UserError(
                    f"{run.name} is being evaluated by another process, in {folder}; wait for it."
                ) from error
        judgement = judge(
            run.model,
            run.model,
            sample.images.to(device),
            sample.labels.to(device),
            classes=len(sample.class_names),
            threat=run.threat,
            evaluation=run.evaluation,
            folder=folder,
            indices=sample.indices.to(device),
            settings=settings,
            progress=progress,
        )
    reached = judgement.reached
    provenance = Provenance(
        status="done",
        key=content_key(run.description),
        description=run.description,
        suite=sample.name,
        method="external",
        label=run.label,
        role="external",
        card={"title": run.name},
        seed=run.seed,
        class_names=list(sample.class_names),
        tier=reached.tier,
        promotion=reached.promotion,
        audit=reached.audit.plain() if reached.audit else {},
        flags=dict(judgement.flags),
        warnings=[*judgement.warnings, *run.remarks],
        seconds=judgement.seconds,
        peak_memory=peak_memory(device),
        checkpoints={"selected": run.file_sha256} if run.file_sha256 else {},
        versions=versions(),
        source=source(),
        hardware=hardware(device),
        device=device.type,
        threads=torch.get_num_threads(),
    )
    outcomes = Outcomes(rows=judgement.rows, provenance=provenance)
    if results is not None:
        write_outcomes(run.result_file(results), outcomes)
    return outcomes


def _differing(found: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """`other threat, other weights`; `found` is a stranger's."""
    names = [
        "settings" if name == "evaluation" else name
        for theirs, ours in ((found.get(part), wanted[part]) for part in ("external", "protocol"))
        if isinstance(ours, Mapping)
        for name in ours
        if not isinstance(theirs, Mapping) or theirs.get(name) != ours[name]
    ]
    return ", ".join(f"other {name}" for name in sorted(names)) or "another seed"
