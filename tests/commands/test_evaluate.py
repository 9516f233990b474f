"""`fairbench evaluate`: every form, what it writes, and one clear sentence for whatever is wrong."""

import os
import pickle
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from torch import nn

from fairbench import load_suite
from fairbench.attacks.autoattack import AutoAttack
from fairbench.boards.building import build_boards
from fairbench.models import build_model
from fairbench.models.checkpoint import save_weights
from fairbench.outcomes.metrics import class_accuracies
from fairbench.outcomes.provenance import attacks_of
from fairbench.outcomes.radii import accuracies_by_radius
from fairbench.outcomes.store import read_outcomes, write_outcomes
from fairbench.outcomes.tried import hardest_accuracies
from fairbench.outcomes.work_folder import WorkFolder
from fairbench.protocol.suite import protocol_description
from fixture_types import Cli

MINE = (
    "evaluate",
    "--dataset",
    "tiny.npz",
    "--name",
    "mine",
    "--model",
    "models.py:linear",
    "--checkpoint",
    "weights.pt",
)
FILE = Path("results/tiny/external-mine/seed0.parquet")
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def words(done: Result) -> str:
    """The output as one line."""
    return " ".join(done.output.split())


CORNERS = """
def random_corners(model, images, labels, threat, noise):
    return images + threat.epsilon * (2 * noise.uniform("corner") - 1).sign()
"""


class TestFurtherAttacks:
    def test_built_in_ones_and_those_of_a_file(self, cli: Cli, tmp_path: Path) -> None:
        """All other columns are as without them, and another code is another key."""
        (tmp_path / "mine.py").write_text(CORNERS)
        settings = ("--eps", "0.15", "--attack", "pgd20")
        plain = cli(*MINE, *settings, "--name", "plain")
        done = cli(
            *MINE, *settings, "--attack", "targeted:steps=5", "--plugin", "mine.py", "--attack", "random-corners"
        )
        assert (plain.exit_code, done.exit_code) == (0, 0), done.output
        assert "What else was tried" in done.output
        assert "PGD-20 and all in its ball" in done.output
        outcomes = read_outcomes(FILE)
        assert set(outcomes.provenance.tried) == set(attacks_of(outcomes.provenance))
        assert attacks_of(outcomes.provenance)[0] == "targeted:steps=5"
        before = read_outcomes(FILE.parents[1] / "external-plain" / "seed0.parquet").rows
        assert outcomes.rows[list(before)].equals(before)
        hardest = hardest_accuracies(outcomes, "pgd20").correct
        assert (hardest <= class_accuracies(outcomes.rows, 3, "pgd20").correct).all()
        (tmp_path / "mine.py").write_text(CORNERS + "# edited")
        again = cli(
            *MINE, *settings, "--attack", "targeted:steps=5", "--plugin", "mine.py", "--attack", "random-corners"
        )
        assert again.exit_code == 2
        assert "holds the outcomes of another evaluation (other settings)" in words(again)

    def test_images_that_somebody_found(self, cli: Cli, tmp_path: Path) -> None:
        """One within the ball and one far outside of it, which breaks nothing once it is moved inside."""
        with np.load(tmp_path / "tiny.npz") as tiny:
            images = tiny["test_images"].astype(np.float64) / 255
        corner = np.clip(images[2] + 0.15 * np.array([1, 1, -1]), 0, 1)
        np.savez(tmp_path / "found.npz", images=np.stack([corner, images[1]]), indices=[2, 0])
        done = cli(*MINE, "--eps", "0.15", "--attack", "pgd20", "--adversarial", "found.npz")
        assert done.exit_code == 0, done.output
        outcomes = read_outcomes(FILE)
        (text,) = attacks_of(outcomes.provenance)
        assert text.startswith("submitted#")
        rows = outcomes.rows
        found = rows[f"tried:{text}"].to_numpy()
        assert (found != rows["clean"].to_numpy()).nonzero()[0].tolist() == [2]
        assert outcomes.provenance.tried[text]["unverified"] == 1
        assert "submitted" in done.output

    def test_what_does_not_exist_is_a_sentence(self, cli: Cli) -> None:
        done = cli(*MINE, "--attack", "targetted")
        assert done.exit_code == 2
        assert "Unknown attack 'targetted'. Did you mean 'targeted'?" in words(done)

    def test_they_are_listed(self, cli: Cli) -> None:
        assert "pgd-restarts" in cli("list", "attacks").output


