"""Answers about nicks that come late, out of order or never: a nick is free again, and nobody's twice."""

from cluster.events import Owned
from cluster.names import SILENT, Names, key_of
from tests.unit.cluster.company import ANN, BOB, Wire
from tests.unit.cluster.table import NICK, Race

KEY = key_of(NICK)


def test_answer_after_the_claim_was_given_up_releases_the_nick() -> None:
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.reach()
    ann.pass_s()
    assert ann.refusals == [SILENT] and race.owner == ANN
    ann.settle()
    assert race.table.look_up(KEY).owner is None
    bob.wants()
    bob.settle()
    assert race.having == [BOB]


def test_late_answer_serves_the_next_client_that_claims_the_nick() -> None:
    race = Race(ANN)
    (ann,) = race.hubs
    ann.wants()
    ann.reach()
    ann.pass_s()
    ann.wants()
    ann.settle()
    assert race.having == [ANN] == [race.owner]


def test_answer_from_before_a_release_gives_nobody_the_nick() -> None:
    """A look at a key is under way while its client leaves, and while another hub gets the nick."""
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.settle()
    ann.names.check()
    ann.reach()
    ann.gives_up()
    ann.reach()
    bob.wants()
    bob.settle()
    ann.wants()
    ann.hear()
    assert race.having == [BOB] == [race.owner]


def test_older_answer_about_a_nick_is_not_taken_for_its_loss() -> None:
    """A replica of the table may be behind: what it says of a key that was taken over since is old."""
    names, wire, told = Names(ANN, Wire(), lambda origin: False), Wire(), list[str]()
    names.claim(NICK, told.append, 0.0, is_linked=True)
    names.owned(Owned(KEY, BOB, 5))
    names.owned(Owned(KEY, ANN, 9))
    assert told == [""] and not wire.releases
    assert names.owned(Owned(KEY, BOB, 5)) == ""


def test_nick_is_free_though_its_release_was_lost() -> None:
    """The client is gone; the hub that had it lives, and looks after its keys at its next link."""
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.settle()
    ann.gives_up()
    ann.requests.clear()
    ann.names.check()
    ann.settle()
    bob.wants()
    bob.settle()
    assert race.having == [BOB]


def test_nick_is_free_though_the_answer_to_its_claim_was_lost() -> None:
    """The claim was given up, so nobody has the nick."""
    race = Race(ANN, BOB)
    ann, bob = race.hubs
    ann.wants()
    ann.reach()
    ann.answers.clear()
    ann.pass_s()
    ann.names.check()
    ann.settle()
    bob.wants()
    bob.settle()
    assert race.having == [BOB]
