"""Moves of the weights: their lengths and directions, and a model that is left as it was."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.method.losses import cross_entropy
from fairbench.training.passes import PassCounter
from fairbench_methods.parts.weight_perturbation import Network, adversarial_moves, moved
from fixture_types import Call

WEIGHTS = {"features.0.weight", "features.3.weight", "head.weight"}
"""Convolutions and the linear layer of the small network; the rest are biases and batch norm."""


@pytest.fixture
def loss(make_batch: Call) -> Callable[[Network], Tensor]:
    """Mean cross-entropy of a batch as a function of the network."""
    batch = make_batch(16)
    return lambda network: cross_entropy(network(batch.images), batch.labels).mean()


def released_moves(
    model: nn.Module, loss: Callable[[Network], Tensor], *, size: float, rate: float
) -> dict[str, Tensor]:
    """As the released code finds them: from the displacement of one SGD step of a copy that goes uphill."""
    proxy = copy.deepcopy(model).train()
    optimiser = torch.optim.SGD(proxy.parameters(), lr=rate)
    (-loss(proxy)).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    moves = {}
    for (name, old), new in zip(model.state_dict().items(), proxy.state_dict().values(), strict=True):
        if old.ndim >= 2:
            moves[name] = size * old.norm() / ((new - old).norm() + 1e-20) * (new - old)
    return moves


class TestMoves:
    def test_each_weight_moves_by_the_same_share_of_its_own_length(self, make_net: Call, loss: Any) -> None:
        """Unit test (a): per tensor, not over all of them; biases and batch norm have no move."""
        net = make_net().train()
        moves = adversarial_moves(net, loss, size=0.01)
        assert moves.keys() == WEIGHTS
        for name, move in moves.items():
            weight = net.get_parameter(name)
            assert move.shape == weight.shape
            assert move.norm().item() == pytest.approx(0.01 * weight.norm().item(), rel=1e-5)

    @pytest.mark.parametrize("rate", [0.01, 0.1])
    def test_they_are_those_of_the_released_code(self, make_net: Call, loss: Any, rate: float) -> None:
        """Unit test (b): the learning rate of the copy (0.01 for AT, 0.1 for TRADES) is irrelevant."""
        net = make_net().train()
        expected = released_moves(net, loss, size=0.01, rate=rate)
        found = adversarial_moves(net, loss, size=0.01)
        assert found.keys() == expected.keys()
        for name, move in found.items():
            torch.testing.assert_close(move, expected[name], rtol=1e-3, atol=1e-5)  # differences of weights round

    @pytest.mark.parametrize("scale", [1e-3, 3.0, 1e4])
    def test_the_scale_of_the_loss_is_irrelevant(self, make_net: Call, loss: Any, scale: float) -> None:
        """Unit test (b)."""
        net = make_net().train()
        plain, scaled = (adversarial_moves(net, f, size=0.01) for f in (loss, lambda network: scale * loss(network)))
        for name, move in plain.items():
            torch.testing.assert_close(scaled[name], move, rtol=1e-4, atol=1e-7)

    def test_they_raise_the_loss_and_their_opposite_lowers_it(self, make_net: Call, loss: Any) -> None:
        net = make_net().train()
        moves = adversarial_moves(net, loss, size=0.01)
        before = loss(net)
        with moved(net, moves):
            higher = loss(net)
        with moved(net, {name: -move for name, move in moves.items()}):
            lower = loss(net)
        assert lower < before < higher

    def test_the_gradient_is_that_of_the_mode_of_the_model(self, make_net: Call, loss: Any) -> None:
        """Train mode during training: batch statistics, not the running ones."""
        net = make_net()
        for mode in (True, False):
            net.train(mode)
            gradients = dict(
                zip(WEIGHTS, torch.autograd.grad(loss(net), [*map(net.get_parameter, WEIGHTS)]), strict=True)
            )
            for name, move in adversarial_moves(net, loss, size=1).items():
                cosine = torch.cosine_similarity(move.flatten(), gradients[name].flatten(), dim=0)
                assert cosine.item() == pytest.approx(1, abs=1e-5)

    def test_without_a_gradient_nothing_moves(self, make_net: Call, loss: Any) -> None:
        """0 / (0 + 1e-20) is no NaN; a layer that the forward does not reach counts as one with gradient 0."""
        net = make_net().train()
        net.unused = nn.Linear(3, 3)
        assert not adversarial_moves(net, loss, size=0.01)["unused.weight"].any()
        flat = adversarial_moves(net, lambda network: 0 * loss(network), size=0.01)
        assert flat.keys() == WEIGHTS | {"unused.weight"}
        assert not any(move.any() for move in flat.values())

    def test_frozen_weights_do_not_move(self, make_net: Call, loss: Any) -> None:
        net = make_net().train()
        net.get_parameter("head.weight").requires_grad_(False)
        assert adversarial_moves(net, loss, size=0.01).keys() == WEIGHTS - {"head.weight"}

    def test_the_model_is_left_alone(self, make_net: Call, loss: Any) -> None:
        """Batch norm, gradients, modes and flags; several forwards may be part of the loss."""
        net = make_net().train()
        loss(net).backward()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        gradients = [p.grad.clone() for p in net.parameters()]
        adversarial_moves(net, lambda network: loss(network) + loss(network), size=0.01)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), gradients, strict=True))
        assert all(p.requires_grad for p in net.parameters())
        assert all(module.training for module in net.modules())

    def test_its_passes_are_counted(self, make_net: Call, loss: Any) -> None:
        """One forward and one backward with weight gradients; a copy of the network would hide them."""
        net = make_net().train()
        with PassCounter(net) as counter:
            adversarial_moves(net, loss, size=0.01)
        assert (counter.passes.forwards, counter.passes.weight_backwards, counter.passes.input_backwards) == (16, 16, 0)

    def test_half_precision_forwards_give_full_precision_moves(self, make_net: Call, loss: Any) -> None:
        net = make_net().train()
        expected = adversarial_moves(net, loss, size=0.01)
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            found = adversarial_moves(net, loss, size=0.01)
        for name, move in found.items():
            assert move.dtype == torch.float32
            assert move.norm().item() == pytest.approx(0.01 * net.get_parameter(name).norm().item(), rel=1e-5)
            assert torch.cosine_similarity(move.flatten(), expected[name].flatten(), dim=0) > 0.95
            assert not torch.equal(move, expected[name])


class TestMoved:
    @pytest.fixture
    def moves(self, make_net: Call, loss: Any) -> dict[str, Tensor]:
        return adversarial_moves(make_net().train(), loss, size=0.01)

    def test_weights_are_moved_inside_and_back_outside(self, make_net: Call, moves: dict[str, Tensor]) -> None:
        net = make_net()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        with moved(net, moves):
            for name, value in net.state_dict().items():
                assert torch.equal(value, before[name] + moves[name] if name in WEIGHTS else before[name])
        for name, value in net.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=1e-6, atol=1e-7)

    def test_what_an_optimiser_adds_inside_stays(self, make_net: Call, moves: dict[str, Tensor]) -> None:
        """The moves are taken off after the step; the weights before it are not put back."""
        net = make_net()
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        with moved(net, moves), torch.no_grad():
            for p in net.parameters():
                p.add_(0.5)
        for name, p in net.named_parameters():
            torch.testing.assert_close(p.detach(), before[name] + 0.5, rtol=1e-6, atol=1e-6)

    def test_weights_come_back_after_an_exception(self, make_net: Call, moves: dict[str, Tensor]) -> None:
        net = make_net()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        with pytest.raises(RuntimeError, match="diverged"), moved(net, moves):
            raise RuntimeError("diverged")
        for name, value in net.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize("size", [0.0, None], ids=["moves of length 0", "no moves"])
    def test_without_moves_every_bit_stays(self, make_net: Call, loss: Any, size: float | None) -> None:
        net = make_net().train()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        moves = {} if size is None else adversarial_moves(net, loss, size=size)
        with moved(net, moves):
            assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    def test_a_half_precision_forward_sees_the_moved_weights(
        self, make_net: Call, loss: Any, moves: dict[str, Tensor]
    ) -> None:
        """As the trainer makes it: without the cache, which would keep the weights of the forward before."""
        net = make_net().train()
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            before = loss(net)
            with moved(net, {name: 10 * move for name, move in moves.items()}):
                assert loss(net) > before + 0.05
