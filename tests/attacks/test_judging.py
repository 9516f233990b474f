"""What an attack may ask of any model."""

import pytest
import torch
from torch import Tensor, nn

from fairbench.attacks.judging import Judged


class Optimising(nn.Module):
    """A defence that cleans its input by its own gradients, and predicts from what they leave."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits, which have a gradient, only not to the images."""
        with torch.enable_grad():
            change = torch.zeros_like(images, requires_grad=True)
            logits = (images.detach() + change).flatten(1)
            torch.autograd.grad(logits.logsumexp(dim=1).sum(), change, retain_graph=True)
        return logits


@pytest.mark.parametrize("joined", [False, True], ids=["leaf", "batch of a batch"])
def test_without_a_way_back_to_the_images_their_gradient_is_zero(joined: bool) -> None:
    images = torch.rand(4, 1, 2, 2).requires_grad_()
    logits = Judged(Optimising(), classes=4)(torch.cat([images, images]) if joined else images)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert not gradient.any()
    assert torch.equal(logits[:4], images.flatten(1))


def test_a_way_back_is_found_past_others() -> None:
    images, other = torch.rand(4, 1, 2, 2).requires_grad_(), torch.ones(4, requires_grad=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU())
    model.register_forward_hook(lambda _module, _given, logits: other * logits + other)
    logits = Judged(model, classes=4)(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    (expected,) = torch.autograd.grad(model(images).sum(), images)
    assert torch.equal(gradient, expected)
