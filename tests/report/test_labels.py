"""Names in a picture: never one over another, and next to their points."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from fairbench.report.labels import LONGEST, Box, place, shortened, text_width

PLANE = Box(0, 0, 700, 400)
COORDINATES = st.tuples(st.floats(0, 700), st.floats(0, 400))
POINTS = st.lists(st.tuples(COORDINATES, st.text(max_size=40)), max_size=40)


@settings(max_examples=50)
@given(POINTS)
def test_no_name_covers_a_name_or_a_point(points: list[tuple[tuple[float, float], str]]) -> None:
    centres, names = [centre for centre, _ in points], [shortened(name) for _, name in points]
    boxes = place(centres, names, inside=PLANE)
    found = [box for box in boxes if box]
    assert not any(one.overlaps(other) for one, other in combinations(found, 2) if one.right > one.left)
    assert all(PLANE.holds(box) for box in found)
    for box in found:
        assert not any(box.left < x < box.right and box.top < y < box.bottom for x, y in centres)
    assert boxes == place(centres, names, inside=PLANE)


def test_a_name_alone_stands_to_the_right() -> None:
    (box,) = place([(300.0, 200.0)], ["TRADES"], inside=PLANE)
    assert box is not None
    assert 300 < box.left < 310
    assert box.top < 200 < box.bottom


def test_a_name_at_the_right_edge_stands_elsewhere() -> None:
    (box,) = place([(699.0, 200.0)], ["TRADES"], inside=PLANE)
    assert box is not None
    assert box.right <= 700


def test_twenty_four_clustered_names_all_find_a_place() -> None:
    centres = [(300.0 + 12 * (k % 6), 150.0 + 12 * (k // 6)) for k in range(24)]
    assert all(place(centres, ["a method"] * 24, inside=PLANE))


def test_a_name_without_room_is_left_out() -> None:
    assert place([(10.0, 10.0)], ["much too long"], inside=Box(0, 0, 30, 30)) == [None]


def test_long_and_wide_names() -> None:
    assert len(shortened("x" * 100)) == LONGEST
    assert shortened("TRADES") == "TRADES"
    assert text_width("日本") == 2 * text_width("ab") == text_width("abcd")
