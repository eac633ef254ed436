"""One nick, several hubs: whatever is lost or late, one of them has it at most."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from cluster.names import CLAIM_S, SILENT, Names, key_of
from tests.unit.cluster.company import AGAIN, ANN, BOB, CY, Wire
from tests.unit.cluster.table import NICK, Claimant, Race

KEY = key_of(NICK)
OTHERS = ["give up", "lose", "deafen", "check", "wait", "die"]
DEEDS = st.lists(
    st.tuples(
        st.sampled_from([*["want"] * 2, *["settle"] * 3, *["reach", "hear"] * 2, *OTHERS]),
        st.integers(0, 2),
        st.integers(0, 5),
    ),
    min_size=20,
    max_size=40,
)
"""Without a least size most examples are of five deeds, which hardly ever make a race."""


def do(race: Race, deed: str, hub: Claimant, at: int) -> None:
    """One deed of a hub that lives, if it is possible now; `at` is which of the things under way."""
    always: dict[str, Callable[[], None]] = {
        "settle": hub.settle, "check": hub.names.check, "wait": lambda: hub.pass_s(CLAIM_S / 2)
    }  # fmt: skip
    match deed:
        case "want" if not (hub.has_nick or hub.waits):
            hub.wants()
        case "give up" if hub.has_nick:
            hub.gives_up()
        case "reach" | "lose" if hub.requests:
            hub.reach() if deed == "reach" else hub.requests.pop(0)
        case "hear" if hub.answers:
            hub.hear(at % len(hub.answers))
        case "deafen" if hub.answers:
            hub.answers.pop(at % len(hub.answers))
        case "die" if len(race.dead) < len(race.hubs) - 1:
            race.die(hub)
        case _ if deed in always:
            always[deed]()


def run(race: Race, deeds: list[tuple[str, int, int]], *, in_order: bool) -> None:
    """These deeds one after another, of hubs that live; never have two of them the nick."""
    for deed, number, at in deeds:
        hub = race.hubs[number]
        if hub.origin not in race.dead or deed == "reach":
            do(race, deed, hub, 0 if in_order else at)
        assert len(race.having) <= 1, race.having


# Races.


@given(DEEDS)
def test_nick_has_one_owner_whatever_is_lost(deeds: list[tuple[str, int, int]]) -> None:
    run(Race(ANN, BOB, CY), deeds, in_order=True)


@given(DEEDS)
def test_nick_has_one_owner_though_answers_overtake(deeds: list[tuple[str, int, int]]) -> None:
    run(Race(ANN, BOB, CY), deeds, in_order=False)


@given(DEEDS)
def test_claims_are_answered_within_two_seconds_and_once(deeds: list[tuple[str, int, int]]) -> None:
    race = Race(ANN, BOB, CY)
    run(race, deeds, in_order=True)
    for hub in race.hubs:
        hub.pass_s(CLAIM_S)
        assert not hub.waits and hub.names.timeout(hub.now) > 0


def test_of_two_hubs_the_first_in_the_table_gets_the_nick() -> None:
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    bob.wants()
    bob.reach()
    ann.reach()
    assert race.having == [] and race.owner == BOB
    ann.settle()
    bob.settle()
    assert (race.having, ann.refusals, bob.refusals) == ([BOB], [f"the nick {NICK} is taken"], [])


def test_second_client_of_a_hub_is_refused_without_asking() -> None:
    race = Race(ANN)
    (ann,) = race.hubs
    ann.wants()
    ann.wants()
    assert ann.refusals == [f"the nick {NICK} is taken"] and len(ann.requests) == 1
    ann.settle()
    ann.wants()
    assert len(ann.refusals) == 2 and not ann.requests


def test_claim_without_a_link_is_refused_at_once() -> None:
    wire, told = Wire(), list[str]()
    names = Names(ANN, wire, lambda origin: True)
    names.claim(NICK, told.append, 0.0, is_linked=False)
    assert told == [SILENT] and not wire.claims
    names.claim(NICK, told.append, 0.0, is_linked=True)
    assert wire.claims == [(KEY, 0)]


def test_claim_without_an_answer_is_refused_after_two_seconds() -> None:
    race = Race(ANN)
    (ann,) = race.hubs
    ann.wants()
    assert ann.names.timeout(0.5) == CLAIM_S - 0.5
    ann.pass_s(CLAIM_S - 0.001)
    assert ann.waits
    ann.pass_s(0.001)
    assert ann.refusals == [SILENT] and CLAIM_S == 2.0


# Whose it was.


def test_nick_of_a_dead_hub_is_taken_over() -> None:
    race = Race(ANN, BOB, CY)
    ann, bob, cy = race.hubs
    ann.wants()
    ann.settle()
    race.die(ann)
    for hub in (bob, cy):  # Both find the dead one's key, and both try to take it over.
        hub.wants()
        hub.reach()
        hub.reach()
        hub.hear()
    bob.settle()
    cy.settle()
    assert race.having == [BOB] == [race.owner] and cy.refusals == [f"the nick {NICK} is taken"]


def test_nick_of_a_living_hub_is_not_taken_over() -> None:
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.settle()
    bob.wants()
    bob.settle()
    assert (race.having, bob.refusals) == ([ANN], [f"the nick {NICK} is taken"])


def test_nick_of_an_earlier_life_is_taken_over_by_the_new_one() -> None:
    race = Race(BOB, AGAIN)
    before, now = race.hubs
    before.wants()
    before.settle()
    race.die(before)
    now.wants()
    now.settle()
    assert race.having == [AGAIN]


def test_released_nick_is_free_for_others() -> None:
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.settle()
    ann.gives_up()
    ann.settle()
    assert race.owner is None
    bob.wants()
    bob.settle()
    assert race.having == [BOB]


def test_release_of_a_nick_that_was_never_claimed_asks_nothing() -> None:
    race = Race(ANN)
    race.hubs[0].names.release("guest-ann-1")
    assert not race.hubs[0].requests


def test_late_release_does_not_drop_the_key_of_the_next_owner() -> None:
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.settle()
    ann.gives_up()
    race.dead.add(ANN)  # For a while it looks so.
    bob.wants()
    bob.settle()
    ann.settle()
    assert race.owner == BOB


def test_nick_that_was_taken_over_in_a_partition_is_lost() -> None:
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.settle()
    race.dead.add(ANN)
    bob.wants()
    bob.settle()
    race.dead.clear()
    ann.names.check()
    ann.settle()
    assert race.having == [BOB]
    ann.wants()
    ann.settle()
    assert ann.refusals == [f"the nick {NICK} is taken"]


def test_nick_stays_when_the_link_was_away_and_nobody_took_it() -> None:
    race = Race(ANN)
    (ann,) = race.hubs
    ann.wants()
    ann.settle()
    ann.names.check()
    ann.settle()
    assert race.having == [ANN]


def test_nick_is_claimed_again_in_a_table_that_was_made_anew() -> None:
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.settle()
    race.table.drop(KEY, race.table.look_up(KEY).revision)
    ann.names.check()
    ann.settle()
    assert race.having == [ANN] == [race.owner]
    bob.wants()
    bob.settle()
    ann.gives_up()
    ann.settle()
    assert race.owner is None, "the release names the new revision"


def test_keys_are_letters_and_digits_whatever_the_nick() -> None:
    for nick in ("zoe", "Zoë", "漢字", "a.b*c>", "", " "):
        assert key_of(nick).isalnum() and key_of(nick).isascii() and len(key_of(nick)) == 32
    assert key_of("zoe") != key_of("zoé")
