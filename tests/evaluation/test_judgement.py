"""A model becomes rows, flags and warnings."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fairbench import Threat, UserError
from fairbench.attacks import autoattack as autoattack_module
from fairbench.attacks.autoattack import AutoAttacked
from fairbench.attacks.standard.found import Found
from fairbench.evaluation.flags import warnings
from fairbench.evaluation.judgement import Judgement, _autoattack_flags, judge
from fairbench.evaluation.screening import screen
from fairbench.outcomes.store import NOT_RUN, SCHEMA
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation

QUICK = AutoAttackSettings(apgd_iterations=8, fab_iterations=5, square_queries=60, targets=2)
EVALUATION = Evaluation(pgd_step=0.01, batch_size=16)
THREAT = Threat(epsilon=0.05, step=0.02)
QUIET = {
    "randomised": False,
    "batch_dependent": False,
    "probability_outputs": False,
    "grad_at_inference": False,
    "train_mode_modules": [],
    "zero_gradient_share": 0.0,
    "nonfinite": 0,
}


def ridge(penalty: float) -> nn.Sequential:
    """A linear classifier of the digits in closed form."""
    found = load_digits()
    images = torch.tensor(found.data / 16, dtype=torch.float32)
    targets = F.one_hot(torch.tensor(found.target), 10) - 0.1
    layer = nn.Linear(64, 10)
    with torch.no_grad():
        layer.weight.copy_(torch.linalg.solve(images.T @ images + penalty * torch.eye(64), images.T @ targets).T)
        layer.bias.zero_()
    return nn.Sequential(nn.Flatten(), layer)


SELECTED, LAST = ridge(10.0), ridge(1000.0)
IMAGES = torch.tensor(load_digits().images[:70, None] / 16, dtype=torch.float32)
LABELS = torch.tensor(load_digits().target[:70])


class Wrapped(nn.Module):
    """The selected model with something done to its images or logits."""

    def __init__(
        self, *, before: Callable[[Tensor], Tensor] = lambda x: x, after: Callable[[Tensor], Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        self.inner = SELECTED
        self.before = before
        self.after = after

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.inner(self.before(images)))


Run = Callable[..., Judgement]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Evaluates seventy digits; every default can be replaced."""

    def evaluated(
        selected: nn.Module = SELECTED,
        last: nn.Module | None = None,
        images: Tensor = IMAGES,
        labels: Tensor = LABELS,
        *,
        classes: int = 10,
        **options: Any,
    ) -> Judgement:
        defaults = {"threat": THREAT, "evaluation": EVALUATION, "settings": QUICK, "folder": tmp_path}
        return judge(selected, last or selected, images, labels, classes=classes, **{**defaults, **options})

    return evaluated


def test_rows_are_those_of_the_schema(run: Run) -> None:
    rows = run(last=LAST).rows
    stored = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
    pd.testing.assert_frame_equal(rows, stored.to_pandas())
    assert rows["index"].tolist() == list(range(70))
    assert rows["label"].tolist() == LABELS.tolist()
    for model, prefix in ((SELECTED, ""), (LAST, "last_")):
        found = screen(model, IMAGES, LABELS, classes=10, threat=THREAT, evaluation=EVALUATION)
        assert rows[f"{prefix}clean"].tolist() == found.clean.tolist()
        assert rows[f"{prefix}pgd20"].tolist() == found.pgd20.tolist()
    assert (rows["clean"] != rows["last_clean"]).any()


def test_columns_agree_with_one_another(run: Run) -> None:
    rows = run().rows
    right, wrong = rows[rows["clean"] == rows["label"]], rows[rows["clean"] != rows["label"]]
    assert 0 < len(wrong) < 40
    assert set(wrong["broken_by"]) == {"clean"}
    assert (wrong["autoattack"] == wrong["clean"]).all()
    assert "clean" not in set(right["broken_by"])
    assert ((right["autoattack"] == right["label"]) == (right["broken_by"] == "")).all()
    assert 0 < (right["broken_by"] == "").sum() < len(right)
    survives = (rows["pgd20"] == rows["label"]) & (rows["clean"] == rows["label"]) & (rows["pgd20_survived"] == 20)
    assert (rows["pgd20_any"] == survives).all()


