"""A board as files to be stored next to the page: what `fairbench export` prints, and two forms for programs.

    downloads(board)[".csv"]
    downloads(board)[".json"]           # everything about rows and their seeds, as plain values
    downloads(board)[".parquet"]        # one line per seed, with the correct images of every class

The last two hold counts, so that every figure of the board can be computed again.
"""

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fairbench.boards.board import Board
from fairbench.boards.row import Row
from fairbench.boards.seed_result import SeedResult
from fairbench.protocol.attack_names import Attack
from fairbench.report.evidence import WORDS
from fairbench.report.paper import to_bibtex, to_csv, to_latex
from fairbench.report.phrases import card_of
from fairbench.statistics import Standings

FORMATS: Mapping[str, str] = MappingProxyType(
    {".csv": "CSV", ".json": "JSON", ".tex": "LaTeX", ".bib": "BibTeX", ".parquet": "parquet"}
)
"""By ending, what a format is called."""

ATTACKS: tuple[Attack, ...] = ("clean", "pgd20", "autoattack")
SCHEMA = pa.schema(
    [
        ("label", pa.string()),
        ("title", pa.string()),
        ("kind", pa.string()),
        ("seed", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("tier", pa.string()),
        ("cost", pa.float64()),
        *((attack, pa.list_(pa.int64())) for attack in ATTACKS),
    ]
)
"""Columns of the parquet download; the attacks hold correct images per class, and null where there are none."""


def downloads(board: Board) -> dict[str, bytes]:
    """Files by their ending; the same board gives the same bytes with the same libraries."""
    return {ending: download(board, ending) for ending in FORMATS}


def download(board: Board, ending: str) -> bytes:
    """One of them."""
    return _MADE[ending](board)


def same_table(stored: bytes, implied: bytes) -> bool:
    """Whether two parquet files hold the same, whichever library wrote them."""
    try:
        return bool(pq.read_table(io.BytesIO(stored)).equals(pq.read_table(io.BytesIO(implied)), check_metadata=True))
    except (pa.ArrowException, OSError):
        return False


def _document(board: Board) -> str:
    """Everything as JSON."""
    return _json(
        {
            "suite": board.suite,
            "title": board.title,
            "protocol": board.protocol,
            "class_names": board.class_names,
            "images_per_class": board.counts,
            "baseline": board.baseline_name,
            "visible_differences": {
                key: None if math.isnan(one.visible) else _rounded(one.visible) for key, one in board.standings.items()
            },
            "bootstrap": {"draws": board.draws, "seed": board.bootstrap_seed},
            "rows": [_row(row, kind) | _standing(board, kind, number) for kind, number, row in _rows(board)],
        }
    )


def _json(document: Mapping[str, Any]) -> str:
    """A row on a line, for readers of differences; one number on a line would be most of the site."""
    head = {name: value for name, value in document.items() if name != "rows"}
    dumps = partial(json.dumps, allow_nan=False)
    rows = ",\n".join(dumps(row, separators=(",", ":")) for row in document["rows"])
    return f'{dumps(head, indent=1).removesuffix("}")[:-1]},\n "rows": [\n{rows}\n]}}\n'


def _rows(board: Board) -> Iterator[tuple[str, int, Row]]:
    """Every row with its kind, and its number among them."""
    kinds = {
        "ranked": board.ranked,
        "unranked": board.unranked,
        "teacher": board.teachers,
        "external": board.external,
    }
    return ((kind, number, row) for kind, rows in kinds.items() for number, row in enumerate(rows))


def _row(row: Row, kind: str) -> dict[str, Any]:
    return {
        "label": row.label,
        "title": card_of(row)["title"],
        "kind": kind,
        "reason": row.reason,
        "verified": row.verified,
        "worst_candidates": sorted(row.candidates(row.finished[0].attack)) if row.finished else [],
        "card": row.provenance.card,
        "parameters": row.provenance.description.get("parameters", {}),
        "runs": [_run(result) for result in row.results],
    }


def _standing(board: Board, kind: str, number: int) -> dict[str, Any]:
    """What the statistics say about a ranked row, by key."""
    if kind != "ranked":
        return {}
    found = {
        key: {
            "value": _rounded(standing.values[number]),
            "interval": [_rounded(end) for end in standing.intervals[number]],
            "ranks": [int(rank) for rank in standing.ranks[number]],
            "group": next(place for place, group in enumerate(standing.groups, start=1) if number in group),
            "best_share": _rounded(standing.best[number]),
            **_against(standing, number),
        }
        for key, standing in board.standings.items()
    }
    return {"rank": number + 1, "standings": found}


def _against(standing: Standings, number: int) -> dict[str, Any]:
    """A row minus the baseline, where there is one."""
    found = standing.against
    if found is None:
        return {}
    compared = {
        "difference": _rounded(found.differences[number]),
        "interval": [_rounded(end) for end in found.intervals[number]],
        "verdict": WORDS[int(found.decisions[number])],
    }
    return {"against_baseline": compared}


def _rounded(value: float) -> float:
    """In so few digits that every machine writes the same."""
    return round(float(value), 9)


def _run(result: SeedResult) -> dict[str, Any]:
    provenance = result.provenance
    return {
        "seed": provenance.seed,
        "status": provenance.status,
        "reason": provenance.reason,
        "tier": result.tier,
        "cost": None if math.isnan(result.cost) else result.cost,
        "correct": {attack: found.correct.tolist() for attack, found in result.accuracies.items()},
        **_curve(result),
        **_tried(result),
        "warnings": provenance.warnings,
        "verification": None if result.receipt is None else asdict(result.receipt),
    }


def _curve(result: SeedResult) -> dict[str, Any]:
    """Correct images per class at every radius, where the protocol has a curve."""
    found = result.kept.by_radius if result.finished else {}
    correct = [{"radius": radius, "correct": one.correct.tolist()} for radius, one in found.items() if radius]
    return {"curve": correct} if correct else {}


def _tried(result: SeedResult) -> dict[str, Any]:
    """Correct images per class under what else was tried, and under everything in the ball of the threat."""
    found = result.kept.tried if result.finished else {}
    if not found:
        return {}
    counting = set(result.further)
    listed = [
        {"attack": text, "counts": text in counting, "correct": one.correct.tolist()} for text, one in found.items()
    ]
    return {"tried": listed, "hardest": result.hardest(result.attack).correct.tolist()}


def _parquet(board: Board) -> bytes:
    records = []
    for kind, _, row in _rows(board):
        for result in row.results:
            plain = _run(result)
            values = {"label": row.label, "title": str(card_of(row)["title"]), "kind": kind, **plain}
            values |= {attack: plain["correct"].get(attack) for attack in ATTACKS}
            texts = {name: _utf8(value).decode() for name, value in values.items() if isinstance(value, str)}
            records.append({name: texts.get(name, values[name]) for name in SCHEMA.names})
    described = {"suite": board.suite, "class_names": board.class_names, "images_per_class": board.counts}
    table = pa.Table.from_pylist(records, schema=SCHEMA)
    target = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"board": json.dumps(described)}), target)
    return target.getvalue()


def _utf8(text: str) -> bytes:
    """A lone surrogate in a result cannot be encoded, and must not stop the report."""
    return text.encode("utf-8", errors="replace")


_MADE: Mapping[str, Callable[[Board], bytes]] = MappingProxyType(
    {
        ".csv": lambda board: _utf8(to_csv(board)),
        ".json": lambda board: _utf8(_document(board)),
        ".tex": lambda board: _utf8(to_latex(board)),
        ".bib": lambda board: _utf8(to_bibtex(board)),
        ".parquet": _parquet,
    }
)
