"""The parts of TRADES: a target that was measured before, and a weight for every image."""

import torch

from fairbench.attacks import measured_logits
from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench.protocol.threat import Threat
from fairbench.training.passes import PassCounter
from fairbench_methods.parts.trades_halves import boundary_attack, trades_losses
from fixture_types import Call


def test_a_target_saves_a_forward_and_changes_nothing(make_net: Call, make_batch: Call, threat: Threat) -> None:
    """It is the clean prediction, as the attack would measure it; another one leads elsewhere."""
    net, batch = make_net(), make_batch()
    clean = measured_logits(net, batch.images, threat=threat)
    found = []
    for target, forwards in ((None, 11), (clean, 10), (clean.flip(0), 10)):
        generator = torch.Generator().manual_seed(3)
        with PassCounter(net) as counter:
            attacked = boundary_attack(
                net, batch.images, batch.labels, threat=threat, generator=generator, target=target
            )
        assert counter.passes.forwards == forwards * len(batch.labels)
        found.append(attacked.images)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_beta_may_differ_between_images() -> None:
    """Each loss is CE(z(x), y) + beta KL(p(x) || p(x')) with its own beta."""
    generator = torch.Generator().manual_seed(0)
    clean, adversarial = torch.randn(2, 5, 3, generator=generator)
    labels, betas = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0.0, 0.5, 1.0, 6.0, 100.0])
    losses = trades_losses(clean, adversarial, labels, beta=betas)
    assert torch.equal(losses[0], cross_entropy(clean, labels)[0])
    assert torch.equal(losses[3], trades_losses(clean, adversarial, labels, beta=6.0)[3])
    divergence = (losses - cross_entropy(clean, labels))[1:] / betas[1:]
    torch.testing.assert_close(divergence, kl_divergence(adversarial, clean)[1:], rtol=1e-4, atol=1e-6)
