"""Evaluation of a trained model: clean, PGD-20 and AutoAttack verdicts per test image, with flags and warnings.

    judgement = judge(selected, last, images, labels, classes=10, threat=suite.threat, evaluation=suite.evaluation,
                         folder=work_folder.attacks)
    judgement.rows               # the columns of `fairbench.outcomes.store.SCHEMA`, one row per image

Rows hold verdicts, never accuracies: every number of a board is derived from them. Screening is quick and repeated
after an interruption; the verdicts of AutoAttack are kept in the folder and taken up again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from fairbench.attacks.autoattack import AutoAttack, AutoAttacked
from fairbench.attacks.further.contract import FurtherAttack
from fairbench.attacks.further.trying import Trying
from fairbench.evaluation.curve import radii_withstood
from fairbench.evaluation.flags import behaviour, warnings
from fairbench.evaluation.screening import Screened, screen
from fairbench.evaluation.tiers import Reached, attack_by_tier, zero_gradient_share
from fairbench.method.class_means import ClassMeans
from fairbench.models.fingerprint import weights_sha256
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.store import CURVE, NOT_RUN, REACHED, SCHEMA, TRIED
from fairbench.progress import Progress, silent
from fairbench.protocol.autoattack_settings import STANDARD, AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Threat
from fairbench.tracking.tracker import NOBODY, Attacked, Tracker


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is known about a model after its evaluation.

    Attributes:
        rows: the columns of `fairbench.outcomes.store.SCHEMA`, in their types, one row per image.
        flags: signs of distrust, plain values: `randomised`, `batch_dependent`, `probability_outputs`,
            `grad_at_inference`, `train_mode_modules`; `zero_gradient_share` among correctly classified images, and the
            same by class; `nonfinite` images; with AutoAttack also `unverified_breaks`, `square_gain_pp` and
            `pgd_aa_gap_pp` in points of accuracy, `order_violations`, the classes of which AutoAttack leaves more
            images robust than PGD-20, and where there was an audit `audit_breaks`.
        warnings: the flags that matter, as sentences.
        seconds: wall time of `pgd20`, `autoattack` and `curve`, interrupted sessions included for the latter two.
        tried: what is known of every further attack, by its text.
        reached: the tier, why it is higher than the one asked for, and what the audit of `fast` saw.
    """

    rows: pd.DataFrame
    flags: dict[str, Any]
    warnings: list[str]
    seconds: dict[str, float]
    tried: dict[str, dict[str, Any]]
    reached: Reached

    def recorded(self, circumstances: Provenance) -> Provenance:
        """The provenance of the outcomes: their circumstances and what was found, whose warnings come first."""
        audit = self.reached.audit
        return replace(
            circumstances,
            tier=self.reached.tier,
            promotion=self.reached.promotion,
            audit=audit.plain() if audit else {},
            tried=dict(self.tried),
            flags=dict(self.flags),
            warnings=[*self.warnings, *circumstances.warnings],
            seconds={**circumstances.seconds, **self.seconds},
        )


