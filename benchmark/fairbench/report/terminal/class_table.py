"""One model in the terminal: accuracy of every class, worst first, and what has to be known about the numbers."""

from collections.abc import Iterator

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fairbench.outcomes.comparability import read_audit
from fairbench.outcomes.metrics import average, class_accuracies, minimum_envelope, worst, worst_class
from fairbench.outcomes.radii import accuracies_by_radius, lines_by_radius
from fairbench.outcomes.store import NOT_RUN, Outcomes
from fairbench.outcomes.tried import attack_title, counted, hardest_accuracies, tried_accuracies
from fairbench.protocol.attack_names import Attack
from fairbench.report.phrases import audit_phrase, half_phrase, percent, radius


def class_table(outcomes: Outcomes) -> Group:
    """Percent per class under every attack that was run, then average, worst class with its envelope, and warnings."""
    rows, provenance = outcomes.rows, outcomes.provenance
    names = provenance.class_names
    judged = bool((rows["autoattack"] != NOT_RUN).any())
    attacks: tuple[Attack, ...] = ("clean", "pgd20", "autoattack") if judged else ("clean", "pgd20")
    found = {attack: class_accuracies(rows, len(names), attack) for attack in attacks}
    titles = {"clean": "clean", "pgd20": "PGD-20", "autoattack": "APGD" if provenance.tier == "fast" else "AutoAttack"}
    table = Table(
        title=escape(f"{provenance.label}, seed {provenance.seed}, tier {provenance.tier}"), title_justify="left"
    )
    table.add_column("class")
    table.add_column("images", justify="right")
    for attack in attacks:
        table.add_column(titles[attack], justify="right", style="bold" if attack == attacks[-1] else "")
    hardest = found[attacks[-1]].values
    order = sorted(range(len(names)), key=lambda k: (hardest[k] != hardest[k], hardest[k], k))
    for k in order:
        count = int(found["clean"].counts[k])
        cells = [percent(found[attack].values[k]) if count else "no data" for attack in attacks]
        table.add_row(escape(names[k]), str(count), *cells)
    table.add_section()
    table.add_row("average", str(len(rows)), *(percent(average(found[attack].values)) for attack in attacks))
    table.add_row(
        "worst class",
        "",
        *(
            f"{percent(worst(found[attack].values))} ({escape(names[worst_class(found[attack].values)])})"
            for attack in attacks
        ),
    )
    envelope = minimum_envelope(found[attacks[-1]])
    between = f"between {percent(envelope.low)} and {percent(envelope.high)} % (95 %, all classes considered)"
    lines = [f"Worst class under {titles[attacks[-1]]}: {between}. Percent; upper bounds on true robustness."]
    if provenance.promotion:
        lines.append(f"Promoted to tier {provenance.tier}: {provenance.promotion}.")
    if provenance.tier == "fast":
        audit = read_audit(provenance, file=provenance.label)
        assert audit is not None
        lines.append(f"FAB and Square were left out but for an audit: {audit_phrase(audit)}.")
    lines += provenance.warnings
    return Group(
        table,
        *_radius_table(outcomes),
        *_further_table(outcomes, attacks[-1], title=titles[attacks[-1]]),
        *(Text(line) for line in lines),
    )


def _radius_table(outcomes: Outcomes) -> Iterator[Table]:
    """The curve, where there is one: percent by radius, and where half of the clean accuracy is left."""
    found = accuracies_by_radius(outcomes)
    if not found:
        return
    table = Table(title="Robust accuracy by radius", title_justify="left")
    table.add_column("class")
    for size in found:
        table.add_column(radius(size) if size else "clean", justify="right")
    table.add_column("half left at", justify="right")
    for line in lines_by_radius(found, outcomes.provenance.class_names):
        table.add_row(escape(line.name), *map(percent, line.values), half_phrase(line.half, largest=max(found)))
    yield table


def _further_table(outcomes: Outcomes, strongest: Attack, *, title: str) -> Iterator[Table]:
    """What else was tried, where anything was: average and worst class, and all of it together."""
    found = tried_accuracies(outcomes)
    if not found:
        return
    names, own = outcomes.provenance.class_names, set(counted(outcomes.provenance))
    table = Table(title="What else was tried", title_justify="left")
    for heading in ("attack", "average", "worst class"):
        table.add_column(heading, justify="left" if heading == "attack" else "right")
    lines = {attack_title(text) + ("" if text in own else " (a ball of its own)"): one for text, one in found.items()}
    if own:
        lines[f"{title} and all in its ball"] = hardest_accuracies(outcomes, strongest)
    for name, accuracies in lines.items():
        values = accuracies.values
        lowest = f"{percent(worst(values))} ({names[worst_class(values)]})"
        table.add_row(escape(name), percent(average(values)), escape(lowest))
    yield table
