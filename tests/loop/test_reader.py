"""The read step: how much is read when, and what becomes of the bytes."""

from typing import Any

import pytest

from hub.loop.limits import Budgets
from tests.loop.scene import LINE, Scene
from tests.loop.support import SteppedHub
from tests.sim.stage import MUCH, Stage
from tests.support import PAIRS, bye, closing

READ_BYTES = 400
IAC_NOP = b"\xff\xf1"
AYT = b"\xff\xf6"


# How much is read, and when a client leaves the readable set.


@pytest.mark.parametrize(
    ("waiting", "fin", "once_calls", "drain_calls"),
    [(100, False, 1, 1), (700, False, 1, 2), (800, False, 1, 3), (700, True, 1, 3), (800, True, 1, 3)],
    ids=["one short read", "a short read at last", "whole reads", "a short read and FIN", "whole and FIN"],
)
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_reads_of_one_client_end_where_once_and_drain_say(
    trigger: str, read: str, waiting: int, fin: bool, once_calls: int, drain_calls: int
) -> None:
    budgets = Budgets(read_bytes=READ_BYTES)
    with (
        SteppedHub(budgets, mode="echo", trigger=trigger, read=read) as hub,
        closing(hub.join(1)) as (peer,),
    ):
        client, sockets = hub.deliver(peer, b"x" * waiting, fin=fin), hub.hub.sockets
        before = sockets.calls["recv"]
        hub.turns()
        assert sockets.calls["recv"] - before == (once_calls if read == "once" else drain_calls)
        assert client.inbox.bytes_in == (min(waiting, READ_BYTES) if read == "once" else waiting)
        assert client.inbox.eof == (fin and read == "drain")
        assert client not in hub.hub.ready.readable


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_client_with_its_share_used_up_stays_marked(trigger: str, read: str) -> None:
    budgets = Budgets(read_bytes=READ_BYTES, client_bytes=READ_BYTES)
    with (
        SteppedHub(budgets, mode="echo", trigger=trigger, read=read) as hub,
        closing(hub.join(2)) as (flooder, other),
    ):
        much, little = hub.deliver(flooder, b"x" * 1100), hub.deliver(other, b"y" * 700)
        taken = []
        for _ in range(3):
            hub.turns()
            taken.append((much.inbox.bytes_in, little.inbox.bytes_in))
        assert taken == [(400, 400), (800, 700), (1100, 700)]


# Lines.


def test_line_longer_than_the_share_of_a_turn_is_said() -> None:
    stage = Stage(max_line_bytes=0)
    [talker] = stage.join(into=MUCH)
    talker.send(b"x" * 200_000 + b"\n")
    stage.rest()
    assert talker.got == b"x" * 200_000 + b"\n"
    assert not stage.client(talker).inbox.lines


@pytest.mark.promise("lines-too-long")
@pytest.mark.parametrize(
    ("trigger", "read", "tail"),
    [(*pair, tail) for pair, tail in zip(PAIRS, [b"", b"\n", b"\nfour\n"], strict=True)],
    ids=["unfinished", "finished", "and more"],
)
def test_lines_before_a_too_long_one_are_said_none_after(trigger: str, read: str, tail: bytes) -> None:
    with (
        SteppedHub(trigger=trigger, read=read, max_line_bytes=100) as hub,
        closing(hub.join(2)) as (offender, listener),
    ):
        hub.say(offender, b"one\n" + b"2" * 100 + b"\n" + b"3" * 101 + tail)
        said = b"one\n" + b"2" * 100 + b"\n"
        assert offender.rest() == said + bye("line_too_long", "limit=100")
        hub.say(listener, b"next\n")
        assert listener.read(len(said) + 5) == said + b"next\n"


@pytest.mark.promise("lines-unfinished-last")
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_unfinished_last_line_counts_at_fin_and_not_at_rst(trigger: str, read: str) -> None:
    with (
        SteppedHub(trigger=trigger, read=read) as hub,
        closing(hub.join(3)) as (orderly, hasty, listener),
    ):
        hub.deliver(orderly, b"whole\nhalf a li", fin=True)
        hub.turns_until(lambda: len(hub.endings()) == 1)
        hub.say(hasty, b"half a thou")
        hasty.reset()
        hub.turns_until(lambda: len(hub.endings()) == 2)
        assert [end["reason"] for end in hub.endings()] == ["peer_closed", "peer_reset"]
        hub.say(listener, b"next\n")
        assert listener.read_until(b"next\n") == b"whole\nhalf a li\nnext\n"


