"""`fairbench review`: honest bundles are accepted, with a receipt; hostile and broken ones refused, and none is run."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file, save_file

from fairbench.identity import content_key, file_sha256
from fairbench.outcomes.receipt import read_receipt
from fairbench.outcomes.store import read_outcomes, write_outcomes
from fixture_types import Cli

METHOD, PLAIN, FLAT = (Path("submissions/tiny") / name for name in ("smooth-at", "external-plain", "external-flat"))
GIVEN = ("--dataset", "tiny.npz", "--suite", "tiny.toml", "--results", "empty")
PAYLOAD = Path("payload-ran")


def words(done: Result) -> str:
    return " ".join(done.output.split())


@pytest.fixture
def review(keeper: Cli) -> Cli:
    """Reviews a bundle for a board on which nothing stands yet; the keeper has the suite and the data."""
    return lambda bundle, *options: keeper("review", bundle, *GIVEN, *options)


def test_weights_of_an_architecture_of_ours_are_accepted(review: Cli) -> None:
    done = review(PLAIN, "--limit", 20, "--seed", 5, "--record")
    assert done.exit_code == 0, done.output
    assert "can be accepted" in done.output
    receipt = read_receipt(PLAIN / "seed0.verified.json")
    assert receipt.outcomes == file_sha256(PLAIN / "seed0.parquet")
    assert (receipt.seed, receipt.disagreements, receipt.overstated) == (5, 0, 0)
    assert 20 <= sum(receipt.claimed) <= 23
    assert sum(receipt.claimed) + 5 <= sum(receipt.attacked) <= sum(receipt.claimed) + 8


def test_code_is_not_run_unasked(review: Cli) -> None:
    """Although it would be harmless; with `--run-code` it is run, and the network confirmed under AutoAttack."""
    done = review(FLAT)
    assert done.exit_code == 1
    assert "It brings code, which was not run: review it with --run-code" in words(done)
    done = review(FLAT, "--run-code", "--limit", 20)
    assert done.exit_code == 0, done.output


def test_a_method_as_its_keeper_sees_it(review: Cli, keeper: Cli) -> None:
    """The checks of the method, the draw, the board before and after; then the row stands there, verified."""
    done = review(METHOD, "--run-code", "--limit", 20, "--comment", "comment.md", "--record", "--results", "results")
    assert done.exit_code == 0, done.output
    comment = Path("comment.md").read_text(encoding="utf-8")
    assert comment.startswith("## `fairbench review`: tiny/smooth-at can be accepted")
    assert "| never-sees-test-data | passed |" in comment
    assert "| **smooth-at** | new → " in comment
    assert "| pgd-at |" in comment
    assert re.search(r"\| 2 \| \d+ of 60 \| 2\d of \d+ \| 0 \| 0 \| \d+ % \|", comment)
    for path in METHOD.glob("seed*"):
        path.replace(Path("results/tiny/smooth-at") / path.name)
    done = keeper("report")
    assert done.exit_code == 0, done.output
    page = Path("site/index.html").read_text(encoding="utf-8")
    assert 'data-verified="yes"' in page
    (method,) = Path("site/methods").glob("*/smooth-at.html")
    assert re.search(r"at most [\d,]+ of [\d,]+ robust verdicts \(95 %\)", method.read_text(encoding="utf-8"))


def test_a_plug_in_that_reads_test_labels(review: Cli, keeper: Cli) -> None:
    """It trains well; the conformance checks see what it does."""
    source = Path("mine.py").read_text(encoding="utf-8")
    peeking = source.replace(
        "    def loss",
        "    def start(self):\n"
        "        from fairbench.data import loading\n"
        "        arrays = loading.load_source('digits', data_dir=None)\n"
        "        self.peeked = float(arrays.test_images.mean())\n\n"
        "    def loss",
    ).replace("self.smoothing)\n", "self.smoothing) * (1 + 0.01 * self.peeked)\n")
    Path("mine.py").write_text(peeking, encoding="utf-8")
    arguments = ("run-all", "--suite", "tiny.toml", "--method", "smooth-at", "--plugin", "mine.py", "--rerun", "always")
    assert keeper(*arguments, "--jobs", 1).exit_code == 0
    shutil.rmtree(METHOD)
    done = keeper("submit", "results/tiny/smooth-at", *GIVEN[:4], "--plugin", "mine.py")
    assert done.exit_code == 0, done.output
    done = review(METHOD, "--run-code")
    assert done.exit_code == 1
    assert "does not pass the check 'never-sees-test-data'" in words(done)


def test_a_verdict_that_was_invented_is_found(review: Cli) -> None:
    """One among those that are drawn; the comment names it. Put down to round-off, it is accepted."""
    outcomes = read_outcomes(PLAIN / "seed0.parquet")
    rows = outcomes.rows.copy()
    broken = np.flatnonzero((rows["clean"] == rows["label"]) & (rows["pgd20"] != rows["label"]))[0]
    rows.loc[broken, "pgd20"] = rows.loc[broken, "label"]
    write_outcomes(PLAIN / "seed0.parquet", replace(outcomes, rows=rows))
    name_bytes(PLAIN)
    done = review(PLAIN, "--limit", 60)
    assert done.exit_code == 1
    assert "1 verdicts speak for the submission and were not confirmed; 0 are put down to round-off, so" in words(done)
    assert f"| 0 | {broken} |" in done.output
    assert not (PLAIN / "seed0.verified.json").exists()
    assert review(PLAIN, "--limit", 60, "--tolerance", 1).exit_code == 0


def test_ctrl_c(review: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: Any, **_given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fairbench.external.verification.screen", interrupted)
    done = review(PLAIN, "--record")
    assert done.exit_code == 130
    assert not list(PLAIN.glob("*.verified.json"))


# Twenty and more bundles that are refused. Whoever made them is careful: digests of the bundle's own files are right.


def name_bytes(bundle: Path) -> None:
    """Let `submission.json` speak of the files as they are now."""
    path = bundle / "submission.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    for run in said["runs"]:
        run["outcomes"] = file_sha256(bundle / f"seed{run['seed']}.parquet")
        if run["weights"]:
            run["weights"] = file_sha256(bundle / "weights" / f"seed{run['seed']}.safetensors")
    path.write_text(json.dumps(said), encoding="utf-8")


def saying(**changes: Any) -> Callable[[Path], None]:
    """A `submission.json` that says something else."""

    def change(bundle: Path) -> None:
        path = bundle / "submission.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return change


def stored(change: Callable[[dict[str, Any]], object], *, key: bool = True) -> Callable[[Path], None]:
    """Outcomes of seed 0 that say something else of themselves, with the key that belongs to it."""

    def damage(bundle: Path) -> None:
        path = bundle / "seed0.parquet"
        table = pq.read_table(path, partitioning=None)
        said = json.loads(table.schema.metadata[b"fairbench"])
        change(said)
        if key:
            said["key"] = content_key(said["description"])
        pq.write_table(table.replace_schema_metadata({b"fairbench": json.dumps(said).encode()}), path)
        name_bytes(bundle)

    return damage


def columns(**changes: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Verdicts of seed 0 that were edited."""

    def damage(bundle: Path) -> None:
        outcomes = read_outcomes(bundle / "seed0.parquet")
        rows = outcomes.rows.assign(**{name: change(outcomes.rows) for name, change in changes.items()})
        write_outcomes(bundle / "seed0.parquet", replace(outcomes, rows=rows.astype(outcomes.rows.dtypes.to_dict())))
        name_bytes(bundle)

    return damage


