"""Small models, and the files in which people keep their weights."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from fairbench.models import build_model


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from more, and lose much on a machine that is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def digits() -> nn.Module:
    """A model of ours with weights and statistics that no fresh one has."""
    model = build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0.3,), std=(0.37,))
    generator = torch.Generator().manual_seed(1)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point() and tensor.numel() > 1:
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return model.eval()
