"""Judging models that others trained: what is written, taken up again, refused, and left as it was."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairbench.errors import UserError
from fairbench.external.outcomes import compute_outcomes, known_outcomes
from fairbench.outcomes.store import NOT_RUN, read_outcomes
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.protocol.evaluation import Evaluation, Tier
from fairbench.protocol.threat import Threat
from fixture_types import MakeRun


def silent_probe(stage: str, done: int, total: int) -> None:
    """Never called if nothing is computed."""
    raise AssertionError(stage, done, total)


def test_outcomes_are_written_with_their_origin(
    make_run: MakeRun, quick: AutoAttackSettings, results: Path, tmp_path: Path
) -> None:
    run = make_run(seed=1, file_sha256="ab" * 32, remarks=("Images are normalised as given.",))
    outcomes = compute_outcomes(run, results=results, work_dir=tmp_path / "runs", settings=quick)
    stored = read_outcomes(run.result_file(results))
    assert stored.rows.equals(outcomes.rows)
    assert stored.provenance == outcomes.provenance
    provenance = stored.provenance
    assert (provenance.role, provenance.label, provenance.seed) == ("external", "external-mine", 1)
    assert provenance.class_names == ["bird", "cat", "deer"]
    assert provenance.checkpoints == {"selected": "ab" * 32}
    assert provenance.warnings[-1] == "Images are normalised as given."
    assert {"randomised", "zero_gradient_share", "nonfinite", "pgd_aa_gap_pp"} <= set(provenance.flags)
    assert known_outcomes(run, results) is not None
    assert sorted(path.name for path in run.result_file(results).parent.iterdir()) == ["seed1.parquet"]


def test_every_tier_takes_up_the_one_below(
    make_run: MakeRun, quick: AutoAttackSettings, results: Path, tmp_path: Path
) -> None:
    """Under one name; the verdicts are those of a single evaluation in the highest."""
    tiers: tuple[Tier, ...] = ("screen", "fast", "full")
    stages: dict[str, list[str]] = {tier: [] for tier in tiers}
    for tier in tiers:
        run = make_run(tier=tier)
        assert known_outcomes(run, results) is None

        def told(stage: str, done: int, total: int, seen: list[str] = stages[tier]) -> None:
            if done < total and stage not in seen:
                seen.append(stage)

        reached = compute_outcomes(run, results=results, work_dir=tmp_path, settings=quick, progress=told)
    assert stages["screen"] == ["pgd20"]
    assert stages["fast"][:3] == ["pgd20", "apgd-ce", "apgd-t"]
    assert not {"apgd-ce", "apgd-t"} & set(stages["full"])
    alone = compute_outcomes(make_run(tier="full"), settings=quick)
    assert reached.rows.equals(alone.rows)
    with pytest.raises(UserError, match=r"holds these outcomes in tier full, which goes further than screen\. Choose"):
        known_outcomes(make_run(tier="screen"), results)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epsilon": 0.05}, "other settings, other threat"),
        ({"batch_size": 7}, "other settings"),
        ({"code_sha256": "ab"}, "other code"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(16, 3))}, "other weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_evaluation_is_never_replaced(
    make_run: MakeRun, results: Path, change: dict[str, Any], said: str
) -> None:
    run = make_run(tier="screen")
    compute_outcomes(run, results=results)
    content = run.result_file(results).read_bytes()
    with pytest.raises(UserError, match=rf"another evaluation \({said}\)\. Choose another name, seed or folder"):
        known_outcomes(make_run(tier="screen", **change), results)
    assert run.result_file(results).read_bytes() == content


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_a_truncated_file_is_named_and_left_alone(make_run: MakeRun, results: Path, kept: int) -> None:
    run = make_run(tier="screen")
    compute_outcomes(run, results=results)
    path = run.result_file(results)
    content = path.read_bytes()[:kept]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"seed0\.parquet is not a readable parquet file"):
        known_outcomes(run, results)
    assert path.read_bytes() == content


def test_an_epsilon_of_zero_leaves_the_clean_verdicts(make_run: MakeRun) -> None:
    rows = compute_outcomes(make_run(epsilon=0.0)).rows
    assert (rows["pgd20"] == rows["clean"]).all()
    assert (rows["autoattack"] == rows["clean"]).all()
    assert set(rows["broken_by"]) == {"", "clean"}


def test_logits_that_are_nan_break_every_image_and_raise_a_flag(make_run: MakeRun) -> None:
    """It is a result, and no error."""

    class Diverged(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :3] * float("nan")

    outcomes = compute_outcomes(make_run(model=Diverged()))
    assert (outcomes.rows["clean"] != outcomes.rows["label"]).all()
    assert set(outcomes.rows["broken_by"]) == {"clean"}
    assert outcomes.provenance.flags["nonfinite"] == 30
    assert outcomes.provenance.warnings == ["Images with infinite or NaN logits, which count as broken: 30."]


@pytest.mark.parametrize("classes", [2, 4])
def test_a_wrong_number_of_classes_is_one_sentence(make_run: MakeRun, classes: int) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, classes))
    with pytest.raises(UserError, match=r"allowed: logits of shape \(30, 3\), one column for each of 3 classes"):
        compute_outcomes(make_run(model=model))


class TestOddModels:
    """Whatever they do, verdicts come out, and what is odd is on record."""

    def test_half_precision_and_channels_last(
        self, make_run: MakeRun, quick: AutoAttackSettings, linear: nn.Module
    ) -> None:
        """Logits in bf16 are judged as they are; the layout of the images changes nothing."""

        class Rounding(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = linear

            def forward(self, images: Tensor) -> Tensor:
                logits: Tensor = self.network(images).bfloat16()
                return logits

        run = make_run(model=Rounding())
        images = run.sample.images.contiguous(memory_format=torch.channels_last)
        as_usual = compute_outcomes(run, settings=quick)
        assert set(as_usual.rows["broken_by"]) > {"", "clean"}
        turned = compute_outcomes(replace(run, sample=replace(run.sample, images=images)), settings=quick)
        assert turned.rows.equals(as_usual.rows)

    def test_randomised_and_in_train_mode(self, make_run: MakeRun) -> None:
        class Stubborn(nn.Dropout):
            def train(self, mode: bool = True) -> "Stubborn":
                return super().train(mode or True)

        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), Stubborn(0.3))
        provenance = compute_outcomes(make_run(model=model, tier="screen")).provenance
        assert provenance.flags["randomised"] is True
        assert provenance.flags["train_mode_modules"] == ["2"]
        assert any("In spite of eval() these modules are in train mode: 2." in said for said in provenance.warnings)


class TestFolders:
    @pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root can write: /sys")
    @pytest.mark.parametrize("option", ["results", "work_dir"])
    def test_that_cannot_be_written_are_named_before_anything_is_computed(self, make_run: MakeRun, option: str) -> None:
        with pytest.raises(UserError, match="Cannot write into /sys/fairbench"):
            compute_outcomes(make_run(), progress=silent_probe, **{option: Path("/sys/fairbench")})  # type: ignore[arg-type]

    def test_with_a_file_in_the_way(self, make_run: MakeRun, results: Path) -> None:
        results.mkdir()
        (results / "images").write_text("a file")
        with pytest.raises(UserError, match=r"Cannot write into .*external-mine: Not a directory"):
            compute_outcomes(make_run(), results=results, progress=silent_probe)

    def test_are_one_process_s_at_a_time(self, make_run: MakeRun, tmp_path: Path) -> None:
        run = make_run(tier="screen")
        folder = WorkFolder.of(run, tmp_path)
        folder.path.mkdir(parents=True)
        with (
            folder.lock(),
            pytest.raises(UserError, match=r"mine is being evaluated by another process, in .*; wait"),
        ):
            compute_outcomes(run, work_dir=tmp_path, progress=silent_probe)
        compute_outcomes(run, work_dir=tmp_path)


def test_nothing_is_attacked_twice_after_an_interruption(
    make_run: MakeRun, quick: AutoAttackSettings, tmp_path: Path, results: Path
) -> None:
    run = make_run(batch_size=5)

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "apgd-t" and done >= total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_outcomes(run, results=results, work_dir=tmp_path, settings=quick, progress=interrupt)
    assert not run.result_file(results).exists()
    began: dict[str, int] = {}

    def told(stage: str, done: int, total: int) -> None:
        began.setdefault(stage, total - done)

    resumed = compute_outcomes(run, results=results, work_dir=tmp_path, settings=quick, progress=told)
    assert began["apgd-ce"] == 0
    assert resumed.rows.equals(compute_outcomes(run, settings=quick).rows)


KILLED_TWENTY_TIMES = """
import os, random, signal, sys, time
from dataclasses import replace
from pathlib import Path
import torch
import torch.fx.experimental.symbolic_shapes  # the first gradient imports it, which every fork would repeat
from torch import nn
from fairbench.protocol.autoattack_settings import AutoAttackSettings
from fairbench.external.given import given_sample
from fairbench.external.outcomes import compute_outcomes
from fairbench.external.run import ExternalRun
from fairbench.outcomes.store import read_outcomes
from fairbench.protocol.evaluation import Evaluation
from fairbench.protocol.threat import Threat

