"""Bad links: twenty clients behind a proxy that spoils them, five without it, and a hundred lines of each.

Where a link survives, everybody hears every line once and in the one order. Where it does not, each of its
clients ends for the reason that the link gave, and the five notice nothing.
"""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.chaos import Proxy
from tests.e2e.recording_clients import WIRES, Choir, Voice, assert_same_story
from tests.e2e.toxics import Toxic
from tests.support import ThreadHub

BEHIND, DIRECT, LINES, FEW = 20, 5, 100, 40
FAREWELL = re.compile(rb"\* bye [^\n]*\n\Z")
Record = Callable[[str, object], None]


@dataclass
class Stage:
    """A hub, a link to it, and who is on which side of that."""

    hub: ThreadHub
    proxy: Proxy
    choir: Choir
    behind: list[Voice]
    direct: list[Voice]
    voice: type[Voice]

    @property
    def all(self) -> list[Voice]:
        return self.behind + self.direct

    def reasons(self) -> dict[str, int]:
        """How many ended for which reason so far."""
        return dict(Counter(str(ending["reason"]) for ending in self.hub.endings()))

    def until_ended(self, count: int, patience_s: float = 30.0) -> float:
        """Turns until so many have ended; seconds."""
        return self.choir.until(lambda: len(self.hub.endings()) >= count, patience_s)

    def join_behind(self, count: int, name: str = "behind") -> list[Voice]:
        """Some more behind the link, in the room when this returns."""
        before = self._subscribers()
        address = ("127.0.0.1", self.proxy.port)
        made = self.choir.join([self.voice(address, f"{name}-{number:02}") for number in range(count)])
        self.choir.until(lambda: self._subscribers() == before + count)
        return made

    def _subscribers(self) -> int:
        return sum(len(room.subscribers) for room in self.hub.loop.hub.rooms.all())


@contextmanager
def stage(wire: str, **changes: Any) -> Iterator[Stage]:
    """Everybody is in the room, and the link is good so far. Browsers name the proxy's port in Host."""
    with ThreadHub(allowed_hosts=("127.0.0.1",), **changes) as hub, Choir() as choir:
        port = hub.port if wire == "lines" else hub.ws_port
        with Proxy(("127.0.0.1", port), seed=1) as proxy:
            made = Stage(hub, proxy, choir, [], [], WIRES[wire])
            made.behind = made.join_behind(BEHIND)
            made.direct = choir.join(
                [made.voice(("127.0.0.1", port), f"direct-{number:02}") for number in range(DIRECT)]
            )
            choir.until(lambda: made._subscribers() == BEHIND + DIRECT)
            yield made


def everyone_leaves(act: Stage) -> float:
    """All end in order; seconds until the hub has heard of it."""
    for voice in act.all:
        voice.leave()
    took_s = act.until_ended(len(act.all))
    assert act.reasons() == {"peer_closed": len(act.all)}
    return took_s


both_wires = pytest.mark.parametrize("wire", WIRES)


def everyone_talks_over(
    act: Stage, to_hub: Toxic, to_client: Toxic, lines: int = LINES, filler: bytes = b"..."
) -> float:
    """So many lines of each over such links, and all of them heard by all; seconds."""
    start = time.monotonic()
    act.proxy.poison(to_hub=to_hub, to_client=to_client)
    act.choir.talk(act.all, lines, filler)
    act.choir.until_heard(act.all, lines * len(act.all), patience_s=60)
    assert act.reasons() == {}
    assert_same_story(act.all, act.all)
    return time.monotonic() - start


# Links that survive.

BITS = Toxic(slice_bytes=12), Toxic(slice_bytes=400)
SLOW = {
    "latency": [Toxic(latency_s=0.05)] * 2,
    "jitter": [Toxic(latency_s=0.03, jitter_s=0.03)] * 2,
    "slicer": BITS,
    "slicer with pauses": [Toxic(slice_bytes=1000, slice_pause_s=0.002)] * 2,
}


