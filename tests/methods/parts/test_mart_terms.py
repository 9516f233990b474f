"""The terms of MART: fixtures by hand, and the places where they are easily written wrong."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairbench.method.losses import cross_entropy, kl_divergence
from fairbench_methods.parts.mart_terms import boosted_cross_entropy, consistency

FIRST = torch.tensor([0])


def doubles(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64, requires_grad=True)


def losses(clean: Tensor, attacked: Tensor, labels: Tensor, *, weight: float) -> Tensor:
    return boosted_cross_entropy(attacked, labels) + weight * consistency(clean, attacked, labels)


class TestFixtures:
    def test_fixture_f2(self) -> None:
        """Clean (2, 1, 0), attacked (1, 2, 0.5), first class, which the attacked prediction misses."""
        clean, attacked = doubles(2, 1, 0), doubles(1, 2, 0.5)
        boosted = boosted_cross_entropy(attacked, FIRST)
        assert boosted.item() == pytest.approx(2.454391, abs=2e-6)
        assert boosted.item() != pytest.approx(2.454661, abs=1e-5)  # 1.0001, not 1
        term = consistency(clean, attacked, FIRST)
        assert (term / kl_divergence(attacked, clean)).item() == pytest.approx(0.334759, abs=1e-5)
        assert losses(clean, attacked, FIRST, weight=5).item() == pytest.approx(3.1779, abs=3e-4)

    def test_fixture_f3(self) -> None:
        """Attacked (2, 1, 0.5), still correct: the runner-up counts, not the label's own probability."""
        assert boosted_cross_entropy(doubles(2, 1, 0.5), FIRST).item() == pytest.approx(0.72719, abs=1e-5)

    def test_with_two_classes_the_boost_doubles_the_cross_entropy(self) -> None:
        """The only other class has 1 - p_y, up to the constant 1.0001."""
        logits, labels = torch.tensor([[1.5, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
        torch.testing.assert_close(
            boosted_cross_entropy(logits, labels), 2 * cross_entropy(logits, labels), rtol=0, atol=1e-3
        )

    @pytest.mark.parametrize("classes", [2, 3, 100])
    def test_a_runner_up_without_probability(self, classes: int) -> None:
        """The label has everything: both factors are finite, and so are their gradients."""
        clean = torch.zeros(1, classes)
        clean[0, 0] = 200
        attacked = clean.clone().requires_grad_()
        loss = losses(clean, attacked, FIRST, weight=5)
        assert loss.item() == pytest.approx(-1e-4, abs=1e-6)  # -log 1.0001
        loss.sum().backward()  # type: ignore[no-untyped-call]
        assert attacked.grad is not None
        assert attacked.grad.isfinite().all()

    @pytest.mark.parametrize("classes", [2, 3, 100])
    def test_a_runner_up_with_all_the_probability(self, classes: int) -> None:
        """The worst prediction: 1.0001 keeps the logarithm finite, at about 9.2, and 1e-12 that of the divergence."""
        clean = torch.zeros(1, classes)
        clean[0, 0] = 200
        attacked = (-clean).requires_grad_() if classes == 2 else clean.roll(1, dims=1).requires_grad_()
        boosted = boosted_cross_entropy(attacked, FIRST)
        assert boosted.item() == pytest.approx(200 - torch.tensor(1e-4).log().item(), abs=1e-2)
        loss = (boosted + 5 * consistency(clean.clone().requires_grad_(), attacked, FIRST)).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.isfinite()
        assert attacked.grad is not None
        assert attacked.grad.isfinite().all()

    @given(st.lists(st.floats(-8, 8), min_size=2, max_size=12), st.data())
    def test_the_boost_by_the_definition(self, values: list[float], data: st.DataObject) -> None:
        """The runner-up is the largest probability once the label's is taken away."""
        label = data.draw(st.integers(0, len(values) - 1))
        logits = torch.tensor([values], dtype=torch.float64)
        probabilities = logits.softmax(dim=1)[0].tolist()
        runner_up = max(probabilities[:label] + probabilities[label + 1 :])
        expected = -torch.tensor(probabilities[label]).log() - torch.tensor(1.0001 - runner_up + 1e-12).log()
        found = boosted_cross_entropy(logits, torch.tensor([label]))
        assert found.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-5)


class TestConsistency:
    def test_nothing_is_detached(self) -> None:
        """Gradient flows into both predictions, and through the weight 1 - p_y(x) as well."""
        clean, attacked = doubles(2, 1, 0), doubles(1, 2, 0.5)
        found = torch.autograd.grad(consistency(clean, attacked, FIRST).sum(), (clean, attacked))
        weight = 1.0000001 - clean.softmax(dim=1)[:, 0]
        product = torch.autograd.grad((kl_divergence(attacked, clean) * weight).sum(), (clean, attacked))
        for one, other in zip(found, product, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
            assert one.abs().max() > 0.01
        stopped = torch.autograd.grad((kl_divergence(attacked, clean) * weight.detach()).sum(), clean)[0]
        assert (found[0] - stopped).abs().max() > 0.05

    def test_the_clean_prediction_is_the_reference(self) -> None:
        """KL(p(x) || p(x')): the other direction has another value."""
        clean, attacked = doubles(2, 1, 0), doubles(1, 2.5, -3)
        weight = 1.0000001 - clean.softmax(dim=1)[:, 0]
        found = consistency(clean, attacked, FIRST) / weight
        torch.testing.assert_close(found, kl_divergence(attacked, clean).float(), check_dtype=False)
        assert (found - kl_divergence(clean, attacked)).abs() > 0.05

    def test_a_wrong_clean_prediction_counts_more(self) -> None:
        clean, attacked = doubles(4, 0, 0), doubles(3, 1, 0)
        right, wrong = (consistency(clean, attacked, torch.tensor([label])).item() for label in (0, 1))
        assert wrong > 20 * right
