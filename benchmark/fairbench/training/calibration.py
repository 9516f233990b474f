"""What a run of PGD-10 adversarial training takes on this machine, from a few of its steps."""

import time
from collections.abc import Callable

import torch

from fairbench.attacks.pgd import pgd
from fairbench.data.batches import unit
from fairbench.data.dataset import Dataset
from fairbench.method.losses import cross_entropy
from fairbench.protocol.autoattack_settings import STANDARD
from fairbench.protocol.run import Run
from fairbench.training.loop import model_of

STEPS = 3
"""That are timed, after one that warms up."""

SURVIVING = 0.5
"""Share of the test images that face every attack, roughly: on the others the attacks end early."""

ATTACKED = {"apgd-ce": 1.0, "apgd-t": 1.0, "fab-t": 0.75, "square": 0.5}
"""Cost of a forward call of each attack, in forwards with a gradient to the image; Square needs none."""


def calibrated(run: Run, dataset: Dataset, *, device: str) -> tuple[float, float]:
    """Seconds of training and of evaluation, to within a factor of two.

    Args:
        run: whose suite and network are meant; its method is taken for PGD-AT.
        dataset: of the suite.
        device: `cpu`, or a GPU.
    """
    recipe, threat, evaluation = run.suite.recipe, run.suite.threat, run.suite.evaluation
    where = torch.device(device)
    model = model_of(run, dataset).to(where)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)
    size = min(recipe.batch_size, len(dataset.train.labels))
    images, labels = unit(dataset.train.images[:size].to(where)), dataset.train.labels[:size].to(where)
    noise = torch.Generator(device=where).manual_seed(0)

    def attack() -> torch.Tensor:
        return pgd(model, images, labels, threat=threat, generator=noise).images

    def step() -> None:
        loss = cross_entropy(model.train()(attack()), labels).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    whole, attacking = _seconds(step, where), _seconds(attack, where)
    per_image = attacking / (threat.steps * size)  # of a forward with a gradient to the image
    screened = per_image * (evaluation.pgd_steps + 1)
    training = recipe.epochs * (whole * len(dataset.train.labels) / size + screened * len(dataset.validation.labels))
    classes = dataset.classes
    calls = {
        "screen": 0.0,
        "fast": sum(ATTACKED[name] * STANDARD.forwards(name, classes=classes) for name in ("apgd-ce", "apgd-t")),
        "full": sum(cost * STANDARD.forwards(name, classes=classes) for name, cost in ATTACKED.items()),
    }[evaluation.tier]
    tested = len(dataset.test.labels)
    return training, tested * (2 * screened + SURVIVING * calls * per_image)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of one call, the mean of a few."""
    work()
    _wait(device)
    began = time.perf_counter()
    for _ in range(STEPS):
        work()
    _wait(device)
    return (time.perf_counter() - began) / STEPS


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
