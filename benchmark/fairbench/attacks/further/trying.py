"""One further attack on every image that is classified correctly, with its verdicts kept on disk.

    tried = Trying(model, images, labels, clean=clean, ...).attack("targeted", attack)
    tried.predictions           # the label where nothing was found

A point outside of its ball or of [0, 1] is moved to the nearest one inside. It counts if a forward of the model in fp32
then says another class.
Chunks are logged as they end, and an evaluation that is interrupted goes on after the last one.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from fairbench.attacks.frozen import frozen
from fairbench.attacks.further.contract import ChunkNoise, FurtherAttack, Points, ball_of
from fairbench.attacks.judging import (
    Judged,
    another_class,
    exact_arithmetic,
    predictions,
    private_randomness,
    unit_images,
)
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.attacks.standard.steady import steady
from fairbench.attacks.verdict_log import VerdictLog
from fairbench.attacks.watched import Watched
from fairbench.errors import UserError
from fairbench.foreign_code import run_foreign
from fairbench.identity import content_key
from fairbench.models.fingerprint import tensors_sha256, weights_sha256
from fairbench.progress import Progress
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Threat
from fairbench.seeding import derived_seed

VERSION = 1
"""Of this module and the attacks beside it: whatever may change a verdict raises it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedVerdicts:
    """One line of a log: a chunk of images.

    Attributes:
        attack: its text.
        images: positions in the test set.
        predictions: under the first point that broke the image; its label where none did.
        reached: classes that its verified points were taken for, without the label, sorted.
        unverified: points outside of their ball that the model takes for something else, and inside does not.
        forwards: image passes.
        backwards: image passes back to the input.
        seconds: wall time.
    """

    attack: str
    images: list[int]
    predictions: list[int]
    reached: list[list[int]]
    unverified: int
    forwards: int
    backwards: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What an attack found, in input order.

    Attributes:
        predictions: under the first point that broke the image, (n,); the label if none did; the clean prediction if
            that was wrong already.
        reached: by image, the wrong classes that its points were taken for; of a misclassified image none.
        facts: for the provenance: passes, unverified points, and the ball where it is not the threat's.
        seconds: wall time over all sessions.
    """

    predictions: Tensor
    reached: list[list[int]]
    facts: dict[str, object]
    seconds: float


class Trying:
    """Images and a model, against which attacks are tried.

    Args:
        model: images in [0, 1] to logits, on the device of the images.
        images: (n, channels, height, width), float32 in [0, 1] or uint8.
        labels: (n,) int64.
        clean: predictions on the clean images, (n,).
        classes: number of classes.
        threat: norm and radius.
        evaluation: seed and batch size; chunks of that many images are attacked together.
        folder: of the logs.
        indices: positions in the test set; 0 to n - 1 by default.
        progress: told the attack, images done, and their total.
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
        indices: Tensor | None,
        progress: Progress,
    ) -> None:
        self._judged = Judged(model, classes=classes)
        self._images, self._labels, self._clean = images, labels, clean
        self._threat, self._evaluation, self._folder, self._progress = threat, evaluation, folder, progress
        everything = torch.arange(len(images), device=labels.device)
        self._positions = everything if indices is None else indices.to(labels.device)
        self._model = model

    def attack(self, text: str, attack: FurtherAttack) -> Tried:
        """Run one attack on all images that are classified correctly.

        Args:
            text: the attack with its settings, and the digest of its code where it has one.
            attack: what it stands for.

        Raises:
            UserError: if its code raises, or returns no points of the images' shape; or if the log is of another
                evaluation.
        """
        log = self._log(text)
        left = self._clean == self._labels
        total = int(left.sum())
        row_of = {index: row for row, index in enumerate(self._positions.tolist())}
        known = log.of(text)
        for verdicts in known:
            left[[row_of[index] for index in verdicts.images]] = False
        rows = left.nonzero().flatten()
        self._progress(text, total - len(rows), total)
        with exact_arithmetic(self._images.device), frozen(self._judged), torch.enable_grad():
            for chunk in torch.split(rows, self._evaluation.batch_size) if len(rows) else ():
                verdicts = run_foreign(partial(self._chunk, text, attack, chunk), f"The attack {text!r} failed")
                log.append(verdicts)
                known.append(verdicts)
                self._progress(text, sum(len(one.images) for one in known), total)
        return self._tried(known, row_of, attack)

    def _log(self, text: str) -> VerdictLog[TriedVerdicts]:
        fingerprint = {
            "weights": weights_sha256(self._model),
            "data": tensors_sha256({"images": self._images, "labels": self._labels, "positions": self._positions}),
            "clean predictions": tensors_sha256({"clean": self._clean}),
            "settings": {
                "attack": text,
                "norm": self._threat.norm,
                "epsilon": self._threat.epsilon,
                "classes": self._judged.classes,
                "seed": self._evaluation.seed,
                "version": VERSION,
            },
        }
        return VerdictLog(
            self._folder / f"tried-{content_key({'attack': text})[:12]}.jsonl", fingerprint, kind=TriedVerdicts
        )

    def _chunk(self, text: str, attack: FurtherAttack, rows: Tensor) -> TriedVerdicts:
        began = time.perf_counter()
        images, labels, indices = unit_images(self._images[rows]), self._labels[rows], self._positions[rows]
        ball, _ = ball_of(attack, images, self._threat)
        watched = Watched(self._judged, ball, heartbeat=lambda _calls: None)
        network, exact = _Network(watched), steady(self._judged)
        noise = ChunkNoise(
            ImageNoise(self._evaluation.seed), _name(text), indices=indices, shape=tuple(images.shape[1:])
        )
        found, unverified = labels.clone(), 0
        reached = torch.zeros(len(rows), self._judged.classes, dtype=torch.bool, device=rows.device)
        numbers = torch.arange(len(rows), device=rows.device)
        with private_randomness(derived_seed(self._evaluation.seed, text, int(indices[0]))):
            points_of_all = attack(network, images.clone(), labels.clone(), self._threat, noise)
            for points in _several(points_of_all, images):
                with torch.no_grad():
                    claimed = predictions(exact(points), labels)
                    outside = ~ball.contains(points)
                    predicted = claimed
                    if bool(outside.any()):
                        nearest = ball.project(points)
                        moved = torch.where(ball.contains(nearest), predictions(exact(nearest), labels), labels)
                        predicted = torch.where(outside, moved, claimed)
                broken = predicted != labels
                found = torch.where(broken & (found == labels), predicted, found)
                reached[numbers[broken], predicted[broken]] = True
                unverified += int((outside & (claimed != labels) & ~broken).sum())
        strange = watched.nonfinite & (found == labels)  # a point without finite logits, whichever attack met it
        found = torch.where(strange, another_class(labels), found)
        reached[numbers[strange], found[strange]] = True
        return TriedVerdicts(
            attack=text,
            images=indices.tolist(),
            predictions=found.tolist(),
            reached=[line.nonzero().flatten().tolist() for line in reached],
            unverified=unverified,
            forwards=network.forwards,
            backwards=network.backwards,
            seconds=time.perf_counter() - began,
        )

    def _tried(self, known: Iterable[TriedVerdicts], row_of: dict[int, int], attack: FurtherAttack) -> Tried:
        predictions = self._clean.clone()
        reached: list[list[int]] = [[] for _ in row_of]
        passes, unverified, seconds = {"forwards": 0, "backwards": 0}, 0, 0.0
        for verdicts in known:
            rows = [row_of[index] for index in verdicts.images]
            predictions[rows] = torch.tensor(verdicts.predictions, device=predictions.device)
            for row, classes in zip(rows, verdicts.reached, strict=True):
                reached[row] = classes
            passes["forwards"] += verdicts.forwards
            passes["backwards"] += verdicts.backwards
            unverified += verdicts.unverified
            seconds += verdicts.seconds
        ball, shared = ball_of(attack, unit_images(self._images[:1]), self._threat)
        facts: dict[str, object] = {**passes, "unverified": unverified}
        if not shared:
            facts |= {"norm": ball.norm, "radius": float(ball.radius.flatten()[0])}
        return Tried(predictions=predictions, reached=reached, facts=facts, seconds=seconds)


