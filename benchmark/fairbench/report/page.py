"""Boards as one self-contained page: `site/index.html` needs no network, no server and no other file.

    write_site(build_boards(Path("results")), Path("site"))

Equal boards give equal bytes: no timestamps, no machine, everything in a fixed order. Styles and script are inlined,
and a content security policy forbids every request and every script but ours. Whatever comes from results is escaped
by the templates.
"""

import base64
import hashlib
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from fairbench import metrics
from fairbench.atomic import atomic
from fairbench.board import Boards
from fairbench.report import flags, headings, phrases

PAGE = "index.html"


def write_site(boards: Boards, site: Path) -> list[Path]:
    """Write the page; it appears complete or not at all.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    path = site / PAGE
    with atomic(path) as temporary:
        temporary.write_bytes(render(boards))
    return [path]


def report_is_current(boards: Boards, site: Path) -> bool:
    """Whether the page is what the boards imply, byte for byte."""
    path = site / PAGE
    return path.is_file() and path.read_bytes() == render(boards)


def render(boards: Boards) -> bytes:
    """The page as UTF-8."""
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        _environment()
        .get_template("page.html.j2")
        .render(
            boards=list(zip(boards.boards, headings.headings(boards.boards), strict=True)),
            problems=boards.problems,
            style=Markup(_asset("page.css")),  # noqa: S704  our own file
            script=Markup(script),  # noqa: S704  our own file
            script_digest=digest,
        )
    )
    # A lone surrogate in a result cannot be encoded, and must not take the page down.
    return text.encode("utf-8", errors="replace")


def _asset(name: str) -> str:
    return (resources.files("fairbench.report") / "assets" / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fairbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "average": metrics.average,
        "worst": metrics.worst,
        "worst_class": metrics.worst_class,
        "deviation": metrics.deviation,
        "envelope": metrics.minimum_envelope,
        "anchor": headings.anchor,
        "attack_names": phrases.attack_names,
        "audit_phrase": phrases.audit_phrase,
        "axis_end": phrases.axis_end,
        "card_of": phrases.card_of,
        "class_means": phrases.class_means,
        "fill_command": phrases.fill_command,
        "flag_cells": flags.cells,
        "flag_headings": [heading for heading, _ in flags.COLUMNS.values()],
        "precision_sentence": phrases.precision_sentence,
        "promotions": phrases.promotions,
        "protocol_sentence": phrases.protocol_sentence,
        "raised": phrases.raised,
        "row_name": phrases.row_name,
        "weakest_audit": phrases.weakest_audit,
        "worst_classes": phrases.worst_classes,
    }
    environment.filters |= {
        "listed": phrases.listed,
        "multiple": phrases.multiple,
        "percent": phrases.percent,
        "plural": phrases.plural,
        "settings": phrases.settings,
    }
    return environment
