"""What Square saves by not asking twice: windows that change nothing, or were no better than the same best point.

    pytest -m performance -s tests/performance/test_square.py

Prints forwards of a survivor and CPU time, with every window asked about and without, on networks that nobody breaks.
"""

import time

import pytest
import torch

from fairbench.attacks.judging import Judged
from fairbench.attacks.search import search_model
from fairbench.attacks.standard.noise import ImageNoise
from fairbench.attacks.standard.square import square
from fairbench.models import build_model
from fairbench.protocol.threat import Threat
from fairbench.training.passes import PassCounter

pytestmark = pytest.mark.performance


@pytest.mark.parametrize(
    ("name", "shape", "images", "queries", "least"),
    [
        ("digits-cnn", (1, 8, 8), 340, 5000, 2.0),
        ("mnist-cnn", (1, 28, 28), 24, 1000, 0.8),
        ("strided-cnn", (3, 32, 32), 100, 500, 0.8),
    ],
)
def test_windows_that_cannot_be_better(
    name: str, shape: tuple[int, int, int], images: int, queries: int, least: float
) -> None:
    """The same points, in how much of the time."""
    channels = shape[0]
    torch.manual_seed(0)
    model = build_model(
        name, classes=10, channels=channels, size=shape[1:], mean=(0.5,) * channels, std=(0.25,) * channels
    )
    judged = Judged(model.eval().requires_grad_(False), classes=10)
    points, indices = torch.rand(images, *shape), torch.arange(images)
    searching = search_model(judged, points, indices=indices, precision="fp32", batch_size=500)
    labels = searching(points).argmax(dim=1)
    found, seconds, forwards = {}, {}, {}
    for every in (True, False):
        with PassCounter(searching) as counter:
            began = time.process_time()
            found[every] = square(
                searching,
                points,
                labels,
                indices=indices,
                threat=Threat(epsilon=1e-5, step=1e-5),
                noise=ImageNoise(0),
                queries=queries,
                rows=500,
                every=every,
            )
            seconds[every] = time.process_time() - began
        forwards[every] = counter.passes.forwards / images
    assert torch.equal(found[True].images, found[False].images)
    ratio = seconds[True] / seconds[False]
    print(
        f"\n{name:12} {forwards[True]:7.0f} -> {forwards[False]:7.0f} forwards of an image, "
        f"{seconds[True]:6.2f} -> {seconds[False]:6.2f} s, {ratio:.2f}x",
        end="",
    )
    assert ratio > least
