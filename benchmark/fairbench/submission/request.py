"""The text of a pull request that adds a row: what it is, whose, and how the board moves."""

from fairbench.outcomes.provenance import Provenance
from fairbench.submission.bundle import Submission
from fairbench.submission.markdown import moved_table, plain
from fairbench.submission.movement import Movement


def request_text(submission: Submission, found: Provenance, moved: Movement) -> str:
    """As Markdown.

    Args:
        submission: what is submitted.
        found: of one of its runs.
        moved: the board before and after.
    """
    title = found.card.get("title", submission.label)
    seeds = ", ".join(str(run.seed) for run in submission.runs)
    code = submission.code
    whose = (
        f"code/{code.file}" if code.file else f"{code.package} {code.version}" if code.package else "fairbench itself"
    )
    facts = {
        "Row": f"{submission.suite}/{submission.label}",
        "Title": title,
        "Submitted by": submission.by,
        "Link": submission.link,
        "Licence of weights and code": submission.licence,
        "Seeds": seeds,
        "Code": whose,
        "Computed on": f"{found.hardware}, torch {found.versions.get('torch', '?')}",
    }
    listed = "\n".join(f"- {name}: {plain(value)}" for name, value in facts.items())
    return (
        f"# Add {plain(title)} to {plain(submission.suite)}\n\n{listed}\n\n"
        f"## The board before and after\n\n{moved_table(moved)}\n\n"
        "The folder was written by `fairbench submit`, which checked it; the numbers above are the author's word until "
        "`fairbench review` has attacked a sample again.\n"
    )
