"""ARD: the tempered teacher at adversarial images, and plain training where it has no weight."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fairbench import load_suite
from fairbench.attacks import pgd
from fairbench.method.contract import Batch
from fairbench.method.losses import cross_entropy
from fairbench.method.schedule import learning_rate
from fairbench.training.passes import PassCounter
from fairbench_methods.ard import ARD
from fairbench_methods.parts.tempered_distillation import tempered_loss
from fixture_types import Call


class TestLoss:
    @pytest.mark.parametrize("share", [1.0, 0.3])
    def test_the_loss_by_its_parts(
        self, prepare: Call, make_net: Call, make_batch: Call, threat: Any, share: float
    ) -> None:
        """The attack is PGD-AT's, on the label; the teacher speaks on the clean image; the label enters by 1 - a."""
        method, batch, net = prepare(ARD(soft_share=share, temperature=5.0)), make_batch(), make_net().train()
        noise = torch.Generator()
        noise.set_state(method.noise.get_state())
        attacked = pgd(net, batch.images, batch.labels, threat=threat, generator=noise).images
        target = method.setup.prerequisites["teacher"](batch.images)
        soft = tempered_loss(net(attacked), target, temperature=5.0)
        hard = cross_entropy(net(batch.images), batch.labels)
        torch.testing.assert_close(method.loss(batch), (share * soft + (1 - share) * hard).mean())

    def test_share_zero_is_standard_training(self, prepare: Call, make_net: Call, make_batch: Call) -> None:
        """I14: loss and weights after several steps, bit for bit; the attack has no effect."""
        method, net = prepare(ARD(soft_share=0.0)), make_net().train()
        optimisers = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9) for m in (method.model, net)]
        for seed in range(3):
            batch = make_batch(seed=seed)
            losses = method.loss(batch), cross_entropy(net(batch.images), batch.labels).mean()
            assert torch.equal(*losses)
            for loss, optimiser in zip(losses, optimisers, strict=True):
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        for ours, plain in zip(method.model.parameters(), net.parameters(), strict=True):
            assert torch.equal(ours, plain)

    def test_the_attack_uses_the_label(self, prepare: Call, make_batch: Call) -> None:
        """Unlike RSLAD's; with a = 1 the loss itself does not."""
        losses = [prepare(ARD()).loss(make_batch(4, labels=labels)) for labels in ([0, 1, 2, 3], [9, 9, 9, 9])]
        assert not torch.equal(losses[0], losses[1])

    def test_adversarial_images_are_forwarded_first(self, prepare: Call, make_batch: Call) -> None:
        method, batch = prepare(ARD(soft_share=0.5)), make_batch()
        clean: list[bool] = []
        method.model.register_forward_pre_hook(
            lambda net, inputs: clean.append(torch.equal(inputs[0], batch.images)) if net.training else None
        )
        method.loss(batch)
        assert clean == [False, True]

    def test_the_teacher_sees_the_clean_images_once(self, prepare: Call, make_batch: Call) -> None:
        method, batch = prepare(ARD()), make_batch()
        seen: list[Tensor] = []
        method.setup.prerequisites["teacher"].register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0]))
        method.loss(batch)
        (images,) = seen
        assert torch.equal(images, batch.images)


def batch_norm_updates(method: ARD, batch: Batch) -> int:
    counter = method.model.get_buffer("features.1.num_batches_tracked")
    before = int(counter)
    method.loss(batch)
    return int(counter) - before


class TestReleasedCode:
    @pytest.mark.parametrize(
        ("options", "updates"),
        [
            ({}, 1),
            ({"soft_share": 0.5}, 2),
            ({"clean_forward": True}, 2),
            ({"attack_bn": "train"}, 11),
            ({"attack_bn": "train", "clean_forward": True}, 12),
        ],
        ids=str,
    )
    def test_what_batch_norm_sees(self, prepare: Call, make_batch: Call, options: dict[str, Any], updates: int) -> None:
        """Released: twelve batches per step; ours: the one that is trained on."""
        assert batch_norm_updates(prepare(ARD(**options)), make_batch()) == updates

    def test_a_clean_forward_without_weight_teaches_nothing(self, prepare: Call, make_batch: Call) -> None:
        methods = prepare(ARD()), prepare(ARD(clean_forward=True))
        losses = [method.loss(make_batch()) for method in methods]
        assert torch.equal(losses[0], losses[1])
        gradients = [
            torch.autograd.grad(loss, list(m.model.parameters())) for loss, m in zip(losses, methods, strict=True)
        ]
        assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))

    @pytest.mark.parametrize("suite", ["cifar10", "cifar10-fast"])
    def test_the_second_drop_is_none(self, suite: str) -> None:
        """With the bug: the peak rate for half of the training, a tenth of it from there to the end."""
        recipe = replace(load_suite(suite).recipe, epochs=200)
        assert ARD().recipe(recipe) == recipe
        released = ARD(lr_bug=True).recipe(recipe)
        rates = [learning_rate(released, step=epoch, steps_per_epoch=1) for epoch in (0, 99, 100, 150, 199)]
        peak = recipe.learning_rate
        assert rates == pytest.approx([peak, peak, peak / 10, peak / 10, peak / 10])
        own = ("schedule", "drops", "drop_factor")
        assert replace(released, **{name: getattr(recipe, name) for name in own}) == recipe


@pytest.mark.parametrize(
    ("options", "units"), [({}, 23), ({"soft_share": 0.5}, 26), ({"clean_forward": True}, 26)], ids=str
)
def test_cost(prepare: Call, make_batch: Call, step: Call, options: dict[str, Any], units: int) -> None:
    """23 units, 26 with the clean branch as released, and one forward of the teacher."""
    method = prepare(ARD(**options))
    with PassCounter(method.model) as student, PassCounter(method.setup.prerequisites["teacher"]) as teacher:
        step(method, make_batch(16))
    assert student.passes.units == units * 16
    assert teacher.passes.units == 16


def test_a_teacher_is_needed() -> None:
    (need,) = ARD().prerequisites()
    assert (need.role, need.method) == ("teacher", "trades")
