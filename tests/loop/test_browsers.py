"""WebSocket clients in the turns of the loop: what holds for them alone, and what for them as for anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.frames import Opcode

from hub.close_reasons import CloseReason
from hub.protocol.ws_frames import frame, frames
from hub.session.client import Client
from tests.loop.support import LINE, SteppedHub, take_all
from tests.support import Peer, closing
from tests.unit.protocol.support import masked, request, request_to, text

LINES = [b"line %04d" % number for number in range(700)]


@contextmanager
def a_browser(hub: SteppedHub, receive_buffer: int = 0) -> Iterator[tuple[Peer, Client]]:
    """A WebSocket that has been let in and has read its answer, and the hub's side of it."""
    with Peer(hub.ws_port, receive_buffer=receive_buffer) as browser:
        before = hub.hub.counters.accepted
        hub.turns_until(lambda: hub.hub.counters.accepted > before)
        hub.say(browser, request_to(hub.ws_port))
        assert browser.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        yield browser, hub.client(browser)


def status(hub: SteppedHub, address: str, **headers: str) -> bytes:
    """How a request with these headers, sent to this address, is answered."""
    with Peer(hub.ws_port, address) as asking:
        before = hub.hub.counters.accepted
        hub.turns_until(lambda: hub.hub.counters.accepted > before)
        hub.say(asking, request(**headers))
        return asking.read(12)[-3:]


# What it sends, and gets back.


def test_browser_gets_each_line_of_a_message_as_a_frame() -> None:
    with SteppedHub() as hub, a_browser(hub) as (browser, _):
        hub.say(browser, text(b"\n".join(LINES)))
        wire = frames(b"".join(line + b"\n" for line in LINES))
        assert browser.read(len(wire)) == wire


@pytest.mark.promise("websocket-too-long")
@pytest.mark.parametrize(("mode", "max_line"), [("chat", 100), ("broadcast", 70_000), ("echo", 100)])
def test_a_message_may_have_64_kib_or_a_line_where_that_is_more(mode: str, max_line: int) -> None:
    limit = 100 if mode == "echo" else max(65_536, max_line)
    longest = b"x\n" * (limit // 2)
    with (
        SteppedHub(mode=mode, max_line_bytes=max_line) as hub,
        a_browser(hub) as (browser, client),
        a_browser(hub) as (other, offender),
    ):
        hub.say(browser, text(longest))
        assert client.close.reason is None
        assert client.inbox.lines_in == (1 if mode == "echo" else limit // 2)
        hub.say(other, text(longest + b"x"))
        assert (offender.close.reason, offender.close.detail) == ("line_too_long", f"limit={limit}")
        assert offender.inbox.lines_in == 0


# Its end.


@pytest.mark.promise("websocket-close")
def test_the_close_frame_comes_behind_what_a_browser_was_owed() -> None:
    with (
        SteppedHub() as hub,
        a_browser(hub, receive_buffer=4096) as (browser, _),
        closing(hub.join(1)) as (talker,),
    ):
        got = hub.begin_a_line(talker, browser)
        hub.say(browser, text(b"last words") + masked(Opcode.BINARY))
        got += hub.read_to_the_end(browser)
        owed = frames(LINE * hub.client(talker).inbox.lines_in + b"last words\n")
        assert got == owed + frame(b"\x03\xebreason=protocol_error binary=not here", Opcode.CLOSE)


@pytest.mark.promise("websocket-close")
@pytest.mark.parametrize("reason", [CloseReason.PEER_TIMEOUT, CloseReason.INTERNAL_ERROR])
def test_browser_given_up_gets_its_close_behind_the_partial(
    reason: CloseReason,
) -> None:
    with (
        SteppedHub() as hub,
        a_browser(hub, receive_buffer=4096) as (browser, client),
        closing(hub.join(1)) as (talker,),
    ):
        got = hub.begin_a_line(talker, browser)
        begun = client.outbox.next_line  # The number of the line after it.
        hub.hub.ready.end(client, reason)
        hub.turns()
        got += hub.read_to_the_end(browser)
        assert got == frames(LINE * begun) + frame(b"\x03\xf3reason=" + reason.encode(), Opcode.CLOSE)
        assert begun < hub.client(talker).inbox.lines_in


@pytest.mark.promise("websocket-ping")
def test_blocked_browser_is_not_pinged() -> None:
    """The question would stand behind those bytes; the kernel has a timer of its own for them."""
    with (
        SteppedHub(idle_timeout_s=0) as hub,
        a_browser(hub, receive_buffer=4096) as (browser, client),
        closing(hub.join(1)) as (talker,),
    ):
        hub.clog(talker, (), browser)
        for _ in range(4):
            hub.now_s += 20.1
            hub.turns(2)
            assert client.outbox.blocked and not client.inbox.pinged and client.close.reason is None
        heard = hub.catch_up(browser)
        assert re.fullmatch(rb"(\x81\x7e\x07\xce" + LINE[:-1] + rb")+", heard)
        hub.now_s += 20.1
        hub.turns(2)
        assert take_all(browser) == b"\x89\0"


# Who may come in.


def test_without_websockets_there_is_no_port_for_them() -> None:
    with SteppedHub(ws=False) as hub:
        assert "websocket" not in hub.hub.status.addresses
        assert {listener.transport for listener in hub.hub.acceptor.listeners.values()} == {"line"}


@pytest.mark.promise("websocket-origin")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.7"])
def test_browser_may_name_the_listening_or_an_allowed_host(host: str) -> None:
    with SteppedHub(host=host, allowed_hosts=("chat.example",)) as hub:
        port = hub.ws_port
        for name, answer in [
            (f"{host}:{port}", b"101"),
            (f"localhost:{port}", b"101"),
            ("chat.example", b"101"),
            (f"127.0.0.8:{port}", b"421"),
            (f"{host}:1", b"421"),
        ]:
            assert status(hub, host, Host=name) == answer, name
        own = f"{host}:{port}"
        assert status(hub, host, Host=own, Origin="https://chat.example") == b"101"
        assert status(hub, host, Host=own, Origin="https://other.example") == b"403"
