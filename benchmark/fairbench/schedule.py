"""When things happen in a training of any length: fractions of the training, and the learning rate of every step."""

import math

from fairbench.suite import Recipe


def acts_from(fraction: float, epochs: int) -> int:
    """The 0-based epoch from which an item at this fraction of the training acts: round(f E), halves up."""
    return math.floor(fraction * epochs + 0.5)


def drops_from(recipe: Recipe) -> tuple[int, ...]:
    """0-based epochs from which the learning rate is lower; none for `one-cycle`."""
    if recipe.schedule == "one-cycle":
        return ()
    return tuple(acts_from(fraction, recipe.epochs) for fraction in recipe.drops)


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
