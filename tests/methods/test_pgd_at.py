"""PGD-AT, the base of everything."""

from typing import Any

import torch

from fairbench.attacks import pgd
from fairbench.method.losses import cross_entropy
from fairbench_methods.pgd_at import PGDAT
from fixture_types import Call


def test_loss_is_the_mean_cross_entropy_at_the_attacked_images(
    prepare: Call, make_net: Call, make_batch: Call, threat: Any
) -> None:
    method, batch, net = prepare(PGDAT()), make_batch(), make_net()
    net.eval()
    noise = torch.Generator()
    noise.set_state(method.noise.get_state())
    attacked = pgd(net, batch.images, batch.labels, threat=threat, generator=noise).images
    net.train()
    assert torch.equal(method.loss(batch), cross_entropy(net(attacked), batch.labels).mean())


def test_attack_mode_decides_whether_batch_norm_sees_the_attack(prepare: Call, make_batch: Call, threat: Any) -> None:
    """One training forward updates the buffers; in train mode every attack step does as well."""
    for mode, forwards in (("eval", 1), ("train", 1 + threat.steps)):
        method = prepare(PGDAT(attack_bn=mode))
        before = int(method.model.features[1].num_batches_tracked)
        method.loss(make_batch())
        assert int(method.model.features[1].num_batches_tracked) == before + forwards
