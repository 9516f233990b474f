"""Two rows against each other in the terminal: order by every key, paired tests with their counts, power."""

import math

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fairbench.boards.board import Board
from fairbench.boards.head_to_head import Contest, HeadToHead
from fairbench.report.headings import heading
from fairbench.report.phrases import NOTHING, attack_names, percent, plural, protocol_sentence, separation_sentence
from fairbench.statistics import mcnemar

DIFFERENCE = 0.02
"""Two points: what papers claim, and what few test sets can show."""


def duel(board: Board, found: HeadToHead) -> Group:
    """Everything about a pair; accuracies in percent, differences in points."""
    first, second = found.first.label, found.second.label
    names = attack_names(board)
    lines: list[RenderableType] = [Text(f"{heading(board)}. {protocol_sentence(board)}"), Text()]
    lines += [_order(found), Text(separation_sentence(board)), Text()]
    lines += [_tests(found, attack=names[board.attack]), Text(_explanation(found)), Text()]
    lines += [Text(f"To see a difference of {100 * DIFFERENCE:g} points (power 80 %, 5 % two-sided):")]
    lines += [
        Text(f"  {sentence}")
        for contest in found.contests
        if not contest.picked
        for sentence in _needs(contest, pairs=found.pairs)
    ]
    decisions = found.decisions(found.standings)
    wins, losses = ([key for key, decision in decisions.items() if decision == wanted] for wanted in (1, -1))
    ties = plural(len(decisions) - len(wins) - len(losses), "tie")
    return Group(
        *lines, Text(), Text(f"{first} against {second}: {_count(wins, 'win')}, {ties}, {_count(losses, 'loss')}.")
    )


def _count(keys: list[str], noun: str) -> str:
    return plural(len(keys), noun) + (f" ({', '.join(keys)})" if keys else "")


def _order(found: HeadToHead) -> Table:
    table = Table(title="By every key, percent with 95 % intervals", title_justify="left")
    table.add_column("key")
    for row in (found.first, found.second):
        table.add_column(escape(row.label), justify="right")
    table.add_column("difference", justify="right")
    table.add_column("places", justify="right")
    among = {f"of {plural(found.pairs, 'pair')}": found.standings} if found.pairs > 1 else {}
    decisions = {name: found.decisions(one) for name, one in {**among, "this pair alone": found.alone}.items()}
    for name in decisions:
        table.add_column(f"better,\n{name}")
    winners = {1: escape(found.first.label), -1: escape(found.second.label), 0: "tie"}
    for key in found.standings:
        by_key, places = found.standings[key], found.places
        values = [
            f"{percent(by_key.values[i])} [{percent(by_key.intervals[i][0])}, {percent(by_key.intervals[i][1])}]"
            for i in places
        ]
        ranks = "  ".join(f"{by_key.ranks[i][0]}–{by_key.ranks[i][1]}" for i in places)
        difference = _signed(by_key.values[places[0]] - by_key.values[places[1]])
        table.add_row(key, *values, difference, ranks, *(winners[by_name[key]] for by_name in decisions.values()))
    return table


def _tests(found: HeadToHead, *, attack: str) -> Table:
    table = Table(title=f"On the same images, under {attack}", title_justify="left")
    table.add_column("images")
    table.add_column("seeds", justify="right")
    for row in (found.first, found.second):
        table.add_column(f"only\n{escape(row.label)}", justify="right")
    for name in ("difference", "effect g", "p", "p, Holm"):
        table.add_column(name, justify="right")
    for contest in found.contests:
        tested = contest.paired
        mark = " *" if contest.picked else ""
        seeds = zip(tested.first_only, tested.second_only, mcnemar(tested.first_only, tested.second_only), strict=True)
        for place, (first, second, p_value) in enumerate(seeds):
            name = escape(contest.name) + mark if place == 0 else ""
            pair = [str(int(count)) for count in (first, second)]
            seed = _seed_names(found, place)
            table.add_row(name, seed, *pair, _signed((first - second) / contest.images), "", _p(p_value), "")
        low, high = tested.interval
        table.add_row(
            "",
            "all",
            str(int(tested.first_only.sum())),
            str(int(tested.second_only.sum())),
            f"{_signed(tested.difference)} [{_signed(low)}, {_signed(high)}]",
            f"{contest.effect:+.2f}" if math.isfinite(contest.effect) else NOTHING,
            _p(tested.p_value),
            _p(contest.adjusted),
            style="bold",
            end_section=True,
        )
    return table


def _seed_names(found: HeadToHead, place: int) -> str:
    """`1`, or `1 / 4` where two rows have other seeds."""
    names = [str(row.finished[place].provenance.seed) for row in (found.first, found.second)]
    return " / ".join(dict.fromkeys(names))


def _explanation(found: HeadToHead) -> str:
    sentences = [
        "Per seed: exact McNemar on two checkpoints.",
        (
            "All: the difference of the methods with its 95 % interval over images and seeds; p is at most .05 where "
            "it leaves out 0."
        ),
        f"Holm over {plural(found.pairs, 'pair')}.",
        "Effect: Cohen's g, the first's share of the discordant images minus one half.",
    ]
    if any(contest.picked for contest in found.contests):
        sentences.append(
            "* The class was picked by these very verdicts, so that its row is at its unluckiest there: a description."
        )
    return " ".join(sentences)


def _needs(contest: Contest, *, pairs: int) -> list[str]:
    """Images for two checkpoints, then images and seeds for two methods; for one pair, and corrected for all."""
    scale = f"{contest.name}, of which {percent(contest.discordant)} % differ"
    images = [contest.images_for(DIFFERENCE, tests=tests) for tests in (1, pairs)]
    counts = [plural(number, "image") if number else "more images than there are" for number in images]
    sentences = [f"{scale}: two checkpoints need {counts[0]}{_corrected(counts[1], pairs)};"]
    deviation = contest.paired.seed_deviation
    if math.isfinite(deviation):
        seeds = [_seeds(contest, number, tests=tests) for number, tests in zip(images, (1, pairs), strict=True)]
        spread = f"{100 * deviation:.1f} points over seeds beyond the luck with images"
        sentences.append(f"  two methods that spread by {spread}, {seeds[0]}{_corrected(seeds[1], pairs)}.")
    return sentences


def _seeds(contest: Contest, images: int | None, *, tests: int) -> str:
    """What is enough on these images, or else on twice as many as two checkpoints need."""
    for number in (contest.images, 2 * images if images else 0):
        seeds = contest.seeds_for(DIFFERENCE, images=number, tests=tests) if number else None
        if seeds:
            return f"{plural(seeds, 'seed')} each on {plural(number, 'image')}"
    return "more than there are"


def _corrected(text: str, pairs: int) -> str:
    return f" ({text} if {plural(pairs, 'pair')} are corrected for)" if pairs > 1 else ""


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
