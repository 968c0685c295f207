"""Following faces through a film: what is not seen for a moment is covered all the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance.faces.following import Sighting, covers

HOLD = 5


def face(x: float, *, kept: bool = False) -> Sighting:
    """Return a face 40 px wide at this place."""
    return Sighting(np.array([x, 0, x + 40, 40], np.float32), kept)


def film(frames: int, seen: dict[int, list[Sighting]]) -> list[list[Sighting]]:
    """Return what was found in a film of so many frames."""
    return [seen.get(number, []) for number in range(frames)]


def covered(boxes: tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...], x: float) -> bool:
    """Tell whether a face at this place is covered whole."""
    return any(box[0] <= x and x + 40 <= box[2] for box in boxes)


def test_face_is_covered_while_it_is_not_seen() -> None:
    """Between two sightings, up to a second apart, every place from the one to the other is covered."""
    found = covers(film(30, {10: [face(0)], 18: [face(30)]}), HOLD)
    for number in range(10, 19):
        assert covered(found[number], 0 + 30 * (number - 10) / 8), number


def test_face_is_covered_before_it_is_first_seen_and_after_it_was_last() -> None:
    """The box stays for half a second on either side, and grows; then nothing is covered any more."""
    found = covers(film(40, {20: [face(100)]}), HOLD)
    assert [len(one) for one in found] == [0] * 15 + [1] * 11 + [0] * 14
    widths = [float(found[number][0][2] - found[number][0][0]) for number in range(20, 26)]
    assert widths == sorted(widths)
    assert widths[-1] == 60


def test_two_faces_stay_two() -> None:
    """Faces that move side by side are each covered from their own place to their own place."""
    seen = {number: [face(200 - number), face(number)] for number in range(0, 30, 3)}
    found = covers(film(30, seen), HOLD)
    for number in range(28):
        assert covered(found[number], number)
        assert covered(found[number], 200 - number)
        assert all(box[2] - box[0] < 80 for box in found[number])


def test_one_that_is_kept_is_seen_only_where_it_is_known() -> None:
    """Whoever is kept is seen where recognised, and between two such moments half a second apart; else covered."""
    seen = {number: [face(0, kept=number not in {7, 8, 20, 21, 22, 23, 24, 25, 26})] for number in range(30)}
    found = covers(film(30, seen), HOLD)
    assert [number for number in range(30) if found[number]] == list(range(20, 27))


def test_stranger_who_takes_the_place_is_covered() -> None:
    """Somebody else who stands where the kept one stood a moment ago is covered from the first frame on."""
    seen = {number: [face(0, kept=number < 10)] for number in range(30)}
    found = covers(film(30, seen), HOLD)
    assert all(not found[number] for number in range(10))
    assert all(covered(found[number], 0) for number in range(10, 30))


def test_kept_one_who_is_lost_is_covered_where_they_were() -> None:
    """After the last and before the first moment at which the kept one is recognised, doubt covers the place."""
    found = covers(film(30, {number: [face(0, kept=True)] for number in range(10, 20)}), HOLD)
    assert [number for number in range(30) if found[number]] == [*range(5, 10), *range(20, 25)]


@given(
    st.lists(st.lists(st.tuples(st.integers(-100, 2000), st.booleans()), max_size=4), max_size=40), st.integers(1, 20)
)
@trials(max_examples=50)
def test_every_sighting_that_is_not_kept_is_covered(places: list[list[tuple[int, bool]]], hold: int) -> None:
    """Whatever is found, wherever, no face that was seen in a frame and is not the kept one stays to be seen in it.

    But between two moments of the kept one that are half a second apart at most.
    """
    seen = [[face(x, kept=kept and n == 0) for n, (x, kept) in enumerate(frame)] for frame in places]
    found = covers(seen, hold)
    assert len(found) == len(seen)
    kept_at = [number for number, frame in enumerate(seen) if any(one.kept for one in frame)]
    for number, frame in enumerate(seen):
        between = any(a < number < b <= a + hold for a in kept_at for b in kept_at)
        for one in frame:
            if not one.kept and not between:
                assert covered(found[number], float(one.box[0]))