class TestForms:
    def test_a_factory_in_a_file_with_a_checkpoint(self, cli: Cli) -> None:
        """The table is worst class first and shows names as they are; the file holds the verdicts and the flags."""
        done = cli(*MINE, "--eps", "0.15")
        assert done.exit_code == 0, done.output
        assert "30 test images of tiny, Linf within 0.15 = 38.25/255, tier full." in done.output
        assert f"Wrote {FILE}; `fairbench report` shows it beside the boards it fits." in done.output
        outcomes = read_outcomes(FILE)
        robust = class_accuracies(outcomes.rows, 3, "autoattack").values
        assert robust[2] < robust[1] < robust[0]
        assert done.output.index("pear") < done.output.index("lemon") < done.output.index("[red]apple")
        assert outcomes.provenance.flags["randomised"] is False
        assert outcomes.provenance.description["external"]["model"] == "models.py:linear"

    def test_an_architecture_of_ours_on_part_of_a_built_in_dataset(self, cli: Cli, tmp_path: Path) -> None:
        """The threat is that of the dataset's suite."""
        model = build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0.3,), std=(0.37,))
        save_weights(tmp_path / "w.safetensors", model.state_dict())
        given = ("evaluate", "--model", "digits-cnn", "--checkpoint", "w.safetensors", "--name", "cnn")
        done = cli(*given, "--dataset", "digits", "--limit", 20, "--attack", "pgd20")
        assert done.exit_code == 0, done.output
        assert "20 test images of digits, Linf within 0.15 = 38.25/255, tier screen." in done.output
        outcomes = read_outcomes(Path("results/digits/external-cnn/seed0.parquet"))
        assert outcomes.rows["label"].value_counts().tolist() == [2] * 10
        assert outcomes.provenance.description["protocol"]["threat"] == {"norm": "Linf", "epsilon": 0.15}
        assert "PGD-20" in done.output
        assert "AutoAttack" not in done.output

    def test_a_transform_is_a_row_of_its_own(self, cli: Cli) -> None:
        """Recorded, marked as a reconstruction, and repeated by `verify` without being asked."""
        settings = ("--eps", "0.15", "--attack", "pgd20", "--transform", "head-norm:0.5")
        done = cli(*MINE, *settings)
        assert done.exit_code == 0, done.output
        provenance = read_outcomes(FILE).provenance
        assert provenance.description["external"]["transform"] == "head-norm:0.5"
        assert provenance.card["reconstruction"] is True
        assert "head-norm:0.5: they went from 4 to 4" in " ".join(provenance.warnings)
        verified = cli("verify", FILE, "--dataset", "tiny.npz", "--model", "models.py:linear", *MINE[-2:])
        assert "Every verdict on 30 images is confirmed." in words(verified)
        plain = cli(*MINE, *settings[:-2])
        assert plain.exit_code == 2
        assert "holds the outcomes of another evaluation (other transform)" in words(plain)

    def test_several_radii_are_a_curve(self, cli: Cli) -> None:
        """In the same file; who asks for less afterwards has it, and who asks for more goes on."""
        done = cli(*MINE, "--eps", "0.15", "--eps", "0.3", "--eps", "0.05", "--attack", "pgd20")
        assert done.exit_code == 0, done.output
        assert "Linf within 0.3 = 76.5/255" in done.output
        assert "Every class is judged within 0.05, 0.15 and 0.3 as well." in done.output
        outcomes = read_outcomes(FILE)
        found = accuracies_by_radius(outcomes)
        assert list(found) == [0.0, 0.05, 0.15, 0.3]
        assert all((low.correct >= high.correct).all() for low, high in pairwise(found.values()))
        assert np.array_equal(found[0.3].correct, class_accuracies(outcomes.rows, 3, "pgd20").correct)
        assert "Robust accuracy by radius" in done.output
        assert "half left at" in done.output
        less = cli(*MINE, "--eps", "0.3", "--attack", "pgd20")
        assert "Nothing to do" in less.output
        more = cli(*MINE, "--eps", "0.15", "--eps", "0.2", "--eps", "0.3", "--eps", "0.05", "--attack", "pgd20")
        assert more.exit_code == 0, more.output
        assert list(accuracies_by_radius(read_outcomes(FILE))) == [0.0, 0.05, 0.15, 0.2, 0.3]

    def test_the_usual_radius_is_what_a_curve_stands_on_boards_with(self, cli: Cli, tmp_path: Path) -> None:
        model = build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0.3,), std=(0.37,))
        save_weights(tmp_path / "w.safetensors", model.state_dict())
        given = ("evaluate", "--model", "digits-cnn", "--checkpoint", "w.safetensors", "--name", "cnn")
        done = cli(*given, "--dataset", "digits", "--limit", 20, "--attack", "pgd20", "--eps", 0.3, "--eps", 0.15)
        assert done.exit_code == 0, done.output
        assert "Linf within 0.15" in done.output

    @pytest.mark.parametrize("radii", [("0.1", "0.1"), ("0", "0.1")])
    def test_a_curve_has_different_radii_above_zero(self, cli: Cli, radii: tuple[str, ...]) -> None:
        done = cli(*MINE, *(word for radius in radii for word in ("--eps", radius)))
        assert done.exit_code == 2
        assert "allowed for a curve: different radii above 0" in words(done)

    def test_an_l2_ball_and_the_reference_engine(self, cli: Cli) -> None:
        done = cli(*MINE, "--norm", "L2", "--eps", "0.5", "--engine", "reference", "--seed", 3)
        assert done.exit_code == 0, done.output
        assert "L2 within 0.5 = 127.5/255" in done.output
        provenance = read_outcomes(FILE.with_name("seed3.parquet")).provenance
        assert provenance.description["protocol"]["threat"] == {"norm": "L2", "epsilon": 0.5}
        assert provenance.description["protocol"]["evaluation"]["engine"] == "reference"

    def test_a_normalisation_that_the_network_lacks(self, cli: Cli) -> None:
        done = cli(*MINE, "--tier", "screen", "--mean", "0.5", "--std", "0.25")
        assert done.exit_code == 0, done.output
        assert "mine: Images are normalised as given" in done.output
        assert read_outcomes(FILE).provenance.warnings[-1].startswith("Images are normalised as given")

    def test_an_epsilon_of_zero_leaves_the_clean_accuracy(self, cli: Cli) -> None:
        assert cli(*MINE, "--eps", "0").exit_code == 0
        rows = read_outcomes(FILE).rows
        assert (rows["autoattack"] == rows["clean"]).all()

    def test_a_model_that_returns_nan_is_a_result(self, cli: Cli) -> None:
        done = cli("evaluate", "--dataset", "tiny.npz", "--name", "nan", "--model", "models.py:Diverged")
        assert done.exit_code == 0, done.output
        assert "Images with infinite or NaN logits, which count as broken: 30." in done.output


