"""Evaluating a model that was not trained here: one call in Python, one file of outcomes, one row on the boards.

    from fairbench import evaluate
    from fairbench.metrics import class_accuracies

    outcomes = evaluate(model, images, labels, epsilon=8 / 255)
    class_accuracies(outcomes.rows, 10, "autoattack").values        # robust accuracy of every class

The model is judged exactly as a run of ours is, by the same attacks with the same noise; what it was trained on, and
how, nobody can check here, so it stands beside a ranking and not in it. Importing this module imports no torch.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fairbench.errors import UserError
from fairbench.progress import Progress, silent
from fairbench.provenance import Provenance
from fairbench.store import Outcomes, write_outcomes
from fairbench.suite import Engine, Evaluation, Norm, Precision, Threat, Tier, content_key

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fairbench.external.sample import Sample

PROTOCOL = "fairbench-1"
"""Of the evaluation; suites with the same one, the same data and the same threat show the row on their boards."""


def evaluate(
    model: "nn.Module",
    images: "Tensor",
    labels: "Tensor",
    *,
    name: str = "model",
    class_names: Sequence[str] = (),
    norm: Norm = "Linf",
    epsilon: float = 8 / 255,
    tier: Tier = "full",
    engine: Engine = "fairbench",
    search: Precision = "fp32",
    batch_size: int = 500,
    seed: int = 0,
    dataset: str = "",
    indices: "Tensor | None" = None,
    work_dir: Path | None = None,
    results: Path | None = None,
    progress: Progress = silent,
) -> Outcomes:
    """Judge every image clean, under PGD-20 and, as far as the tier goes, under AutoAttack.

    The model, its gradients and modes and the random state are left as they were.

    Args:
        model: images in [0, 1] to logits, on any device; normalisation is its own business.
        images: (n, channels, height, width), float32 in [0, 1] or uint8; they may stay on the CPU.
        labels: (n,), from 0.
        name: of the row.
        class_names: by label; the labels themselves by default, as many as the model has logits.
        norm: of the ball.
        epsilon: its radius, in units of pixel values in [0, 1]; 0 leaves robust accuracy equal to clean accuracy.
        tier: `screen` is PGD-20, `full` AutoAttack standard; see `fairbench.suite.Evaluation`.
        engine: of AutoAttack.
        search: arithmetic of our engine's search; breaks are verified in fp32.
        batch_size: images attacked together; no verdict of our engine depends on it.
        seed: of the training that made the model, if there are several; the attacks' noise is always the protocol's.
        dataset: its name, if the images are its test set (or part of it), so that the row finds its boards.
        indices: positions in the test set, (n,) rising, if the images are a part of it.
        work_dir: partial verdicts are kept below it, and an interrupted call goes on; forgotten by default.
        results: where the outcome file is written as well; nowhere by default.
        progress: told the stage, images done, and their total.

    Raises:
        UserError: for a model, images or settings that cannot be used.
    """
    import torch  # noqa: PLC0415  importing fairbench must not
    from torch import nn  # noqa: PLC0415

    from fairbench.external.sample import Sample, usual_suite  # noqa: PLC0415
    from fairbench.fingerprint import tensors_sha256  # noqa: PLC0415
    from fairbench.screening import check_images  # noqa: PLC0415

    if not isinstance(model, nn.Module):
        raise UserError(f"A model of type {type(model).__name__} is not allowed; allowed: a torch.nn.Module.")
    check_images(images, labels, classes=max(2, len(class_names) or int(labels.max()) + 1 if len(labels) else 2))
    names = tuple(class_names) or tuple(map(str, range(_logits(model, images))))
    suite = usual_suite(dataset)
    digest = "" if dataset else tensors_sha256({"images": images, "labels": labels})
    size = suite.dataset.image_size if suite else 0
    sample = Sample(
        name=dataset or "images",
        images=images,
        labels=labels.long(),
        indices=torch.arange(len(images)) if indices is None else indices,
        class_names=names,
        identity={"name": dataset or "images", "image_size": size, "sha256": digest},
    )
    evaluation = Evaluation(tier=tier, pgd_step=epsilon / 4, engine=engine, search=search, batch_size=batch_size)
    outcomes = evaluate_sample(
        model,
        sample,
        name=name,
        seed=seed,
        threat=Threat(norm=norm, epsilon=epsilon, step=epsilon / 4),
        evaluation=evaluation,
        specification=f"{type(model).__module__}:{type(model).__qualname__}",
        work_dir=work_dir,
        progress=progress,
    )
    if results is not None:
        write_outcomes(outcome_file(outcomes.provenance, results), outcomes)
    return outcomes


def evaluate_sample(
    model: "nn.Module",
    sample: "Sample",
    *,
    name: str,
    seed: int,
    threat: Threat,
    evaluation: Evaluation,
    specification: str,
    file_sha256: str = "",
    remarks: Sequence[str] = (),
    work_dir: Path | None = None,
    progress: Progress = silent,
) -> Outcomes:
    """The same for images with an identity.

    Args:
        model: on the device where it is to be attacked.
        sample: test images; they are moved there.
        name: of the row: letters, digits, `.`, `_` and `-`.
        seed: of the training that made the model.
        threat: norm and radius.
        evaluation: tier, engine, search and batch size.
        specification: where the model comes from.
        file_sha256: of its checkpoint, if there is one.
        remarks: sentences on what a reader should know.
        work_dir: of partial verdicts.
        progress: told the stage, images done, and their total.
    """
    import torch  # noqa: PLC0415

    from fairbench.environment import hardware, peak_memory, source, versions  # noqa: PLC0415
    from fairbench.evaluation import evaluate as judge  # noqa: PLC0415
    from fairbench.fingerprint import weights_sha256  # noqa: PLC0415

    check_name(name)
    description = describe(
        sample,
        name=name,
        seed=seed,
        specification=specification,
        weights=weights_sha256(model),
        threat=threat,
        evaluation=evaluation,
    )
    device = next((weight.device for weight in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
    with TemporaryDirectory() as temporary:
        folder = work_folder(description, work_dir) if work_dir is not None else Path(temporary)
        evaluated = judge(
            model,
            model,
            sample.images.to(device),
            sample.labels.to(device),
            classes=len(sample.class_names),
            threat=threat,
            evaluation=evaluation,
            folder=folder,
            indices=sample.indices.to(device),
            progress=progress,
        )
    reached = evaluated.reached
    provenance = Provenance(
        status="done",
        key=content_key(description),
        description=description,
        suite=sample.name,
        method="external",
        label=f"external-{name}",
        role="external",
        card={"title": name},
        seed=seed,
        class_names=list(sample.class_names),
        tier=reached.tier,
        promotion=reached.promotion,
        audit=reached.audit.plain() if reached.audit else {},
        flags=dict(evaluated.flags),
        warnings=[*evaluated.warnings, *remarks],
        seconds=evaluated.seconds,
        peak_memory=peak_memory(device),
        checkpoints={"selected": file_sha256} if file_sha256 else {},
        versions=versions(),
        source=source(),
        hardware=hardware(device),
        device=device.type,
        threads=torch.get_num_threads(),
    )
    return Outcomes(rows=evaluated.rows, provenance=provenance)


def describe(
    sample: "Sample",
    *,
    name: str,
    seed: int,
    specification: str,
    weights: str,
    threat: Threat,
    evaluation: Evaluation,
) -> dict[str, object]:
    """What identifies an evaluation, as plain values; no training, because none is known."""
    return {
        "protocol": {
            "protocol": PROTOCOL,
            "dataset": dict(sample.identity),
            "threat": {"norm": threat.norm, "epsilon": threat.epsilon},
            "evaluation": asdict(evaluation),
        },
        "external": {
            "name": name,
            "model": specification,
            "weights": weights,
            "images": content_key({"indices": sample.indices.tolist()}),
        },
        "seed": seed,
    }


def outcome_file(provenance: Provenance, results: Path) -> Path:
    """Where the outcomes of an external model belong."""
    return results / provenance.suite / provenance.label / f"seed{provenance.seed}.parquet"


def work_folder(description: Mapping[str, object], work_dir: Path) -> Path:
    """Where its partial verdicts lie: one folder for all tiers and engines, so that a higher tier takes up a lower."""
    external, protocol = description["external"], description["protocol"]
    assert isinstance(external, Mapping)
    assert isinstance(protocol, Mapping)
    judged = {"external": external, "dataset": protocol["dataset"], "threat": protocol["threat"]}
    return work_dir / "external" / f"{external['name']}-{content_key(judged)[:8]}"


def check_name(name: str) -> None:
    """Refuse a name that is no folder.

    Raises:
        UserError: if it is not made of letters, digits, `.`, `_` and `-`, or begins with one of the last three.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UserError(
            f"--name {name!r} is not allowed; allowed: up to 100 letters, digits, '.', '_' and '-', a letter or digit "
            "first."
        )


def _logits(model: "nn.Module", images: "Tensor") -> int:
    """How many classes the model knows, from one image."""
    import torch  # noqa: PLC0415

    from fairbench.attacks import frozen  # noqa: PLC0415
    from fairbench.attacks.judging import unit_images  # noqa: PLC0415

    device = next((weight.device for weight in [*model.parameters(), *model.buffers()]), images.device)
    with frozen(model), torch.no_grad():
        logits = model(unit_images(images[:1].to(device)))
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise UserError("The model returned no logits of shape (batch, classes) for an image.")
    return logits.shape[1]
