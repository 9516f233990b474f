"""Hierarchical bootstrap: seeds, then images within each class, the same images for all methods and seeds.

    found = bootstrap(verdicts, KEYS, seed=0)
    found["average"].shared                 # what the luck of the test set does to methods, and to pairs of them

Per class, a resample of its images is a vector of multinomial counts, and the accuracies of all runs in all resamples
are one matrix product. The metric is computed per seed and then averaged over the seeds drawn; averaging class vectors
first would hide that each seed has its own worst class. Every method draws its own seeds, from a generator named after
it, so nothing depends on who else is on the board or in which order. Counts below 2^24 are exact in float32, so nothing
depends on blocks and threads either.

What is resampled gives variances, covariances and a bound of the bias. Its percentiles are no interval: those of three
seeds cover 75 to 97 % for an average, and those of a minimum 0 to 95 %. See `fairbench.statistics.row_interval`.

Small classes: n images resampled have (n - 1) / n of the variance that they should, and where all of them are right or
all wrong they have none. Deviations are therefore stretched by sqrt(n / (n - 1)), and every class has at least the
variance q (1 - q) / n with q = (k + 1) / (n + 2), k of n being right. What is missing is added as noise that the seeds
of a method share and methods do not.

A mean over the worst classes is a concave function of noisy accuracies, so it is biased down, and most for the fairest
method. `Resampled.bias` says between which bounds. Let B(v) be the bias under noise of variance v. The function is
homogeneous of degree one, so B(v) / sqrt(v) can only rise with v, and B(9 v) >= 3 B(v). Resamples whose deviations are
stretched by sqrt(8) add 8 v to the noise that is there and show B(9 v) - B(v), which is at least 2 B(v). Half of what
they show is therefore the bias in the worst case, where all classes tie, and too much elsewhere. (A narrower stretch is
nearer where few classes tie, and so noisy that the bound fails more often.) Resamples without a stretch show B(2 v) -
B(v), which is at most B(v) unless one class is so clearly the worst that there is hardly any bias. Half of that is the
lower bound, for it is largest just where luck has lifted the worst class. Nor does such a mean lie above that of a
profile whose classes are all as good as the average, which has no bias: twice that distance, for it is noisy, too, is
the upper bound where hardly any image is right.
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
"""Resamples; 2,000 know a variance to 3 %."""

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
        shared: covariance of methods over test sets, of what all seeds of a method have in common, (methods, methods).
            Of a method with one seed: of that model.
        luck: variance over test sets that every seed has for itself, (methods,); 0 for one seed.
        both: resampled over seeds and images, (draws, methods).
        bias: how far the metric lies below its true value on average, at least and at most, (methods, 2); for concave
            metrics.
    """

    names: tuple[str, ...]
    seeds: tuple[Vector, ...]
    shared: Vector
    luck: Vector
    both: Vector
    bias: Vector

    @property
    def values(self) -> Vector:
        """The metric, averaged over seeds, (methods,)."""
        return np.array([values.mean() for values in self.seeds])


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
        generator(seed, "seeds", name).integers(0, size, (draws, size))
        for name, size in zip(verdicts.names, sizes, strict=True)
    ]
    classes = _by_class(verdicts)
    real = np.stack([correct.mean(axis=1, dtype=np.float64) for correct in classes.values()], axis=-1)
    values = {name: metric(np.sort(real)) for name, metric in metrics.items()}
    even = np.broadcast_to(real.mean(axis=-1, keepdims=True), real.shape)
    highest = {name: metric(even) for name, metric in metrics.items()}
    drawn = {name: np.empty((draws, len(real))) for name in metrics}
    stretched = {name: np.zeros(len(real)) for name in metrics}
    for rows, deviations in _resamples(verdicts, classes, sizes=sizes, draws=draws, seed=seed):
        far, near = np.sort(real + STRETCH * deviations), np.sort(real + deviations)
        for name, metric in metrics.items():
            drawn[name][rows] = metric(near)
            stretched[name] += metric(far).sum(axis=0) / draws
    found = {}
    for name in metrics:
        most = np.clip((values[name] - stretched[name]) / 2, 0, 2 * (highest[name] - values[name]))
        least = np.clip((values[name] - drawn[name].mean(axis=0)) / 2, 0, most)
        shared, luck = _parts(drawn[name], sizes)
        found[name] = Resampled(
            names=verdicts.names,
            seeds=tuple(values[name][run] for run in runs),
            shared=shared,
            luck=luck,
            both=np.stack(
                [
                    np.take_along_axis(drawn[name][:, run], pick, axis=1).mean(axis=1)
                    for run, pick in zip(runs, picks, strict=True)
                ],
                axis=1,
            ),
            bias=np.array([(least[run].mean(), most[run].mean()) for run in runs]),
        )
    return found


