"""AutoAttack `standard`, attack by attack over the images that are still robust, with the verdicts kept on disk.

    found = autoattack(model, images, labels, clean=clean, classes=10, threat=threat, evaluation=evaluation,
                       folder=folder)
    (found.predictions == labels).float().mean()       # robust accuracy

There are two engines. Ours (`fairbench.attacks.standard`) draws noise for every image by itself, so that a verdict
depends neither on batch size or order nor on an interruption. The reference is pyautoattack's own code
(`fairbench.attacks.reference`), with a seed for every chunk, derived from its first image. Around either, weights are
frozen, `.grad` and the caller's random state stay as they are, and a break counts only if a clean forward in fp32,
on a point checked to lie in the ball and in [0, 1], confirms it.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyautoattack
import torch
from torch import Tensor, nn

from fairbench.attacks.ball import Ball
from fairbench.attacks.frozen import frozen
from fairbench.attacks.judging import (
    Judged,
    another_class,
    exact_arithmetic,
    predictions,
    private_randomness,
    unit_images,
)
from fairbench.attacks.reference import reference_attack
from fairbench.attacks.settings import STANDARD, AutoAttackSettings
from fairbench.attacks.standard.attack import VERSION, standard_attack
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.attacks.verdict_log import ChunkVerdicts, VerdictLog
from fairbench.attacks.watched import Watched
from fairbench.fingerprint import tensors_sha256, weights_sha256
from fairbench.progress import Progress, silent
from fairbench.seeding import derived_seed
from fairbench.store import ATTACKS
from fairbench.suite import Evaluation, Threat


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoAttacked:
    """What the four attacks found, in input order.

    Attributes:
        predictions: under the attack that broke the image, (n,) int64; the label if none did; the clean prediction if
            that was wrong already.
        broken_by: name of that attack; "" for a robust image, "clean" for one that was not attacked.
        unverified: breaks that an attack claimed and the verification refused.
        nonfinite: whether a point in the image's ball was found where a logit is infinite or NaN, (n,).
        seconds: wall time by attack, over all sessions.
    """

    predictions: Tensor
    broken_by: list[str]
    unverified: int
    nonfinite: Tensor
    seconds: dict[str, float]


def autoattack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    clean: Tensor,
    classes: int,
    threat: Threat,
    evaluation: Evaluation,
    folder: Path,
    indices: Tensor | None = None,
    settings: AutoAttackSettings = STANDARD,
    progress: Progress = silent,
) -> AutoAttacked:
    """Attack every image that is classified correctly; go on where an earlier call with the same folder stopped.

    Args:
        model: images in [0, 1] to logits, on the device of the images.
        images: (n, channels, height, width), float32 in [0, 1] or uint8.
        labels: (n,).
        clean: predictions on the clean images, (n,).
        classes: number of classes, at least 2.
        threat: norm and radius.
        evaluation: engine, seed and batch size; chunks of that many images are attacked together.
        folder: where the verdicts are kept.
        indices: positions in the test set, which key the noise; 0 to n - 1 by default.
        settings: effort of the attacks.
        progress: told at least every half second, with the attack's name.

    Raises:
        UserError: if the folder holds the verdicts of another evaluation, or cannot be written.
    """
    labels = labels.long()
    positions = torch.arange(len(images), device=labels.device) if indices is None else indices.to(labels.device)
    fingerprint = {
        "weights": weights_sha256(model),
        "data": tensors_sha256({"images": images, "labels": labels, "positions": positions}),
        "settings": {
            "norm": threat.norm,
            "epsilon": threat.epsilon,
            "classes": classes,
            "seed": evaluation.seed,
            **_engine(evaluation),
            **asdict(settings),
        },
    }
    log = VerdictLog(folder / "autoattack.jsonl", fingerprint)
    tally = _Tally(clean=clean, labels=labels, positions=positions)
    judged = Judged(model, classes=classes)
    with exact_arithmetic(images.device), frozen(judged), torch.no_grad():
        for attack in ATTACKS:
            left, total = tally.robust.clone(), int(tally.robust.sum())
            for verdicts in log.of(attack):
                left[tally.take(verdicts)] = False
            rows = left.nonzero().flatten()
            progress(attack, total - len(rows), total)
            while len(rows) > 0:
                chunk, done = rows[: evaluation.batch_size], total - len(rows)
                verdicts = _attack_chunk(
                    judged,
                    unit_images(images[chunk]),
                    labels[chunk],
                    attack=attack,
                    indices=positions[chunk],
                    threat=threat,
                    evaluation=evaluation,
                    settings=settings,
                    heartbeat=partial(_beat, progress, attack, done, total),
                )
                log.append(verdicts)
                tally.take(verdicts)
                rows = rows[len(chunk) :]
                progress(attack, total - len(rows), total)
    return tally.summary()


class _Tally:
    """What is known of every image so far.

    Args:
        clean: predictions on the clean images, (n,).
        labels: (n,).
        positions: in the test set, (n,).
    """

    def __init__(self, *, clean: Tensor, labels: Tensor, positions: Tensor) -> None:
        self.robust = clean == labels
        self._predictions = torch.where(self.robust, labels, clean)
        self._broken_by = ["" if correct else "clean" for correct in self.robust.tolist()]
        self._nonfinite = torch.zeros_like(self.robust)
        self._row_of = {index: row for row, index in enumerate(positions.tolist())}
        self._known: list[ChunkVerdicts] = []

    def take(self, verdicts: ChunkVerdicts) -> Tensor:
        """Count the verdicts of a chunk; the rows that it was made of."""
        rows = torch.tensor([self._row_of[index] for index in verdicts.images], device=self.robust.device)
        broken = rows[verdicts.broken]
        self.robust[broken] = False
        self._predictions[broken] = self._predictions.new_tensor(verdicts.predictions)
        self._nonfinite[rows[verdicts.nonfinite]] = True
        for row in broken.tolist():
            self._broken_by[row] = verdicts.attack
        self._known.append(verdicts)
        return rows

    def summary(self) -> AutoAttacked:
        """All of it."""
        return AutoAttacked(
            predictions=self._predictions,
            broken_by=self._broken_by,
            unverified=sum(verdicts.unverified for verdicts in self._known),
            nonfinite=self._nonfinite,
            seconds={name: sum(v.seconds for v in self._known if v.attack == name) for name in ATTACKS},
        )


def _engine(evaluation: Evaluation) -> dict[str, object]:
    """What of the engine a verdict depends on."""
    if evaluation.engine == "reference":
        version = pyautoattack.__version__
        return {"engine": evaluation.engine, "version": version, "batch_size": evaluation.batch_size}
    return {"engine": evaluation.engine, "version": VERSION}


def _beat(progress: Progress, attack: str, done: int, total: int, more: int) -> None:
    progress(attack, done + more, total)


def _attack_chunk(
    judged: Judged,
    images: Tensor,
    labels: Tensor,
    *,
    attack: str,
    indices: Tensor,
    threat: Threat,
    evaluation: Evaluation,
    settings: AutoAttackSettings,
    heartbeat: Callable[[int], None],
) -> ChunkVerdicts:
    """Attack a chunk of correctly classified images and verify what is found."""
    began = time.perf_counter()
    ball = Ball(threat.norm, images, threat.epsilon)
    forwards = settings.forwards(attack, classes=judged.classes)
    watched = Watched(judged, ball, heartbeat=lambda calls: heartbeat(len(images) * min(calls, forwards) // forwards))
    seed = derived_seed(evaluation.seed, attack, int(indices[0]))
    with private_randomness(seed):
        if evaluation.engine == "reference":
            run = reference_attack(
                attack,
                watched,
                classes=judged.classes,
                threat=threat,
                seed=seed,
                device=images.device,
                settings=settings,
            )
            adversarial = run(images, labels)
        else:
            noise = ImageNoise(evaluation.seed)
            adversarial = standard_attack(
                attack,
                watched,
                images,
                labels,
                indices=indices,
                threat=threat,
                noise=noise,
                settings=settings,
            ).images
        logits = watched(adversarial)
    predicted = torch.where(watched.nonfinite, another_class(labels), predictions(logits, labels))
    broken = ball.contains(adversarial) & (predicted != labels) | watched.nonfinite
    claimed = (adversarial != images).flatten(1).any(dim=1)
    return ChunkVerdicts(
        attack=attack,
        images=indices.tolist(),
        broken=broken.nonzero().flatten().tolist(),
        predictions=predicted[broken].tolist(),
        unverified=int((claimed & ~broken).sum()),
        nonfinite=watched.nonfinite.nonzero().flatten().tolist(),
        seconds=time.perf_counter() - began,
    )
