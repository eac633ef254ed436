"""What a hub tells of itself: its acknowledgements, its beat, and what its page shows."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.envelope import Entry, Kind, Rules
from cluster.events import Up
from cluster.figures import Totals, beat_of, of_acks, state_of
from cluster.fold import Origin, Stored
from cluster.fork import Seen
from cluster.member import Member
from cluster.peers import Peers
from cluster.presence import ROOMS_TOLD, Beat, packed, unpacked
from hub.rooms.accounting import Account
from hub.rooms.registry import Registry
from tests.unit.cluster.company import ANN, BOB, ME, a_beat
from tests.unit.cluster.link import Broker
from tests.unit.support import an_outbox

TOTALS = Totals(clients=3, lines_in=40, lines_out=500)


def a_member() -> Member:
    """On a link that keeps what it was asked."""
    return Member(ME, Rules(most_line_bytes=0, is_chat=True), Broker(), 0.0)


def some_rooms(*sizes: int) -> Registry:
    """The lobby, and rooms r1, r2 ... with so many in them."""
    rooms = Registry(Account(), 0)
    for number, size in enumerate(sizes, 1):
        room = rooms.find_or_make(f"r{number}", f"R{number}")
        for id in range(size):
            room.join(an_outbox(id + 1))
    return rooms


@pytest.mark.parametrize(
    ("acks", "found"),
    [
        ([], (0.0, 0.0)),
        ([0.5], (0.5, 0.5)),
        ([0.3, 0.1, 0.2], (0.2, 0.3)),
        ([number / 100 for number in range(100)], (0.5, 0.99)),
        ([1.0] * 2 + [0.0] * 198, (0.0, 1.0)),
        ([1.0] + [0.0] * 199, (0.0, 0.0)),
    ],
)
def test_half_and_99_of_100_acks_came_within_these_times(
    acks: list[float], found: tuple[float, float]
) -> None:
    assert of_acks(acks) == found


@given(st.lists(st.floats(0, 100), min_size=1))
def test_share_of_acks_is_as_it_is_said(acks: list[float]) -> None:
    p50_s, p99_s = of_acks(acks)
    assert 2 * sum(ack <= p50_s for ack in acks) >= len(acks)
    assert 100 * sum(ack <= p99_s for ack in acks) >= 99 * len(acks)
    assert {p50_s, p99_s} <= set(acks)


def test_beat_tells_what_the_hub_did_and_others_can_read_it() -> None:
    member, rooms = a_member(), some_rooms(2, 0)
    member.take(Up(Seen("now", 1, 0)), 0.0)
    member.outbox.put(Entry(Kind.TALK, "lobby", 1, b"<a> x\n"), 5, 0.0)
    member.step(0.0, 0)
    member.outbox.stored(1, 1, 0.0123456)
    member.fold.heard(Stored(5, ANN, b"", 0), 0.0)
    member.outbox.refused_lines, member.outbox.resent, member.fold.gaps = 7, 8, 9
    beat = beat_of(member, TOTALS, rooms)
    assert beat == Beat(
        applied=0, is_leaving=False, clients=3, lines_in=40, lines_out=500, ack_p50_ms=12.346,
        ack_p99_ms=12.346, behind=5, gaps=9, resent=8, refused_lines=7, rooms=3, people={"r1": 2},
    )  # fmt: skip
    assert unpacked(packed(beat)) == beat
    assert beat_of(member, TOTALS, rooms, is_leaving=True) == msgspec.structs.replace(beat, is_leaving=True)


def test_beat_tells_of_the_largest_rooms_only() -> None:
    beat = beat_of(a_member(), TOTALS, some_rooms(*range(1, ROOMS_TOLD + 11)))
    assert beat.people == {f"r{size}": size for size in range(11, ROOMS_TOLD + 11)}
    assert beat.rooms == ROOMS_TOLD + 11
    assert unpacked(packed(beat)) == beat


def test_state_shows_living_hubs_by_name_with_age_of_beats() -> None:
    member, peers, own = a_member(), Peers(ME), a_beat(clients=1)
    peers.heard(Origin("zoe", "1"), a_beat(clients=2), 7.0)
    peers.heard(ANN, a_beat(clients=3, behind=4), 9.5)
    state = state_of(member, peers, own, links=2, now=10.0)
    assert [(row.hub, row.is_this, row.beat_s, row.clients) for row in state.hubs] == [
        ("ann", False, 0.5, 3),
        ("me", True, 0.0, 1),
        ("zoe", False, 3.0, 2),
    ]
    assert (state.hub, state.links, state.hubs[0].behind, state.is_linked) == ("me", 2, 4, False)
    assert b'"beat_s"' in msgspec.json.encode(state)


def test_state_tells_of_silence_and_of_what_is_lost() -> None:
    member = a_member()
    member.take(Up(Seen("now", 1, 0)), 0.0)
    member.outbox.put(Entry(Kind.TALK, "lobby", 1, b"<a> x\n"), 5, 1.0)
    member.refused, member.lost, member.gone = 3, 4, 5
    state = state_of(member, Peers(ME), a_beat(), links=1, now=3.5)
    assert (state.is_linked, state.unheard_s, state.waiting_bytes) == (True, 2.5, 6)
    assert (state.refused_messages, state.lost, state.forks) == (3, 9, 0)


def test_hub_is_shown_once_though_it_began_a_new_life() -> None:
    peers = Peers(ME)
    peers.heard(BOB, a_beat(), 0.0)
    peers.heard(Origin("bob", "2"), a_beat(), 1.0)
    peers.heard(Origin("me", "2"), a_beat(), 1.0)
    state = state_of(a_member(), peers, a_beat(), links=1, now=1.0)
    assert [row.hub for row in state.hubs] == ["bob", "me"]
