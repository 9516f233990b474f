"""A page for every row of every board: where it comes from, what each class got, what the errors became, what it cost.

    method_pages(boards, read_published(Path("results/published.csv")))     # {"methods/board-.../trades.html": b"..."}

Like the page of the boards these can be read without a script, and ask nobody for anything. The method need not be
installed: its idea, and what its hyper-parameters mean, stand in the outcome files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import jinja2

from fairbench.boards.board import Board, Boards
from fairbench.boards.row import Row
from fairbench.outcomes.literature import Published
from fairbench.report.headings import anchor, headings
from fairbench.report.phrases import protocol_sentence
from fairbench.report.site.addresses import method_address, suite_pages
from fairbench.report.site.class_bars import class_lines
from fairbench.report.site.curves import Curves, curves
from fairbench.report.site.environment import environment
from fairbench.report.site.facts import costs, origin
from fairbench.report.site.hyperparameters import hyperparameters
from fairbench.report.site.matrix import matrix
from fairbench.report.site.ranking_table import place
from fairbench.report.site.verification import verification


def method_pages(boards: Boards, literature: Sequence[Published]) -> dict[str, bytes]:
    """The pages by their path in the site, as UTF-8."""
    return {name: page() for name, page in each_method_page(boards, literature)}


def each_method_page(boards: Boards, literature: Sequence[Published]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The same one after the other, because there may be thousands, and what makes each of them."""
    template, pages = environment().get_template("method.html.j2"), suite_pages(boards.boards)
    for board, heading in zip(boards.boards, headings(boards.boards), strict=True):
        home = f"../../{pages[board.suite]}#{anchor(board)}"
        shared = {"heading": heading, "home": home, "protocol": protocol_sentence(board)}  # it looks at every result
        for row in board.rows:
            page = partial(_page, template, board, row, literature=literature, shared=shared)
            yield method_address(board, row), page


def _page(
    template: jinja2.Template, board: Board, row: Row, *, literature: Sequence[Published], shared: Mapping[str, str]
) -> bytes:
    about = [published for published in literature if published.method == row.provenance.method]
    dataset = board.protocol["dataset"].get("name", "")
    rank = board.ranked.index(row) if row in board.ranked else None
    text = template.render(
        board=board,
        row=row,
        **shared,
        place=None if rank is None else {key: place(board, key, rank) for key in ("worst", "average")},
        bars=class_lines(row, board.attacks, class_names=board.class_names) if row.finished else None,
        matrix=matrix(row, board.attack, class_names=board.class_names) if row.finished else None,
        curves=list(_curves(board, row)),
        hyperparameters=hyperparameters(row),
        costs=costs(row),
        origin=origin(row),
        verification=verification(row),
        published=[published for published in about if published.dataset == dataset],
        elsewhere=sorted({published.dataset for published in about} - {dataset}),
    )
    # A lone surrogate in a result cannot be encoded, and must not take the page down.
    return text.encode("utf-8", errors="replace")


def _curves(board: Board, row: Row) -> Iterator[tuple[int, Curves]]:
    """By seed, failed ones included: the curve often shows why."""
    for result in row.results:
        if found := curves(result, class_names=board.class_names):
            yield result.provenance.seed, found