def test_a_linear_model_falls_exactly_within_its_distance(run: Run) -> None:
    """The known answer: the distance to class t is (z_y - z_t) over the dual norm of w_y - w_t, inside the box."""
    images = 0.2 + 0.6 * IMAGES
    weight = SELECTED.state_dict()["1.weight"]
    steps = (weight[LABELS][:, None] - weight[None]).abs().sum(dim=2)
    with torch.no_grad():
        logits = SELECTED(images)
    distance = (logits.gather(1, LABELS[:, None]) - logits) / steps.clamp_min(1e-9)
    distance[torch.arange(70), LABELS] = torch.inf
    nearest = distance.amin(dim=1)
    rows = run(images=images, settings=replace(QUICK, targets=9, apgd_iterations=30)).rows
    robust = torch.tensor((rows["autoattack"] == rows["label"]).to_numpy())
    certain = (nearest - THREAT.epsilon).abs() > 1e-3
    assert torch.equal(robust[certain], (nearest > THREAT.epsilon)[certain])
    assert 5 < robust.sum() < 65


def test_without_autoattack_its_columns_say_so(run: Run, tmp_path: Path) -> None:
    found = run(evaluation=replace(EVALUATION, tier="screen"))
    assert set(found.rows["autoattack"]) == {NOT_RUN}
    wrong = found.rows["clean"] != found.rows["label"]
    assert (found.rows["broken_by"] == np.where(wrong, "clean", "")).all()
    assert set(found.seconds) == {"pgd20"}
    assert not {"square_gain_pp", "pgd_aa_gap_pp", "order_violations", "unverified_breaks"} & set(found.flags)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("last", [SELECTED, ridge(10.0)], ids=["the same object", "equal weights"])
def test_a_last_checkpoint_equal_to_the_selected_one_is_not_attacked_again(last: nn.Module, run: Run) -> None:
    stages: set[str] = set()
    rows = run(last=last, progress=lambda stage, _done, _total: stages.add(stage)).rows
    assert stages == {"pgd20", "apgd-ce", "apgd-t", "fab-t", "square"}
    assert (rows["last_clean"] == rows["clean"]).all()
    assert (rows["last_pgd20"] == rows["pgd20"]).all()


def test_a_sound_model_raises_nothing(run: Run) -> None:
    found = run()
    assert found.warnings == []
    assert {name: found.flags[name] for name in QUIET} == QUIET
    assert found.flags["order_violations"] == []
    assert found.flags["unverified_breaks"] == 0
    rows = found.rows
    gap = 100 * ((rows["pgd20"] == rows["label"]).mean() - (rows["autoattack"] == rows["label"]).mean())
    assert found.flags["pgd_aa_gap_pp"] == pytest.approx(gap)
    json.dumps(found.flags, allow_nan=False)
    assert set(found.seconds) == {"pgd20", "autoattack"}
    assert min(found.seconds.values()) > 0


def optimising(images: Tensor) -> Tensor:
    """A defence that differentiates at inference."""
    with torch.enable_grad():
        points = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(SELECTED(points).sum(), points)
    return images + 0 * gradient