@pytest.mark.promise("network-bad-link")
@both_wires
def test_over_a_link_that_cuts_into_bits_all_hear_the_same(wire: str, record_property: Record) -> None:
    with stage(wire) as act:
        took_s = everyone_talks_over(act, *BITS, lines=FEW)
        record_property(f"1,000 lines in bits, {wire}", f"{took_s:.1f} s")
        everyone_leaves(act)


@pytest.mark.promise("network-bad-link")
@pytest.mark.long
@both_wires
@pytest.mark.parametrize("toxic", SLOW)
def test_over_a_slow_link_everyone_hears_the_same(wire: str, toxic: str, record_property: Record) -> None:
    with stage(wire) as act:
        took_s = everyone_talks_over(act, *SLOW[toxic])
        record_property(f"2,500 lines with {toxic}, {wire}", f"{took_s:.1f} s")
        everyone_leaves(act)


@pytest.mark.promise("network-bad-link")
@pytest.mark.long
@both_wires
def test_over_a_narrow_link_all_hear_the_same(wire: str, record_property: Record) -> None:
    narrow = Toxic(bytes_per_s=200_000)
    with stage(wire) as act:
        took_s = everyone_talks_over(act, narrow, narrow, filler=b"x" * 400)
        record_property(f"1 MB to each at 200 KB/s, {wire}", f"{took_s:.1f} s")
        assert took_s > 4.0
        everyone_leaves(act)


