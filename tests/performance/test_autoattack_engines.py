"""Our engine against pyautoattack: time per attack, and image by image whether they agree.

    pytest -m performance -s tests/performance/test_autoattack_engines.py

Both attack the same images of the same model in one process at the full effort of `standard`.
Noise differs, so that a few verdicts do; the reference disagrees with itself as much under another seed.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fairbench import load_suite, methods
from fairbench.attacks.autoattack import AutoAttacked, autoattack
from fairbench.checkpoint import load_weights
from fairbench.data.loading import load_dataset
from fairbench.plan import make_plan
from fairbench.store import ATTACKS
from fairbench.suite import Evaluation
from fairbench.training import model_of, train

pytestmark = pytest.mark.performance

EPOCHS = 40


@pytest.mark.parametrize("name", ["pgd-at", "trades"])
def test_engines(name: str, tmp_path: Path) -> None:
    """On the digits, one thread."""
    torch.set_num_threads(1)
    suite = load_suite("digits")
    suite = replace(suite, recipe=replace(suite.recipe, epochs=EPOCHS))
    dataset = load_dataset(suite.dataset, folder=suite.folder, data_dir=tmp_path)
    method = methods.create(name, {})
    (run,) = make_plan(suite, [(name, method)], seeds=[0], create=methods.create, dataset_digest="")
    train(run, method, dataset, folder=tmp_path, device=torch.device("cpu"))
    model = model_of(run, dataset)
    load_weights(tmp_path / "selected.safetensors", model)
    images, labels = dataset.test.images, dataset.test.labels
    with torch.no_grad():
        clean = model.eval()(images.float() / 255 if images.dtype == torch.uint8 else images).argmax(dim=1)

    def attacked(evaluation: Evaluation, folder: str) -> AutoAttacked:
        return autoattack(
            model,
            images,
            labels,
            clean=clean,
            classes=dataset.classes,
            threat=suite.threat,
            evaluation=evaluation,
            folder=tmp_path / folder,
        )

    reference = attacked(replace(suite.evaluation, engine="reference"), "reference")
    again = attacked(replace(suite.evaluation, engine="reference", seed=1), "another seed")
    ours = attacked(suite.evaluation, "ours")

    def robust(found: AutoAttacked) -> torch.Tensor:
        return found.predictions == labels

    print(f"\n{name}: {len(labels)} digits, robust {robust(reference).float().mean():.1%} by the reference,", end=" ")
    print(
        f"{robust(ours).float().mean():.1%} by ours; {int((robust(ours) != robust(reference)).sum())} verdicts differ,"
    )
    print(f"{int((robust(again) != robust(reference)).sum())} between two seeds of the reference")
    for attack in ATTACKS:
        print(f"{attack:10} {reference.seconds[attack]:7.1f} s {ours.seconds[attack]:7.1f} s", end=" ")
        print(f"{reference.seconds[attack] / ours.seconds[attack]:5.2f}x")
    total, own = sum(reference.seconds.values()), sum(ours.seconds.values())
    print(f"{'total':10} {total:7.1f} s {own:7.1f} s {total / own:5.2f}x")