def every_verdict_changed(bundle: Path) -> None:
    outcomes = read_outcomes(bundle / "seed0.parquet")
    right = outcomes.rows["clean"] == outcomes.rows["label"]
    rows = outcomes.rows.copy()
    rows.loc[right, "pgd20"] = rows.loc[right, "label"]
    write_outcomes(bundle / "seed0.parquet", replace(outcomes, rows=rows))
    name_bytes(bundle)


def another_label(bundle: Path) -> None:
    """An image that is now of the class that it is taken for; no column contradicts another one."""
    outcomes = read_outcomes(bundle / "seed0.parquet")
    rows = outcomes.rows.copy()
    names = ["label", "clean", "pgd20", "last_clean", "last_pgd20"]
    broken = np.flatnonzero(rows["pgd20"] != rows["label"])[0]
    rows.loc[broken, names] = rows.loc[broken, "pgd20"]
    rows.loc[broken, "pgd20_survived"] = 0
    write_outcomes(bundle / "seed0.parquet", replace(outcomes, rows=rows))
    name_bytes(bundle)


def weights_of_another_model(bundle: Path) -> None:
    path = bundle / "weights" / "seed0.safetensors"
    save_file({name: tensor * (-1 if name.endswith("weight") else 1) for name, tensor in load_file(path).items()}, path)
    name_bytes(bundle)


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {PAYLOAD.absolute()}",)


