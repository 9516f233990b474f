"""`fairbench submit`: a complete bundle and the text of its request, or what is missing, in sentences."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file

from fairbench.identity import file_sha256
from fairbench.outcomes.store import read_outcomes
from fixture_types import Cli

BUNDLE = Path("submissions/tiny/smooth-at")


def words(done: Result) -> str:
    return " ".join(done.output.split())


def missing(done: Result) -> str:
    assert done.exit_code == 1, done.output
    assert "Nothing was written: a keeper would refuse this." in words(done)
    assert not list(Path("submissions").glob("*/*")), "not even a part"
    return words(done)


def test_a_method_of_ones_own(submit_method: Cli) -> None:
    """Outcomes, weights, the plug-in with what it imports, and who submits: from the card."""
    done = submit_method()
    assert done.exit_code == 0, done.output
    assert "passes every check that attacks nothing" in words(done)
    files = {path.relative_to(BUNDLE).as_posix() for path in BUNDLE.rglob("*") if path.is_file()}
    per_seed = {name for k in range(3) for name in (f"seed{k}.parquet", f"weights/seed{k}.safetensors")}
    assert files == {"submission.json", "code/mine.py", "code/helper.py", *per_seed}
    said = json.loads((BUNDLE / "submission.json").read_text(encoding="utf-8"))
    assert (said["by"], said["link"], said["licence"]) == ("A. Stranger", "https://example.org/smooth", "MIT")
    for run in said["runs"]:
        provenance = read_outcomes(BUNDLE / f"seed{run['seed']}.parquet").provenance
        assert run["weights"] == provenance.checkpoints["selected"]
        assert run["weights"] == file_sha256(BUNDLE / f"weights/seed{run['seed']}.safetensors")
    text = Path("submissions/tiny-smooth-at.md").read_text(encoding="utf-8")
    assert text.startswith("# Add Smooth AT to tiny\n")
    assert "| **smooth-at** | new → " in text
    assert "| pgd-at | 1" in text, "the row that is there, before and after"


def test_work_folders_do_as_well(desk: Cli) -> None:
    folders = sorted(Path("runs/tiny/smooth-at").glob("seed*"))
    done = desk("submit", *folders, "--suite", "tiny.toml", "--dataset", "tiny.npz", "--plugin", "mine.py")
    assert done.exit_code == 0, done.output


def test_a_foreign_checkpoint_becomes_safetensors(submit_flat: Cli) -> None:
    """Its tensors, by their own names; the file that was evaluated was a pickle."""
    done = submit_flat()
    assert done.exit_code == 0, done.output
    folder = Path("submissions/tiny/external-flat")
    weights = load_file(folder / "weights" / "seed0.safetensors")
    assert sorted(weights) == ["module.1.bias", "module.1.weight"]
    assert (folder / "code" / "network.py").read_text(encoding="utf-8").startswith("\nfrom torch import nn")
    text = Path("submissions/tiny-external-flat.md").read_text(encoding="utf-8")
    assert "was trained elsewhere: it stands beside the board of tiny without a rank" in text


def test_an_architecture_of_ours(submit_plain: Cli) -> None:
    done = submit_plain()
    assert done.exit_code == 0, done.output
    assert not Path("submissions/tiny/external-plain/code").exists()


def test_what_a_killed_command_left_is_swept(submit_method: Cli) -> None:
    stray = Path("submissions/tiny/.smooth-at.abc.bundle")
    (stray / "smooth-at" / "weights").mkdir(parents=True)
    assert submit_method().exit_code == 0
    assert [path.name for path in stray.parent.iterdir()] == ["smooth-at"]


def test_it_replaces_nothing(submit_method: Cli) -> None:
    assert submit_method().exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in BUNDLE.rglob("*")}
    done = submit_method()
    assert done.exit_code == 2
    assert "submissions/tiny/smooth-at exists; remove it, or choose another folder with --to." in words(done)
    assert {path: path.stat().st_mtime_ns for path in BUNDLE.rglob("*")} == before


def test_no_network_is_used(submit_method: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_arguments: object) -> None:
        raise AssertionError("somebody connects")

    monkeypatch.setattr("socket.socket.connect", connect)
    assert submit_method().exit_code == 0


def test_two_seeds_are_no_row(desk: Cli) -> None:
    files = [f"results/tiny/smooth-at/seed{k}.parquet" for k in (0, 1)]
    said = missing(desk("submit", *files, "--suite", "tiny.toml", "--dataset", "tiny.npz", "--plugin", "mine.py"))
    assert "Missing: The row would have no rank: 2 of the 3 seeds that a rank needs." in said


def test_a_plug_in_that_was_edited_since(submit_method: Cli) -> None:
    """What trained is what is published, helper included."""
    Path("helper.py").write_text("def softened(losses, smoothing):\n    return losses.mean()\n", encoding="utf-8")
    assert "Seed 0 was made with code of another SHA-256 than that of code/mine.py" in missing(submit_method())


def test_another_suite_file(submit_method: Cli) -> None:
    text = Path("tiny.toml").read_text(encoding="utf-8")
    Path("tiny.toml").write_text(text.replace("epsilon = 0.1", "epsilon = 0.11"), encoding="utf-8")
    said = missing(submit_method())
    assert "made under another protocol than tiny is today; differing: threat.epsilon. Run it again." in said


def test_other_weights_than_those_that_were_judged(submit_flat: Cli) -> None:
    assert submit_flat("--mean", "0.5", "--std", "0.5").exit_code == 1
    weights = {"1.weight": torch.ones(3, 192), "1.bias": torch.zeros(3)}
    torch.save(weights, "weights.pt")
    done = submit_flat()
    assert done.exit_code == 2
    assert "is neither in runs nor among the files given. Give it with --checkpoint FILE" in words(done)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say which runs: outcome files, the folder of a row"),
        (("results",), "results is no run: give outcome files, the folder of a row such as results/digits/trades"),
        (
            ("results/tiny/smooth-at", "results/tiny/pgd-at"),
            "A submission is one row, and these are 2: tiny/pgd-at, tiny/",
        ),
        (("results/tiny/smooth-at",), "smooth-at was trained from mine.py; give that file with --plugin FILE."),
        (("results/tiny/external-flat",), "Give it with --checkpoint FILE; outcomes without their weights cannot"),
        (("results/tiny/external-plain", "--checkpoint", "ours.safetensors"), "give --by, --link, --licence"),
        (
            ("results/tiny/smooth-at", "--plugin", "mine.py"),
            "The suite 'tiny' does not ship; give its file with --suite FILE.toml.",
        ),
        (("results/tiny/pgd-at", "--mean", "1"), "--mean and --std go together"),
    ],
)
def test_what_cannot_be_submitted(desk: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = desk("submit", *arguments)
    assert done.exit_code in (1, 2), done.output
    assert isinstance(done.exception, SystemExit)
    assert said in words(done), done.output
    assert not list(Path("submissions").glob("*/*"))


def test_a_row_of_ours_needs_no_plug_in(desk: Cli) -> None:
    """Its card speaks of the method's authors, so that whoever submits the weights signs for them."""
    arguments = ("submit", "results/tiny/pgd-at", "--suite", "tiny.toml", "--dataset", "tiny.npz")
    assert "give --by, --link, --licence." in words(desk(*arguments))
    done = desk(*arguments, "--by", "A. Stranger", "--link", "https://example.org", "--licence", "MIT")
    assert done.exit_code == 0, done.output
