"""Judging a model that others trained, exactly as a run of ours is: the same attacks with the same noise.

    known = known_outcomes(run, results)            # of an earlier call, or None
    outcomes = compute_outcomes(run, results=results, work_dir=work_dir)

Verdicts are kept as they are found, below the work folder, and an interrupted call goes on from there. A file that
holds another evaluation is never replaced; one of a lower tier is, because the higher one contains its verdicts.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import Timeout

from fairbench.atomic import check_writable
from fairbench.errors import UserError
from fairbench.evaluation.chance import chance_remark
from fairbench.evaluation.circumstances import circumstances
from fairbench.evaluation.judgement import Judgement, judge
from fairbench.external.first_look import buffers_kept
from fairbench.external.head_norm import RECONSTRUCTION
from fairbench.external.run import ExternalRun
from fairbench.outcomes.comparability import asked_tier, contained
from fairbench.outcomes.store import Outcomes, read_outcomes, write_outcomes
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.progress import Progress, silent
from fairbench.protocol.autoattack_settings import STANDARD, AutoAttackSettings
from fairbench.tracking.tracker import NOBODY, Tracker

_OPTIONAL = ("code", "transform")
"""Parts of a description that are there only where they say something."""


def known_outcomes(run: ExternalRun, results: Path) -> Outcomes | None:
    """The outcomes of an earlier call, if they are these; None if there are none, or of a lower tier.

    Raises:
        UserError: if the file holds something else, which is not ours to replace.
    """
    path = run.result_file(results)
    if not path.exists():
        return None
    found = read_outcomes(path)
    description, wanted = found.provenance.description, run.description()
    if found.provenance.key == run.key:
        return found
    if contained(description, wanted):
        return None
    if contained(wanted, description):
        if asked_tier(found.provenance) == run.evaluation.tier:
            return found
        problem = f"these outcomes in tier {found.provenance.tier}, which goes further than {run.evaluation.tier}"
    else:
        problem = f"the outcomes of another evaluation ({_differing(description, wanted)})"
    raise UserError(f"{path} holds {problem}. Choose another name, seed or folder of results, or move the file away.")


def compute_outcomes(
    run: ExternalRun,
    *,
    results: Path | None = None,
    work_dir: Path | None = None,
    settings: AutoAttackSettings = STANDARD,
    progress: Progress = silent,
    tracker: Tracker = NOBODY,
) -> Outcomes:
    """Judge every image clean, under PGD-20 and, as far as the tier goes, under AutoAttack.

    Args:
        run: the model, the images and the protocol.
        results: where the outcome file is written; nowhere by default.
        work_dir: partial verdicts are kept below it; forgotten by default.
        settings: effort of AutoAttack; anything but the default is no AutoAttack standard.
        progress: told the stage, images done, and their total.
        tracker: told what every attack leaves.

    Raises:
        UserError: if the model returns no logits of these classes, a folder cannot be written, or another process
            evaluates the same.
    """
    sample, device = run.sample, run.device
    with ExitStack() as stack:
        stack.enter_context(buffers_kept(run.model))
        if results is not None:
            check_writable(run.result_file(results).parent)
        if work_dir is None:
            folder = WorkFolder(Path(stack.enter_context(TemporaryDirectory())))
        else:
            folder = WorkFolder.of(run, work_dir)
            check_writable(folder.path)
            try:
                stack.enter_context(folder.lock().acquire(timeout=0))
            except Timeout as error:
                raise UserError(
                    f"{run.name} is being evaluated by another process, in {folder.path}; wait for it."
                ) from error
        judgement = judge(
            run.model,
            run.model,
            sample.images.to(device),
            sample.labels.to(device),
            classes=len(sample.class_names),
            threat=run.threat,
            evaluation=run.evaluation,
            folder=folder.path,  # which holds nothing else
            indices=sample.indices.to(device),
            further=run.further,
            settings=settings,
            progress=progress,
            tracker=tracker,
        )
    provenance = replace(
        circumstances(run, suite=sample.name, method="external", class_names=sample.class_names, device=device),
        card=_card(run),
        warnings=[*run.remarks, *_guessing(judgement, classes=len(sample.class_names))],
        checkpoints={"selected": run.file_sha256} if run.file_sha256 else {},
    )
    outcomes = Outcomes(rows=judgement.rows, provenance=judgement.recorded(provenance))
    if results is not None:
        write_outcomes(run.result_file(results), outcomes)
    return outcomes


def _guessing(judgement: Judgement, *, classes: int) -> list[str]:
    """What to look at if the model does no better than chance; where logits are not finite, that is said already."""
    remark = chance_remark(judgement.rows, classes=classes)
    if not remark or judgement.flags["nonfinite"]:
        return []
    advice = (
        "Check that its logits have the order of the classes that the labels have, and that images are normalised as "
        "in its training (--mean and --std, where it does not do so itself)."
    )
    return [f"{remark} {advice}"]


def _card(run: ExternalRun) -> dict[str, Any]:
    return {"title": run.name, **({"reconstruction": True, "reason": RECONSTRUCTION} if run.transform else {})}


def _differing(found: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """`other threat, other weights`; `found` is a stranger's."""
    names = [
        "settings" if name == "evaluation" else name
        for theirs, ours in ((found.get(part), wanted[part]) for part in ("external", "protocol"))
        if isinstance(ours, Mapping)
        for name in {*ours, *_OPTIONAL}
        if not isinstance(theirs, Mapping) or theirs.get(name) != ours.get(name)
    ]
    return ", ".join(f"other {name}" for name in sorted(names)) or "another seed"