def test_what_a_model_raises_is_a_sentence(cli: Cli) -> None:
    """With the place in its code; a traceback is for those who ask Python for it."""
    done = cli("evaluate", "--dataset", "tiny.npz", "--name", "mine", "--model", "models.py:Picky")
    assert done.exit_code == 2
    assert "Its code raised ValueError: no such colours (" in words(done)
    assert "models.py, line" in words(done)
    assert not FILE.exists()


def test_logits_in_another_order_are_remarked_on(cli: Cli) -> None:
    """All looks well but the numbers; the remark is shown, and kept for the page."""
    with Path("models.py").open("a") as file:
        file.write(
            "\nclass Rolled(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.net = linear()\n    def forward(self, images):\n        return self.net(images).roll(1, 1)\n"
        )
    torch.save({f"net.{name}": tensor for name, tensor in torch.load("weights.pt").items()}, "weights.pt")
    done = cli(*MINE[:-3], "models.py:Rolled", *MINE[-2:], "--tier", "screen")
    assert done.exit_code == 0, done.output
    assert "is not above chance (33.3%). Check that its logits have the order of the classes" in words(done)
    (remark,) = [warning for warning in read_outcomes(FILE).provenance.warnings if "chance" in warning]
    assert "normalised as in its training" in remark
    assert "chance" not in cli(*MINE, "--tier", "screen", "--results", "straight").output