@pytest.mark.promise("network-bad-link")
@pytest.mark.long
@both_wires
def test_a_link_that_stops_and_goes_on_loses_nothing(wire: str, record_property: Record) -> None:
    stop = Toxic(stopped=True)
    with stage(wire) as act:
        act.choir.talk(act.all, LINES // 4)
        act.choir.until_heard(act.all, LINES // 4 * len(act.all))
        act.proxy.poison(to_hub=stop, to_client=stop)
        act.choir.talk(act.all, LINES // 4)
        heard = act.choir.until_heard(act.direct, LINES // 2 * DIRECT + LINES // 4 * BEHIND)
        record_property(f"the others heard each other meanwhile, {wire}", f"{heard * 1000:.0f} ms")
        act.proxy.poison()
        act.choir.talk(act.all, LINES // 2)
        act.choir.until_heard(act.all, LINES * len(act.all))
        assert act.reasons() == {}
        assert_same_story(act.all, act.all)
        everyone_leaves(act)


@pytest.mark.promise("network-broken-link")
@pytest.mark.long
@both_wires
def test_an_end_that_comes_late_is_an_end_in_order(wire: str) -> None:
    late = Toxic(close_delay_s=1.5)
    with stage(wire) as act:
        everyone_talks_over(act, late, late)
        for voice in act.behind:  # Without a Close frame before it: that one would not be late.
            voice.sock.shutdown(socket.SHUT_WR)
        assert act.until_ended(BEHIND) > 1.4
        assert act.reasons() == {"peer_closed": BEHIND}
        act.choir.talk(act.direct, LINES)
        act.choir.until_heard(act.direct, LINES * (len(act.all) + DIRECT))
        assert_same_story(act.direct, act.all)


# Links that do not.


def assert_part_of_the_story(act: Stage, cut: list[Voice]) -> None:
    """The others heard all of each other; those cut heard the beginning, and nothing of theirs is torn."""
    story = act.direct[0].heard
    assert all(voice.heard == story for voice in act.direct)
    for voice in cut:
        heard = FAREWELL.sub(b"", voice.heard)  # There is one where it was cut between two lines.
        assert story.startswith(heard), f"{voice.name} heard something else"
    for speaker in act.all:
        told = [line for line in act.direct[0].lines if line.startswith(speaker.name.encode() + b" ")]
        assert told == speaker.said[: len(told)], f"{speaker.name} was not heard as it spoke"
        assert speaker in cut or len(told) == len(speaker.said), f"{speaker.name} was not heard to its end"


@pytest.mark.promise("network-broken-link")
@pytest.mark.long
@both_wires
def test_links_reset_amid_talk_are_peer_reset_and_others_hear_on(wire: str) -> None:
    with stage(wire) as act:
        act.choir.talk(act.all, LINES // 2)
        act.proxy.reset()
        act.choir.until(lambda: all(voice.ended for voice in act.behind))
        act.choir.talk(act.direct, LINES // 2)
        act.until_ended(BEHIND)
        assert act.reasons() == {"peer_reset": BEHIND}
        assert {voice.ended for voice in act.behind} == {"reset"}
        last = [voice.said[-1] for voice in act.direct]
        act.choir.until(lambda: all(set(last) <= set(voice.lines) for voice in act.direct))
        assert_part_of_the_story(act, act.behind)


@pytest.mark.promise("lines-unfinished-last")
@pytest.mark.long
@both_wires
def test_a_link_that_ends_within_a_line_is_an_end_in_order(wire: str) -> None:
    """The last line of a client that ended in order counts; a message that is not whole does not."""
    limit = 700  # For lines it falls behind a number, so that the rest of the line can be told apart.
    with stage(wire) as act:
        act.proxy.poison(to_hub=Toxic(limit_bytes=limit))
        act.choir.talk(act.all, LINES)
        act.until_ended(BEHIND)
        assert act.reasons() == {"peer_closed": BEHIND}
        expected = {voice.name: got_through(voice, limit) for voice in act.behind}
        lines = sum(map(len, expected.values())) + DIRECT * LINES
        act.choir.until_heard(act.direct, lines)
        for voice in act.behind:
            voice.said = expected[voice.name]
        assert_same_story(act.direct, act.all)
        assert all(voice.ended == "fin" for voice in act.behind)


def got_through(voice: Voice, limit: int) -> list[bytes]:
    """The lines of which so many bytes of a client's make up."""
    if voice.wire == "lines":
        return b"".join(line + b"\n" for line in voice.said)[:limit].removesuffix(b"\n").split(b"\n")
    whole: list[bytes] = []
    for line in voice.said:
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
        act.choir.talk(act.all, LINES // 2)
        act.choir.until_heard(act.all, LINES // 2 * len(act.all))
        act.proxy.cut()
        act.until_ended(BEHIND)
        assert act.reasons() == {"peer_closed": BEHIND}  # Nothing was under way: a FIN, and no more.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", act.proxy.port))
        act.choir.talk(act.direct, LINES // 2)
        total = LINES // 2 * (len(act.all) + DIRECT)
        act.choir.until_heard(act.direct, total)
        act.proxy.restore()
        again = act.join_behind(BEHIND, "again")
        act.choir.talk(again, LINES)
        act.choir.until_heard(act.direct, total + BEHIND * LINES)
        act.choir.until_heard(again, BEHIND * LINES)
        assert_same_story(act.direct, act.all + again)
        assert_same_story(again, again)
        assert act.reasons() == {"peer_closed": BEHIND}


@pytest.mark.promise("network-broken-link")
@pytest.mark.long
@both_wires
def test_clients_behind_a_stopped_link_are_closed_as_slow(wire: str, record_property: Record) -> None:
    stop = Toxic(stopped=True)
    with stage(wire) as act:
        act.choir.talk(act.all, LINES // 2)
        act.choir.until_heard(act.all, LINES // 2 * len(act.all))
        act.proxy.poison(to_hub=stop, to_client=stop)
        act.choir.talk(act.direct, LINES, filler=b"x" * 3000)
        took_s = act.until_ended(BEHIND)
        record_property(f"until all twenty were cut, {wire}", f"{took_s:.1f} s")
        assert act.reasons() == {"slow_consumer": BEHIND}
        act.choir.until_heard(act.direct, LINES // 2 * len(act.all) + LINES * DIRECT)
        assert_same_story(act.direct, act.all)
        act.proxy.poison()
        act.choir.until(lambda: all(voice.ended for voice in act.behind))
        assert_part_of_the_story(act, act.behind)