def _parts(drawn: Vector, sizes: list[int]) -> tuple[Vector, Vector]:
    """What seeds of a method share of the luck of a test set, and what each has for itself: blocks of a covariance."""
    every = np.atleast_2d(np.cov(drawn, rowvar=False))
    starts = np.cumsum([0, *sizes[:-1]])
    total = np.add.reduceat(np.add.reduceat(every, starts, axis=0), starts, axis=1)
    own, counts = np.add.reduceat(np.diag(every), starts), np.array(sizes)
    shared: Vector = total / np.outer(counts, counts)
    several = counts > 1
    pairs = np.where(several, counts * (counts - 1), 1)
    within = np.where(several, (np.diag(total) - own) / pairs, own)
    np.fill_diagonal(shared, np.maximum(0, within))
    return shared, np.where(several, np.maximum(0, own / counts - within), 0.0)


def _by_class(verdicts: Verdicts) -> dict[int, npt.NDArray[np.float32]]:
    """For every class with images, all runs of all methods on them, (runs, images of the class)."""
    runs = np.concatenate(list(verdicts.correct.values()))
    return {int(k): runs[:, verdicts.labels == k].astype(np.float32) for k in np.unique(verdicts.labels)}


def _resamples(
    verdicts: Verdicts, classes: Mapping[int, npt.NDArray[np.float32]], *, sizes: list[int], draws: int, seed: int
) -> Iterator[tuple[slice, Vector]]:
    """Deviations of the class accuracies in blocks of resamples, (block, runs, classes)."""
    generators = {k: generator(seed, "images", k) for k in classes}
    noises = [generator(seed, "small classes", name) for name in verdicts.names]
    images = np.array([correct.shape[1] for correct in classes.values()], dtype=np.float64)
    right = np.stack([correct.sum(axis=1, dtype=np.float64) for correct in classes.values()], axis=-1)
    missing = np.sqrt(missing_variance(right, images))
    scale = np.sqrt(images / np.maximum(1, images - 1))
    for start in range(0, draws, BLOCK):
        block = min(BLOCK, draws - start)
        counted = [_counts(generators[k], correct.shape[1], block) @ correct.T for k, correct in classes.items()]
        deviations = (np.stack(counted, axis=-1) - right) / images * scale
        if missing.any():
            own = [noise.standard_normal((block, 1, len(classes))) for noise in noises]
            deviations += missing * np.concatenate([np.repeat(one, n, 1) for one, n in zip(own, sizes, strict=True)], 1)
        yield slice(start, start + block), deviations


def missing_variance(right: Vector, images: Vector) -> Vector:
    """What a class accuracy's estimated variance lacks of that of its shrunken accuracy (k + 1) / (n + 2).

    Args:
        right: images that are classified correctly, k; (..., classes).
        images: of the class, n; (classes,), at least 1.
    """
    shrunken = (right + 1) / (images + 2)
    estimated = right * (images - right) / images**2 / np.maximum(1, images - 1)
    missing: Vector = np.maximum(0, shrunken * (1 - shrunken) / images - estimated)
    return missing


def _counts(generator: np.random.Generator, images: int, block: int) -> npt.NDArray[np.float32]:
    """How often each image is drawn, (block, images); every row sums to the number of images."""
    picks = generator.integers(0, images, (block, images)) + images * np.arange(block)[:, None]
    return np.bincount(picks.ravel(), minlength=block * images).reshape(block, images).astype(np.float32)


def generator(*names: str | int) -> np.random.Generator:
    """A stream of its own for every named draw."""
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
