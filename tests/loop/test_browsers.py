"""WebSocket clients in the turns of the loop: what holds for them alone, and what for them as for anybody."""

from typing import Any

import pytest
from websockets.frames import Opcode

from hub.close_reasons import CloseReason
from hub.protocol.ws_frames import frame, frames
from tests.loop.scene import LINE, Scene
from tests.loop.support import SteppedHub
from tests.sim.stage import BROWSERS, MUCH, Stage
from tests.support import Peer, bye
from tests.unit.protocol.support import masked, request, text

LINES = [b"line %04d" % number for number in range(700)]


def status(hub: SteppedHub, address: str, **headers: str) -> bytes:
    """How a request with these headers, sent to this address, is answered."""
    with Peer(hub.ws_port, address) as asking:
        before = hub.hub.counters.accepted
        hub.turns_until(lambda: hub.hub.counters.accepted > before)
        hub.say(asking, request(**headers))
        return asking.read(12)[-3:]


# What it sends, and gets back.


def test_browser_gets_each_line_of_a_message_as_a_frame() -> None:
    stage = Stage()
    [browser] = stage.join(listener=BROWSERS)
    before = len(browser.got)
    browser.send(text(b"\n".join(LINES)))
    stage.rest()
    assert browser.got[before:] == frames(b"".join(line + b"\n" for line in LINES))


@pytest.mark.promise("websocket-too-long")
@pytest.mark.parametrize(("mode", "max_line"), [("chat", 100), ("broadcast", 70_000), ("echo", 100)])
def test_a_message_may_have_64_kib_or_a_line_where_that_is_more(mode: str, max_line: int) -> None:
    limit = 100 if mode == "echo" else max(65_536, max_line)
    longest = b"x\n" * (limit // 2)
    stage = Stage(mode=mode, max_line_bytes=max_line)
    browser, offender = stage.join(2, listener=BROWSERS, into=MUCH)
    client, other = stage.client(browser), stage.client(offender)
    browser.send(text(longest))
    offender.send(text(longest + b"x"))
    stage.rest()
    assert client.close.reason is None
    assert client.inbox.lines_in == (1 if mode == "echo" else limit // 2)
    assert (other.close.reason, other.close.detail) == ("line_too_long", f"limit={limit}")
    assert other.inbox.lines_in == 0


# Its end.


def behind(**settings: Any) -> Scene:
    """A browser that got a part of a frame, and does not read."""
    scene = Scene(mode="broadcast", listener=BROWSERS, **settings)
    scene.fill()
    return scene


@pytest.mark.promise("websocket-close")
def test_the_close_frame_comes_behind_what_a_browser_was_owed() -> None:
    scene = behind()
    scene.slow.send(text(b"last words") + masked(Opcode.BINARY))
    scene.reads()
    owed = frames(LINE * scene.sender.inbox.lines_in + b"last words\n")
    said = b"\x03\xeb" + bye("protocol_error", "binary=not_here", end="")[6:]
    assert scene.heard == owed + frame(said, Opcode.CLOSE)


@pytest.mark.promise("websocket-close")
@pytest.mark.parametrize("reason", [CloseReason.PEER_TIMEOUT, CloseReason.INTERNAL_ERROR])
def test_browser_given_up_gets_its_close_behind_the_partial(reason: CloseReason) -> None:
    scene = behind()
    begun = scene.client.outbox.next_line  # The number of the line after it.
    scene.hub.ready.end(scene.client, reason)
    scene.stage.turn()
    scene.reads()
    assert scene.heard == frames(LINE * begun) + frame(b"\x03\xf3" + bye(reason, end="")[6:], Opcode.CLOSE)
    assert begun < scene.sender.inbox.lines_in


@pytest.mark.promise("websocket-ping")
def test_blocked_browser_is_not_pinged() -> None:
    """The question would stand behind those bytes; the kernel has a timer of its own for them."""
    scene = behind()
    for _ in range(4):
        scene.stage.pass_time(20.1)
        assert scene.client.outbox.blocked and not scene.client.inbox.pinged and not scene.end
    scene.reads()
    scene.stage.pass_time(20.1)
    assert scene.heard == frames(LINE * scene.sender.inbox.lines_in) + frame(b"", Opcode.PING)


# Who may come in.


def test_without_websockets_there_is_no_port_for_them() -> None:
    with SteppedHub(ws=False) as hub:
        assert "websocket" not in hub.hub.status.addresses
        assert {listener.transport for listener in hub.hub.acceptor.listeners.values()} == {"line"}


@pytest.mark.promise("websocket-origin")
def test_browser_may_name_the_listening_or_an_allowed_host() -> None:
    host = "127.0.0.7"
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
