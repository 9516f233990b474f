"""Checking a submission: a sample of its images is attacked again, with the same noise, and every verdict compared.

    found = verify(outcomes, model, sample)
    found.disagreements             # a table, empty for an honest file

An image's verdict depends on the model, the image and its own noise, and on nothing else, so that on equal hardware a
sample repeats the submission exactly. Between machines arithmetic rounds otherwise, and a verdict on the edge may flip.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from torch import Tensor, nn

from fairbench.attacks.autoattack import AutoAttack
from fairbench.audit import missed_at_most
from fairbench.errors import UserError
from fairbench.external.sample import Sample
from fairbench.progress import Progress, silent
from fairbench.screening import screen
from fairbench.store import ATTACKS, Outcomes
from fairbench.suite import Evaluation, Threat
from fairbench.tiers import WHITE_BOX


@dataclass(frozen=True, kw_only=True, eq=False)
class Verified:
    """What a second look found.

    Attributes:
        images: how many were attacked again.
        submitted: how many the submission has.
        disagreements: one row per image and attack with another verdict: index, label, attack, submitted, found; the
            last two are predictions.
    """

    images: int
    submitted: int
    disagreements: pd.DataFrame

    @property
    def overstated(self) -> int:
        """Images that count as robust (or correct) in the submission and are not."""
        rows = self.disagreements
        return int((rows["submitted"] == rows["label"]).sum())

    @property
    def others_at_most(self) -> int:
        """If nothing disagrees: how many of the images that were not looked at could, at most (95 %)."""
        return missed_at_most(self.submitted, self.images)


def verify(
    outcomes: Outcomes,
    model: nn.Module,
    sample: Sample,
    *,
    batch_size: int = 500,
    progress: Progress = silent,
) -> Verified:
    """Attack the images of the sample as the submission says it did.

    Args:
        outcomes: the submission; a finished one.
        model: the selected checkpoint, on the device where it is to be attacked.
        sample: some of the submission's images.
        batch_size: images attacked together.
        progress: told the stage, images done, and their total.

    Raises:
        UserError: if the sample is not of the submission's images, or its protocol is incomplete.
    """
    rows = outcomes.rows.set_index("index").reindex(sample.indices.numpy())
    if rows.isna().any(axis=None) or rows["label"].tolist() != sample.labels.tolist():
        raise UserError(
            "The submission has other test images or labels than this dataset; give the one that it was evaluated on."
        )
    threat, evaluation = judged_by(outcomes)
    device = next((weight.device for weight in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
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
                progress=progress,
            )
            for attack in attacks:
                attacking.attack(attack)
            found["autoattack"] = attacking.found().predictions
    return Verified(images=len(sample.images), submitted=len(outcomes.rows), disagreements=_disagreements(rows, found))


def judged_by(outcomes: Outcomes) -> tuple[Threat, Evaluation]:
    """Threat and evaluation of a submission.

    Raises:
        UserError: if it does not say them in full, or has nothing to verify.
    """
    provenance = outcomes.provenance
    if provenance.status != "done":
        raise UserError(f"This run failed ({provenance.reason}); it has no verdicts to verify.")
    try:
        protocol = provenance.description["protocol"]
        evaluation = Evaluation(**protocol["evaluation"])
        radius = float(protocol["threat"]["epsilon"])
        return Threat(norm=protocol["threat"]["norm"], epsilon=radius, step=radius), evaluation
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"The submission does not say in full how it was evaluated ({error}).") from error


def _disagreements(rows: pd.DataFrame, found: dict[str, Tensor]) -> pd.DataFrame:
    tables = []
    for attack, predictions in found.items():
        table = pd.DataFrame(
            {
                "index": rows.index,
                "label": rows["label"].astype(int).to_numpy(),
                "attack": attack,
                "submitted": rows[attack].astype(int).to_numpy(),
                "found": predictions.cpu().numpy(),
            }
        )
        tables.append(table[table["submitted"] != table["found"]])
    return pd.concat(tables, ignore_index=True)
