"""When things happen in a training of any length: fractions of the training, and the learning rate of every step."""

import math

from fairbench.protocol.recipe import Recipe


def acts_from(fraction: float, epochs: int) -> int:
    """The 0-based epoch from which an item at this fraction of the training acts: round(f E), halves up."""
    # Rounding first: in floating point 0.41 * 150 is a little less than 61.5.
    return math.floor(round(fraction * epochs, 9) + 0.5)


def begins_at(fraction: float, epochs: int) -> int:
    """The 0-based epoch from which a stage of a method lasts: `acts_from`, but the last epoch at the latest.

    Every stage keeps at least one epoch, however short the training; a method without its last stage would be its base
    under another name.
    """
    return min(acts_from(fraction, epochs), epochs - 1)


def drops_from(recipe: Recipe) -> tuple[int, ...]:
    """0-based epochs from which the learning rate is lower; none for `one-cycle`.

    In a short training drops move forward, so that every rate keeps an epoch, the last one first; drops for which no
    epoch is left never act.
    """
    if recipe.schedule == "one-cycle":
        return ()
    drops, following = [], recipe.epochs
    for fraction in reversed(recipe.drops):
        following = min(acts_from(fraction, recipe.epochs), following - 1)
        drops.append(following)
    return tuple(max(drop, number) for number, drop in enumerate(reversed(drops), start=1))


def learning_rate(recipe: Recipe, *, step: int, steps_per_epoch: int) -> float:
    """The rate of a step, counted from 0 over the whole training."""
    if recipe.schedule == "one-cycle":
        # One more step than there are, so that neither the first nor the last rate is zero.
        progress = (step + 1) / (recipe.epochs * steps_per_epoch + 1)
        if progress < recipe.warmup:
            return recipe.learning_rate * progress / recipe.warmup
        return recipe.learning_rate * (1 - progress) / (1 - recipe.warmup)
    passed = sum(step // steps_per_epoch >= epoch for epoch in drops_from(recipe))
    return float(recipe.learning_rate * recipe.drop_factor**passed)
