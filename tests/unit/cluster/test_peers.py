"""Which hubs are alive, as their beats tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.fold import Origin
from cluster.peers import DEAD_S, MOST, Peers
from tests.unit.cluster.company import AGAIN, ANN, BOB, CY, ME, a_beat


def peers(*alive: Origin, at: float = 0.0) -> Peers:
    """Those that a hub knows which heard these at this time."""
    found = Peers(ME)
    for origin in alive:
        found.heard(origin, a_beat(), at)
    return found


def test_hub_that_beats_is_alive() -> None:
    found = peers(BOB, ANN)
    assert [peer.origin for peer in found.living()] == [ANN, BOB]
    assert found.is_alive(BOB) and not found.is_alive(CY)
    found.heard(BOB, a_beat(clients=7), 2.0)
    assert [(peer.beat.clients, peer.heard_at) for peer in found.living()] == [(0, 0.0), (7, 2.0)]


def test_silent_hub_is_dead_after_three_seconds_and_told_once() -> None:
    found = peers(ANN, BOB)
    found.heard(BOB, a_beat(), 1.0)
    assert found.died(DEAD_S - 0.001) == []
    assert found.died(DEAD_S) == ["ann"]
    assert found.died(DEAD_S) == []
    assert not found.is_alive(ANN) and found.is_alive(BOB)
    found.heard(ANN, a_beat(), 3.5)
    assert found.is_alive(ANN) and found.died(1.0 + DEAD_S) == ["bob"]


def test_hub_that_leaves_is_gone_and_is_not_told_as_dead() -> None:
    found = peers(ANN, BOB)
    found.heard(ANN, a_beat(is_leaving=True), 1.0)
    assert not found.is_alive(ANN)
    assert found.died(100.0) == ["bob"]


def test_last_beat_of_an_earlier_life_does_not_end_the_new_one() -> None:
    found = peers(BOB, AGAIN)
    found.heard(BOB, a_beat(is_leaving=True), 1.0)
    assert found.is_alive(AGAIN)


def test_last_beat_of_a_hub_that_is_not_known_changes_nothing() -> None:
    found = peers(ANN)
    found.heard(BOB, a_beat(is_leaving=True), 1.0)
    assert [peer.origin for peer in found.living()] == [ANN]


def test_new_life_of_a_hub_takes_the_place_of_the_old_one() -> None:
    found = peers(BOB, AGAIN)
    assert found.is_alive(AGAIN) and not found.is_alive(BOB)
    assert [peer.origin for peer in found.living()] == [AGAIN]
    assert found.died(DEAD_S) == ["bob"]


def test_own_beat_is_no_peers() -> None:
    found = peers(ME)
    assert found.living() == [] and found.twin_at is None and found.is_first()


def test_another_hub_of_this_hubs_name_is_a_twin_and_no_peer() -> None:
    found = peers(Origin("me", "2"), at=7.0)
    assert (found.living(), found.twin_at) == ([], 7.0)
    found.heard(Origin("me", "2"), a_beat(is_leaving=True), 8.0)
    assert found.twin_at == 7.0, "one that leaves is none"


@pytest.mark.parametrize(
    ("others", "first"), [([], True), ([CY], False), ([Origin("zoe", "1")], True), ([BOB, ANN], False)]
)
def test_only_the_first_by_name_speaks_for_all(others: list[Origin], first: bool) -> None:
    assert peers(*others).is_first() is first


@given(st.sets(st.text("abc-", min_size=1, max_size=4), min_size=1, max_size=6))
def test_exactly_one_of_all_that_see_one_another_is_first(names: set[str]) -> None:
    lives = [Origin(name, "1") for name in names]
    firsts = 0
    for me in lives:
        found = Peers(me)
        for origin in lives:
            found.heard(origin, a_beat(), 0.0)
        firsts += found.is_first()
    assert firsts == 1


def test_first_hub_that_dies_leaves_it_to_the_next() -> None:
    found = peers(ANN)
    assert not found.is_first()
    found.died(DEAD_S)
    assert found.is_first()


def test_people_in_a_room_are_the_sum_of_all_living() -> None:
    found = Peers(ME)
    found.heard(ANN, a_beat(people={"lobby": 3, "tea": 1}), 0.0)
    found.heard(BOB, a_beat(people={"lobby": 4}), 1.0)
    found.heard(Origin("me", "2"), a_beat(people={"lobby": 50}), 0.0)
    assert [found.people_in(room) for room in ("lobby", "tea", "den")] == [7, 1, 0]
    found.heard(BOB, a_beat(people={"tea": 2}), 1.0)
    assert [found.people_in(room) for room in ("lobby", "tea")] == [3, 3]
    found.died(DEAD_S)
    assert [found.people_in(room) for room in ("lobby", "tea")] == [0, 2]


def test_hubs_beyond_the_limit_are_not_known() -> None:
    found = peers(*(Origin(f"h{number}", "1") for number in range(MOST)))
    found.heard(ANN, a_beat(), 1.0)
    assert len(found.living()) == MOST and not found.is_alive(ANN)
    found.heard(Origin("h7", "2"), a_beat(), 1.0)
    assert found.is_alive(Origin("h7", "2"))
    found.heard(Origin("h7", "2"), a_beat(is_leaving=True), 1.0)
    found.heard(ANN, a_beat(), 1.0)
    assert found.is_alive(ANN)