torch.set_num_threads(1)
folder = Path(sys.argv[1])
generator = torch.Generator().manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
images = torch.rand(30, 1, 4, 4, generator=generator)
threat = Threat(epsilon=0.01, step=0.0025)
run = ExternalRun(
    name="mine", model=model, specification="models:linear", threat=threat,
    sample=given_sample(images, model(images).argmax(dim=1), model=model),
    evaluation=Evaluation(pgd_step=threat.step, batch_size=1),
)
effort = AutoAttackSettings(apgd_iterations=10, fab_iterations=5, square_queries=50, targets=2)

def fork(name):
    # It has torch already. This process runs no backward pass, which would forbid its forks to run one.
    pid = os.fork()
    if pid == 0:
        compute_outcomes(run, results=folder / name, work_dir=folder / "runs" / name, settings=effort)
        os._exit(0)
    return pid

def code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def verdicts():
    return sum(path.stat().st_size for path in folder.glob("runs/killed/external/*/*.jsonl"))

assert code(fork("undisturbed")) == 0
draw, killed = random.Random(0), 0
for _ in range(20):
    before, child, patience = verdicts(), fork("killed"), time.monotonic() + 3
    while verdicts() == before and time.monotonic() < patience:
        time.sleep(0.001)
    time.sleep(draw.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    killed += code(child) == -signal.SIGKILL
assert code(fork("killed")) == 0
expected, found = (read_outcomes(run.result_file(folder / name)) for name in ("undisturbed", "killed"))
assert found.rows.equals(expected.rows)
assert found.provenance.flags == expected.provenance.flags
assert killed > 10, killed
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_killed_twenty_times_at_random_moments(tmp_path: Path) -> None:
    """The verdicts are those of an undisturbed evaluation."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_TWENTY_TIMES, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_screening_says_nothing_of_autoattack(make_run: MakeRun) -> None:
    outcomes = compute_outcomes(make_run(tier="screen"))
    assert (outcomes.rows["autoattack"] == NOT_RUN).all()
    assert outcomes.provenance.tier == "screen"


def test_the_reference_engine_is_named(make_run: MakeRun, quick: AutoAttackSettings) -> None:
    threat = Threat(epsilon=0.03, step=0.0075)
    run = replace(make_run(), threat=threat, evaluation=Evaluation(pgd_step=threat.step, engine="reference"))
    evaluation = compute_outcomes(run, settings=quick).provenance.description["protocol"]["evaluation"]
    assert evaluation["engine"] == "reference"
