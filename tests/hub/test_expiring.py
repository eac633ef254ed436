"""The expire step: what it means that a clock has run out."""

from __future__ import annotations

from tests.support import ThreadHub, until


def test_a_warning_comes_before_the_end_and_the_farewell_names_the_timeout() -> None:
    times = {"idle_timeout_s": 0.4, "idle_warning_s": 0.2}
    with ThreadHub(mode="chat", announce=0, **times) as hub, hub.peer() as peer:
        peer.read_until(b"/help lists commands\n")
        assert (
            peer.rest() == b"* idle: say something within 0.2 s, or be gone\n* bye reason=idle after=0.4s\n"
        )
        ending = hub.ending()
        assert ending["reason"] == "idle"
        assert ending["lateness_ms"] >= 0


def test_who_talks_after_the_warning_is_warned_again_and_not_ended_early() -> None:
    times = {"idle_timeout_s": 0.6, "idle_warning_s": 0.3}
    with ThreadHub(mode="chat", announce=0, **times) as hub, hub.peer() as peer:
        peer.read_until(b"or be gone\n")
        peer.send(b"here\n")
        peer.read_until(b"<guest-1> here\n")
        assert peer.rest().count(b"or be gone\n") == 1
        assert hub.ending()["age_s"] >= 0.9


def test_relay_modes_warn_nobody() -> None:
    with ThreadHub(idle_timeout_s=0.3, idle_warning_s=0.2) as hub, hub.peer() as peer:
        assert peer.rest() == b"* bye reason=idle after=0.3s\n"
        assert hub.ending()["lines_out"] == 1


def test_a_fresh_client_is_greeted_when_it_has_said_nothing_for_a_moment() -> None:
    with ThreadHub(mode="chat") as hub, hub.peer() as peer:
        client = until(lambda: hub.loop.hub.clients.get(1))
        peer.read_until(b"guest-1 joined\n")
        assert not client.fresh
        assert client.lines_in == 0
