"""`fairbench.evaluate`: one call in Python, for a model of one's own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench import UserError, evaluate
from fairbench.outcomes.metrics import class_accuracies
from fairbench.outcomes.radii import accuracies_by_radius
from fairbench.outcomes.store import read_outcomes


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from fairbench import evaluate\n"
        "assert not {'torch', 'pandas', 'numpy', 'pyarrow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_accuracies_of_every_class_in_two_lines(linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    """What the documentation promises, with AutoAttack standard; against a linear model the bound is known exactly."""
    epsilon = 0.02
    outcomes = evaluate(linear, images, labels, epsilon=epsilon)
    found = class_accuracies(outcomes.rows, 3, "autoattack").values
    with torch.no_grad():
        weights, logits = linear[1].weight, linear(images)  # type: ignore[index]  # a Sequential
    robust = torch.ones(30, dtype=torch.bool)
    for other in range(3):
        margin = logits[torch.arange(30), labels] - logits[:, other]
        direction = weights[labels] - weights[other]
        flat = images.flatten(1)
        room = torch.where(direction > 0, flat.clamp(max=epsilon), (1 - flat).clamp(max=epsilon))
        robust &= (margin > (room * direction.abs()).sum(dim=1)) | (labels == other)
    expected = [float(robust[labels == k].float().mean()) for k in range(3)]
    assert found.tolist() == pytest.approx(expected)
    assert 0 < robust.sum() < 27


def test_a_curve_and_an_attack_of_one_s_own(linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Under `no_grad`, too; the column of PGD-20 does not know of them."""

    def ascent(model: Any, some: Tensor, targets: Tensor, threat: Any, _noise: Any) -> Tensor:
        leaf = some.clone().requires_grad_()
        loss = nn.functional.cross_entropy(model(leaf), targets, reduction="sum")
        points: Tensor = some + threat.epsilon * torch.autograd.grad(loss, leaf)[0].sign()
        return points

    plain = evaluate(linear, images, labels, epsilon=0.05, tier="screen")
    with torch.no_grad():
        found = evaluate(
            linear, images, labels, epsilon=0.05, tier="screen", curve=(0.05, 0.02), attacks={"ascent": ascent}
        )
    assert found.rows[list(plain.rows)].equals(plain.rows)
    assert list(accuracies_by_radius(found)) == [0.0, 0.02, 0.05]
    assert found.provenance.tried["ascent"]["backwards"] == int((plain.rows["clean"] == plain.rows["label"]).sum())
    assert set(evaluate(linear, images, labels, tier="screen", attacks=["targeted:steps=2"]).provenance.tried) == {
        "targeted:steps=2"
    }


def test_the_model_and_the_callers_state_are_left_as_they_were(images: Tensor, labels: Tensor) -> None:
    """Modes, gradients, batch-norm statistics, the random state, and what requires gradients."""
    linear, norm = nn.Linear(16, 3), nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Flatten(), linear, norm)
    norm.eval()
    linear.bias.requires_grad_(False)
    model(images).sum().backward()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert linear.weight.grad is not None
    gradient = linear.weight.grad.clone()
    images.requires_grad_()
    before = torch.random.get_rng_state()
    evaluate(model, images, labels, tier="screen")
    assert torch.equal(before, torch.random.get_rng_state())
    assert [module.training for module in model] == [True, True, False]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(linear.weight.grad, gradient)
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    assert images.grad is None


def test_a_model_that_switches_itself_to_train_mode_gets_its_statistics_back(images: Tensor, labels: Tensor) -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(16)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.norm.train()(images.flatten(1))
            return logits

    model = Stubborn()
    keys = {evaluate(model, images, labels, epsilon=0.01, tier="screen").provenance.key for _ in range(2)}
    assert len(keys) == 1
    assert int(model.norm.num_batches_tracked or 0) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"curve": 0.1}, r"curve = 0\.1 is not allowed; allowed: a list, as in curve=\[2 / 255, 4 / 255\]"),
        ({"curve": None}, "curve = None is not allowed"),
        ({"attacks": "targeted"}, "attacks = 'targeted' is not allowed; allowed: a list"),
        ({"class_names": "abc"}, "class_names = 'abc' is not allowed; allowed: a list"),
        ({"class_names": ["a", "b\n", "c"]}, "class names with 'b.n' are not allowed; allowed: .* without line breaks"),
        ({"class_names": ["a", " ", "c"]}, "class names with ' ' are not allowed"),
    ],
)
def test_one_value_is_not_several(
    settings: dict[str, Any], said: str, linear: nn.Module, images: Tensor, labels: Tensor
) -> None:
    with pytest.raises(UserError, match=said):
        evaluate(linear, images, labels, tier="screen", **settings)


