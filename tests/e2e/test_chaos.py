"""Bad links: twenty clients behind a proxy that spoils them, five without it, and a hundred lines of each.

Where a link survives, everybody hears every line once and in the one order. Where it does not, each of its
clients ends for the reason that the link gave, and the five notice nothing.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.chaos import Proxy, Toxic
from tests.polled import WIRES, Crowd, Polled, assert_same_story, said
from tests.support import Record, ThreadHub

BEHIND, DIRECT, LINES, FEW = 20, 5, 100, 40
both_wires = pytest.mark.parametrize("wire", WIRES)
STOP = Toxic(stopped=True)


@dataclass
class Stage:
    """A hub, a link to it, and who is on which side of that."""

    wire: str
    hub: ThreadHub
    proxy: Proxy
    crowd: Crowd
    behind: list[Polled]
    direct: list[Polled]

    @property
    def all(self) -> list[Polled]:
        return self.behind + self.direct

    def join(self, count: int, name: str, via: int = 0) -> list[Polled]:
        """Some more, in the room when this returns."""
        made = [WIRES[self.wire](self.hub, f"{name}-{number:02}", via=via) for number in range(count)]
        return self.crowd.join(self.hub, made)

    def all_heard(self, listeners: list[Polled]) -> float:
        """Turns until these have heard all that was said; seconds."""
        return self.crowd.until_heard(listeners, said(self.all), 60)

    def ended(self) -> dict[str, int]:
        """The reasons, once all behind the link have ended."""
        self.crowd.until(lambda: len(self.hub.endings()) >= BEHIND, 30)
        return self.hub.reasons()


@contextmanager
def stage(wire: str, **changes: Any) -> Iterator[Stage]:
    """Everybody is in the room, and the link is good so far."""
    with ThreadHub(**changes) as hub, Crowd() as crowd, Proxy(WIRES[wire].port_of(hub), seed=1) as proxy:
        act = Stage(wire, hub, proxy, crowd, [], [])
        act.behind = act.join(BEHIND, "behind", proxy.port)
        act.direct = act.join(DIRECT, "direct")
        yield act


# Links that survive.


def assert_all_hear_the_same(
    wire: str, to_hub: Toxic, to_client: Toxic, lines: int, filler: bytes = b"..."
) -> float:
    """So many lines of each over such links, and all of them heard by all, who end in order; seconds."""
    with stage(wire) as act:
        act.proxy.poison(to_hub=to_hub, to_client=to_client)
        act.crowd.talk(act.all, lines, filler)
        took_s = act.all_heard(act.all)
        assert act.hub.reasons() == {}
        assert_same_story(act.all, act.all)
        for client in act.all:
            client.leave()
        act.crowd.until(lambda: act.hub.reasons() == {"peer_closed": len(act.all)})
        return took_s


@pytest.mark.promise("network-bad-link")
@both_wires
def test_over_a_link_that_cuts_into_bits_all_hear_the_same(wire: str) -> None:
    assert_all_hear_the_same(wire, Toxic(slice_bytes=12), Toxic(slice_bytes=400), FEW)


@pytest.mark.promise("network-bad-link")
@pytest.mark.long
@both_wires
def test_over_a_slow_link_everyone_hears_the_same(wire: str, record_property: Record) -> None:
    slow = Toxic(latency_s=0.03, jitter_s=0.03, slice_bytes=1000, slice_pause_s=0.005)
    took_s = assert_all_hear_the_same(wire, slow, slow, LINES, filler=b"x" * 100)
    record_property(f"300 KB to each at 100 KB/s, {wire}", f"{took_s:.1f} s")
    assert took_s > 1.0


@pytest.mark.promise("network-bad-link")
@pytest.mark.long
@both_wires
def test_a_link_that_stops_and_goes_on_loses_nothing(wire: str) -> None:
    with stage(wire) as act:
        act.crowd.talk(act.all, LINES // 4)
        act.all_heard(act.all)
        act.proxy.poison(to_hub=STOP, to_client=STOP)
        heard = said(act.all)
        act.crowd.talk(act.all, LINES // 4)
        act.crowd.until_heard(act.direct, heard + LINES // 4 * DIRECT)
        act.proxy.poison()
        act.crowd.talk(act.all, LINES // 2)
        act.all_heard(act.all)
        assert act.hub.reasons() == {}
        assert_same_story(act.all, act.all)


# Links that do not.


@pytest.mark.promise("network-broken-link")
@pytest.mark.long
@both_wires
def test_links_reset_amid_talk_are_peer_reset_and_others_hear_on(wire: str) -> None:
    with stage(wire) as act:
        act.crowd.talk(act.all, LINES // 2)
        act.proxy.reset()
        act.crowd.until(lambda: all(client.ended for client in act.behind))
        act.crowd.talk(act.direct, LINES // 2)
        assert act.ended() == {"peer_reset": BEHIND}
        assert {client.ended for client in act.behind} == {"reset"}
        last = [client.said[-1] for client in act.direct]
        act.crowd.until(lambda: all(set(last) <= set(client.lines) for client in act.direct))
        assert_same_story(act.direct, act.direct, cut=act.behind)


@pytest.mark.promise("lines-unfinished-last")
@pytest.mark.long
@both_wires
def test_a_link_that_ends_within_a_line_is_an_end_in_order(wire: str) -> None:
    """The last line of a client that ended in order counts; a message that is not whole does not."""
    limit = 700  # For lines it falls behind a number, so that the rest of the line can be told apart.
    with stage(wire) as act:
        act.proxy.poison(to_hub=Toxic(limit_bytes=limit))
        act.crowd.talk(act.all, LINES)
        assert act.ended() == {"peer_closed": BEHIND}
        for client in act.behind:
            client.said = got_through(client, limit)
        act.all_heard(act.direct)
        assert_same_story(act.direct, act.all)
        assert all(client.ended == "fin" for client in act.behind)


def got_through(client: Polled, limit: int) -> list[bytes]:
    """The lines of which so many bytes of a client's make up."""
    if client.wire == "lines":
        return b"".join(line + b"\n" for line in client.said)[:limit].removesuffix(b"\n").split(b"\n")
    whole: list[bytes] = []
    for line in client.said:
        limit -= len(line) + 6  # a header of two bytes, and four for the mask
        if limit < 0:
            break
        whole.append(line)
    return whole


