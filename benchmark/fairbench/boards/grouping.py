"""Seed results that make one board, and those that fit nowhere.

    groups, problems = groups_of(results)

Nothing is ever compared across groups, and within one only what was judged on the same images.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairbench.boards.belonging import BoardKey, asked_board_key, beside_key, board_key, row_key, served_key
from fairbench.boards.board import Problem
from fairbench.boards.seed_result import SeedResult
from fairbench.outcomes.comparability import asked_tier


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """What one board is made of.

    Attributes:
        members: whose board it is, at least one: results of methods; of teachers that serve nobody; of models that were
            trained elsewhere and stand beside nobody.
        teachers: those that serve the members.
        external: of models that were trained elsewhere and share the members' judgement.
        promoted: results of methods that would be members if a higher tier had not taken them.
    """

    members: tuple[SeedResult, ...]
    teachers: tuple[SeedResult, ...] = ()
    external: tuple[SeedResult, ...] = ()
    promoted: tuple[SeedResult, ...] = ()

    @property
    def example(self) -> SeedResult:
        """A member for what all members share; a finished one if there is one."""
        return next((result for result in self.members if result.finished), self.members[0])


def groups_of(results: Iterable[SeedResult]) -> tuple[list[Group], list[Problem]]:
    """The groups in the order of their boards, and the results that are left out."""
    unique, problems = _unique(results)
    teachers = [result for result in unique if result.provenance.role == "teacher"]
    methods = [result for result in unique if result.provenance.role == "method"]
    external = [result for result in unique if result.external]
    served = {served_key(result) for result in methods}
    members: dict[BoardKey, list[SeedResult]] = defaultdict(list)
    for result in (*methods, *(teacher for teacher in teachers if served_key(teacher) not in served)):
        members[board_key(result)].append(result)
    promoted: dict[BoardKey, list[SeedResult]] = defaultdict(list)
    for result in methods:
        if result.tier != asked_tier(result.provenance):
            promoted[asked_board_key(result)].append(result)
    groups = []
    for key in sorted(members):
        kept, strays = _on_same_images(members[key])
        problems += strays
        example = Group(members=kept).example
        groups.append(
            Group(
                members=kept,
                teachers=tuple(result for result in teachers if served_key(result) == served_key(example)),
                external=tuple(result for result in external if beside_key(result) == beside_key(example)),
                promoted=tuple(promoted[key]),
            )
        )
    return groups + _strangers(external, groups), problems


def _strangers(external: Iterable[SeedResult], groups: Iterable[Group]) -> list[Group]:
    """Groups of models trained elsewhere that stand beside no other."""
    placed = {beside_key(group.example) for group in groups}
    alone: dict[tuple[str, str], list[SeedResult]] = defaultdict(list)
    for result in external:
        if beside_key(result) not in placed:
            alone[beside_key(result)].append(result)
    return [
        Group(members=tuple(found), external=tuple(found))
        for found in sorted(alone.values(), key=lambda found: board_key(found[0]))
    ]


def _unique(results: Iterable[SeedResult]) -> tuple[list[SeedResult], list[Problem]]:
    """The results without repetitions, and the files that repeat one: not the one that lies where it was written."""
    given = list(results)
    first: dict[tuple[object, ...], SeedResult] = {}
    for result in sorted(given, key=_was_moved):
        first.setdefault(_identity(result), result)
    problems = []
    for result in given:
        known = first[_identity(result)]
        if known is not result:
            message = f"{result.file} holds the same run as {known.file} and is left out; remove one of them."
            problems.append(Problem(file=result.file, message=message))
    return [result for result in given if first[_identity(result)] is result], problems


def _identity(result: SeedResult) -> tuple[object, ...]:
    provenance = result.provenance
    return (provenance.suite, provenance.role, row_key(result), provenance.seed)


def _was_moved(result: SeedResult) -> bool:
    """Whether a file lies elsewhere than its run was written, as a browser's `seed0 (1).parquet` does."""
    provenance = result.provenance
    return result.file != f"{provenance.suite}/{provenance.label}/seed{provenance.seed}.parquet"


def _on_same_images(results: Sequence[SeedResult]) -> tuple[tuple[SeedResult, ...], list[Problem]]:
    """The results on the most common test set, and the others as problems; a failed run fits any."""
    tested = Counter(result.images for result in results if result.finished)
    usual = tested.most_common(1)[0][0] if tested else ""
    message = "{} was evaluated on other images or classes than the rest of its board; it cannot be compared."
    return (
        tuple(result for result in results if result.images in ("", usual)),
        [
            Problem(file=result.file, message=message.format(result.file))
            for result in results
            if result.images not in ("", usual)
        ],
    )