def test_a_class_and_a_function_are_told_what_to_do(images: Tensor, labels: Tensor) -> None:
    with pytest.raises(UserError, match=r"A model that is a class, Linear, .* Build one: Linear\(\)"):
        evaluate(nn.Linear, images, labels)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="Call the function in the `forward` of a module of your own"):
        evaluate(lambda x: x.flatten(1), images, labels)  # type: ignore[arg-type]


def test_a_model_that_leaves_python_is_a_sentence(images: Tensor, labels: Tensor) -> None:
    class Leaving(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            del images
            sys.exit(3)

    with pytest.raises(UserError, match="SystemExit: 3"):
        evaluate(Leaving(), images, labels)


def test_a_second_call_finds_the_file_of_the_first(
    linear: nn.Module, images: Tensor, labels: Tensor, tmp_path: Path
) -> None:
    """Folders may be given as text; another model under the same name does not replace it."""
    given: dict[str, Any] = {
        "tier": "screen",
        "name": "mine",
        "results": str(tmp_path),
        "work_dir": str(tmp_path / "w"),
    }
    first = evaluate(linear, images, labels, **given)
    path = tmp_path / "images/external-mine/seed0.parquet"
    written = path.stat().st_mtime_ns
    assert read_outcomes(path).rows.equals(first.rows)
    assert evaluate(linear, images, labels, **given).rows.equals(first.rows)
    with pytest.raises(UserError, match=r"another evaluation \(other weights\)"):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), images, labels, **given)
    assert path.stat().st_mtime_ns == written


def test_pixels_may_be_bytes(linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    levels = (255 * images).round().to(torch.uint8)
    rows = [evaluate(linear, given, labels, tier="screen").rows for given in (levels, levels.float() / 255)]
    assert rows[0].equals(rows[1])


def test_a_caller_who_only_predicts_may_call_it(linear: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Attacks differentiate, under `inference_mode`, too; weights that were made under it cannot be differentiated."""
    expected = evaluate(linear, images, labels, tier="screen").rows
    with torch.inference_mode():
        assert evaluate(linear, images.clone(), labels, tier="screen").rows.equals(expected)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        with pytest.raises(UserError, match=r"weights were made under torch\.inference_mode"):
            evaluate(model, images, labels, tier="screen")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"norm": "linf"}, "norm = 'linf' is not allowed; allowed: Linf, L2"),
    ({"tier": "quick"}, "tier = 'quick' is not allowed; allowed: screen, fast, full"),
    ({"engine": "auto"}, "engine = 'auto' is not allowed; allowed: fairbench, reference"),
    ({"search": "fp16"}, "search = 'fp16' is not allowed; allowed: fp32, bf16"),
    ({"engine": "reference", "search": "bf16"}, "allowed: fp32 with the reference engine"),
    ({"epsilon": "8/255"}, "epsilon = '8/255' is not allowed; allowed: a finite number .* such as 8 / 255"),
    ({"epsilon": 8}, r"threat\.epsilon = 8 is not allowed"),
    ({"epsilon": -0.1}, r"threat\.epsilon = -0\.1 is not allowed"),
    ({"epsilon": float("nan")}, "epsilon = nan is not allowed; allowed: a finite number"),
    ({"epsilon": float("inf"), "norm": "L2"}, "epsilon = inf is not allowed; allowed: a finite number"),
    ({"batch_size": 0}, r"batch_size = 0 is not allowed; allowed: 1 or more"),
    ({"seed": -1}, "seed = -1 is not allowed"),
    ({"name": "a/b"}, "The name 'a/b' is not allowed"),
    ({"class_names": ("a", "b")}, r"returns 3 logits for an image, and there are 2 class names \(a, b\)"),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_settings_that_cannot_be_meant(
    linear: nn.Module, images: Tensor, labels: Tensor, given: dict[str, Any], said: str
) -> None:
    """A word with a slip in it must not quietly choose another attack."""
    with pytest.raises(UserError, match=said):
        evaluate(linear, images, (labels > 0).long(), **{"tier": "screen"} | given)


@pytest.mark.parametrize("model", [torch.relu, nn.Linear, None], ids=["function", "class", "None"])
def test_what_is_no_model(model: Any, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(UserError, match=r"is not allowed; allowed: a torch\.nn\.Module"):
        evaluate(model, images, labels)
