"""What has to hold whatever a client sends: one function for each parser, for any bytes at all.

The coverage-guided targets, the corpus and the properties all end here. Nothing but what is written down as
an answer may be raised: `NameRefused` of a name, `BadValue` and msgspec's errors of a view or a query. Every
other exception is a finding, and so is an assertion. The first byte of the data chooses how the others are
cut and under which limit, so that a fuzzer can reach all of it.
"""

import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from aiohttp import web
from multidict import CIMultiDict
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri
from yarl import URL

from hub.close_reasons import CloseReason
from hub.config.allowed_hosts import Hosts
from hub.modes.sanitize import NAME_LENGTH, NameRefused, check_name, clean, clean_text, name_key
from hub.protocol.line_decoder import CrLineDecoder, LineDecoder
from hub.protocol.sniff import FIRST_BYTES, foreign_protocol, http_answer, protocol_by_bytes, reply_to
from hub.protocol.telnet import TelnetFilter
from hub.protocol.ws_connection import WebSocket
from tests.fuzz.examples import split
from tests.unit.modes.test_sanitize import is_forbidden
from tests.unit.protocol.support import let_in, masked, request, websocket
from tests.unit.web.support import make_row
from web.guard import HOSTS, is_from_own_page, names_us
from web.schema import BadValue, View, clients_page, into_runs, read_clients_query, read_view, window_of

LIMITS = (0, 1, 8, 64)
STEPS = (1, 2, 3, 5, 7, 64, 300, 0)
ROWS = into_runs([make_row(number, nick=nick) for number, nick in enumerate(["ann", "Zoë", "日本", "<b>"])])


def check_lines(data: bytes) -> None:
    """The line machine, and what becomes of its lines: cleaned text, names, other protocols."""
    limit, step, data = _choices(data)
    for decoder in (CrLineDecoder, LineDecoder):
        whole = lines_of([data], limit, decoder)
        assert lines_of(split(data, step), limit, decoder) == whole
    lines, last, _, _ = whole
    for line in [*lines, *([] if last is None else [last])]:
        assert b"\n" not in line
        assert not limit or len(line) <= limit
        assert_clean(clean(line))
        _check_name(line.decode(errors="replace"))
    protocol, _ = protocol_by_bytes(data[:FIRST_BYTES]) or (foreign_protocol(lines[0] if lines else b""), 0)
    assert protocol is None or reply_to(protocol, "there")


def lines_of(
    pieces: Sequence[bytes], limit: int, decoder: type[LineDecoder]
) -> tuple[list[bytes], bytes | None, bool, bool]:
    """All that a buffer tells about these pieces; between two of them it never holds more than it may."""
    buffer = decoder(limit)
    lines = []
    for piece in pieces:
        lines += buffer.feed(piece)
        assert not limit or buffer.unfinished_bytes <= limit + 2
    return lines, buffer.finish(), buffer.too_long, buffer.crlf_seen


def assert_clean(text: bytes) -> None:
    """Nothing in it that a terminal obeys, or that would be the end of a line to anybody."""
    assert not any(map(is_forbidden, text.decode())), text
    assert clean(text) == text


def _check_name(text: str) -> None:
    try:
        name = check_name(text, "nick")
    except NameRefused:
        return
    assert 1 <= len(name) <= NAME_LENGTH
    assert name.isprintable() and " " not in name
    assert clean_text(name) == name
    assert name_key(name_key(name)) == name_key(name)


# A telnet stream as RFC 854 has it, with the whole input in view: what is data, and what is a command.
_TELNET = re.compile(
    rb"(?P<data>[^\xff]+|\xff(?=[\x00-\xeb\xff]|\Z))"  # of a doubled IAC the second is skipped below
    rb"|\xff\xfa(?P<sub>(?:[^\xff]|\xff[\x00-\xeb\xff])*)(?:\xff\xf0|(?=\xff[\xec-\xfe])|\xff?\Z)"
    rb"|\xff(?P<verb>[\xfb-\xfe])(?P<option>.)"
    rb"|\xff(?P<command>[\xec-\xf9])"
    rb"|\xff[\xfb-\xfe]\Z",  # cut off
    re.DOTALL,
)
_WILL, _WONT, _DO, _DONT, _TIMING_MARK = b"\xfb", b"\xfc", b"\xfd", b"\xfe", b"\x06"


def telnet_by_the_book(data: bytes) -> tuple[bytes, bytes, int, bool]:
    """Text, replies, how many ARE YOU THERE, and whether a sub-negotiation was too long."""
    text, replies, asked, answered, at = b"", b"", 0, set(), 0
    while at < len(data):
        found = _TELNET.match(data, at)
        assert found is not None
        at = found.end() + (found["data"] == b"\xff" == data[found.end() : found.end() + 1])
        text += found["data"] or b""
        asked += found["command"] == b"\xf6"
        if len(found["sub"] or b"") > 256:
            return text, replies, asked, True
        refusal = {_DO: _WONT, _WILL: _DONT}.get(found["verb"])
        if refusal and (found.group("verb", "option") not in answered or found[0][1:] == _DO + _TIMING_MARK):
            replies += b"\xff" + refusal + found["option"]
            answered.add(found.group("verb", "option"))
    return text, replies, asked, False


