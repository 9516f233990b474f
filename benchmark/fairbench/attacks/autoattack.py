"""AutoAttack `standard`, attack by attack over the images that are still robust, with the verdicts kept on disk.

    attacking = AutoAttack(model, images, labels, clean=clean, classes=10, threat=threat, evaluation=evaluation,
                           folder=folder)
    found = attacking.attack(*ATTACKS)
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
from functools import cached_property, partial
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
from fairbench.attacks.search import search_model
from fairbench.attacks.standard.attack import VERSION, standard_attack
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.attacks.standard.steady import steady
from fairbench.attacks.verdict_log import ChunkVerdicts, VerdictLog
from fairbench.attacks.watched import Watched
from fairbench.models.fingerprint import tensors_sha256, weights_sha256
from fairbench.progress import Progress, silent
from fairbench.protocol.attack_names import ATTACKS
from fairbench.protocol.autoattack_settings import STANDARD, AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Threat
from fairbench.seeding import derived_seed


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


class AutoAttack:
    """An evaluation that is attacked step by step, and goes on where an earlier one with the same folder stopped.

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

    def __init__(
        self,
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
    ) -> None:
        labels = labels.long()
        positions = torch.arange(len(images), device=labels.device) if indices is None else indices.to(labels.device)
        fingerprint = {
            "weights": weights_sha256(model),
            "data": tensors_sha256({"images": images, "labels": labels, "positions": positions}),
            "clean predictions": tensors_sha256({"clean": clean}),  # code can change where no weight does
            "settings": {
                "norm": threat.norm,
                "epsilon": threat.epsilon,
                "classes": classes,
                "seed": evaluation.seed,
                **_engine(evaluation),
                **asdict(settings),
            },
        }
        self._log = VerdictLog(folder / log_name(evaluation), fingerprint, kind=ChunkVerdicts)
        self._tally = _Tally(clean=clean, labels=labels, positions=positions)
        self._judged = Judged(model, classes=classes)
        self._images, self._labels, self._positions = images, labels, positions
        self._threat, self._evaluation, self._settings = threat, evaluation, settings
        self._progress = progress

    @property
    def robust(self) -> Tensor:
        """Images that nothing has broken so far, (n,) bool; a copy."""
        return self._tally.robust.clone()

    def attack(self, *names: str, among: Tensor | None = None) -> AutoAttacked:
        """Run attacks one after the other, each on the images that are still robust; what all so far have found.

        Args:
            names: of `fairbench.protocol.attack_names.ATTACKS`.
            among: only these images, (n,) bool; what is known of others stays out of the verdicts.
        """
        for name in names:
            self._attack(name, among=among)
        return self.found()

    def _attack(self, name: str, *, among: Tensor | None) -> None:
        tally, radius = self._tally, self._threat.epsilon
        left = tally.robust if among is None else tally.robust & among
        left = left.clone() if radius > 0 else torch.zeros_like(left)  # a ball of one point holds nothing to find
        total = int(left.sum())
        for verdicts in self._log.of(name):
            left[tally.take(verdicts, among=left.clone())] = False
        rows = left.nonzero().flatten()
        self._progress(name, total - len(rows), total)
        with exact_arithmetic(self._images.device), frozen(self._judged), torch.no_grad():
            while len(rows) > 0:
                chunk, done = rows[: self._evaluation.batch_size], total - len(rows)
                verdicts = _attack_chunk(
                    self._judged,
                    self._searching,
                    unit_images(self._images[chunk]),
                    self._labels[chunk],
                    attack=name,
                    indices=self._positions[chunk],
                    threat=self._threat,
                    evaluation=self._evaluation,
                    settings=self._settings,
                    heartbeat=partial(_beat, self._progress, name, done, total),
                )
                self._log.append(verdicts)
                tally.take(verdicts, among=left)
                rows = rows[len(chunk) :]
                self._progress(name, total - len(rows), total)

    @cached_property
    def _searching(self) -> Judged:
        """The network that our engine searches with; it may be the judged model itself."""
        if self._evaluation.engine == "reference":
            return self._judged
        return search_model(
            self._judged,
            self._images,
            indices=self._positions,
            precision=self._evaluation.search,
            batch_size=self._evaluation.batch_size,
        )

    def found(self) -> AutoAttacked:
        """What the attacks so far have found."""
        return self._tally.summary()


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
        self._unverified = 0
        self._seconds = dict.fromkeys(ATTACKS, 0.0)

    def take(self, verdicts: ChunkVerdicts, *, among: Tensor) -> Tensor:
        """Count the verdicts of a chunk on these images, (n,) bool; their rows."""
        rows = torch.tensor([self._row_of[index] for index in verdicts.images], device=self.robust.device)
        counted = among[rows]
        counts = counted.tolist()
        for position, prediction in zip(verdicts.broken, verdicts.predictions, strict=True):
            if counts[position]:
                row = self._row_of[verdicts.images[position]]
                self.robust[row], self._predictions[row] = False, prediction
                self._broken_by[row] = verdicts.attack
        self._nonfinite[rows[[position for position in verdicts.nonfinite if counts[position]]]] = True
        self._unverified += sum(counts[position] for position in verdicts.unverified)
        self._seconds[verdicts.attack] += verdicts.seconds if any(counts) else 0.0
        return rows[counted]

    def summary(self) -> AutoAttacked:
        """All of it."""
        return AutoAttacked(
            predictions=self._predictions.clone(),
            broken_by=list(self._broken_by),
            unverified=self._unverified,
            nonfinite=self._nonfinite.clone(),
            seconds=dict(self._seconds),
        )


def log_name(evaluation: Evaluation) -> str:
    """Of the file of verdicts; engines do not share one, so that one can arbitrate on what another has judged."""
    return f"autoattack-{evaluation.engine}-{evaluation.search}.jsonl"


def _engine(evaluation: Evaluation) -> dict[str, object]:
    """What of the engine a verdict depends on."""
    if evaluation.engine == "reference":
        version = pyautoattack.__version__
        return {"engine": evaluation.engine, "version": version, "batch_size": evaluation.batch_size}
    return {"engine": evaluation.engine, "version": VERSION, "search": evaluation.search}


def _beat(progress: Progress, attack: str, done: int, total: int, more: int) -> None:
    progress(attack, done + more, total)


def _attack_chunk(
    judged: Judged,
    searching: Judged,
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
    watched = Watched(
        searching, ball, heartbeat=lambda calls: heartbeat(len(images) * min(calls, forwards) // forwards)
    )
    exact = watched if searching is judged else Watched(judged, ball, heartbeat=lambda _calls: None)
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
                rows=evaluation.batch_size,
                exact=None if exact is watched else exact,
            ).images
        logits = steady(exact)(adversarial)  # as in the attack: what it confirmed is not refused by round-off
    nonfinite = watched.nonfinite | exact.nonfinite
    predicted = torch.where(nonfinite, another_class(labels), predictions(logits, labels))
    broken = ball.contains(adversarial) & (predicted != labels) | nonfinite
    claimed = (adversarial != images).flatten(1).any(dim=1)
    return ChunkVerdicts(
        attack=attack,
        images=indices.tolist(),
        broken=broken.nonzero().flatten().tolist(),
        predictions=predicted[broken].tolist(),
        unverified=(claimed & ~broken).nonzero().flatten().tolist(),
        nonfinite=nonfinite.nonzero().flatten().tolist(),
        seconds=time.perf_counter() - began,
    )