@pytest.mark.parametrize(
    ("model", "flag", "sentence"),
    [
        (Wrapped(after=lambda z: F.dropout(z, 0.1, training=True)), "randomised", "different answers"),
        (Wrapped(before=lambda x: x - x.mean(dim=0)), "batch_dependent", "depends on the other images of its batch"),
        (Wrapped(after=lambda z: z.softmax(dim=1)), "probability_outputs", "returns probabilities"),
        (Wrapped(after=lambda z: (3 * z).sigmoid()), "probability_outputs", "outputs that all lie in [0, 1]"),
        (Wrapped(before=optimising), "grad_at_inference", "computes gradients while it predicts"),
    ],
    ids=["randomised", "batch", "softmax", "sigmoid", "optimising"],
)
def test_a_model_that_standard_does_not_fit_is_flagged(model: nn.Module, flag: str, sentence: str, run: Run) -> None:
    found = run(model, evaluation=replace(EVALUATION, tier="screen"))
    raised = {name for name in QUIET if found.flags[name] != QUIET[name]}
    assert raised == {flag}
    assert len(found.warnings) == 1
    assert sentence in found.warnings[0]


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        (torch.tanh, "The model applies a tanh to its logits"),
        (lambda z: 5 * (3 * z).sigmoid() - 2, "The model applies a sigmoid to its logits"),
        (lambda z: 10 * z.softmax(dim=1), "The model applies a softmax to its logits"),
        (lambda z: z.clamp(-2, 2), "The model applies a clamp to its logits"),
        (lambda z: 1e-3 * z, "The logits of an image hardly differ from each other"),
        (lambda z: z.log_softmax(dim=1), ""),
        (lambda z: (3 * z + torch.arange(10)).view(-1, 10), ""),
        (lambda z: 10 * F.normalize(z), ""),
    ],
    ids=["tanh", "stretched sigmoid", "softmax times ten", "clamp", "temperature", "log-softmax", "shifted", "cosine"],
)
def test_what_hides_gradients_is_named_whatever_the_interval(
    after: Callable[[Tensor], Tensor], sentence: str, run: Run
) -> None:
    """By no flag where there is nothing: files of other models are what they were."""
    found = run(Wrapped(after=after), evaluation=replace(EVALUATION, tier="screen"))
    assert sentence in " ".join(found.warnings)
    assert len(found.warnings) == bool(sentence)
    assert bool({"squashed_by", "nearly_equal"} & set(found.flags)) is bool(sentence)


def test_modules_that_refuse_eval_mode_are_named(run: Run) -> None:
    class Stubborn(nn.Identity):
        def train(self, mode: bool = True) -> "Stubborn":
            del mode
            self.training = True
            return self

    found = run(nn.Sequential(Stubborn(), SELECTED), evaluation=replace(EVALUATION, tier="screen"))
    assert found.flags["train_mode_modules"] == ["0"]
    assert found.warnings == ["In spite of eval() these modules are in train mode: 0."]


def test_masked_gradients_are_flagged(run: Run) -> None:
    """Rounding the pixels hides the gradient from all attacks but Square."""
    masked, threat = Wrapped(before=lambda x: (8 * x).round() / 8), replace(THREAT, epsilon=0.1)
    found = run(masked, threat=threat, settings=replace(QUICK, square_queries=300))
    assert found.flags["zero_gradient_share"] == 1.0
    gain = 100 * float((found.rows["broken_by"] == "square").mean())
    assert found.flags["square_gain_pp"] == pytest.approx(gain)
    assert gain > 1
    assert any("exactly zero for 100.0%" in sentence for sentence in found.warnings)
    assert any(f"Square, which needs no gradient, broke {gain:.2f} %" in sentence for sentence in found.warnings)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_logits_that_are_not_finite_are_counted_and_broken(share: float, run: Run) -> None:
    def after(logits: Tensor) -> Tensor:
        return torch.where(logits.amax(dim=1, keepdim=True) >= level, logits * torch.nan, logits)

    with torch.no_grad():
        level = SELECTED(IMAGES).amax(dim=1).quantile(1 - share)
    found = run(Wrapped(after=after))
    count = found.flags["nonfinite"]
    assert isinstance(count, int)
    assert count >= 70 * share
    assert found.warnings[0] == f"Images with infinite or NaN logits, which count as broken: {count}."
    assert (found.rows["autoattack"] != found.rows["label"]).sum() >= count
    assert not found.rows["pgd20_any"][found.rows["broken_by"] == "clean"].any()
    json.dumps(found.flags, allow_nan=False)


def test_a_break_that_is_none_is_counted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def claiming(_attack: str, _model: Any, images: Tensor, *_args: Any, **_options: Any) -> Found:
        return Found(images=1 - images, broken=torch.ones(len(images), dtype=torch.bool))

    monkeypatch.setattr(autoattack_module, "standard_attack", claiming)
    found = run()
    assert found.flags["unverified_breaks"] == 4 * int((found.rows["broken_by"] == "").sum()) > 0
    assert any("Claimed breaks that failed the verification" in sentence for sentence in found.warnings)