def telnet_of(pieces: Sequence[bytes]) -> tuple[bytes, bytes, int, bool]:
    """The same by the filter."""
    telnet = TelnetFilter()
    text, replies, asked = b"", b"", 0
    for piece in pieces:
        text += telnet.feed(piece)
        replies += telnet.take_replies()
        asked += telnet.are_you_there
    text += telnet.finish()
    return text, replies, asked, telnet.violation


def check_telnet(data: bytes) -> None:
    """The telnet filter: never an option as text, and each option answered once."""
    _, step, data = _choices(data)
    told = telnet_of([data])
    assert told == telnet_by_the_book(data)
    assert telnet_of(split(data, step)) == told


def check_websocket(data: bytes) -> None:
    """The handshake and the frames behind it: bytes as they are, or frames made of them."""
    limit, step, data = _choices(data)
    if data[:1] < b"\x40":
        stream, begin = data[1:], websocket
    elif data[:1] < b"\x80":
        stream, begin = request() + data[1:], websocket
    else:
        stream, begin = frames_of(data[1:]), let_in
    whole = bool(data[:1] and data[0] & 1)
    arguments = {"max_message_bytes": limit, "max_line_bytes": limit, "whole": whole}
    told = told_of(begin(**arguments), [stream], limit, whole)
    assert told_of(begin(**arguments), split(stream, step), limit, whole) == told


def frames_of(recipe: bytes) -> bytes:
    """A client's frames out of any bytes: each has two that say what it is, and a payload."""
    made, at = b"", 0
    while at + 1 < len(recipe):
        head, size = recipe[at], recipe[at + 1]
        made += masked(
            head & 0xF, recipe[at + 2 : at + 2 + size], fin=head < 0xC0, rsv=head >> 4 & head >> 5 & 1
        )
        at += 2 + size
    return made


def told_of(socket: WebSocket, pieces: Sequence[bytes], limit: int, whole: bool) -> tuple[object, ...]:
    """All that a WebSocket tells about these pieces; what goes out is what a real client understands."""
    lines = [line for piece in pieces for line in socket.feed(piece)]
    if not whole:
        assert all(b"\n" not in line and b"\r" not in line and line.decode() is not None for line in lines)
        assert not limit or all(len(line) <= limit for line in lines)
    replies = socket.take_replies()
    reason, detail = socket.end or (CloseReason.PEER_CLOSED, "")
    assert reason is not CloseReason.INTERNAL_ERROR, detail
    assert detail.isascii() and detail.isprintable()
    closing = socket.close_frame(reason, detail)
    assert socket.feed(b"\x81\x80\0\0\0\0" * 3) == []
    assert socket.take_replies() == b""
    if socket.opened:
        sent = replies.partition(b"\r\n\r\n")[2] if replies.startswith(b"HTTP") else replies
        assert_understood(sent + (b"".join(lines) if whole else b"") + closing)
    return lines, replies, socket.end, closing


def assert_understood(wire: bytes) -> None:
    """A client of the library reads it to the end: pongs, messages that it sent itself, one Close."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(wire)
    assert client.parser_exc is None, wire
    kinds = [frame.opcode for frame in client.events_received() if isinstance(frame, Frame)]
    assert Opcode.CLOSE not in kinds[:-1]
    assert Opcode.PING not in kinds


def check_page(data: bytes) -> None:
    """The page's door: a tab's message, a query, and the names in a request."""
    kind, text = data[:1], data[1:].decode(errors="replace")
    try:
        if kind < b"\x50":
            _check_answer(read_view(text))
        elif kind < b"\xa0":
            query = URL.build(path="/", query_string=text, encoded=True).query
            window_of(query)
            _check_answer(read_clients_query(query))
        else:
            _check_names(text)
    except (BadValue, msgspec.MsgspecError) as error:
        msgspec.json.encode(str(error))


def _check_answer(view: View) -> None:
    page = msgspec.json.decode(msgspec.json.encode(clients_page(ROWS, view)))
    assert len(page["clients"]) <= min(page["limit"], page["matched"])
    assert page["total"] == 4


def _check_names(text: str) -> None:
    """A request with this target, and with this Host and Origin; only our own names are let in."""
    target, _, name = text.partition("\n")
    hosts = Hosts("127.0.0.1", ["hub.example"])
    asked = cast(web.Request, _Asked(target, {"Host": name or "localhost:80", "Origin": name}, hosts))
    if names_us(asked):
        host = (name or "localhost").lower().removesuffix(":80")
        assert host in ("localhost", "127.0.0.1", "[::1]") or host.startswith("hub.example"), name
    if is_from_own_page(asked):
        assert name.startswith(("http://", "https://")), name
    assert http_answer(cast(Any, SimpleNamespace(value=421, phrase="x")), clean_text(text))


class _Asked:
    """As much of a request as the guard looks at."""

    def __init__(self, target: str, headers: dict[str, str], hosts: Hosts) -> None:
        self.raw_path = target
        self.headers = CIMultiDict(headers)
        self.app = {HOSTS: hosts}

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 80) if name == "sockname" else None


def _choices(data: bytes) -> tuple[int, int, bytes]:
    """A limit, a step, and the rest."""
    first = data[0] if data else 0
    return LIMITS[first & 3], STEPS[first >> 2 & 7], data[1:]


CHECKS = {"lines": check_lines, "telnet": check_telnet, "websocket": check_websocket, "page": check_page}