class _Network(nn.Module):
    """The model as a module that counts image passes.

    Args:
        watched: what it calls.
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.eval()
        self._watched = watched
        self.forwards = self.backwards = 0

    def forward(self, points: Tensor) -> Tensor:
        """Logits, (n, classes) float32."""
        self.forwards += len(points)
        logits = self._watched(points)
        if logits.requires_grad:
            logits.register_hook(self._backward)  # type: ignore[no-untyped-call]
        return logits

    def _backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def _name(text: str) -> str:
    """Of an attack, without its settings: fifty starts are the first of a hundred."""
    return text.partition("#")[0].partition(":")[0]


def _several(found: Points, images: Tensor) -> Iterator[Tensor]:
    """Every candidate as points of the images."""
    single = isinstance(found, Tensor) and found.ndim == images.ndim
    if not isinstance(found, Iterable):
        raise UserError(f"an attack returns points, and not a {type(found).__name__}")
    for points in (found,) if single else found:
        if not isinstance(points, Tensor) or points.shape != images.shape or not points.is_floating_point():
            shape = f"shape {tuple(points.shape)} and type {points.dtype}" if isinstance(points, Tensor) else ""
            raise UserError(
                f"an attack returns points of shape {tuple(images.shape)} and a floating type, and not "
                f"{shape or type(points).__name__}"
            )
        yield points.detach().to(images.device, torch.float32)
