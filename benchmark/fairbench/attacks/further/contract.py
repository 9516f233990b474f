"""The contract of a further attack: a callable that returns points, and nothing else.

    def random_corners(model, images, labels, threat, noise):
        '''The corners of the ball, at random.'''
        return images + threat.epsilon * (2 * noise.uniform("corner") - 1).sign()

Everything else is done around it: which images are attacked, the ball and [0, 1] (a point outside is moved to the
nearest one inside), the verification of every point by a clean forward in fp32, the log from which an interrupted
evaluation goes on, and the count of passes. The model is in eval mode with frozen weights; it returns fp32 logits, and
gradients to its input. What an attack draws from `noise` belongs to an image, so that no verdict depends on batches.

It may return the points (n, ...) of all images, or several of each: a tensor (k, n, ...) or an iterable of points that
are judged in turn. An image is broken by any of them. Options are the fields of a class:

    @dataclass(frozen=True, kw_only=True)
    class Corners:
        '''Several corners of the ball.'''
        tries: int = hyperparameter(10, "corners of each image", at_least=1)
        def __call__(self, model, images, labels, threat, noise): ...

An attack that searches elsewhere than in the ball of the threat has a method `ball(images, threat)`, and what it breaks
counts only there.
"""

from collections.abc import Iterable
from typing import Protocol, Self

from torch import Tensor, nn

from fairbench.attacks.ball import Ball, Region
from fairbench.attacks.standard.noise import NoiseSource
from fairbench.protocol.threat import Threat

Points = Tensor | Iterable[Tensor]
"""(n, channels, height, width) in [0, 1]; or several of these."""


class ChunkNoise:
    """Random numbers of some images, by name; the same name gives the same numbers, whatever else is drawn.

    Args:
        source: of all images.
        attack: prefix of all names.
        indices: positions in the test set, (n,) int64.
        shape: of an image.
    """

    def __init__(self, source: NoiseSource, attack: str, *, indices: Tensor, shape: tuple[int, ...]) -> None:
        self.indices = indices
        self._source, self._attack, self._shape = source, attack, shape

    def uniform(self, *name: str | int) -> Tensor:
        """Uniform in [0, 1), (n, channels, height, width) float32."""
        return self._source.uniform(self._attack, *name, indices=self.indices, shape=self._shape)

    def normal(self, *name: str | int) -> Tensor:
        """Standard normal, same shape."""
        return self._source.normal(self._attack, *name, indices=self.indices, shape=self._shape)

    def rows(self, rows: Tensor) -> Self:
        """Of some of the images, by their numbers or a mask."""
        return type(self)(self._source, self._attack, indices=self.indices[rows], shape=self._shape)


class FurtherAttack(Protocol):
    """A callable as above; a class may also have `ball`, see `ball_of`."""

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, threat: Threat, noise: ChunkNoise, /
    ) -> Points:
        """Points that may be misclassified.

        Args:
            model: images in [0, 1] to logits.
            images: correctly classified, (n, channels, height, width) float32 in [0, 1].
            labels: (n,) int64.
            threat: norm and radius.
            noise: of these images.
        """


def ball_of(attack: FurtherAttack, images: Tensor, threat: Threat) -> tuple[Region, bool]:
    """Where an attack's points count, and whether that is the ball of the threat."""
    own = getattr(attack, "ball", None)
    if own is None:
        return Ball(threat.norm, images, threat.epsilon), True
    ball: Region = own(images, threat)
    return ball, False
