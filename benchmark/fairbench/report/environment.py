"""What the templates of every page can call, and how they are filled: everything is escaped, nothing may be missing."""

from importlib import resources

import jinja2

from fairbench import literature, metrics
from fairbench.report import (
    addresses,
    axis,
    downloads,
    flags,
    headings,
    heat_map,
    phrases,
    pictures,
    ranking_table,
    verification,
)


def asset(name: str) -> str:
    """The text of a file that ships with the report."""
    return (resources.files("fairbench.report") / "assets" / name).read_text(encoding="utf-8")


def environment() -> jinja2.Environment:
    """Templates with the functions and filters of this package."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fairbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "EVIDENCE": literature.EVIDENCE,
        "average": metrics.average,
        "worst": metrics.worst,
        "anchor": headings.anchor,
        "attack_names": phrases.attack_names,
        "audit_phrase": phrases.audit_phrase,
        "axis_end": phrases.axis_end,
        "candidates": phrases.candidates,
        "card_of": phrases.card_of,
        "choices": ranking_table.choices,
        "columns": ranking_table.columns,
        "contradicted": verification.contradicted,
        "fill_command": phrases.fill_command,
        "flag_cells": flags.cells,
        "flag_headings": [heading for heading, _ in flags.COLUMNS.values()],
        "formats": downloads.FORMATS,
        "heat_views": heat_map.heat_views,
        "method_address": addresses.method_address,
        "needs_teacher": ranking_table.needs_teacher,
        "pictures": pictures.pictures,
        "places": ranking_table.places,
        "precision_sentence": phrases.precision_sentence,
        "promotions": phrases.promotions,
        "protocol_sentence": phrases.protocol_sentence,
        "raised": phrases.raised,
        "row_name": phrases.row_name,
        "statistics_sentence": phrases.statistics_sentence,
        "tail_key": ranking_table.tail_key,
        "traits": ranking_table.traits,
        "verification_mark": verification.verification_mark,
        "weakest_audit": phrases.weakest_audit,
        "worst_classes": phrases.worst_classes,
    }
    environment.filters |= {
        "listed": phrases.listed,
        "multiple": phrases.multiple,
        "percent": phrases.percent,
        "place": axis.written,
        "plural": phrases.plural,
        "points": heat_map.points,
        "settings": phrases.settings,
        "sortable": phrases.sortable,
        "whole": axis.whole,
    }
    return environment
