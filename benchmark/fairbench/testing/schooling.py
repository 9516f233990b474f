"""Checks that train a method on the digits, through the real training loop."""

import tempfile
from pathlib import Path

from fairbench.outcomes.work_folder import WorkFolder
from fairbench.testing.check import CheckFailedError
from fairbench.testing.trial import Trial, interruption
from fairbench.training.loop import Trained

LEARNED = 0.3
"""Average clean accuracy on held-out digits that chance (0.1) cannot explain; built-in methods reach 0.72 to 0.94."""


def it_learns_the_digits(trial: Trial) -> None:
    """Held-out digits are recognised after three epochs."""
    found = trial.first.history[-1]["validation_clean"]
    accuracy = sum(found) / len(found)
    if accuracy < LEARNED:
        raise CheckFailedError(
            f"After {len(trial.first.history)} epochs on digits the clean accuracy is {accuracy:.0%}, where chance is "
            f"10%; at least {LEARNED:.0%} is wanted."
        )


def it_is_deterministic(trial: Trial) -> None:
    """The same seed gives the same weights; also if the test images differ, which spares most methods a training."""
    if _difference(trial.first, trial.poisoned) and (difference := _difference(trial.first, trial.second)):
        raise CheckFailedError(f"Two trainings with the same seed differ in {difference}.")


def it_resumes_bit_for_bit(trial: Trial) -> None:
    """A training that was killed in every epoch which has one before it ends like one that was not."""
    epochs = len(trial.first.history)
    steps_per_epoch = -(-len(trial.dataset.train) // trial.run.recipe.batch_size)
    killed = range(min(1, epochs - 1), epochs)
    with tempfile.TemporaryDirectory(prefix="fairbench-") as folder:
        for epoch in killed:
            with interruption(epoch * steps_per_epoch + 1) as progress:
                trial.train(folder=WorkFolder(Path(folder)), progress=progress)
        resumed = trial.train(folder=WorkFolder(Path(folder)))
    if difference := _difference(trial.first, resumed):
        _refuse_chance(trial)
        places = " and ".join(str(epoch + 1) for epoch in killed)
        raise CheckFailedError(f"A training that was killed in epoch {places} and resumed differs in {difference}.")


def it_never_sees_test_data(trial: Trial) -> None:
    """Other test images, wherever a method may get them from, change nothing."""
    if difference := _difference(trial.first, trial.poisoned):
        _refuse_chance(trial)
        raise CheckFailedError(f"With other test images the same training differs in {difference}.")


def _refuse_chance(trial: Trial) -> None:
    """A difference between trainings has no cause that could be named while even equal ones differ."""
    if _difference(trial.first, trial.second):
        raise CheckFailedError("It cannot be judged, because trainings with the same seed differ.")


def _difference(first: Trained, second: Trained) -> str:
    """What of two trainings differs first, in words; "" if nothing does."""
    for epoch, (one, other) in enumerate(zip(first.history, second.history, strict=True), start=1):
        for name, value in one.items():
            if other[name] != value:
                return f"{name.replace('_', ' ')} from epoch {epoch} on"
    if first.checkpoints != second.checkpoints:
        return "the final weights"
    return "" if first.passes == second.passes else "the passes counted"