class TestAgain:
    def test_nothing_is_computed_twice(self, cli: Cli) -> None:
        first = cli(*MINE, "--tier", "screen")
        written = FILE.stat().st_mtime_ns
        second = cli(*MINE, "--tier", "screen")
        assert second.exit_code == 0
        assert f"Nothing to do: {FILE} holds these outcomes." in second.output
        table = first.output.partition("┏")[2].partition("┘")[0]
        assert table
        assert table in second.output
        assert FILE.stat().st_mtime_ns == written

    def test_a_higher_tier_replaces_a_lower_one_under_the_same_name(self, cli: Cli) -> None:
        for tier in ("screen", "fast", "full"):
            assert cli(*MINE, "--eps", "0.15", "--tier", tier).exit_code == 0
        assert read_outcomes(FILE).provenance.tier == "full"
        back = cli(*MINE, "--eps", "0.15", "--tier", "screen")
        assert back.exit_code == 2
        assert "holds these outcomes in tier full, which goes further than screen. Choose another name" in words(back)

    def test_an_edited_factory_is_another_model(self, cli: Cli) -> None:
        """The weights are those of before, but what is done with them may not be."""
        cli(*MINE, "--tier", "screen")
        with Path("models.py").open("a") as file:
            file.write("\n# edited\n")
        done = cli(*MINE, "--tier", "screen")
        assert done.exit_code == 2
        assert f"{FILE} holds the outcomes of another evaluation (other code). Choose another name" in words(done)

    def test_ctrl_c_keeps_what_was_found(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same command goes on from there, to the verdicts of an undisturbed run."""
        genuine = AutoAttack.attack

        def interrupted(self: AutoAttack, *names: str, **given: Any) -> None:
            for name in names:
                if name == "fab-t":
                    raise KeyboardInterrupt
                genuine(self, name, **given)

        monkeypatch.setattr(AutoAttack, "attack", interrupted)
        done = cli(*MINE, "--eps", "0.15")
        assert done.exit_code == 130
        assert "Interrupted. Verdicts found so far are kept; the same command goes on from here." in done.output
        assert not FILE.exists()
        monkeypatch.setattr(AutoAttack, "attack", genuine)
        assert cli(*MINE, "--eps", "0.15").exit_code == 0
        resumed = read_outcomes(FILE).rows
        assert cli(*MINE, "--eps", "0.15", "--results", "other", "--work-dir", "others").exit_code == 0
        assert resumed.equals(read_outcomes(Path("other") / FILE.relative_to("results")).rows)


MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("--name", "a/b"), "The name 'a/b' is not allowed; allowed: up to 100 letters"),
    (("--name", "it's"), "is not allowed; allowed: up to 100 letters"),
    (("--name", "🐈"), "The name '🐈' is not allowed"),
    (("--name", ""), "--model models.py:linear needs --name, which names its row"),
    (("--eps", "8/256"), "epsilon = '8/256' is not a fraction of 255"),
    (("--eps", "300"), "--eps 300 is not allowed; allowed: 0 or more, for Linf at most 1, in units of pixel values"),
    (("--eps", "-1"), "--eps -1 is not allowed"),
    (("--eps", "much"), "epsilon = 'much' is not a finite number"),
    (("--norm", "L2"), "--norm L2 needs --eps, such as --eps 0.5"),
    (("--norm", "L2", "--eps", "-0.5"), "--eps -0.5 is not allowed"),
    (("--limit", "0"), "0 is not in the range x>=1"),
    (
        ("--attack", "fgsm"),
        "Unknown attack 'fgsm'. Known: corruptions, l1-apgd, pgd-restarts, targeted. PGD",
    ),
    (("--attack", "pgd20", "--tier", "full"), "--tier full contradicts --attack, which says screen"),
    (("--engine", "reference", "--search", "bf16"), "allowed: fp32 with the reference engine"),
    (("--dataset", "tinny.npz"), "Cannot read the dataset tinny.npz: No such file"),
    (("--dataset", "digit"), "Unknown dataset 'digit'. Did you mean 'digits'?"),
    (("--dataset", "models.py"), "Images of your own are given as an .npz file."),
    (("--checkpoint", "nowhere.pt"), "File 'nowhere.pt' does not exist"),
    (("--checkpoint", "."), "File '.' is a directory"),
    (("--checkpoint", "models.py"), "models.py is no checkpoint"),
    (("--key", "ema"), "--key"),
    (("--mean", "0.5"), "--mean and --std go together"),
    (("--mean", "red", "--std", "1"), "are no normalisation; both are numbers with commas between them"),
    (("--model", "models.py:five"), "does not fit the model"),
    (("--model", "models.py:six"), "has no function 'six'; it defines: Diverged, Large, Picky, five, linear, pale"),
    (("--model", "digits-cn"), "Unknown model 'digits-cn'. Did you mean 'digits-cnn'?"),
    (("--image-size", "5"), "cannot take images of 3x5x5 (channels, height, width)"),
    (("--device", "cuda:99"), "--device cuda:99 is not available; available here: auto, cpu"),
    (("--results", "tiny.npz"), "Directory 'tiny.npz' is a file"),
]


@pytest.mark.parametrize(("given", "said"), MISTAKES, ids=[" ".join(row[0]) for row in MISTAKES])
def test_a_mistake_is_one_sentence(cli: Cli, tmp_path: Path, given: tuple[str, ...], said: str) -> None:
    """What was given, what is allowed, what to do; no traceback, nothing written."""
    options = dict(zip(MINE[1::2], MINE[2::2], strict=True)) | dict(zip(given[::2], given[1::2], strict=True))
    before = set(tmp_path.iterdir())
    done = cli("evaluate", *(part for option in options.items() for part in option))
    assert done.exit_code == 2, done.output
    assert said in words(done)
    assert isinstance(done.exception, SystemExit)
    assert set(tmp_path.iterdir()) - {tmp_path / "__pycache__"} == before


@pytest.mark.parametrize("name", ["payload.pt", "payload.pkl"])
def test_a_checkpoint_that_would_run_code_is_refused_and_has_not_run(cli: Cli, tmp_path: Path, name: str) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'it-ran'}",)

    if name.endswith(".pt"):
        torch.save({"state_dict": Payload()}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(Payload()))
    done = cli(*MINE[:-1], name)
    assert done.exit_code == 2
    assert "nothing of it was run" in words(done)
    assert not (tmp_path / "it-ran").exists()


def test_a_wrong_number_of_classes(cli: Cli) -> None:
    done = cli("evaluate", "--dataset", "tiny.npz", "--name", "five", "--model", "models.py:five")
    assert done.exit_code == 2
    assert "models.py:five distinguishes 5 classes, the dataset has 3." in words(done)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root can write: /sys")
@pytest.mark.parametrize("option", ["--results", "--work-dir"])
def test_a_folder_that_cannot_be_written(cli: Cli, option: str) -> None:
    done = cli(*MINE, option, "/sys/fairbench")
    assert done.exit_code == 2
    assert words(done).count("Error: Cannot write into /sys/fairbench") == 1


def test_a_damaged_file_of_an_earlier_call(cli: Cli) -> None:
    FILE.parent.mkdir(parents=True)
    FILE.write_bytes(b"PAR1 and then nothing")
    done = cli(*MINE)
    assert done.exit_code == 2
    assert f"{FILE} is not a readable parquet file" in words(done)
    assert FILE.read_bytes() == b"PAR1 and then nothing"


def test_a_model_that_needs_more_memory(cli: Cli) -> None:
    """It says what to change, and then works."""
    given = ("evaluate", "--dataset", "tiny.npz", "--name", "large", "--model", "models.py:Large", "--tier", "screen")
    done = cli(*given)
    assert done.exit_code == 2
    assert "large with 500 images at a time does not fit into the memory of cpu. Give a smaller --batch-size" in words(
        done
    )
    assert cli(*given, "--batch-size", 2).exit_code == 0


def test_memory_of_the_cpu_runs_out_as_that_of_a_gpu_does(cli: Cli) -> None:
    """There torch has no error of its own; whatever else a RuntimeError says is told as it is."""
    with Path("models.py").open("a") as file:
        file.write(
            "\nclass Hungry(Large):\n    def forward(self, images):\n        if len(images) > 2:\n"
            "            torch.empty(2**60)\n        return self.network(images)\n"
        )
    given = ("evaluate", "--dataset", "tiny.npz", "--name", "large", "--model", "models.py:Hungry", "--tier", "screen")
    done = cli(*given)
    assert done.exit_code == 2
    assert "does not fit into the memory of cpu. Give a smaller --batch-size" in words(done)


def test_two_processes_do_not_compute_the_same(cli: Cli) -> None:
    cli(*MINE, "--tier", "screen")
    (folder,) = Path("runs/external").iterdir()
    FILE.unlink()
    with WorkFolder(folder).lock():
        done = cli(*MINE, "--tier", "screen")
    assert done.exit_code == 2
    assert f"mine is being evaluated by another process, in {folder}; wait for it." in words(done)


class TestSeveral:
    @pytest.fixture(autouse=True)
    def zoo(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Models of the zoo are those of the file; one of them breaks down while it is attacked."""

        def zoo_model(name: str, **_given: Any) -> tuple[nn.Module, tuple[str, ...]]:
            if name == "Broken2020":

                class Broken(nn.Module):
                    def forward(self, images: torch.Tensor) -> torch.Tensor:
                        if len(images) > 2:
                            raise ValueError("mat1 and mat2\nshapes")
                        return images.flatten(1)[:, :3]

                return Broken(), ()
            return nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), ("Evaluated at 8/255; published at 0.031.",)

        monkeypatch.setattr("fairbench.external.zoo.zoo_model", zoo_model)

    def test_of_the_zoo_bring_their_names(self, cli: Cli) -> None:
        models = ("--model", "robustbench:Wong2020Fast", "--model", "robustbench:Rice2020Overfitting")
        done = cli("evaluate", "--dataset", "tiny.npz", "--tier", "screen", *models)
        assert done.exit_code == 0, done.output
        assert {path.name for path in Path("results/tiny").iterdir()} == {
            "external-Wong2020Fast",
            "external-Rice2020Overfitting",
        }
        assert "Wong2020Fast: Evaluated at 8/255; published at 0.031." in done.output

    def test_one_failure_does_not_stop_the_others(self, cli: Cli) -> None:
        models = ("--model", "robustbench:Broken2020", "--model", "robustbench:Wong2020Fast")
        done = cli("evaluate", "--dataset", "tiny.npz", "--tier", "screen", *models)
        assert done.exit_code == 1
        assert "Broken2020: Its code raised ValueError: mat1 and mat2" in done.output
        assert "1 of 2 models have no outcomes: Broken2020." in done.output
        assert Path("results/tiny/external-Wong2020Fast/seed0.parquet").exists()

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (("--name", "a"), "--name, --checkpoint, --mean and --std are for a single --model"),
            (("--checkpoint", "weights.pt"), "are for a single --model; evaluate them one by one"),
            (("--model", "robustbench:A"), "The same --model is given twice."),
            (("--model", "models.py:linear"), "--model models.py:linear needs --name"),
        ],
    )
    def test_are_not_given_what_is_for_one(self, cli: Cli, given: tuple[str, ...], said: str) -> None:
        done = cli("evaluate", "--dataset", "tiny.npz", "--model", "robustbench:A", "--model", "robustbench:B", *given)
        assert done.exit_code == 2
        assert said in words(done)