def a_pickle_as_weights(bundle: Path) -> None:
    torch.save({"weights": Payload()}, bundle / "weights" / "seed0.safetensors")
    name_bytes(bundle)


def weights_that_claim_ten_gigabytes(bundle: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2_500_000_000], "data_offsets": [0, 10_000_000_000]}}).encode()
    (bundle / "weights" / "seed0.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    name_bytes(bundle)


def a_file_of_ten_gigabytes(bundle: Path) -> None:
    with (bundle / "seed0.parquet").open("r+b") as file:
        file.truncate(10_000_000_000)  # sparse


def too_many_rows(bundle: Path) -> None:
    """Three million rows of zeros in a few kilobytes."""
    table = pq.read_table(bundle / "seed0.parquet", partitioning=None)
    zeros = pa.table({"label": pa.array(np.zeros(3_000_000, np.int16))})
    pq.write_table(zeros.replace_schema_metadata(table.schema.metadata), bundle / "seed0.parquet", compression="zstd")
    name_bytes(bundle)


def a_symlink(bundle: Path) -> None:
    (bundle / "seed0.parquet").unlink()
    (bundle / "seed0.parquet").symlink_to("/etc/passwd")


def a_linked_folder(bundle: Path) -> None:
    (bundle / "code").symlink_to("/etc")


def a_pipe(bundle: Path) -> None:
    os.mkfifo(bundle / "weights" / "seed9.safetensors")


def adding(name: str, content: str = "x") -> Callable[[Path], None]:
    def add(bundle: Path) -> None:
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_text(content, encoding="utf-8")

    return add


def truncated(bundle: Path) -> None:
    path = bundle / "seed0.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    name_bytes(bundle)


def other_bytes(bundle: Path) -> None:
    path = bundle / "seed0.parquet"
    path.write_bytes(path.read_bytes() + b" ")


def deep(bundle: Path) -> None:
    (bundle / "submission.json").write_text("[" * 100_000, encoding="utf-8")


def one_training_three_times(bundle: Path) -> None:
    """Seeds 1 and 2 as copies of seed 0, with keys of their own."""
    first = read_outcomes(bundle / "seed0.parquet")
    for seed in (1, 2):
        provenance = first.provenance
        description = provenance.description | {"seed": seed}
        provenance = replace(provenance, seed=seed, description=description, key=content_key(description))
        write_outcomes(bundle / f"seed{seed}.parquet", replace(first, provenance=provenance))
        (bundle / f"weights/seed{seed}.safetensors").write_bytes((bundle / "weights/seed0.safetensors").read_bytes())
    name_bytes(bundle)


def without_the_hard_images(bundle: Path) -> None:
    outcomes = read_outcomes(bundle / "seed0.parquet")
    rows = outcomes.rows[outcomes.rows["pgd20"] == outcomes.rows["label"]].reset_index(drop=True)
    description = outcomes.provenance.description
    description["external"]["images"] = content_key({"indices": rows["index"].tolist()})
    provenance = replace(outcomes.provenance, description=description, key=content_key(description))
    write_outcomes(bundle / "seed0.parquet", replace(outcomes, rows=rows, provenance=provenance))
    name_bytes(bundle)


def edited_code(bundle: Path) -> None:
    path = bundle / "code" / "mine.py"
    path.write_text(path.read_text(encoding="utf-8") + f"\nopen({str(PAYLOAD.absolute())!r}, 'w')\n", encoding="utf-8")


HOSTILE = {
    "every verdict changed": (PLAIN, every_verdict_changed, "speak for the submission and were not confirmed"),
    "columns that contradict": (
        PLAIN,
        columns(broken_by=lambda _: "square"),
        "contradicts itself: no attack is named",
    ),
    "more iterates than there are": (PLAIN, columns(pgd20_survived=lambda _: 99), "counts from 0 to 20 iterates"),
    "other labels": (PLAIN, another_label, "has other labels than its test set"),
    "hard images left out": (PLAIN, without_the_hard_images, "the test set has 60, and each of them counts"),
    "weights of another model": (PLAIN, weights_of_another_model, "and the bundle brings others."),
    "weights of another method": (METHOD, weights_of_another_model, "and the bundle brings another one."),
    "a pickle with a payload": (
        PLAIN,
        a_pickle_as_weights,
        "weights/seed0.safetensors holds more than tensors: loading it would run",
    ),
    "ten gigabytes of weights": (PLAIN, weights_that_claim_ten_gigabytes, "is no readable safetensors file"),
    "ten gigabytes of outcomes": (PLAIN, a_file_of_ten_gigabytes, "seed0.parquet has 10,000,000,000 bytes; at most 67"),
    "three million rows": (PLAIN, too_many_rows, "seed0.parquet claims 3,000,000 rows; at most 2,000,000 are read."),
    "a symlink": (PLAIN, a_symlink, "holds the link seed0.parquet; only plain files are read."),
    "a linked folder": (PLAIN, a_linked_folder, "holds the link code; only plain files are read."),
    "a pipe": (PLAIN, a_pipe, "holds weights/seed9.safetensors, which is no plain file."),
    "a way out in a name": (
        METHOD,
        saying(code={"file": "../../mine.py"}),
        "code.file = '../../mine.py' is not allowed",
    ),
    "a way out in the label": (PLAIN, saying(label="../../x"), "label = '../../x' is not allowed"),
    "another row's name": (PLAIN, saying(label="trades"), "is of the row tiny/external-plain, where the submission is"),
    "a receipt of their own": (
        PLAIN,
        adding("seed0.verified.json", "{}"),
        "receipts are made by whoever keeps the board",
    ),
    "code in a bundle of weights": (
        PLAIN,
        adding("code/x.py"),
        "The bundle holds code, of which submission.json does not",
    ),
    "a script beside it": (PLAIN, adding("setup.py"), "The bundle holds setup.py, which is no part of a submission."),
    "a seed too many": (PLAIN, adding("seed7.parquet"), "holds seed7.parquet, of which submission.json does not speak"),
    "edited intervals": (PLAIN, saying(intervals=[0.9, 1.0]), "does not allow or misses: intervals"),
    "a future schema": (PLAIN, saying(schema=99), "submission.json has schema 99; this fairbench reads 1. Update"),
    "future outcomes": (PLAIN, stored(lambda said: said.update(schema=99)), "has schema 99; this fairbench reads 2."),
    "a card with a script": (
        METHOD,
        stored(lambda said: said["card"].update(title="<script>alert(1)</script>")),
        "the card's title holds markup or signs that cannot be printed",
    ),
    "a link that runs": (METHOD, saying(link="javascript:alert(1)"), "link = 'javascript:alert(1)' is not allowed"),
    "a card without a licence": (
        METHOD,
        stored(lambda said: said["card"].update(code_licence="")),
        "has no code_licence",
    ),
    "an out-of-date protocol": (
        METHOD,
        stored(lambda said: said["description"]["protocol"].update(protocol="fairbench-1")),
        "follows the rules 'fairbench-1', boards of today 'fairbench-2'.",
    ),
    "an easier threat": (
        METHOD,
        stored(lambda said: said["description"]["protocol"]["threat"].update(epsilon=0.05)),
        "under another protocol than tiny is today; differing: threat.epsilon.",
    ),
    "an older engine": (
        FLAT,
        stored(lambda said: said["versions"].update(engine="3")),
        "was attacked by version 3 of the engine of AutoAttack",
    ),
    "another key": (METHOD, stored(lambda said: said.update(key="0" * 16), key=False), "one of them was edited."),
    "another learning rate": (
        METHOD,
        stored(lambda said: said["description"].update(rate=3.0)),
        "It brings code|trials",
    ),
    "one training three times": (METHOD, one_training_three_times, "have the same weights: they are one training"),
    "code of another hash": (METHOD, edited_code, "was made with code of another SHA-256 than that of code/mine.py"),
    "a truncated file": (PLAIN, truncated, "seed0.parquet is not a readable parquet file"),
    "other bytes": (PLAIN, other_bytes, "seed0.parquet is not the file that submission.json speaks of"),
    "no end of brackets": (PLAIN, deep, "submission.json has unreadable content"),
    "markdown in a name": (PLAIN, saying(by="![x](https://evil) @everyone\n# Accepted"), "by = "),
}


@pytest.mark.parametrize(("bundle", "damage", "said"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_and_broken_bundles_are_refused(
    review: Cli, bundle: Path, damage: Callable[[Path], None], said: str
) -> None:
    """In a sentence of the comment, with an exit code that is not 0; nothing of them is run, and no receipt written."""
    damage(bundle)
    done = review(bundle, "--comment", "comment.md", "--record", "--limit", 60)
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit)
    assert re.search(said, words(done)) or said in words(done) or said in Path("comment.md").read_text(encoding="utf-8")
    assert not PAYLOAD.exists()
    assert not [path for path in bundle.rglob("*.verified.json") if path.stat().st_size > 5]
    comment = Path("comment.md").read_text(encoding="utf-8")
    assert "cannot be accepted" in comment
    assert "<script" not in comment
    assert "@everyone" not in comment
    assert "\n# Accepted" not in comment


def test_the_key_is_planned_again(review: Cli) -> None:
    """Another rate, with the key that belongs to it: its trials did not pick it."""
    stored(lambda said: said["description"].update(rate=3.0))(METHOD)
    done = review(METHOD, "--run-code")
    assert done.exit_code == 1
    assert "was trained at 3.0 times the suite's learning rate; its trials picked 1.0." in words(done)


def test_a_prerequisite_that_the_method_has_not(review: Cli) -> None:
    stored(lambda said: said["description"].update(prerequisites={"teacher": "f" * 16}))(METHOD)
    assert "is not what smooth-at makes in tiny; differing: prerequisites." in words(review(METHOD, "--run-code"))


def test_a_row_that_is_there_already(review: Cli) -> None:
    """Another model under its name would replace it."""
    stored(lambda said: said["versions"].update(torch="0"))(PLAIN)
    assert review(PLAIN, "--limit", 1, "--results", "results").exit_code == 0, "the same run may be replaced"
    path = Path("results/tiny/external-plain/seed0.parquet")
    outcomes = read_outcomes(path)
    description = outcomes.provenance.description
    description["protocol"]["threat"]["epsilon"] = 0.2
    write_outcomes(path, replace(outcomes, provenance=replace(outcomes.provenance, description=description)))
    done = review(PLAIN, "--limit", 1, "--results", "results")
    assert "tiny/external-plain/seed0.parquet is on the board already, as another row" in words(done)


def test_a_method_of_a_package(keeper: Cli, install: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bundle names the package; a keeper who has not that version is told to install it."""
    folder = install("1.2")
    shutil.rmtree("results/tiny/smooth-at")
    shutil.rmtree(METHOD)
    for done in (
        keeper("run-all", "--suite", "tiny.toml", "--method", "smooth-at", "--jobs", 1),
        keeper("submit", "results/tiny/smooth-at", "--suite", "tiny.toml", "--dataset", "tiny.npz"),
        keeper("review", METHOD, *GIVEN, "--run-code", "--limit", 5),
    ):
        assert done.exit_code == 0, done.output
    assert json.loads((METHOD / "submission.json").read_text())["code"] == {
        "file": "",
        "package": "stranger",
        "version": "1.2",
    }
    assert not (METHOD / "code").exists()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(folder)])
    done = keeper("review", METHOD, *GIVEN, "--run-code")
    assert done.exit_code == 1
    assert "was trained by 'smooth-at' of stranger 1.2, which is not installed here" in words(done)
    install("1.3")
    done = keeper("review", METHOD, *GIVEN, "--run-code")
    assert done.exit_code == 1
    assert "was trained by 'smooth-at' of stranger 1.2; here it is of stranger 1.3." in words(done)
