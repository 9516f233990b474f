"""AutoAttack `standard`, attack by attack over the images that are still robust, with the verdicts kept on disk.

    found = autoattack(model, images, labels, clean=clean, classes=10, threat=threat, evaluation=evaluation,
                       folder=folder)
    (found.predictions == labels).float().mean()       # robust accuracy

The attacks are pyautoattack's own (`fairbench.attacks.reference`). Around them: weights are frozen, which spares FAB
half its time and leaves no `.grad`; every chunk has a seed of its own, derived from its first image, so that a
resumed evaluation repeats an undisturbed one bit for bit; the caller's random state returns; and a break counts only
if a clean forward in fp32, on a point checked to lie in the ball and in [0, 1], confirms it.
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
from fairbench.attacks.reference import STANDARD, AutoAttackSettings, reference_attack
from fairbench.attacks.verdict_log import ChunkVerdicts, VerdictLog
from fairbench.fingerprint import tensors_sha256, weights_sha256
from fairbench.progress import Progress, silent
from fairbench.seeding import derived_seed
from fairbench.store import ATTACKS
from fairbench.suite import Evaluation, Threat

HEARTBEAT = 0.5
"""Seconds between two calls of the progress listener within a chunk."""


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
        evaluation: seed and batch size; chunks of that many images are attacked together.
        folder: where the verdicts are kept.
        indices: positions in the test set, which key the seeds; 0 to n - 1 by default.
        settings: effort of the attacks.
        progress: told at least every half second, with the attack's name.

    Raises:
        UserError: if the folder holds the verdicts of another evaluation, or cannot be written.
    """
    labels = labels.long()
    positions = torch.arange(len(images)) if indices is None else indices.cpu()
    fingerprint = {
        "weights": weights_sha256(model),
        "data": tensors_sha256({"images": images, "labels": labels, "positions": positions}),
        "settings": {
            "norm": threat.norm,
            "epsilon": threat.epsilon,
            "classes": classes,
            "seed": evaluation.seed,
            "batch_size": evaluation.batch_size,
            "pyautoattack": pyautoattack.__version__,
            **asdict(settings),
        },
    }
    log = VerdictLog(folder / "autoattack.jsonl", fingerprint)
    robust = clean == labels
    found, nonfinite = torch.where(robust, labels, clean), torch.zeros_like(robust)
    broken_by = ["" if correct else "clean" for correct in robust.tolist()]
    known: list[ChunkVerdicts] = []
    judged = Judged(model, classes=classes)
    with exact_arithmetic(images.device), frozen(judged), torch.no_grad():
        for attack in ATTACKS:
            rows = robust.nonzero().flatten()
            done, total = 0, len(rows)
            while done < total:
                chunk = rows[done : done + evaluation.batch_size]
                first = int(positions[int(chunk[0])])
                verdicts = log.find(attack, first=first, images=len(chunk))
                if verdicts is None:
                    verdicts = _attack_chunk(
                        judged,
                        unit_images(images[chunk]),
                        labels[chunk],
                        attack=attack,
                        first=first,
                        threat=threat,
                        seed=derived_seed(evaluation.seed, attack, first),
                        settings=settings,
                        heartbeat=partial(_beat, progress, attack, done, total),
                    )
                    log.append(verdicts)
                broken = chunk[verdicts.broken]
                robust[broken] = False
                nonfinite[chunk[verdicts.nonfinite]] = True
                found[broken] = torch.tensor(verdicts.predictions, dtype=found.dtype, device=found.device)
                for row in broken.tolist():
                    broken_by[row] = attack
                known.append(verdicts)
                done += len(chunk)
                progress(attack, done, total)
    return AutoAttacked(
        predictions=found,
        broken_by=broken_by,
        unverified=sum(verdicts.unverified for verdicts in known),
        nonfinite=nonfinite,
        seconds={name: sum(v.seconds for v in known if v.attack == name) for name in ATTACKS},
    )


def _beat(progress: Progress, attack: str, done: int, total: int, more: int) -> None:
    progress(attack, done + more, total)


def _attack_chunk(
    judged: Judged,
    images: Tensor,
    labels: Tensor,
    *,
    attack: str,
    first: int,
    threat: Threat,
    seed: int,
    settings: AutoAttackSettings,
    heartbeat: Callable[[int], None],
) -> ChunkVerdicts:
    """Attack a chunk of correctly classified images and verify what is found."""
    began = time.perf_counter()
    ball = Ball(threat.norm, images, threat.epsilon)
    forwards = settings.forwards(attack, classes=judged.classes)
    watched = _Watched(judged, ball, heartbeat=lambda calls: heartbeat(len(images) * min(calls, forwards) // forwards))
    run = reference_attack(
        attack, watched, classes=judged.classes, threat=threat, seed=seed, device=images.device, settings=settings
    )
    with private_randomness(seed):
        adversarial = run(images, labels)
        logits = watched(adversarial)
    predicted = torch.where(watched.nonfinite, another_class(labels), predictions(logits, labels))
    broken = ball.contains(adversarial) & (predicted != labels) | watched.nonfinite
    claimed = (adversarial != images).flatten(1).any(dim=1)
    return ChunkVerdicts(
        attack=attack,
        first=first,
        images=len(images),
        broken=broken.nonzero().flatten().tolist(),
        predictions=predicted[broken].tolist(),
        unverified=int((claimed & ~broken).sum()),
        nonfinite=watched.nonfinite.nonzero().flatten().tolist(),
        seconds=time.perf_counter() - began,
    )


class _Watched:
    """The model as the attacks call it: it tells the time, and logits that are not finite neither derail nor escape.

    An attack compares and sorts logits, so a NaN would end it or hide a break. Such rows are handed on as zeros, and
    an image is marked if the point lies in its ball: that is an adversarial example, whichever attack came across it.

    Args:
        judged: the model.
        ball: around the images of the chunk.
        heartbeat: told the number of calls so far, every half second.
    """

    def __init__(self, judged: Judged, ball: Ball, *, heartbeat: Callable[[int], None]) -> None:
        self.nonfinite = torch.zeros(len(ball.centre), dtype=torch.bool, device=ball.centre.device)
        self._judged = judged
        self._ball = ball
        self._heartbeat = heartbeat
        self._calls = 0
        self._next_beat = time.monotonic() + HEARTBEAT

    def __call__(self, points: Tensor) -> Tensor:
        self._calls += 1
        if time.monotonic() > self._next_beat:
            self._next_beat = time.monotonic() + HEARTBEAT
            self._heartbeat(self._calls)
        if len(points) == 0:  # Square goes on without images where every margin is negative or zero
            return points.new_zeros(0, self._judged.classes)
        logits: Tensor = self._judged(points)
        finite = logits.isfinite().all(dim=1)
        if not finite.all():
            self._mark(points.detach()[~finite])
        return torch.where(finite[:, None], logits, 0.0)  # always a copy: Square writes into it

    def _mark(self, points: Tensor) -> None:
        for point in points[points.isfinite().flatten(1).all(dim=1)]:
            self.nonfinite |= self._ball.contains(point.expand_as(self._ball.centre))