def test_classes_in_which_a_stronger_judgement_is_milder_are_flagged() -> None:
    labels = [0, 0, 1, 1, 2, 2]
    rows = pd.DataFrame(
        {
            "label": labels,
            "clean": [0, 0, 1, 0, 2, 2],
            "pgd20": [0, 1, 1, 1, 0, 2],
            "autoattack": [0, 1, 0, 0, 2, 2],
            "broken_by": ["", "apgd-ce", "square", "clean", "", ""],
        }
    )
    none = torch.zeros(6, dtype=torch.bool)
    attacked = AutoAttacked(
        predictions=torch.tensor(rows["autoattack"].to_numpy()),
        broken_by=rows["broken_by"].tolist(),
        unverified=0,
        nonfinite=none,
        seconds={},
    )
    selected = screen(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 4)),
        torch.rand(6, 1, 2, 2),
        torch.tensor(labels),
        classes=4,
        threat=THREAT,
        evaluation=EVALUATION,
    )
    flags = _autoattack_flags(rows, attacked, selected, classes=4)
    assert flags["order_violations"] == [2]
    assert flags["pgd_aa_gap_pp"] == pytest.approx(100 * (3 - 3) / 6, abs=1e-12)
    assert flags["square_gain_pp"] == pytest.approx(100 / 6)
    assert any("(class 2)" in sentence for sentence in warnings({**QUIET, **flags}))


def test_a_wide_gap_to_pgd20_is_a_warning() -> None:
    assert warnings({**QUIET, "pgd_aa_gap_pp": 9.9}) == []
    assert warnings({**QUIET, "pgd_aa_gap_pp": 10.1}) == [
        "AutoAttack is 10.1 points below PGD-20; gradients may be masked."
    ]


@pytest.mark.parametrize("stage", ["pgd20", "pgd20 last", "apgd-ce", "apgd-t", "fab-t", "square"])
def test_interrupted_in_any_stage_it_ends_with_the_same_rows(stage: str, run: Run, tmp_path: Path) -> None:
    undisturbed = run(last=LAST, folder=tmp_path / "undisturbed")

    def fragile(name: str, done: int, _total: int) -> None:
        if name == stage and done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(last=LAST, progress=fragile)
    resumed = run(last=LAST)
    pd.testing.assert_frame_equal(undisturbed.rows, resumed.rows)
    assert undisturbed.flags == resumed.flags


def test_bytes_and_floats_give_the_same_rows(run: Run, tmp_path: Path) -> None:
    raw = (IMAGES * 255).round().to(torch.uint8)
    first = run(images=raw, labels=LABELS.to(torch.uint8), folder=tmp_path / "bytes")
    second = run(images=raw.float() / 255, folder=tmp_path / "floats")
    pd.testing.assert_frame_equal(first.rows, second.rows)


def test_a_subset_repeats_the_screening_of_the_whole(run: Run, tmp_path: Path) -> None:
    chosen = torch.tensor([3, 14, 15, 40, 69])
    whole = run(folder=tmp_path / "whole").rows
    part = run(images=IMAGES[chosen], labels=LABELS[chosen], indices=chosen).rows
    screened = ["index", "label", "clean", "pgd20", "pgd20_any", "pgd20_survived", "last_clean", "last_pgd20"]
    pd.testing.assert_frame_equal(whole.loc[chosen.tolist(), screened].reset_index(drop=True), part[screened])


def test_unbalanced_and_absent_classes(run: Run) -> None:
    rows = torch.cat([torch.where(LABELS.eq(label))[0][: 1 + label] for label in (1, 2, 6)])
    found = run(images=IMAGES[rows], labels=LABELS[rows])
    assert len(found.rows) == 12
    assert found.flags["order_violations"] == []
    assert found.flags["pgd_aa_gap_pp"] == pytest.approx(
        100 * ((found.rows["pgd20"] == found.rows["label"]).sum() - (found.rows["broken_by"] == "").sum()) / 12
    )


def test_models_and_random_state_are_left_as_they_were(run: Run) -> None:
    selected, last = ridge(10.0).train(), ridge(1000.0).train()
    state, images = torch.get_rng_state(), IMAGES.clone()
    run(selected, last)
    run(Wrapped(after=lambda z: z + torch.rand(10)), evaluation=replace(EVALUATION, tier="screen"))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(IMAGES, images)
    for model in (selected, last):
        assert all(module.training for module in model.modules())
        assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_pixels_outside_the_unit_interval_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pixels from 0 to 255 are not allowed; allowed: \[0, 1\]"):
        run(images=IMAGES * 255)
    assert not list(tmp_path.iterdir())
