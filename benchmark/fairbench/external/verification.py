"""Checking a submission: a sample of its images is attacked again, with the same noise, and every verdict compared.

    found = verify(outcomes, model, sample)
    found.disagreements             # a table, empty for an honest file

An image's verdict depends on the model, the image and its own noise, and on nothing else, so that on equal hardware a
sample repeats the submission exactly. Between machines arithmetic rounds otherwise, and a verdict on the edge may flip.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from torch import Tensor, nn

from fairbench.attacks.autoattack import AutoAttack
from fairbench.errors import UserError
from fairbench.evaluation.screening import screen
from fairbench.external.run import device_of
from fairbench.external.sample import Sample
from fairbench.fields import build
from fairbench.outcomes.audit import Audit
from fairbench.outcomes.comparability import check_description
from fairbench.outcomes.store import Outcomes
from fairbench.progress import Progress, silent
from fairbench.protocol.attack_names import ATTACKS, WHITE_BOX
from fairbench.protocol.autoattack_settings import STANDARD, AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Threat


@dataclass(frozen=True, kw_only=True, eq=False)
class Verified:
    """What a second look found.

    Attributes:
        submitted: images of the submission, by class.
        attacked: how many of them were attacked again.
        disagreements: one row per image and attack with another verdict: index, label, attack, submitted, found; the
            last two are predictions.
    """

    submitted: tuple[int, ...]
    attacked: tuple[int, ...]
    disagreements: pd.DataFrame

    @property
    def overstated(self) -> int:
        """Verdicts that count as correct in the submission and are not."""
        rows = self.disagreements
        return int((rows["submitted"] == rows["label"]).sum())

    @property
    def others_at_most(self) -> int:
        """If nothing disagrees in a random sample: how many of the other images could, at most (95 %)."""
        return Audit(survivors=self.submitted, audited=self.attacked, breaks=0).missed_at_most_in_all


def verify(
    outcomes: Outcomes,
    model: nn.Module,
    sample: Sample,
    *,
    batch_size: int = 500,
    settings: AutoAttackSettings = STANDARD,
    progress: Progress = silent,
) -> Verified:
    """Attack the images of the sample as the submission says it did.

    Args:
        outcomes: the submission; a finished one.
        model: the selected checkpoint, on the device where it is to be attacked.
        sample: some of the submission's images.
        batch_size: images attacked together; the reference engine, whose noise depends on it, keeps that of the
            submission.
        settings: effort of AutoAttack, as the submission's.
        progress: told the stage, images done, and their total.

    Raises:
        UserError: if the sample is not of the submission's images, or its protocol is incomplete.
    """
    threat, evaluation = judged_by(outcomes)
    if evaluation.engine == "fairbench":
        evaluation = replace(evaluation, batch_size=batch_size)
    rows = _submitted(outcomes, sample)
    device = device_of(model)
    images, labels, indices = (part.to(device) for part in (sample.images, sample.labels, sample.indices))
    classes = len(sample.class_names)
    screened = screen(
        model,
        images,
        labels,
        classes=classes,
        threat=threat,
        evaluation=evaluation,
        indices=indices,
        batch_size=batch_size,
        progress=progress,
    )
    found = {"clean": screened.clean, "pgd20": screened.pgd20}
    attacks = {"screen": (), "fast": WHITE_BOX, "full": ATTACKS}[outcomes.provenance.tier or "screen"]
    if attacks:
        with TemporaryDirectory() as folder:
            attacking = AutoAttack(
                model,
                images,
                labels,
                clean=screened.clean,
                classes=classes,
                threat=threat,
                evaluation=evaluation,
                folder=Path(folder),
                indices=indices,
                settings=settings,
                progress=progress,
            )
            found["autoattack"] = attacking.attack(*attacks).predictions
    submitted, attacked = (
        tuple(np.bincount(table["label"], minlength=classes).tolist()) for table in (outcomes.rows, rows)
    )
    return Verified(submitted=submitted, attacked=attacked, disagreements=_disagreements(rows, found))


def judged_by(outcomes: Outcomes) -> tuple[Threat, Evaluation]:
    """Threat and evaluation of a submission.

    Raises:
        UserError: if it does not say them in full, or has nothing to verify.
    """
    provenance = outcomes.provenance
    if provenance.status != "done":
        raise UserError(f"This run failed ({provenance.reason}); it has no verdicts to verify.")
    check_description(provenance, file="The submission")
    protocol = provenance.description["protocol"]
    radius = float(protocol["threat"]["epsilon"])
    evaluation = build(Evaluation, protocol["evaluation"], prefix="evaluation.")
    return Threat(norm=protocol["threat"]["norm"], epsilon=radius, step=radius), evaluation


def _submitted(outcomes: Outcomes, sample: Sample) -> pd.DataFrame:
    """The submission's rows of a sample, by index."""
    names = tuple(outcomes.provenance.class_names)
    if names != sample.class_names:
        raise UserError(
            f"The submission calls the classes {', '.join(names)}; the dataset calls them "
            f"{', '.join(sample.class_names)}."
        )
    rows = outcomes.rows.set_index("index").reindex(sample.indices.numpy())
    if rows["label"].tolist() != sample.labels.tolist():  # a missing row is NaN, which no label is
        raise UserError(
            "The submission has other test images or labels than this dataset; give the one that it was evaluated on."
        )
    return rows


def _disagreements(rows: pd.DataFrame, found: dict[str, Tensor]) -> pd.DataFrame:
    tables = []
    for attack, predictions in found.items():
        table = pd.DataFrame(
            {
                "index": rows.index,
                "label": rows["label"].to_numpy(),
                "attack": attack,
                "submitted": rows[attack].to_numpy(),
                "found": predictions.cpu().numpy(),
            }
        )
        tables.append(table[table["submitted"] != table["found"]])
    return pd.concat(tables, ignore_index=True)
