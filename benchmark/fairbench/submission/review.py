"""What a review found, and the comment on a pull request that says it.

review = Review(submission=..., problems=[...], attacked=[...], moved=...)
review.accepted(tolerance=0)
comment(review, tolerance=0)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fairbench.external.verification import Verified
from fairbench.outcomes.metrics import Counts
from fairbench.submission.bundle import Submission
from fairbench.submission.drawing import chance
from fairbench.submission.markdown import moved_table, plain, table
from fairbench.submission.movement import Movement

SHOWN = 20
"""Differing verdicts that a comment lists."""

EXAMPLE = 0.02
"""Share of invented verdicts for which a comment says how likely it would have been found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Attacked:
    """One seed that was attacked again.

    Attributes:
        seed: of its training.
        verified: what was found.
        claimed: images of the file that count as robust, by class, (classes,).
        drawn: of them, those that were attacked again, (classes,).
        class_names: by label.
    """

    seed: int
    verified: Verified
    claimed: Counts
    drawn: Counts
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Review:
    """Everything that was found.

    Attributes:
        submission: what was submitted; None if that could not be read.
        problems: what speaks against it, a sentence each.
        attacked: seeds that were attacked again; none if there were problems before.
        draw: seed of the reviewer.
        checks: of the method, with what became of each; none if no code was run.
        moved: the board before and after; None if there were problems.
    """

    submission: Submission | None
    problems: Sequence[str]
    attacked: Sequence[Attacked]
    draw: int
    checks: Sequence[tuple[str, str]]
    moved: Movement | None

    @property
    def overstated(self) -> int:
        """Verdicts that speak for the submission and were not confirmed, over all seeds."""
        return sum(one.verified.overstated for one in self.attacked)

    def accepted(self, *, tolerance: int) -> bool:
        """Whether nothing speaks against it, and it was attacked."""
        return not self.problems and bool(self.attacked) and self.overstated <= tolerance


def comment(review: Review, *, tolerance: int) -> str:
    """As Markdown, to be posted by whoever keeps the board."""
    submission = review.submission
    name = f"{plain(submission.suite)}/{plain(submission.label)}" if submission else "this bundle"
    accepted = review.accepted(tolerance=tolerance)
    parts = [f"## `fairbench review`: {name} {'can be accepted' if accepted else 'cannot be accepted'}"]
    if review.problems:
        parts.append("\n".join(f"- {plain(problem)}" for problem in dict.fromkeys(review.problems)))
    if review.attacked:
        parts.append(_attacked(review, tolerance=tolerance))
    elif not accepted:
        parts.append("No image was attacked again: that comes once nothing else is in the way.")
    if review.checks:
        parts.append(
            "### The method\n\n" + table(["check", "outcome"], [[plain(a), plain(b)] for a, b in review.checks])
        )
    if review.moved is not None:
        parts.append(f"### The board\n\n{moved_table(review.moved)}")
    return "\n\n".join(parts) + "\n"


def _attacked(review: Review, *, tolerance: int) -> str:
    """What was attacked again, which verdicts differ, and how likely an invention would have been found."""
    lines = []
    for one in review.attacked:
        verified = one.verified
        lines.append(
            [
                str(one.seed),
                f"{sum(verified.attacked):,} of {sum(verified.submitted):,}",
                f"{int(one.drawn.sum()):,} of {int(one.claimed.sum()):,}",
                str(len(verified.disagreements)),
                str(verified.overstated),
                f"{100 * _chance(one):.0f} %",
            ]
        )
    headings = ["seed", "images attacked again", "of those that count as robust", "verdicts that differ", "too good"]
    hidden = 1.0
    for one in review.attacked:
        hidden *= 1 - _chance(one)
    said = (
        f"If {100 * EXAMPLE:.0f} % of the robust verdicts were invented, this draw (`--seed {review.draw}`) would have "
        f"met one with at least the probability of the last column; in all seeds together, {100 * (1 - hidden):.1f} %."
    )
    parts = ["### Attacked again", table([*headings, "would be found"], lines), said]
    if review.overstated:
        excused = review.overstated <= tolerance
        parts.append(
            f"{review.overstated} verdicts speak for the submission and were not confirmed; {tolerance} are put down "
            f"to round-off{'' if excused else ', so this is too many'}."
        )
    if differing := [line for one in review.attacked for line in _differing(one)]:
        shown = differing[:SHOWN]
        rest = f"\n\nThe first {SHOWN} of {len(differing)} are shown." if len(differing) > SHOWN else ""
        parts.append(table(["seed", "image", "label", "attack", "submitted", "found"], shown) + rest)
    return "\n\n".join(parts)


def _chance(one: Attacked) -> float:
    claimed, drawn = int(one.claimed.sum()), int(one.drawn.sum())
    return chance(share=EXAMPLE, claimed=claimed, drawn=drawn) if claimed else 1.0


def _differing(one: Attacked) -> list[list[str]]:
    names = {-1: "not attacked", **dict(enumerate(one.class_names))}
    return [
        [str(one.seed), str(index), *(plain(text) for text in (names[label], attack, names[claimed], names[found]))]
        for index, label, attack, claimed, found in one.verified.disagreements.to_numpy().tolist()
    ]
