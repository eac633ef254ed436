"""The layers of a line client, in their order: sniffing, telnet, line decoding; independent of cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.encoding import Encoding
from hub.protocol.line_transport import LineTransport
from tests.unit.protocol.support import cut, one_by_one

TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\xff\xfb\n"
DO_ECHO, WONT_ECHO = b"\xff\xfd\x01", b"\xff\xfc\x01"
Outcome = tuple[object, ...]

PIECES = st.sampled_from([
    b"a", b"\r", b"\n", b"\r\n", b"\r\0", b"\xff", b"\xff\xff", DO_ECHO, b"\xff\xf6", b"\xff\xfa",
    b"\xff\xf0", b"\x16\x03", b"GET / HTTP/1.1", b"SSH-2.0-x",
])  # fmt: skip
STREAMS = st.lists(PIECES, max_size=12).map(b"".join)
PLACES = st.lists(st.integers(0, 200), max_size=8)


def outcome(pieces: list[bytes], *, telnet: bool = True, max_line_bytes: int = 8192) -> Outcome:
    """All that a transport tells about these pieces; of another protocol nothing more matters."""
    transport = LineTransport(max_line_bytes, telnet=telnet)
    lines = [line for piece in pieces for line in transport.feed(piece)]
    lines += transport.finish()
    if transport.foreign is not None:
        return lines, transport.foreign
    replies = transport.telnet.take_replies() if transport.telnet else b""
    return lines, None, transport.encoding, transport.decoder.too_long, replies


@pytest.mark.parametrize(
    ("data", "lines", "found"),
    [
        (b"", [], Encoding.LF),
        (b"a\nb", [b"a", b"b"], Encoding.LF),
        (b"a\r\nb\n", [b"a", b"b"], Encoding.CRLF),
        (DO_ECHO + b"a\n", [b"a"], Encoding.TELNET),
        (b"a\xff\xffb\r\n", [b"a\xffb"], Encoding.TELNET),
        (TLS, [], "tls"),
        (b"a\n" + TLS, [b"a", TLS[:11]], Encoding.TELNET),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", [], "http"),
        (DO_ECHO + b"SSH-2.0-x\r\nmore\n", [], "ssh"),
        (b"SSH-2.0-x", [], "ssh"),
        (b"hello\nGET / HTTP/1.1\n", [b"hello", b"GET / HTTP/1.1"], Encoding.LF),
        (b"\x16\x03\xff\xff\n", [b"\x16\x03\xff"], Encoding.TELNET),
    ],
)
def test_each_layer_sees_what_the_one_before_left(
    data: bytes, lines: list[bytes], found: str | Encoding
) -> None:
    whole = outcome([data])
    assert whole[:3] == ((lines, None, found) if isinstance(found, Encoding) else (lines, found))
    assert outcome(one_by_one(data)) == whole
    for place in range(len(data) + 1):
        assert outcome([data[:place], data[place:]]) == whole


@pytest.mark.parametrize("telnet", [True, False])
@given(data=STREAMS, places=PLACES)
def test_any_cut_of_the_input_gives_the_same_outcome(telnet: bool, data: bytes, places: list[int]) -> None:
    whole = outcome([data], telnet=telnet, max_line_bytes=20)
    assert outcome(one_by_one(data), telnet=telnet, max_line_bytes=20) == whole
    assert outcome(cut(data, places), telnet=telnet, max_line_bytes=20) == whole


def test_tls_is_found_before_telnet_takes_its_255s_out() -> None:
    transport = LineTransport(8192, telnet=True)
    assert transport.feed(TLS) == []
    assert transport.foreign == "tls"
    assert transport.telnet is None
    assert transport.feed(b"chat after all\n") == []


def test_a_telnet_command_in_front_of_a_request_does_not_hide_it() -> None:
    assert outcome([DO_ECHO + b"GET / HTTP/1.1\r\n"])[1] == "http"
    assert outcome([b"GET \xff\xf1/ HTTP/1.1\r\n"])[1] == "http"


def test_without_telnet_255_is_content() -> None:
    assert outcome([DO_ECHO + b"a\n"], telnet=False) == ([DO_ECHO + b"a"], None, Encoding.LF, False, b"")


def test_the_telnet_layer_answers_and_its_commands_are_no_text() -> None:
    transport = LineTransport(8192, telnet=True)
    assert transport.feed(DO_ECHO) == []
    assert transport.has_events
    assert not transport.said_text
    assert transport.telnet is not None and transport.telnet.take_replies() == WONT_ECHO
    transport.feed(b"a")
    assert transport.said_text


@pytest.mark.parametrize("data", [b"a\nb\n", b"a\rb"])
def test_plain_lines_are_no_event(data: bytes) -> None:
    transport = LineTransport(8192, telnet=True)
    transport.feed(data)
    assert not transport.has_events
    assert transport.telnet is None


@pytest.mark.parametrize("data", [b"a\r\n", b"\xff", TLS, b"SSH-2.0-x\n", b"x" * 9])
def test_everything_but_plain_lines_is_an_event(data: bytes) -> None:
    transport = LineTransport(8, telnet=True)
    transport.feed(data)
    assert transport.has_events


def test_an_over_long_first_line_is_no_line_and_decides_nothing() -> None:
    transport = LineTransport(4, telnet=True)
    assert transport.feed(b"xxxxx") == []
    assert transport.undecided
    assert transport.decoder.too_long
    assert transport.finish() == []


def test_input_that_waits_for_its_line_end_is_counted() -> None:
    transport = LineTransport(8192, telnet=True)
    transport.feed(b"a\nbc" + DO_ECHO + b"d\r")
    assert transport.unfinished_bytes == 4
