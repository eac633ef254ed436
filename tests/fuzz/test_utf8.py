"""Three hundred ways not to be UTF-8: lines show U+FFFD for them, a WebSocket ends at them with 1007.

Whole and cut anywhere; and whatever one client sends, the others get valid UTF-8 and the hub goes on.
"""

from itertools import product

import pytest
from websockets.frames import Opcode

from hub.close_reasons import CloseReason
from tests.fuzz.examples import split
from tests.support import ThreadHub
from tests.support_ws import WsPeer
from tests.unit.protocol.support import let_in, masked, more, text

_LEADS = [bytes([lead]) for lead in range(0xC2, 0xF5)]
_CUT_OFF = ["é", "߿", "ࠀ", "日", "\N{REPLACEMENT CHARACTER}", "\N{GRINNING FACE}", "\U0010ffff", "\U00010000"]
_WRONG = [
    *(bytes([byte]) for byte in [*range(0x80, 0xA0), 0xBF, 0xC0, 0xC1, *range(0xF5, 0x100)]),
    *_LEADS,  # with nothing behind it, or with a letter
    *(lead + b"\xc3\xa9" for lead in _LEADS[::3]),
    *(char.encode()[:size] for char in _CUT_OFF for size in range(1, len(char.encode()))),
    *(char.encode() + b"\x80" for char in _CUT_OFF),
    # Longer than need be: NUL, slash, DEL, U+0080, U+07FF and U+FFFF.
    b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x80\xaf", b"\xe0\x82\x80", b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\x80", b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf", b"\xf8\x80\x80\x80\xaf",
    b"\xfc\x80\x80\x80\x80\xaf",
    # Halves of a pair, and both; what is beyond the last character.
    *(b"\xed" + bytes([second, third]) for second, third in product([0xA0, 0xAF, 0xB0, 0xBF], [0x80, 0xBF])),
    b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf4\xbf\xbf\xbf", b"\xf5\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
]  # fmt: skip
SEQUENCES = list(
    dict.fromkeys([*_WRONG, *(wrong + b"." for wrong in _WRONG), *(b"z" + w + w for w in _WRONG)])
)[:300]


@pytest.mark.promise("hostile-utf8")
def test_a_line_that_is_no_utf8_is_shown_as_valid_text() -> None:
    lines = [b"<" + sequence + b">" for sequence in SEQUENCES]
    expected = [line.decode(errors="replace").replace("\x80", "�") for line in lines]
    assert len(lines) == 300 and all("�" in line for line in expected)
    said = b"".join(line + b"\n" for line in lines)
    with (
        ThreadHub(mode="chat", telnet=False, history=0) as hub,
        hub.peer() as whole,
        hub.peer() as pieces,
        WsPeer(hub.ws_port) as browser,
    ):
        for peer in (whole, pieces):
            peer.read_until(b"/help lists commands\n")
        browser.message()
        for name, peer, step in (("guest-1", whole, len(said)), ("guest-2", pieces, 3)):
            for piece in split(said + b"last\n", step):
                peer.send(piece)
            heard = [str(message) for message in browser.read_until("> last")]
            mine = [line for line in heard[:-1] if line.startswith(f"<{name}> ")]
            assert [line.removeprefix(f"<{name}> ") for line in mine] == expected
            for other in (whole, pieces):
                other.read_until(b"> last\n").decode()


@pytest.mark.promise("hostile-utf8")
@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_message_that_is_no_utf8_is_1007_however_it_was_cut(step: int) -> None:
    for sequence in SEQUENCES:
        payload = b"<" + sequence + b">"
        fragments = [masked(Opcode.TEXT, payload[:1], fin=False)]
        fragments += [more(bytes([byte]), False) for byte in payload[1:-1]] + [more(payload[-1:], True)]
        for data in (text(payload), b"".join(fragments)):
            socket = let_in()
            assert [line for piece in split(text("good") + data, step) for line in socket.feed(piece)] == [
                b"good"
            ]
            assert socket.end == (CloseReason.INVALID_UTF8, "text=not_utf8"), sequence
            assert socket.close_frame(*socket.end)[2:4] == (1007).to_bytes(2)
