"""Nicks: guests are found by their id, chosen nicks by their key, and nothing stays of those who left."""

import pytest

from hub.modes.sanitize import NameRefused
from tests.unit.modes.test_chat import Talk


def test_guest_that_says_nothing_is_found_and_nothing_kept() -> None:
    talk = Talk()
    ann = talk.come()
    assert talk.chat.nicks.find("Guest-1") is ann
    assert (ann.mode_state, talk.chat.nicks.chosen) == (None, {})


@pytest.mark.parametrize("nick", ["guest-2", "guest-01", "guest-\u0661", f"guest-{'9' * 99}"])
def test_guest_that_is_not_here_is_nobody(nick: str) -> None:
    talk = Talk()
    talk.come()
    with pytest.raises(NameRefused):
        talk.chat.nicks.find(nick)


def test_guest_that_chose_a_nick_is_found_under_that_alone() -> None:
    talk = Talk()
    ann = talk.join("Ann")
    assert talk.chat.nicks.find("aNN") is ann
    with pytest.raises(NameRefused):
        talk.chat.nicks.find("guest-1")


def test_client_has_no_nick_before_it_joins_or_after_it_left() -> None:
    talk = Talk()
    ann, bob = talk.join("ann"), talk.come()
    for client in (ann, bob):
        talk.chat.left(client)
        assert talk.nick(client) == ""
    assert talk.chat.nicks.chosen == {}
    for nick in ("ann", "guest-2"):
        with pytest.raises(NameRefused):
            talk.chat.nicks.find(nick)