def test_outcomes_land_on_the_board_of_their_dataset(cli: Cli, tmp_path: Path) -> None:
    """Beside the rows of a suite with the same data, threat and judgement: on the page and in the terminal's table."""
    Path("net.py").write_text(
        "from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    given = ("evaluate", "--dataset", "digits", "--model", "net.py:net", "--tier", "screen")
    assert cli(*given, "--name", "mine").exit_code == 0
    assert cli(*given, "--name", "elsewhere", "--eps", "0.1").exit_code == 0
    external = read_outcomes(Path("results/digits/external-mine/seed0.parquet"))
    suite = load_suite("digits")
    suite = replace(suite, evaluation=replace(suite.evaluation, tier="screen"))
    description = {
        "protocol": protocol_description(suite, dataset_digest=""),
        "method": "trades",
        "parameters": {},
        "seed": 0,
        "prerequisites": {},
    }
    trained = replace(external.provenance, role="method", method="trades", label="trades", description=description)
    write_outcomes(Path("results/digits/trades/seed0.parquet"), replace(external, provenance=trained))
    found = build_boards(tmp_path / "results")
    assert not found.problems
    board, other = found.boards
    assert [row.label for row in board.external] == ["external-mine"]
    assert [row.label for row in board.unranked] == ["trades"]
    assert [row.label for row in other.external] == ["external-elsewhere"]
    assert cli("report").exit_code == 0
    page = Path("site/index.html").read_text(encoding="utf-8")
    assert "mine (trained elsewhere)" in page
    assert "the weights are those that the factory gave" in page


def test_a_test_set_alone_is_enough(cli: Cli) -> None:
    """And where its labels leave classes out, their names say how many there are."""
    images = np.zeros((4, 4, 4, 3), np.uint8)
    np.savez("gap.npz", test_images=images, test_labels=[0, 2, 2, 0])
    given = ("--name", "mine", "--model", "models.py:linear", "--tier", "screen")
    done = cli("evaluate", "--dataset", "gap.npz", *given)
    assert done.exit_code == 2
    assert "or any of them with an array 'class_names'" in words(done)
    np.savez("gap.npz", test_images=images, test_labels=[0, 2, 2, 0], class_names=["a", "b", "c"])
    done = cli("evaluate", "--dataset", "gap.npz", *given)
    assert done.exit_code == 0, done.output
    assert "no data" in done.output


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared folder with published checkpoints")
def test_a_published_checkpoint(cli: Cli) -> None:
    """TRADES on MNIST: 99.48 % clean and 95 % under PGD-20 at 0.3, of the whole test set."""
    data = np.load(SHARED / "mnist" / "mnist_test.npz")
    np.savez("mnist.npz", test_images=data["images"], test_labels=data["labels"].astype(np.int64))
    zoo, weights = SHARED / "models" / "zoo.py", SHARED / "models" / "trades_mnist_smallcnn.pt"
    given = ("evaluate", "--dataset", "mnist.npz", "--eps", "0.3", "--tier", "screen", "--limit", 200)
    done = cli(*given, "--name", "trades", "--model", f"{zoo}:trades_mnist", "--checkpoint", weights)
    assert done.exit_code == 0, done.output
    outcomes = read_outcomes(Path("results/mnist/external-trades/seed0.parquet"))
    assert class_accuracies(outcomes.rows, 10, "clean").values.mean() > 0.98
    assert class_accuracies(outcomes.rows, 10, "pgd20").values.mean() > 0.9
    assert outcomes.provenance.description["external"]["model"] == "zoo.py:trades_mnist"
