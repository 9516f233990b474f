"""The page of a row: what it says of every seed and class, and what it refuses to say."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fairbench.boards.board import Board
from fairbench.boards.building import build_boards
from fairbench.boards.row import Row
from fairbench.outcomes.literature import Published, Reported
from fairbench.outcomes.metrics import wilson
from fairbench.outcomes.store import read_outcomes, write_outcomes
from fairbench.report.site.addresses import method_address
from fairbench.report.site.class_bars import class_lines
from fairbench.report.site.curves import curves
from fairbench.report.site.facts import costs, origin
from fairbench.report.site.matrix import matrix
from fairbench.report.site.method_page import method_pages
from fixture_types import WriteRun

HISTORY = [{"validation_robust": [0.1 * epoch, 0.05 * epoch, 0.0]} for epoch in range(5)]
HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style>",
    "😀 ümläut",
    "{{ 7 * 7 }}",
]


class Words(HTMLParser):
    """Text of a page, its tags, and whether every tag is closed in order."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.found: list[str] = []
        self._open: list[str] = []
        self.feed(page.decode())
        self.close()
        assert not self._open
        self.text = " ".join("".join(self.found).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.append(tag)
        self.found.append(" ")
        if tag not in {"meta", "link"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self.found.append(" ")

    def handle_data(self, data: str) -> None:
        if "script" not in self._open:
            self.found.append(data)


def published(method: str = "a", dataset: str = "digits") -> Published:
    texts = {"base": "beta6", "architecture": "resnet18", "epsilon": "8/255", "checkpoint": "last"}
    numbers = {"clean": Reported(0.842, 0.637), "pgd20": Reported(0.5, 0.25), "autoattack": Reported(0.4, 0.123)}
    rest = {"note": "one run", "source": "A paper", "evidence": "paper"}
    return Published(method=method, dataset=dataset, **texts, **numbers, **rest)  # type: ignore[arg-type]


def board_of(results: Path) -> Board:
    (board,) = build_boards(results).boards
    return board


def row_of(results: Path) -> Row:
    (row,) = board_of(results).rows
    return row


def write_row(write_run: WriteRun, label: str, **values: object) -> None:
    for seed in range(3):
        write_run(label, seed=seed, **values)


def only_page(results: Path, *literature: Published) -> Words:
    ((_, page),) = method_pages(build_boards(results), literature).items()
    return Words(page)


def test_a_page_says_everything_of_a_row(results: Path, write_run: WriteRun) -> None:
    write_row(
        write_run,
        "a",
        autoattack=(5, 4, 3),
        parameters={"beta": 3.0, "warmup": 7},
        changed={"beta": 3.0},
        history=HISTORY,
        selected_epoch=3,
        seconds={"training": 12.5},
        peak_memory=5 * 2**20,
        versions={"torch": "2.15.0"},
        source="abc123, dirty",
        hardware="A fast machine",
        checkpoints={"selected": "f00d" * 16},
        warnings=["Gradients may be masked."],
        flags={"square_gain_pp": 1.25},
    )
    text = only_page(results, published()).text
    for words in (
        "rank 1 by the worst class, 1 by the average, of 1",
        "AutoAttack, worst class: 30.0 % (95 %: ",
        "A. Author, ICML 2019, https://x.org",
        "beta 3.0 changed",
        "warmup 7 default",
        "These results were written without an explanation of them.",
        "Class Images AutoAttack PGD-20 Gap Clean AutoAttack PGD-20 Gap Clean",
        "0 10 50.0 23.7–76.3 60.0 31.3–83.2 +10.0 90.0 59.6–98.2",
        "Training, × PGD-10 AT 1.00×",
        "All seeds Training, × PGD-10 AT 1.00×",
        "Seconds: training 12.5",
        "Peak memory, MiB 5",
        "Version: torch 2.15.0",
        "Commit abc123, dirty",
        "SHA-256: selected f00df00d",
        "Hardware A fast machine",
        "Gradients may be masked.",
        "Square gain, points 1.25",
        "beta6 resnet18, 8/255 last 84.2 63.7 50.0 25.0 40.0 12.3 A paper by the authors; one run",
        "The dotted line marks the selected epoch.",
    ):
        assert words in text


def test_a_page_explains_a_method_that_is_not_installed(results: Path, write_run: WriteRun) -> None:
    """By what its outcome files say."""
    explained = {
        "beta": {"description": "beta, weight of the penalty", "default": 6.0, "at_least": 0, "at_most": 100},
        "base": {"description": "loss to train with", "default": "x", "choices": ["x", "y", "z"]},
        "late": {"description": "whether it starts late", "default": False},
        "shift": {"description": "lambda", "default": "inf", "at_least": -10, "infinite": True},
        "size": {"description": "length of a step", "default": 2, "at_least": 1, "only_with": ["base", "y", "z"]},
        "top": {"description": "not more than this", "default": 1, "at_most": 3},
    }
    write_row(
        write_run,
        "a",
        card={"title": "A", "idea": "Does less. And better."},
        parameters={"beta": 3.0, "base": "y", "late": False, "shift": "inf", "size": 2, "top": 1, "unknown": 5},
        changed={"beta": 3.0},
        hyperparameters=explained,
    )
    text = only_page(results).text
    for words in (
        "The method Does less. And better. Name",
        "Name Value Setting Meaning Default Allowed",
        "base y suite loss to train with x x, y, z",
        "beta 3.0 changed beta, weight of the penalty 6.0 0 to 100",
        "late False default whether it starts late False True, False",
        "shift inf default lambda inf at least -10, or inf",
        "size 2 default length of a step 2 at least 1; only with base = y or z",
        "top 1 default not more than this 1 at most 3",
        "unknown 5 default",
    ):
        assert words in text
    assert "without an explanation" not in text


@pytest.mark.parametrize("rules", [{}, {"description": None, "choices": 5, "only_with": "base", "at_least": [1]}])
def test_an_explanation_that_is_none_stops_nothing(
    results: Path, write_run: WriteRun, rules: dict[str, object]
) -> None:
    write_row(write_run, "a", parameters={"beta": 3.0}, hyperparameters={"beta": rules, "other": rules})
    assert "beta 3.0 default" in only_page(results).text


def test_bars_are_the_counts_with_their_wilson_intervals(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a", counts=(10, 0, 10), clean=(9, 0, 8), pgd20=(6, 0, 4), autoattack=(5, 0, 0))
    first, absent, last = class_lines(row_of(results), ("clean", "pgd20", "autoattack"), class_names=["x", "y", "z"])
    assert [(line.name, line.count, len(line.bars)) for line in (first, absent, last)] == [
        ("x", 10, 3),
        ("y", 0, 0),
        ("z", 10, 3),
    ]
    bar = first.bars[0]
    assert {attack: found.value for attack, found in bar.accuracies.items()} == {
        "clean": 0.9,
        "pgd20": 0.6,
        "autoattack": 0.5,
    }
    assert bar.gap == pytest.approx(0.1)
    for found, correct in zip(bar.accuracies.values(), (9, 6, 5), strict=True):
        assert found.interval == wilson(correct, 10)
    worst = last.bars[0].accuracies["autoattack"]
    assert worst.value == worst.interval.low == 0
    assert "no test images" in only_page(results).text


def test_bars_of_a_screen_have_no_gap(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a", autoattack=None)
    (line, *_) = class_lines(row_of(results), ("clean", "pgd20"), class_names=["x", "y", "z"])
    assert list(line.bars[0].accuracies) == ["clean", "pgd20"]
    assert math.isnan(line.bars[0].gap)
    text = only_page(results).text
    assert "Class Images PGD-20 Clean PGD-20 Clean PGD-20 Clean 0 10 60.0 31.3–83.2 90.0 59.6–98.2" in text
    assert "Gap" not in text


def test_the_matrix_says_who_absorbs_the_errors(results: Path, write_run: WriteRun) -> None:
    """In these verdicts an error of class k is predicted as class k + 1, and a broken image survives three steps."""
    write_row(write_run, "a", counts=(10, 10, 20), clean=(9, 9, 18), pgd20=(6, 5, 4), autoattack=(8, 4, 10))
    found = matrix(row_of(results), "autoattack", class_names=["x", "y", "z"])
    assert found.lines[0].shares == pytest.approx([0.8, 0.2, 0.0])
    assert found.lines[2].shares == pytest.approx([0.5, 0.0, 0.5])
    assert [line.absorbed for line in found.lines] == pytest.approx([10 / 18, 2 / 18, 6 / 18])
    assert [line.survived for line in found.lines] == pytest.approx([13.2, 11.5, 6.4])
    assert [(error.name, error.into, error.count) for error in found.largest] == [
        ("z", "x", 30),
        ("y", "z", 18),
        ("x", "y", 6),
    ]
    assert found.largest[0].share == pytest.approx(0.5)


def test_a_matrix_of_many_classes_is_a_list(results: Path, write_run: WriteRun) -> None:
    many = [2] * 30
    write_row(write_run, "a", counts=many, clean=many, pgd20=many, autoattack=[1] * 30)
    assert not matrix(row_of(results), "autoattack", class_names=[str(k) for k in range(30)]).full
    page = only_page(results)
    assert "Most frequent errors" in page.text
    assert "0 1 3 50.0" in page.text
    assert (
        "AutoAttack (95 %), clean Absorbed Steps survived 0 50 (9–91) 100 50 (9–91) 100 50 (9–91) 100 3.3 20.0"
        in page.text
    )


def test_curves_follow_the_history(results: Path, write_run: WriteRun) -> None:
    write_run("a", history=HISTORY, selected_epoch=3)
    found = curves(row_of(results).results[0], class_names=["x", "y", "z"])
    assert found is not None
    assert (found.first, found.selected, found.spans) == (1, 4, ("1–5",))
    assert [(one.kind, one.name, *one.cells) for one in found.series] == [
        ("average", "average", "0.0 5.0 10.0 15.0 20.0"),
        ("worst", "worst class", "0.0 0.0 0.0 0.0 0.0"),
        ("class", "x", "0 10 20 30 40"),
        ("class", "y", "0 5 10 15 20"),
        ("class", "z", "0 0 0 0 0"),
    ]


def test_ten_epochs_share_a_cell(results: Path, write_run: WriteRun) -> None:
    write_run("a", history=[{}, *([{"validation_robust": [0.1, 0.2, 0.3]}] * 12)], selected_epoch=0)
    found = curves(row_of(results).results[0], class_names=["x", "y", "z"])
    assert found is not None
    assert (found.first, found.selected, found.spans) == (2, None, ("2–11", "12–13"))
    assert [len(cell.split()) for cell in found.series[0].cells] == [10, 2]


def test_many_classes_have_no_curve_each(results: Path, write_run: WriteRun) -> None:
    many = [2] * 30
    history = [{"validation_robust": [0.5] * 30}] * 3
    write_run("a", counts=many, clean=many, pgd20=many, autoattack=many, history=history)
    found = curves(row_of(results).results[0], class_names=[str(k) for k in range(30)])
    assert found is not None
    assert [one.kind for one in found.series] == ["average", "worst"]


@pytest.mark.parametrize(
    "history",
    [
        [],
        HISTORY[:1],
        [{}] * 5,
        [{"validation_robust": [0.1, 0.2]}] * 5,
        [{"validation_robust": [0.1, 0.2, 7]}] * 5,
        [{"validation_robust": [0.1, 0.2, "0.3"]}] * 5,
        [{"validation_robust": [None, None, None]}] * 5,
        [{"validation_robust": {"x": 1}}] * 5,
        [{"validation_robust": [True, 0.2, 0.3]}] * 5,
    ],
)
def test_a_history_without_accuracies_has_no_curves(
    results: Path, write_run: WriteRun, history: list[dict[str, object]]
) -> None:
    write_run("a", history=history)
    assert curves(row_of(results).results[0], class_names=["x", "y", "z"]) is None
    assert "Training" not in only_page(results).text.replace("Training, ×", "")


def test_what_is_missing_in_an_epoch_is_a_gap(results: Path, write_run: WriteRun) -> None:
    write_run("a", history=[*HISTORY, {}, {"validation_robust": [0.5, None, 0.1]}])
    found = curves(row_of(results).results[0], class_names=["x", "y", "z"])
    assert found is not None
    average, worst, _, second, _ = (one.cells[0].split() for one in found.series)
    assert average[4:] == ["20.0", "–", "30.0"]
    assert worst[4:] == ["0.0", "–", "10.0"]
    assert second[4:] == ["20", "–", "–"]


def test_facts_that_nobody_knows_are_left_out(results: Path, write_run: WriteRun) -> None:
    write_run("a", seed=0, hardware="one", passes={"model": {"forwards": 1234.0}})
    write_run("a", seed=1, hardware="other")
    row = row_of(results)
    found = {fact.name: fact for fact in (*costs(row), *origin(row))}
    assert found["Hardware"].texts == ("one", "other")
    assert not found["Hardware"].shared
    assert found["Passes of model: forwards"].texts == ("1,234", "–")
    assert found["Key"].shared
    assert not {"Commit", "Peak memory, MiB", "Device"} & set(found)


def test_failed_and_missing_seeds_are_said(results: Path, write_run: WriteRun) -> None:
    write_run("a", seed=0)
    write_run("a", seed=1, status="failed", reason="the loss became NaN", failed_epoch=3, history=HISTORY)
    text = only_page(results).text
    assert "Not ranked: 1 of 2 seeds failed" in text
    assert "Seed 1 failed in epoch 4: the loss became NaN" in text
    assert "Training Accuracy on the validation split" in text, "the curve often shows why"


def test_a_row_of_failures_alone_has_a_page(results: Path, write_run: WriteRun) -> None:
    write_run("a", status="failed", reason="the loss became NaN", failed_epoch=3)
    text = only_page(results, published()).text
    assert "the loss became NaN" in text
    assert "What the errors become" not in text
    assert "A paper" in text


def test_published_numbers_of_other_data_are_only_mentioned(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a")
    text = only_page(results, published(dataset="cifar10"), published(dataset="svhn"), published(method="b")).text
    assert "None on this data set; on cifar10 and svhn there are some" in text
    assert "84.2" not in text
    assert "Published numbers" not in only_page(results, published(method="b")).text


def test_every_row_has_a_page_and_a_link_to_it(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a")
    write_run("b")
    write_run("t", role="teacher")
    write_run("external-b", role="external")
    write_row(write_run, "a", epsilon=0.1, folder="elsewhere", suite="elsewhere")
    boards = build_boards(results)
    pages = method_pages(boards, ())
    assert set(pages) == {method_address(board, row) for board in boards.boards for row in board.rows}
    assert len(pages) == 5
    for name, page in pages.items():
        anchor = name.split("/")[1]
        suite = "elsewhere" if "elsewhere" in anchor else "digits"
        assert f'href="../../suites/{suite}.html#{anchor}"'.encode() in page
        assert page.count(b"<script") == page.count(b'<script defer src="../../assets/')


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_results_can_write_into_a_page(results: Path, write_run: WriteRun, text: str) -> None:
    card = {
        "title": text,
        "idea": text,
        "authors": text,
        "venue": text,
        "notes": text,
        "bibtex": text,
        "link": f"javascript:{text}",
    }
    write_row(
        write_run,
        "a",
        class_names=[text, "y", "z"],
        card=card,
        parameters={text: text, "rate": 1.0},
        hyperparameters={
            text: {"description": text, "default": text, "choices": [text], "only_with": [text, text]},
            "rate": {"description": text, "default": 1.0, "at_least": text, "at_most": text},
        },
        changed={text: text},
        history=HISTORY,
        versions={text: text},
        seconds={text: 1.0},
        passes={text: {"forwards": 1}},
        checkpoints={text: text},
        source=text,
        hardware=text,
        warnings=[text],
        flags={"train_mode_modules": [text]},
    )
    hostile = replace(published(), source=text, note=text, base=text)
    ((_, page),) = method_pages(build_boards(results), [hostile]).items()
    found = Words(page)
    assert " ".join(text.split()) in found.text
    assert "img" not in found.tags
    assert page.count(b"<script") == found.tags.count("script") == page.count(b'<script defer src="../../assets/')
    assert b"javascript:" not in page


@pytest.mark.parametrize("label", ["a/b", 'q"uote', "<b>", "😀", "..", "UPPER", "a b", "con?", "ä" * 300, "x" * 300])
def test_every_name_becomes_a_safe_file_name(results: Path, write_run: WriteRun, label: str) -> None:
    path = write_run("plain")
    outcomes = read_outcomes(path)
    write_outcomes(path, replace(outcomes, provenance=replace(outcomes.provenance, label=label)))
    board = board_of(results)
    address = method_address(board, board.rows[0])
    assert re.fullmatch(r"methods/board-[a-z0-9.-]+/[a-z0-9][a-z0-9._-]{0,80}\.html", address)


def test_names_that_look_alike_do_not_share_a_page(results: Path, write_run: WriteRun) -> None:
    for number, label in enumerate(["a b", "a/b", "a-b", "A-B"]):
        path = write_run("plain", file=f"seed{number}.parquet", folder=f"folder{number}", suite="digits")
        outcomes = read_outcomes(path)
        write_outcomes(path, replace(outcomes, provenance=replace(outcomes.provenance, label=label)))
    board = board_of(results)
    addresses = [method_address(board, row) for row in board.rows]
    assert len({address.lower() for address in addresses}) == 4
    assert any(address.endswith("/a-b.html") for address in addresses)


def test_equal_results_give_equal_pages(results: Path, write_run: WriteRun) -> None:
    write_row(write_run, "a", history=HISTORY)
    assert method_pages(build_boards(results), [published()]) == method_pages(build_boards(results), [published()])


def test_a_page_of_ten_classes_is_small(results: Path, write_run: WriteRun) -> None:
    """Twenty of them leave room for the boards within two megabytes."""
    history = [{"validation_robust": [(epoch * k % 100) / 100 for k in range(10)]} for epoch in range(110)]
    ten = [20] * 10
    write_row(write_run, "a", counts=ten, clean=ten, pgd20=ten, autoattack=[9] * 10, history=history)
    ((_, page),) = method_pages(build_boards(results), ()).items()
    assert len(page) < 45_000