# Telnet, and the encoding that a client gets.


@pytest.mark.promise("lines-ends")
def test_client_gets_the_line_ends_and_escapes_it_uses() -> None:
    with SteppedHub() as hub, closing(hub.join(4)) as (plain, returns, telnet, talker):
        hub.say(talker, b"one\n")
        hub.say(returns, b"two\r\n")
        hub.say(telnet, IAC_NOP)
        hub.say(talker, b"three \xff\xff\n")  # To say the byte 255 is to speak telnet.
        assert plain.read_until(b"three \xff\n") == b"one\ntwo\nthree \xff\n"
        assert returns.read_until(b"three \xff\r\n") == b"one\ntwo\r\nthree \xff\r\n"
        for peer in (telnet, talker):
            assert peer.read_until(b"three \xff\xff\r\n") == b"one\ntwo\nthree \xff\xff\r\n"


@pytest.mark.promise("lines-ends")
@pytest.mark.promise("lines-no-notices")
@pytest.mark.promise("telnet-are-you-there")
@pytest.mark.promise("telnet-byte-255")
@pytest.mark.parametrize(
    ("settings", "said", "heard"),
    [
        ({}, [b"one\n", b"two\r\0"], b"one\ntwo\r\n"),
        ({"eol": "lf"}, [b"one\n", b"two\r\n"], b"one\ntwo\n"),
        ({"eol": "crlf"}, [b"one\n", b"two\r\n"], b"one\r\ntwo\r\n"),
        ({"eol": "crlf"}, [b"one \xff\xff\n"], b"one \xff\xff\r\n"),
        ({"eol": "lf"}, [b"\xff\xfd\x01one \xff\xff\r\n"], b"\xff\xfc\x01one \xff\n"),
        ({"telnet": False}, [b"\xff\xfd\x01\xff\xff\n"], b"\xff\xfd\x01\xff\xff\n"),
        ({}, [b"\xff\xfd\x01" + AYT + b"one\n"], b"\xff\xfc\x01* yes, hubbub is here\r\none\r\n"),
        ({"notices": False}, [AYT + b"one\n"], IAC_NOP + b"one\r\n"),
    ],
)
@pytest.mark.parametrize("mode", ["broadcast", "echo"])
def test_sender_gets_its_lines_as_the_settings_say(
    mode: str, settings: dict[str, Any], said: list[bytes], heard: bytes
) -> None:
    stage = Stage(mode=mode, **settings)
    [talker] = stage.join()
    for data in said:
        talker.send(data)
        stage.rest()
    assert talker.got == heard


@pytest.mark.promise("lines-ends")
@pytest.mark.parametrize("command", [b"", IAC_NOP], ids=["CRLF", "telnet"])
def test_encoding_changes_at_a_line_border_amid_a_line(command: bytes) -> None:
    scene = Scene(mode="broadcast")
    scene.fill()
    begun = scene.client.outbox.next_line  # The number of the line after it.
    scene.slow.send(command + b"now\r\n")
    scene.reads()
    scene.say(b"last\n")
    rest = (LINE * (scene.sender.inbox.lines_in - 1 - begun) + b"now\nlast\n").replace(b"\n", b"\r\n")
    assert scene.heard == LINE * begun + rest


@pytest.mark.promise("telnet-subnegotiation")
def test_endless_subnegotiation_closes_behind_its_lines() -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as (offender, listener):
        hub.say(offender, b"one\n\xff\xfa\x18" + b"x" * 200)
        assert hub.client(offender).close.reason is None
        hub.say(offender, b"x" * 100 + b"\ntwo\n")
        farewell = bye("protocol_error", "telnet=subnegotiation limit=256", end="\r\n")
        assert offender.rest() == b"one\r\n" + farewell
        hub.say(listener, b"next\n")
        assert listener.read_until(b"next\n") == b"one\nnext\n"