@pytest.mark.promise("network-broken-link")
@pytest.mark.long
@both_wires
def test_clients_of_a_link_that_went_down_may_come_back(wire: str) -> None:
    with stage(wire) as act:
        act.crowd.talk(act.all, LINES // 2)
        act.all_heard(act.all)
        act.proxy.cut()
        assert act.ended() == {"peer_closed": BEHIND}  # Nothing was under way: a FIN, and no more.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", act.proxy.port))
        act.crowd.talk(act.direct, LINES // 2)
        act.all_heard(act.direct)
        act.proxy.restore()
        again = act.join(BEHIND, "again", act.proxy.port)
        act.crowd.talk(again, LINES)
        act.crowd.until_heard(act.direct, said(act.all) + said(again))
        act.crowd.until_heard(again, said(again))
        assert_same_story(act.direct, act.all + again)
        assert_same_story(again, again)
        assert act.hub.reasons() == {"peer_closed": BEHIND}


@pytest.mark.promise("network-broken-link")
@pytest.mark.long
@both_wires
def test_clients_behind_a_stopped_link_are_closed_as_slow(wire: str) -> None:
    with stage(wire) as act:
        act.crowd.talk(act.all, LINES // 2)
        act.all_heard(act.all)
        act.proxy.poison(to_hub=STOP, to_client=STOP)
        act.crowd.talk(act.direct, LINES, filler=b"x" * 3000)
        assert act.ended() == {"slow_consumer": BEHIND}
        act.all_heard(act.direct)
        act.proxy.poison()
        act.crowd.until(lambda: all(client.ended for client in act.behind))
        assert_same_story(act.direct, act.direct, cut=act.behind)
