"""What the templates of every page can call, and how they are filled: everything is escaped, nothing may be missing."""

from functools import cache

import jinja2

from fairbench.outcomes import literature, metrics
from fairbench.report import evidence, headings, phrases
from fairbench.report.site import (
    addresses,
    downloads,
    flags,
    further_attacks,
    heat_map,
    key_ranks,
    measures,
    pictures,
    radius_curves,
    ranking_table,
    sentences,
    shared_files,
    tuning,
    verification,
)


@cache  # which keeps the compiled templates
def environment() -> jinja2.Environment:
    """Templates with the functions and filters of this package."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fairbench.report.site"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "EVIDENCE": literature.EVIDENCE,
        "MANY_CLASSES": phrases.MANY_CLASSES,
        "POLICY": shared_files.POLICY,
        "RADII_HEIGHT": radius_curves.HEIGHT,
        "RADII_LEFT": radius_curves.LEFT,
        "RADII_RIGHT": radius_curves.RIGHT,
        "RADII_WIDTH": radius_curves.WIDTH,
        "average": metrics.average,
        "baseline_sentence": evidence.baseline_sentence,
        "compared_keys": ranking_table.compared_keys,
        "leading_sentence": evidence.leading_sentence,
        "power_sentence": evidence.power_sentence,
        "worst": metrics.worst,
        "anchor": headings.anchor,
        "attack_names": phrases.attack_names,
        "audit_phrase": phrases.audit_phrase,
        "axis_end": phrases.axis_end,
        "best_sentence": sentences.best_sentence,
        "candidates": phrases.candidates,
        "card_of": phrases.card_of,
        "choices": ranking_table.choices,
        "columns": ranking_table.columns,
        "contradicted": verification.contradicted,
        "few_images": sentences.few_images,
        "fill_command": sentences.fill_command,
        "flag_cells": flags.cells,
        "flag_headings": [heading for heading, _ in flags.COLUMNS.values()],
        "formats": downloads.FORMATS,
        "further_lines": further_attacks.further_lines,
        "made_into_tables": further_attacks.made_into_tables,
        "heat_views": heat_map.heat_views,
        "key_title": evidence.key_title,
        "measures": measures.measures,
        "method_address": addresses.method_address,
        "needs_teacher": ranking_table.needs_teacher,
        "picture_names": pictures.picture_names,
        "place": ranking_table.place,
        "precision_sentence": sentences.precision_sentence,
        "privileges_phrase": phrases.privileges_phrase,
        "promotions": sentences.promotions,
        "protocol_sentence": phrases.protocol_sentence,
        "radius_pictures": radius_curves.radius_pictures,
        "raised": phrases.raised,
        "rho_remark": measures.rho_remark,
        "row_against_baseline": evidence.row_against_baseline,
        "row_name": phrases.row_name,
        "scatters": pictures.scatters,
        "shown_keys": evidence.shown_keys,
        "key_ranks": key_ranks.key_ranks,
        "statistics_sentence": sentences.statistics_sentence,
        "tail_key": ranking_table.tail_key,
        "rate_sentence": tuning.rate_sentence,
        "trial_lines": tuning.trial_lines,
        "tuned": tuning.tuned,
        "told_apart": key_ranks.told_apart,
        "traits": ranking_table.traits,
        "verification_mark": verification.verification_mark,
        "weakest_audit": sentences.weakest_audit,
        "worst_classes": phrases.worst_classes,
    }
    environment.filters |= {
        "listed": phrases.listed,
        "multiple": phrases.multiple,
        "percent": phrases.percent,
        "plural": phrases.plural,
        "points": heat_map.points,
        "settings": phrases.settings,
        "sortable": phrases.sortable,
        "whole_percent": phrases.whole_percent,
    }
    return environment
