"""`fairbench verify`: an honest file is confirmed, a tampered one is found, a stranger's code is never run unasked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from fairbench.identity import content_key
from fairbench.outcomes.provenance import Provenance
from fairbench.outcomes.receipt import outcomes_sha256, read_receipt, receipt_file
from fairbench.outcomes.store import Outcomes, no_rows, read_outcomes, write_outcomes
from fixture_types import Cli

FILE = Path("results/tiny/external-mine/seed0.parquet")
RECEIPT = receipt_file(FILE)
MODEL = ("--model", "models.py:linear", "--checkpoint", "weights.pt")
VERIFY = ("verify", FILE, "--dataset", "tiny.npz", *MODEL)


def words(done: Result) -> str:
    """The output as one line."""
    return " ".join(done.output.split())


@pytest.fixture
def submit(cli: Cli) -> Callable[..., Provenance]:
    """Evaluates the model of the folder."""

    def call(*options: str) -> Provenance:
        done = cli("evaluate", "--dataset", "tiny.npz", "--name", "mine", *MODEL, "--eps", "0.15", *options)
        assert done.exit_code == 0, done.output
        return read_outcomes(FILE).provenance

    return call


def rewrite(**changes: Any) -> None:
    """The file with other facts about its origin."""
    outcomes = read_outcomes(FILE)
    write_outcomes(FILE, replace(outcomes, provenance=replace(outcomes.provenance, **changes)))


@pytest.mark.parametrize(
    "options",
    [("--tier", "screen"), ("--tier", "fast"), ("--engine", "reference"), ("--mean", "0.2", "--std", "0.9")],
    ids=" ".join,
)
def test_an_honest_file_is_confirmed(cli: Cli, submit: Callable[..., Provenance], options: tuple[str, ...]) -> None:
    """In every tier, by either engine, with the normalisation that it was evaluated with."""
    submit(*options)
    done = cli(*VERIFY, *(options if options[0] == "--mean" else ()))
    assert done.exit_code == 0, done.output
    assert f"{FILE}: attacking all images again." in words(done)
    assert "Every verdict on 30 images is confirmed." in words(done)
    assert "other" not in words(done).partition("confirmed.")[2]


def test_a_sample_is_drawn_anew_every_time(cli: Cli, submit: Callable[..., Provenance]) -> None:
    """Who knew it could be honest about it alone; it is printed, and can be drawn again."""
    submit("--tier", "screen")
    outputs = [words(cli(*VERIFY, "--limit", 6)) for _ in range(2)]
    assert outputs[0] != outputs[1]
    assert all("attacking 6 of 30 images (--seed " in output for output in outputs)
    assert all("Every verdict on 6 images is confirmed. At most 13 of the other 24" in output for output in outputs)
    seed = outputs[0].partition("(--seed ")[2].partition(")")[0]
    assert words(cli(*VERIFY, "--limit", 6, "--seed", seed)) == outputs[0]


def test_a_tampered_file_is_found(cli: Cli, submit: Callable[..., Provenance]) -> None:
    """Broken images that were made robust: the exit code, a table with names, and what to think of it."""
    submit()
    outcomes = read_outcomes(FILE)
    rows = outcomes.rows.copy()
    broken = rows["broken_by"].str.startswith("apgd")
    rows.loc[broken, "autoattack"] = rows["label"]
    rows.loc[broken, "broken_by"] = ""
    write_outcomes(FILE, replace(outcomes, rows=rows))
    done = cli(*VERIFY)
    assert done.exit_code == 1
    count = int(broken.sum())
    assert count > 5
    assert f"{count} verdicts on {count} of 30 images disagree; {count} of them speak for the submission" in words(done)
    assert "[red]apple" in done.output
    assert "more are another model, other images or other settings" in words(done)


def test_another_checkpoint_is_noted_and_found(cli: Cli, submit: Callable[..., Provenance]) -> None:
    submit("--tier", "screen")
    torch.save({"1.weight": -torch.eye(3).repeat_interleave(16, dim=1), "1.bias": torch.zeros(3)}, "weights.pt")
    done = cli(*VERIFY)
    assert done.exit_code == 1
    assert "Note: weights.pt is not the file that was evaluated (SHA-256 " in words(done)
    assert "The first 20 are shown." in words(done)


def test_a_verdict_that_is_missing_has_no_class(cli: Cli, submit: Callable[..., Provenance]) -> None:
    submit()
    outcomes = read_outcomes(FILE)
    write_outcomes(FILE, replace(outcomes, rows=outcomes.rows.assign(autoattack=np.int16(-1))))
    done = cli(*VERIFY)
    assert done.exit_code == 1
    assert "not attacked" in done.output


def test_ctrl_c(cli: Cli, submit: Callable[..., Provenance], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: Any, **_given: Any) -> None:
        raise KeyboardInterrupt

    submit("--tier", "screen")
    monkeypatch.setattr("fairbench.external.verification.screen", interrupted)
    done = cli(*VERIFY)
    assert done.exit_code == 130
    assert "Interrupted. Nothing is kept of a verification; the same command begins again." in words(done)


def test_a_receipt_is_recorded_for_the_board(cli: Cli, submit: Callable[..., Provenance]) -> None:
    """Only if asked for; the board then says so, until the file changes."""
    provenance = submit("--tier", "screen")
    done = cli(*VERIFY, "--limit", 6, "--seed", 5)
    assert "Not recorded; with --record the board shows it." in words(done)
    assert not RECEIPT.exists()
    done = cli(*VERIFY, "--limit", 6, "--seed", 5, "--record")
    assert done.exit_code == 0, done.output
    assert f"Recorded in {RECEIPT}; `fairbench report` shows it." in words(done)
    receipt = read_receipt(RECEIPT)
    assert receipt.outcomes == outcomes_sha256(FILE)
    assert receipt.weights == provenance.checkpoints["selected"] == outcomes_sha256(Path("weights.pt"))
    assert (receipt.seed, receipt.attacked, receipt.disagreements, receipt.overstated) == (5, [2, 2, 2], 0, 0)
    assert (receipt.device, receipt.versions) == ("cpu", provenance.versions)
    assert cli("report").exit_code == 0
    assert 'data-verified="yes"' in Path("site/index.html").read_text(encoding="utf-8")
    rewrite(source="another tree")
    done = cli("report")
    assert done.exit_code == 1
    assert "Left out: tiny/external-mine/seed0.verified.json speaks of another seed0.parquet" in words(done)
    assert 'data-verified="no"' in Path("site/index.html").read_text(encoding="utf-8")


def test_what_is_found_against_a_file_is_recorded_too(cli: Cli, submit: Callable[..., Provenance]) -> None:
    submit("--tier", "screen")
    torch.save({"1.weight": -torch.eye(3).repeat_interleave(16, dim=1), "1.bias": torch.zeros(3)}, "weights.pt")
    done = cli(*VERIFY, "--record")
    assert done.exit_code == 1
    receipt = read_receipt(RECEIPT)
    assert 20 < receipt.disagreements <= 60
    assert 0 < receipt.overstated < receipt.disagreements
    assert receipt.weights != read_outcomes(FILE).provenance.checkpoints["selected"]
    assert cli("report").exit_code == 0, "a contradicted file is still a file"
    page = Path("site/index.html").read_text(encoding="utf-8")
    assert f"{receipt.disagreements} of 60 verdicts differ" in page
    assert 'data-verified="no"' in page


def test_a_folder_that_cannot_be_written_is_said_first(
    cli: Cli, submit: Callable[..., Provenance], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any, **_given: Any) -> None:
        raise OSError(28, "No space left on device")

    submit("--tier", "screen")
    monkeypatch.setattr("fairbench.atomic.tempfile.TemporaryFile", full)
    done = cli(*VERIFY, "--record")
    assert done.exit_code == 2
    assert "Cannot write into results/tiny/external-mine: No space left on device." in words(done)
    assert "attacking" not in done.output
    assert "is confirmed" in words(cli(*VERIFY)), "nothing is written without --record"


class TestRefused:
    @pytest.fixture(autouse=True)
    def submission(self, submit: Callable[..., Provenance]) -> None:
        """A file to refuse."""
        submit("--tier", "screen")

    def refused(self, done: Result) -> str:
        assert done.exit_code == 2, done.output
        assert isinstance(done.exception, SystemExit)
        return words(done)

    def test_code_of_the_author_is_not_run_unasked(self, cli: Cli) -> None:
        done = cli("verify", FILE, "--dataset", "tiny.npz")
        said = self.refused(done)
        assert "names the model 'models.py:linear', which is code of its author; if you trust it, give it with" in said

    @pytest.mark.parametrize(
        ("dataset", "said"),
        [
            ("", "was evaluated on a file with the SHA-256"),
            ("digits", "--dataset digits is not the submission's file"),
            ("other.npz", "--dataset other.npz is not the submission's file, which has the SHA-256"),
            ("nowhere.npz", "Cannot read the dataset nowhere.npz: No such file"),
        ],
    )
    def test_another_dataset(self, cli: Cli, dataset: str, said: str) -> None:
        np.savez("other.npz", test_images=np.zeros((30, 4, 4, 3), np.uint8), test_labels=np.arange(30) % 3)
        assert said in self.refused(cli("verify", FILE, "--dataset", dataset, *MODEL))

    def test_another_built_in_dataset(self, cli: Cli) -> None:
        """Also if the submission has more images than its dataset."""
        description = read_outcomes(FILE).provenance.description
        description["protocol"]["dataset"] = {"name": "digits", "image_size": 0, "sha256": ""}
        rewrite(description=description)
        assert "--dataset tiny.npz is not the submission's dataset, digits." in self.refused(cli(*VERIFY))
        outcomes = read_outcomes(FILE)
        rows = outcomes.rows.assign(index=(outcomes.rows["index"] + 539).astype("int32"))
        description["external"]["images"] = content_key({"indices": rows["index"].tolist()})
        described = replace(outcomes.provenance, description=description)
        write_outcomes(FILE, Outcomes(rows=rows, provenance=described))
        assert "digits has no test image 539; there are 539." in self.refused(cli("verify", FILE, *MODEL))

    @pytest.mark.parametrize("size", ["8", -1, None])
    def test_images_of_no_size(self, cli: Cli, size: Any) -> None:
        description = read_outcomes(FILE).provenance.description
        description["protocol"]["dataset"]["image_size"] = size
        rewrite(description=description)
        assert f"resized its images to {size!r} pixels, which is no size." in self.refused(cli(*VERIFY))

    def test_an_architecture_without_its_weights(self, cli: Cli) -> None:
        description = read_outcomes(FILE).provenance.description
        description["external"]["model"] = "digits-cnn"
        rewrite(description=description)
        said = self.refused(cli("verify", FILE, "--dataset", "tiny.npz"))
        assert "The model digits-cnn needs its weights: give the file with --checkpoint." in said

    def test_a_failed_run(self, cli: Cli) -> None:
        provenance = read_outcomes(FILE).provenance
        failed = replace(provenance, status="failed", reason="The loss is NaN.")
        write_outcomes(FILE, Outcomes(rows=no_rows(), provenance=failed))
        assert "This run failed (The loss is NaN.); it has no verdicts to verify." in self.refused(cli(*VERIFY))

    @pytest.mark.parametrize("kept", [0, 100, -1])
    def test_a_truncated_file(self, cli: Cli, kept: int) -> None:
        FILE.write_bytes(FILE.read_bytes()[:kept])
        assert "seed0.parquet is not a readable parquet file" in self.refused(cli(*VERIFY))

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--limit", "0"), "0 is not in the range x>=1"),
            (("--device", "gpu"), "--device gpu is not available; available here: auto, cpu"),
            (("--std", "1"), "--mean and --std go together"),
            (("--model", "models.py:five"), "does not fit the model"),
        ],
    )
    def test_options_that_cannot_be_meant(self, cli: Cli, options: tuple[str, str], said: str) -> None:
        assert said in self.refused(cli(*VERIFY, *options))


def test_a_run_of_ours_is_verified_by_its_checkpoint_alone(cli: Cli, tmp_path: Path) -> None:
    """The file says which architecture, which dataset and which threat."""
    suite = tmp_path / "short.toml"
    suite.write_text(
        'model = "digits-cnn"\nteacher = "digits-cnn"\n[dataset]\nname = "digits"\nvalidation = "1/7"\n'
        "[threat]\nepsilon = 0.15\nstep = 0.075\nsteps = 1\n[recipe]\nepochs = 1\ncrop_padding = 1\nflip = false\n"
        '[evaluation]\ntier = "screen"\npgd_steps = 3\npgd_step = 0.05\n'
    )
    done = cli("run-all", "--suite", suite, "--method", "pgd-at", "--seed", 0, "--jobs", 1)
    assert done.exit_code == 0, done.output
    (checkpoint,) = Path("runs").glob("short/pgd-at/seed0-*/selected.safetensors")
    done = cli("verify", "results/short/pgd-at/seed0.parquet", "--checkpoint", checkpoint, "--limit", 50)
    assert done.exit_code == 0, done.output
    assert "Every verdict on 50 images is confirmed." in words(done)
