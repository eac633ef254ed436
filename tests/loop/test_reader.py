"""The read step on real sockets: how much is read when, and what becomes of the bytes."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest

from hub.loop.limits import Budgets
from hub.session.client import Phase
from tests.loop.support import (
    LINE,
    SOON_S,
    SteppedHub,
    reading,
    take_all,
    waiting_bytes,
)
from tests.support import PAIRS, Peer, ThreadHub, closing, until

READ_BYTES = 500
IAC_NOP = b"\xff\xf1"
HTTP = b"GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.6\r\n"
TLS = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03" + b"\x0a\xff\xf1\x0d\x00" * 7


# How much is read, and when a client leaves the readable set.


@pytest.mark.parametrize(
    ("waiting", "fin", "once_calls", "drain_calls"),
    [(100, False, 1, 1), (900, False, 1, 2), (1000, False, 1, 3), (900, True, 1, 3), (1000, True, 1, 3)],
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
        client, calls = hub.deliver(peer, b"x" * waiting, fin=fin), hub.hub.sockets.calls
        before = calls["recv"]
        hub.turns()
        assert calls["recv"] - before == (once_calls if read == "once" else drain_calls)
        assert client.inbox.bytes_in == (min(waiting, READ_BYTES) if read == "once" else waiting)
        assert client.inbox.eof == (fin and read == "drain")
        assert client.id not in hub.hub.ready.readable


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_bytes_behind_an_urgent_byte_are_read(trigger: str, read: str) -> None:
    with SteppedHub(mode="echo", trigger=trigger, read=read) as hub, closing(hub.join(1)) as (peer,):
        client = hub.deliver(peer, b"a")
        peer.sock.send(b"!", socket.MSG_OOB)
        peer.send(b"b\n")
        until(lambda: waiting_bytes(client) == len(b"a!b\n"))
        hub.turns(4)
        assert client.inbox.bytes_in == len(b"a!b\n")
        assert peer.line() == b"a!b\n"


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_client_with_its_share_used_up_stays_marked(trigger: str, read: str) -> None:
    budgets = Budgets(read_bytes=READ_BYTES, client_bytes=READ_BYTES)
    with (
        SteppedHub(budgets, mode="echo", trigger=trigger, read=read) as hub,
        closing(hub.join(2)) as (flooder, other),
    ):
        much, little = hub.deliver(flooder, b"x" * 1400), hub.deliver(other, b"y" * 900)
        taken = []
        for _ in range(3):
            hub.turns()
            taken.append((much.inbox.bytes_in, little.inbox.bytes_in))
        assert taken == [(500, 500), (1000, 900), (1400, 900)]


@pytest.mark.promise("fair-flood")
def test_one_flooder_takes_no_turn_from_twenty_polite_ones() -> None:
    share = 4096
    budgets = Budgets(read_bytes=share, client_bytes=share, turn_bytes=share, look_bytes=share // 64)
    with SteppedHub(budgets, mode="echo") as hub, closing(hub.join(21)) as (flooder, *polite):
        flood = hub.client(flooder)
        for round_ in range(10):
            hub.deliver(flooder, (b"x" * 99 + b"\n") * (500 - waiting_bytes(flood) // 100))
            for peer in polite:
                hub.deliver(peer, b"round %d\n" % round_)
            hub.turns(2)
            for peer in polite:
                assert peer.line() == b"round %d\n" % round_
        assert waiting_bytes(flood) > 0
        assert flood.inbox.bytes_in >= 10 * share


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_input_of_a_lingering_client_is_discarded_in_pieces(trigger: str, read: str) -> None:
    budgets = Budgets(discard_bytes=READ_BYTES)
    with (
        SteppedHub(budgets, mode="chat", trigger=trigger, read=read) as hub,
        closing(hub.join(1)) as (peer,),
    ):
        hub.say(peer, b"/quit\n")
        client = hub.client(peer)
        assert client.phase is Phase.LINGERING
        hub.deliver(peer, b"x" * 1700)
        hub.turns()
        assert waiting_bytes(client) == 1200
        hub.turns(5)
        assert waiting_bytes(client) == 0
        assert client.inbox.bytes_in == len(b"/quit\n")
        peer.half_close()
        hub.turns_until(lambda: client.phase is Phase.CLOSED)


# Lines.


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_a_paste_of_more_lines_than_a_turn_takes_is_said_whole(trigger: str, read: str) -> None:
    text = b"".join(b"%d\n" % number for number in range(20_000)) + b"end\n"
    with ThreadHub(mode="chat", trigger=trigger, read=read) as hub, hub.peer() as peer:
        peer.sock.settimeout(SOON_S)
        peer.line()
        sender = threading.Thread(target=peer.send, args=(text,))
        sender.start()
        try:
            said = peer.read_until(b"> end\n").removeprefix(b"* guest-1 joined\n")
        finally:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
            sender.join()
    assert said.replace(b"<guest-1> ", b"") == text


def test_line_longer_than_the_share_of_a_turn_is_said() -> None:
    with ThreadHub(max_line_bytes=0) as hub, hub.peer() as peer:
        peer.sock.settimeout(SOON_S)
        peer.send(b"x" * 200_000 + b"\n")
        assert len(peer.line()) == 200_001


def test_lines_that_were_taken_are_not_kept() -> None:
    with ThreadHub(mode="chat") as hub, closing(hub.peers(1)) as (peer,), reading(peer):
        client = hub.loop.hub.connections.clients[1]
        peer.send(b"ab\n" * 20_000)
        until(
            lambda: (
                client.inbox.lines_in == 20_000
                and not client.inbox.has_lines
                and not hub.loop.hub.ready.readable
            )
        )
        assert not client.inbox.lines


@pytest.mark.promise("lines-too-long")
@pytest.mark.parametrize("tail", [b"", b"\n", b"\nfour\n"], ids=["unfinished", "finished", "and more"])
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_lines_before_a_too_long_one_are_said_none_after(trigger: str, read: str, tail: bytes) -> None:
    with (
        SteppedHub(trigger=trigger, read=read, max_line_bytes=100) as hub,
        closing(hub.join(2)) as (offender, listener),
    ):
        hub.say(offender, b"one\n" + b"2" * 100 + b"\n" + b"3" * 101 + tail)
        said = b"one\n" + b"2" * 100 + b"\n"
        assert offender.rest() == said + b"* bye reason=line_too_long limit=100\n"
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
@pytest.mark.parametrize(("eol", "end"), [("lf", b"\n"), ("crlf", b"\r\n")])
def test_encoding_set_by_eol_stays(eol: str, end: bytes) -> None:
    with SteppedHub(eol=eol) as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"one\n")
        hub.say(peer, b"two\r\n")
        assert peer.read_until(b"two" + end) == b"one" + end + b"two" + end


@pytest.mark.promise("lines-ends")
def test_cr_nul_is_answered_with_crlf() -> None:
    with SteppedHub() as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"one\n")
        hub.say(peer, b"two\r\0")
        assert peer.read_until(b"two\r\n") == b"one\ntwo\r\n"


@pytest.mark.promise("telnet-byte-255")
def test_telnet_client_under_eol_crlf_gets_telnet_escapes() -> None:
    with SteppedHub(eol="crlf") as hub, closing(hub.join(2)) as (telnet, plain):
        hub.say(telnet, b"one \xff\xff\n")
        assert telnet.line() == b"one \xff\xff\r\n"
        assert plain.line() == b"one \xff\r\n"


@pytest.mark.promise("telnet-byte-255")
def test_where_lf_was_set_nobody_gets_telnet_encoding() -> None:
    with SteppedHub(eol="lf") as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"\xff\xfd\x01one \xff\xff\r\n")
        assert peer.line() == b"\xff\xfc\x01one \xff\n"


@pytest.mark.promise("lines-ends")
@pytest.mark.parametrize("command", [b"", IAC_NOP], ids=["CRLF", "telnet"])
def test_encoding_changes_at_a_line_border_amid_a_line(command: bytes) -> None:
    with SteppedHub() as hub, closing(hub.join(2, receive_buffer=4096)) as (slow, talker):
        got = hub.begin_a_line(talker, slow)
        hub.say(slow, command + b"now\r\n")
        got += hub.catch_up(slow)
        hub.say(talker, b"last\n")
        got += slow.read_until(b"last\r\n")
        lines = got.splitlines(keepends=True)
        assert {line.rstrip() for line in lines} == {LINE.rstrip(), b"now", b"last"}
        ends = [line.endswith(b"\r\n") for line in lines]
        assert ends == sorted(ends) and ends[-2:] == [True, True] and not ends[0]


@pytest.mark.promise("telnet-are-you-there")
def test_telnet_answers_stand_before_the_line_behind_them() -> None:
    with SteppedHub(mode="echo") as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"\xff\xfd\x01\xff\xfb\x03\xff\xf6one\n")
        assert peer.read_until(b"one\r\n") == b"\xff\xfc\x01\xff\xfe\x03* yes, hubbub is here\r\none\r\n"


@pytest.mark.promise("lines-no-notices")
@pytest.mark.promise("telnet-are-you-there")
def test_are_you_there_without_notices_gets_a_nop() -> None:
    with SteppedHub(mode="echo", notices=False) as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"\xff\xf6one\n")
        assert peer.read_until(b"one\r\n") == b"\xff\xf1one\r\n"


@pytest.mark.promise("turn-budgets")
def test_turn_takes_only_so_many_telnet_commands() -> None:
    asked = b"\xff\xfd\x01" * 10_000
    with SteppedHub(mode="echo") as hub:
        peers = hub.join(8)
        for peer in peers:
            hub.deliver(peer, asked)
        taken = []
        while hub.hub.counters.bytes_in < len(asked) * len(peers):
            before = hub.hub.counters.bytes_in
            hub.turns()
            taken.append(hub.hub.counters.bytes_in - before)
        # The first read of each is whole, and all that a turn does; later ones are small.
        assert max(taken) <= len(asked) + 8 * 4096
        for peer in peers:
            hub.say(peer, b"done\n")
            assert peer.read_until(b"done\r\n") == b"\xff\xfc\x01done\r\n"
            peer.close()


@pytest.mark.promise("telnet-byte-255")
def test_without_telnet_the_port_is_clean_for_all_eight_bits() -> None:
    with SteppedHub(mode="echo", telnet=False) as hub, closing(hub.join(1)) as (peer,):
        hub.say(peer, b"\xff\xfd\x01\xff\xff\n")
        assert peer.read_until(b"\n") == b"\xff\xfd\x01\xff\xff\n"


@pytest.mark.promise("telnet-subnegotiation")
def test_endless_subnegotiation_closes_behind_its_lines() -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as (offender, listener):
        hub.say(offender, b"one\n\xff\xfa\x18" + b"x" * 200)
        assert hub.client(offender).close.reason is None
        hub.say(offender, b"x" * 100 + b"\ntwo\n")
        farewell = b"* bye reason=protocol_error telnet=subnegotiation\r\n"
        assert offender.rest() == b"one\r\n" + farewell
        hub.say(listener, b"next\n")
        assert listener.read_until(b"next\n") == b"one\nnext\n"


# Other protocols.


def reply_when_cut(hub: SteppedHub, opener: bytes, cut: int) -> tuple[bytes, str, str]:
    """What the hub answers to an opener in two parts, and the reason and detail of the end."""
    count = len(hub.endings())
    with closing(hub.join(1, opening=True)) as (peer,):
        client = hub.client(peer)
        for part in (opener[:cut], opener[cut:]):
            if part:
                hub.deliver(peer, part)
                hub.turns(2)
        hub.turns_until(lambda: client.phase is Phase.LINGERING)
        reply = peer.rest()
    hub.turns_until(lambda: len(hub.endings()) > count)
    end = hub.endings()[-1]
    return reply, end["reason"], end["detail"]


@pytest.mark.parametrize(
    ("opener", "protocol"),
    [(HTTP, "http"), (HTTP2, "http2"), (SSH, "ssh"), (TLS, "tls")],
    ids=["http", "http2", "ssh", "tls"],
)
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_foreign_protocol_cut_anywhere_gets_one_reply(mode: str, opener: bytes, protocol: str) -> None:
    with SteppedHub(mode=mode, announce=0) as hub, closing(hub.join(1)) as (witness,):
        take_all(witness)
        whole = reply_when_cut(hub, opener, 0)
        assert whole[1:] == ("wrong_protocol", f"protocol={protocol}")
        assert whole[0].startswith({"tls": b"\x15", "ssh": b"* this"}.get(protocol, b"HTTP/1.1 400 "))
        for cut in range(1, len(opener)):
            assert reply_when_cut(hub, opener, cut) == whole, cut
        assert hub.hub.counters.lines_in == 0
        hub.say(witness, b"heard?\n")
        assert witness.line().endswith(b"heard?\n")


@pytest.mark.promise("lines-no-notices")
@pytest.mark.parametrize("opener", [HTTP, HTTP2, SSH, TLS], ids=["http", "http2", "ssh", "tls"])
def test_foreign_protocol_without_notices_gets_its_reply(opener: bytes) -> None:
    with SteppedHub(mode="chat", notices=False) as silent, SteppedHub(mode="chat") as hub:
        assert reply_when_cut(silent, opener, 0) == reply_when_cut(hub, opener, 0)


@pytest.mark.parametrize("first", [b"GET a life\n", b"SSH-1.99 is old\n", b"hi\nGET / HTTP/1.1\n"])
def test_what_can_be_talk_is_talk(first: bytes) -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as (talker, listener):
        hub.say(talker, first)
        assert listener.read(len(first)) == first


def test_reply_to_a_foreign_protocol_names_the_page() -> None:
    with SteppedHub(mode="echo") as hub, Peer(hub.port) as peer:
        hub.loop.welcome_page(8123)
        hub.turns_until(lambda: hub.hub.connections.clients)
        hub.say(peer, HTTP)
        assert b"port 8123" in peer.rest()


def test_change_of_encoding_loses_and_doubles_no_line() -> None:
    said = [b"line %d" % number for number in range(30)]
    with SteppedHub() as hub, closing(hub.join(2)) as (talker, listener):
        for number, line in enumerate(said):
            hub.say(talker, line + b"\n")
            if number == 10:
                hub.say(listener, b"x\r\n")
            if number == 20:
                hub.say(listener, IAC_NOP)
        heard = listener.read_until(b"line 29\r\n").splitlines()
        heard.remove(b"x")
        assert heard == said


def test_commands_sent_in_bulk_get_every_answer() -> None:
    with ThreadHub(mode="chat", announce=0) as hub, hub.peer() as eager:
        sender = threading.Thread(target=eager.send, args=(b"/help\n" * 3000 + b"/quit\n",))
        sender.start()
        got = eager.rest()
        sender.join()
        assert got.count(b"* /quit") == 3000
        assert got.endswith(b"* bye reason=quit\n")
