"""The pictures of a board, made when the page is built: vector graphics, each with its numbers in a table behind it.

    for picture in pictures(board).scatters:
        picture.title, picture.drawing.marks

They need no script, follow light and dark by style alone, and print as they are.
"""

from dataclasses import dataclass

from fairbench.board import Board
from fairbench.metrics import Interval, average, worst
from fairbench.report.axis import linear_axis, logarithmic_axis
from fairbench.report.intervals import RankBars, rank_bars
from fairbench.report.phrases import attack_names, card_of
from fairbench.report.scatter import BOTTOM, LEFT, RIGHT, TOP, Point, Scatter, scatter
from fairbench.row import Row, Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture of points with its words.

    Attributes:
        key: of the picture, for its address.
        title: heading.
        caption: what is shown.
        drawing: positions.
        cost: whether the horizontal axis is the cost, a multiple of PGD-10 AT, and no accuracy.
    """

    key: str
    title: str
    caption: str
    drawing: Scatter
    cost: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """All of a board.

    Attributes:
        scatters: average and cost against the worst class.
        ranks: rank intervals; None if there is nothing to be told apart.
    """

    scatters: tuple[Picture, ...]
    ranks: RankBars | None


def pictures(board: Board) -> Pictures:
    """The pictures of the ranked rows; none without such rows."""
    rows = short_names(board)
    points = {
        row: Point(
            name=name,
            x=row.summary(board.attack, average).mean,
            y=row.summary(board.attack, worst).mean,
            across=Interval(*board.standings["average"].intervals[k].tolist()),
            along=Interval(*board.standings["worst"].intervals[k].tolist()),
        )
        for k, (row, name) in enumerate(rows.items())
    }
    drawn = []
    if points:
        drawn.append(_averages(board, list(points.values())))
    if known := {row: point for row, point in points.items() if all(_plausible(run) for run in row.runs)}:
        drawn.append(_costs(board, known))
    ranks = None
    if len(rows) > 1:
        keys = {"worst class": "worst", "average": "average"}
        names = list(rows.values())
        ranks = rank_bars(names, {shown: board.standings[key].ranks for shown, key in keys.items()})
    return Pictures(scatters=tuple(drawn), ranks=ranks)


def short_names(board: Board) -> dict[Row, str]:
    """What the ranked rows are called in a picture: the title of the method, the label where titles repeat."""
    titles = [str(card_of(row)["title"]) for row in board.ranked]
    return {
        row: title if titles.count(title) == 1 else row.label for row, title in zip(board.ranked, titles, strict=True)
    }


def _plausible(run: Run) -> bool:
    """Whether a cost fits on an axis; nobody trains for nothing, and results are not trusted."""
    return 1e-3 <= run.cost <= 1e4


def _averages(board: Board, points: list[Point]) -> Picture:
    name = attack_names(board)[board.attack]
    across = [end for point in points for end in point.across]
    along = [end for point in points for end in point.along]
    return Picture(
        key="average",
        title="Average against worst class",
        caption=f"{name}, means over seeds, with intervals of 95 % over seeds and images. Up and to the right is "
        "better; the line joins the rows that no other row beats in both.",
        drawing=scatter(
            points,
            horizontal=(f"{name}, average, %", linear_axis(across, start=LEFT, end=RIGHT, show=_percent)),
            vertical=(f"{name}, worst class, %", linear_axis(along, start=BOTTOM, end=TOP, show=_percent)),
        ),
        cost=False,
    )


def _costs(board: Board, rows: dict[Row, Point]) -> Picture:
    name = attack_names(board)[board.attack]
    points = [
        Point(
            name=point.name,
            x=row.cost,
            y=point.y,
            across=Interval(min(run.cost for run in row.runs), max(run.cost for run in row.runs)),
            along=point.along,
        )
        for row, point in rows.items()
    ]
    across = [end for point in points for end in point.across]
    along = [end for point in points for end in point.along]
    return Picture(
        key="cost",
        title="Worst class against training cost",
        caption=f"{name}, means over seeds, with intervals of 95 % over seeds and images. Cost counts image passes, as "
        "a multiple of PGD-10 adversarial training. Up and to the left is better; the line joins the rows that no "
        "other row beats in both.",
        drawing=scatter(
            points,
            horizontal=("Training cost, × PGD-10 AT", logarithmic_axis(across, start=LEFT, end=RIGHT, show=_factor)),
            vertical=(f"{name}, worst class, %", linear_axis(along, start=BOTTOM, end=TOP, show=_percent)),
            cheap=True,
        ),
        cost=True,
    )


def _percent(share: float) -> str:
    return f"{round(100 * share, 6) + 0.0:g}"


def _factor(cost: float) -> str:
    return f"{cost:g}×"
