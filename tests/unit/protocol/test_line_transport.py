"""The layers of a line client, in their order: sniffing, telnet, line decoding; independent of cuts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.line_transport import LineTransport
from tests.unit.protocol.support import however_cut

TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\xff\xfb\n"
DO_ECHO, WONT_ECHO = b"\xff\xfd\x01", b"\xff\xfc\x01"
Outcome = tuple[object, ...]

PIECES = st.sampled_from([
    b"a", b"\r", b"\n", b"\r\n", b"\r\0", b"\xff", b"\xff\xff", DO_ECHO, b"\xff\xf6", b"\xff\xfa",
    b"\xff\xf0", b"\x16\x03", b"GET / HTTP/1.1", b"SSH-2.0-x", b"\0", b"\r\n\r\n\0", b"\3\0\0", b"\xe0",
])  # fmt: skip
PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\xff\xfb\x23\x28"


def outcome(pieces: list[bytes], *, telnet: bool = True, cr_ends: bool = False) -> Outcome:
    """All that a transport tells about these pieces; of another protocol nothing more matters."""
    transport = LineTransport(20, telnet=telnet, cr_ends=cr_ends)
    lines, said_text, replies = [], False, b""
    for piece in pieces:
        lines += transport.feed(piece)
        said_text |= transport.said_text
        replies += transport.telnet.take_replies() if transport.telnet else b""
    lines += transport.finish()
    if transport.foreign is not None:
        assert transport.has_events and transport.feed(b"chat after all\n") == []
        return lines, transport.foreign
    assert transport.is_undecided is not any(line.strip(bytes(range(33))) for line in lines)
    decoder, spoke_telnet = transport.decoder, transport.telnet is not None
    assert transport.has_events == (spoke_telnet or decoder.crlf_seen or decoder.too_long)
    return lines, None, spoke_telnet, decoder.crlf_seen, said_text, decoder.too_long, replies


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", ([], None, False, False)),
        (b"a\nb", ([b"a", b"b"], None, False, False)),
        (b"a\rb", ([b"a\rb"], None, False, False)),
        (b"a\r\nb\n", ([b"a", b"b"], None, False, True)),
        (DO_ECHO + b"a\n", ([b"a"], None, True, False)),
        (b"a\xff\xffb\r\n", ([b"a\xffb"], None, True, True)),
        (DO_ECHO, ([], None, True, False, False, False, WONT_ECHO)),
        (TLS, ([], "tls")),
        (b"a\n" + TLS, ([b"a", TLS[:11]], None, True, False)),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ([], "http")),
        (DO_ECHO + b"SSH-2.0-x\r\nmore\n", ([], "ssh")),
        (b"GET \xff\xf1/ HTTP/1.1\r\n", ([], "http")),
        (b"SSH-2.0-x", ([], "ssh")),
        (b"hello\nGET / HTTP/1.1\n", ([b"hello", b"GET / HTTP/1.1"], None, False, False)),
        (b"\x16\x03\xff\xff\n", ([b"\x16\x03\xff"], None, True, False)),
        ("моя\nя".encode("cp1251"), ([b"\xec\xee\xff", b"\xff"], None, False, False)),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", ([b"", b""], "http")),
        (b"\n\r\nhello\nGET / HTTP/1.1\n", ([b"", b"", b"hello", b"GET / HTTP/1.1"], None, False, False)),
        (b"\r\n\r\n", ([b"", b""], None, False, True)),
        (b" \n\t\nGET\t/ HTTP/1.1\n", ([b" ", b"\t"], "http")),
        (PROXY_2 + b"GET / HTTP/1.1\r\n\r\n", ([b"", b""], "proxy")),
        (PROXY_2[:6], ([b"", b""], "proxy")),
        (b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0", ([], "rdp")),
        (b"\0\0\r\n\xef\xbb\xbf\x0b\r\n\0GET HTTP/1.1\r\n", ([b"\0\0", b"\xef\xbb\xbf\x0b"], "http")),
        (b"\r50%\nb\n\rc\n", ([b"\r50%", b"b", b"c"], None, False, False)),
        (b"\n\n\0\n", ([b"", b"", b"\0"], None, False, False)),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", ([], None, False, False, True, True)),
        (b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n", ([], "proxy")),
        (b"x" * 21, ([], None, False, False, True, True)),
        (b"GET /too/long HTTP/1.1\r\n", ([], None, False, False, True, True)),
    ],
)
def test_each_layer_sees_what_the_one_before_left(data: bytes, told: Outcome) -> None:
    assert however_cut(outcome, data)[: len(told)] == told


@pytest.mark.parametrize("cr_ends", [True, False])
@pytest.mark.parametrize("telnet", [True, False])
@given(data=st.lists(PIECES, max_size=12).map(b"".join), places=st.lists(st.integers(0, 200), max_size=8))
def test_any_cut_of_the_input_gives_the_same_outcome(
    telnet: bool, cr_ends: bool, data: bytes, places: list[int]
) -> None:
    told = however_cut(lambda pieces: outcome(pieces, telnet=telnet, cr_ends=cr_ends), data, places)
    assert telnet or told[1] or not told[2]


def test_tls_is_found_before_telnet_takes_its_255s_out() -> None:
    transport = LineTransport(8192, telnet=True)
    assert transport.feed(TLS) == []
    assert (transport.foreign, transport.telnet) == ("tls", None)


def test_without_telnet_255_is_content() -> None:
    assert outcome([DO_ECHO + b"a\n"], telnet=False)[:3] == ([DO_ECHO + b"a"], None, False)


def test_telnet_commands_are_no_text_of_an_unfinished_line() -> None:
    transport = LineTransport(8192, telnet=True)
    for data, said in ((b"a\nbc" + DO_ECHO + b"d\r", True), (DO_ECHO, False), (b"", False)):
        transport.feed(data)
        assert transport.said_text is said
        assert transport.unfinished_bytes == 4
