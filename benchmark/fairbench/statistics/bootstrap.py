"""Hierarchical bootstrap: seeds, then images within each class, the same images for all methods and seeds.

    found = bootstrap(verdicts, KEYS, seed=0)
    found["average"].interval()             # percentiles over seeds and images, (methods, 2)

Per class, a resample of its images is a vector of multinomial counts, and the accuracies of all runs in all resamples
are one matrix product. The metric is computed per seed and then averaged over the seeds drawn; averaging class vectors
first would hide that each seed has its own worst class. Every method draws its own seeds, from a generator named after
it, so nothing depends on who else is on the board or in which order. Counts below 2^24 are exact in float32, so nothing
depends on blocks and threads either.

Not for the minimum: its percentile interval covers 0.7 % where ten classes tie. See `fairbench.statistics.envelope`.

A mean over the worst classes is a concave function of noisy accuracies, so it is biased down, and most for the fairest
method. `Resampled.bias` bounds that. Let B(v) be the bias under noise of variance v. The function is homogeneous of
degree one, so B(v) / sqrt(v) can only rise with v, and B(9 v) >= 3 B(v). Resamples whose deviations are stretched by
sqrt(8) add 8 v to the noise that is there and show B(9 v) - B(v), which is at least 2 B(v). Half of what they show is
therefore the bias in the worst case, where all classes tie, and too much elsewhere. (Without the stretch the factor
would be 2.4 instead of 1/2, and so noisy that 4 to 10 % of the bounds meant to hold at 97.5 % fail in simulation; with
it 1 to 3 %.)
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fairbench.outcomes.metrics import Vector
from fairbench.statistics.keys import Key
from fairbench.statistics.verdicts import Verdicts

DRAWS = 2000
"""Resamples; fewer make the ends of a 95 % interval visibly random."""

BLOCK = 100
"""Resamples at a time: 60 methods, 5 seeds and 100 classes then take 24 MB."""

STRETCH = 8**0.5
"""Of the deviations that show the bias."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """One metric of all methods.

    Attributes:
        names: of the methods.
        seeds: the metric seed by seed on the real test set, one vector per method.
        images: resampled over images with all seeds kept, (draws, methods).
        both: resampled over seeds and images, (draws, methods).
        bias: how far the metric may lie below its true value on average, at most, (methods,); for concave metrics.
    """

    names: tuple[str, ...]
    seeds: tuple[Vector, ...]
    images: Vector
    both: Vector
    bias: Vector

    @property
    def values(self) -> Vector:
        """The metric, averaged over seeds, (methods,)."""
        return np.array([values.mean() for values in self.seeds])

    def interval(self, *, level: float = 0.95) -> Vector:
        """Percentiles over seeds and images, (methods, 2).

        With S seeds the part of the seeds is too small by (S - 1) / S; show `t_interval` over the seeds next to it.
        """
        quantiles: Vector = np.quantile(self.both, [(1 - level) / 2, (1 + level) / 2], axis=0).T
        return quantiles


def bootstrap(verdicts: Verdicts, metrics: Mapping[str, Key], *, seed: int, draws: int = DRAWS) -> dict[str, Resampled]:
    """Resample metrics of the class accuracies.

    Args:
        verdicts: of all methods.
        metrics: by name; classes without images are left out of what they receive.
        seed: to be recorded with the result.
        draws: number of resamples.
    """
    sizes = [len(correct) for correct in verdicts.correct.values()]
    runs = [slice(end - size, end) for size, end in zip(sizes, np.cumsum(sizes), strict=True)]
    picks = [
        _generator(seed, "seeds", name).integers(0, size, (draws, size))
        for name, size in zip(verdicts.names, sizes, strict=True)
    ]
    classes = _by_class(verdicts)
    real = np.stack([correct.mean(axis=1, dtype=np.float64) for correct in classes.values()], axis=-1)
    values = {name: metric(np.sort(real)) for name, metric in metrics.items()}
    drawn = {name: np.empty((draws, len(real))) for name in metrics}
    stretched = {name: np.zeros(len(real)) for name in metrics}
    for rows, accuracies in _resamples(classes, draws=draws, seed=seed):
        far = np.sort(real + STRETCH * (accuracies - real))
        accuracies.sort()
        for name, metric in metrics.items():
            drawn[name][rows] = metric(accuracies)
            stretched[name] += metric(far).sum(axis=0) / draws
    found = {}
    for name in metrics:
        bias = np.maximum(0, values[name] - stretched[name]) / 2
        found[name] = Resampled(
            names=verdicts.names,
            seeds=tuple(values[name][run] for run in runs),
            images=np.stack([drawn[name][:, run].mean(axis=1) for run in runs], axis=1),
            both=np.stack(
                [
                    np.take_along_axis(drawn[name][:, run], pick, axis=1).mean(axis=1)
                    for run, pick in zip(runs, picks, strict=True)
                ],
                axis=1,
            ),
            bias=np.array([bias[run].mean() for run in runs]),
        )
    return found


def _by_class(verdicts: Verdicts) -> dict[int, npt.NDArray[np.float32]]:
    """For every class with images, all runs of all methods on them, (runs, images of the class)."""
    runs = np.concatenate(list(verdicts.correct.values()))
    return {int(k): runs[:, verdicts.labels == k].astype(np.float32) for k in np.unique(verdicts.labels)}


def _resamples(
    classes: Mapping[int, npt.NDArray[np.float32]], *, draws: int, seed: int
) -> Iterator[tuple[slice, Vector]]:
    """Class accuracies in blocks of resamples, (block, runs, classes)."""
    generators = {k: _generator(seed, "images", k) for k in classes}
    for start in range(0, draws, BLOCK):
        block = min(BLOCK, draws - start)
        accuracies = np.stack(
            [(_counts(generators[k], correct.shape[1], block) @ correct.T) for k, correct in classes.items()], axis=-1
        ) / np.array([correct.shape[1] for correct in classes.values()], dtype=np.float64)
        yield slice(start, start + block), accuracies


def _counts(generator: np.random.Generator, images: int, block: int) -> npt.NDArray[np.float32]:
    """How often each image is drawn, (block, images); every row sums to the number of images."""
    picks = generator.integers(0, images, (block, images)) + images * np.arange(block)[:, None]
    return np.bincount(picks.ravel(), minlength=block * images).reshape(block, images).astype(np.float32)


def _generator(*names: str | int) -> np.random.Generator:
    """A stream of its own for every named draw."""
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