def judge(
    selected: nn.Module,
    last: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    classes: int,
    threat: Threat,
    evaluation: Evaluation,
    folder: Path,
    indices: Tensor | None = None,
    further: Mapping[str, FurtherAttack] = MappingProxyType({}),
    settings: AutoAttackSettings = STANDARD,
    progress: Progress = silent,
    tracker: Tracker = NOBODY,
) -> Judgement:
    """Judge both checkpoints clean and under PGD-20, and the selected one under AutoAttack as far as the tier goes.

    Models, gradients, modes and the random state are left as they were. TF32 and autocast are off meanwhile.

    Args:
        selected: the checkpoint that is ranked; images in [0, 1] to logits, on the device of the images.
        last: the last checkpoint; it is not attacked again if its weights are those of `selected`.
        images: (n, channels, height, width), float32 in [0, 1] or uint8.
        labels: (n,), 0 to classes - 1.
        classes: number of classes.
        threat: norm and radius.
        evaluation: attacks, their steps, seed and batch size.
        folder: where AutoAttack keeps its verdicts.
        indices: positions in the test set if these are not all of it; 0 to n - 1 by default.
        further: what else is tried on the selected checkpoint: the attacks of the evaluation, by their text.
        settings: effort of AutoAttack; anything but the default is no AutoAttack standard.
        progress: told the stage (`pgd20`, `pgd20 last` or the name of an attack), images done, and their total.
        tracker: told what every attack leaves of the selected checkpoint, as soon as it is known.

    Raises:
        UserError: if data or logits are not what they must be, or the folder belongs to another evaluation.
    """
    began = time.perf_counter()
    labels = labels.long()

    def screened(model: nn.Module, stage: str) -> Screened:
        return screen(
            model,
            images,
            labels,
            classes=classes,
            threat=threat,
            evaluation=evaluation,
            indices=indices,
            progress=progress,
            stage=stage,
        )

    def tell(attack: str, predictions: Tensor) -> None:
        shares = ClassMeans(classes, device=labels.device)
        shares.add(labels, ((first.clean == labels) & (predictions == labels)).double())
        tracker.on_attack(Attacked(name=attack, accuracies=tuple(shares.mean().tolist())))

    first = screened(selected, "pgd20")
    tell("clean", first.clean)
    tell("pgd20", first.pgd20)
    second = first if _same(selected, last) else screened(last, "pgd20 last")
    observed = behaviour(selected, images, classes=classes, batch_size=evaluation.batch_size, seed=evaluation.seed)
    seconds = {"pgd20": time.perf_counter() - began}
    reached, attacked = Reached(tier="screen"), None
    if evaluation.tier != "screen":
        attacking = AutoAttack(
            selected,
            images,
            labels,
            clean=first.clean,
            classes=classes,
            threat=threat,
            evaluation=evaluation,
            folder=folder,
            indices=indices,
            settings=settings,
            progress=progress,
        )
        reached = attack_by_tier(attacking, first, labels, classes=classes, evaluation=evaluation, indices=indices)
        attacked = attacking.found()
        seconds["autoattack"] = sum(attacked.seconds.values())
        tell("autoattack", attacked.predictions)
    rows = _rows(labels, first, second, attacked, indices=indices)
    if evaluation.curve:
        robust = (first.pgd20 if attacked is None else attacked.predictions) == labels
        withstood = radii_withstood(
            selected,
            images,
            labels,
            clean=first.clean,
            robust=robust,
            classes=classes,
            threat=threat,
            evaluation=evaluation,
            tier=reached.tier,
            folder=folder,
            indices=indices,
            settings=settings,
            progress=progress,
        )
        rows[CURVE] = withstood.radii.cpu().numpy().astype(np.int16)
        seconds["curve"] = withstood.seconds
    assert set(further) == set(evaluation.attacks), (further, evaluation.attacks)
    trying = Trying(
        selected,
        images,
        labels,
        clean=first.clean,
        classes=classes,
        threat=threat,
        evaluation=evaluation,
        folder=folder,
        indices=indices,
        progress=progress,
    )
    tried = {text: trying.attack(text, attack) for text, attack in further.items()}
    for text, one in tried.items():
        rows[TRIED + text] = one.predictions.cpu().numpy().astype(np.int16)
        rows[REACHED + text] = pd.Series([np.array(classes, dtype=np.int16) for classes in one.reached])
        seconds[text] = one.seconds
    flags: dict[str, Any] = {**observed.flags(), **_screening_flags(first, labels, classes=classes)}
    if attacked is not None:
        flags |= _autoattack_flags(rows, attacked, first, classes=classes)
    if reached.audit is not None:
        flags["audit_breaks"] = reached.audit.breaks
    return Judgement(
        rows=rows,
        flags=flags,
        warnings=warnings(flags),
        seconds=seconds,
        tried={text: one.facts for text, one in tried.items()},
        reached=reached,
    )


def _same(selected: nn.Module, last: nn.Module) -> bool:
    return last is selected or (type(last) is type(selected) and weights_sha256(last) == weights_sha256(selected))


def _rows(
    labels: Tensor, selected: Screened, last: Screened, attacked: AutoAttacked | None, *, indices: Tensor | None
) -> pd.DataFrame:
    correct = (selected.clean == labels).tolist()
    columns = {
        "index": np.arange(len(labels)) if indices is None else indices.cpu().numpy(),
        "label": labels,
        "clean": selected.clean,
        "pgd20": selected.pgd20,
        "pgd20_any": selected.robust,
        "pgd20_survived": selected.survived,
        "autoattack": np.full(len(labels), NOT_RUN) if attacked is None else attacked.predictions,
        "broken_by": ["" if c else "clean" for c in correct] if attacked is None else attacked.broken_by,
        "last_clean": last.clean,
        "last_pgd20": last.pgd20,
    }
    plain = {name: values.cpu().numpy() if isinstance(values, Tensor) else values for name, values in columns.items()}
    frame = pd.DataFrame(plain)
    return frame.astype({field.name: field.type.to_pandas_dtype() for field in SCHEMA if field.name != "broken_by"})


def _screening_flags(selected: Screened, labels: Tensor, *, classes: int) -> dict[str, Any]:
    shares = ClassMeans(classes, device=labels.device)
    correct = selected.clean == labels
    shares.add(labels[correct], selected.zero_gradient[correct].double())
    return {
        "zero_gradient_share": zero_gradient_share(selected, labels),
        "zero_gradient_share_by_class": shares.mean().nan_to_num(0).tolist(),
        "nonfinite": int(selected.nonfinite.sum()),
    }


def _autoattack_flags(
    rows: pd.DataFrame, attacked: AutoAttacked, selected: Screened, *, classes: int
) -> dict[str, Any]:
    label = rows["label"].to_numpy()
    correct = rows["clean"].to_numpy() == label  # a robust image is right without an attack, too
    pgd20, auto = (
        np.bincount(label[correct & (rows[column].to_numpy() == label)], minlength=classes)
        for column in ("pgd20", "autoattack")
    )
    violations: list[int] = np.flatnonzero(auto > pgd20).tolist()
    return {
        "nonfinite": int((selected.nonfinite | attacked.nonfinite).sum()),
        "unverified_breaks": attacked.unverified,
        "square_gain_pp": 100 * float((rows["broken_by"] == "square").mean()),
        "pgd_aa_gap_pp": 100 * float(pgd20.sum() - auto.sum()) / len(rows),
        "order_violations": violations,
    }
