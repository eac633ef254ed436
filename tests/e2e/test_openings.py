"""What real programs send first, byte for byte, and exactly what they get back, however it is cut.

Recorded on Debian 12 with a listener that only reads, but for refusing what PuTTY negotiates: plink 0.78,
which is PuTTY's telnet in a terminal, GNU inetutils telnet 2.4, ncat 7.93, socat 1.7.4.4 and telnetlib3
5.0.1. Its `telnetlib3-client` sends a bare CR for Enter. Not recorded: PuTTY's window and Windows telnet send
CRLF for Enter by their manuals, and Windows telnet negotiates nothing first. A StreamWriter of .NET, so of
PowerShell, writes the preamble of its encoding first, for Encoding.UTF8 a byte order mark.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pytest

from hub.config.settings import Settings
from hub.loop.assembly import limits_of
from tests.e2e.programs import converse, require
from tests.e2e.test_transcripts import GREETING, MODES, has_heard, pieces_of, separate
from tests.sim.stage import Stage
from tests.support import PAIRS, ThreadHub, until

BOM = b"\xef\xbb\xbf"
NEGOTIATES = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03"
"""PuTTY: WILL NAWS, TSPEED, TTYPE, NEW-ENVIRON; DO ECHO; WILL and DO SGA."""
REFUSED = b"\xff\xfe\x1f\xff\xfe\x20\xff\xfe\x18\xff\xfe\x27\xff\xfc\x01\xff\xfe\x03\xff\xfc\x03"
OLD_ENVIRON, REFUSED_TOO = b"\xff\xfb\x24", b"\xff\xfe\x24"
END_OF_FILE = b"\xff\xec"


class Opening(NamedTuple):
    """What a program sends for the two lines `hello` and `/who`, and in what form it is answered."""

    sent: bytes
    end: str = "\n"
    greeted: str = "\n"
    negotiated: bytes = b""
    starts: str = ""
    """What stands before the first line in a relay mode."""
    line_end: str = "lf"


OPENINGS = {
    "plink": Opening(
        NEGOTIATES + OLD_ENVIRON + b"hello\n/who\n" + END_OF_FILE, "\r\n", "\r\n", REFUSED + REFUSED_TOO
    ),
    "PuTTY's window": Opening(NEGOTIATES + b"hello\r\n/who\r\n", "\r\n", "\r\n", REFUSED),
    "inetutils telnet": Opening(b"hello\r\n/who\r\n", "\r\n"),
    "Windows telnet": Opening(b"hello\r\n/who\r\n", "\r\n"),
    "PowerShell, UTF-8": Opening(BOM + b"/who\r\nhello\r\n", "\r\n", starts=BOM.decode()),
    "ncat, socat": Opening(b"hello\n/who\n"),
    "ncat -C": Opening(b"hello\r\n/who\r\n", "\r\n"),
    "socat ,crlf fed with CRLF": Opening(b"hello\r\r\n/who\r\r\n", "\r\n"),
    "a device with LF CR": Opening(b"hello\n\r/who\n\r"),
    "telnetlib3": Opening(b"hello\r\n/who\r\n", "\r\n"),
    "telnetlib3-client": Opening(b"hello\r/who\r", "\r\n", line_end="cr"),
}
openings = pytest.mark.parametrize("program", OPENINGS)
modes = pytest.mark.parametrize("mode", MODES)


def promised(opening: Opening, mode: str) -> tuple[bytes, bytes]:
    """The text of what comes back, and what the telnet layer says in between."""
    lines = ["<guest-1> hello", "* in lobby (1): guest-1"] if mode == "chat" else ["hello", "/who"]
    if opening.sent.index(b"/who") < opening.sent.index(b"hello"):
        lines.reverse()
    start = f"{GREETING}{opening.greeted}" if mode == "chat" else opening.starts
    return (start + "".join(line + opening.end for line in lines)).encode(), opening.negotiated


# A machine under load may need 50 ms from one byte to the next.
PATIENT = replace(limits_of(Settings()), opening_s=10.0)


def by_a_hub(opening: Opening, mode: str, size: int, pair: tuple[str, str]) -> bytes:
    """What comes back over a real socket, when each piece is read before the next one is sent."""
    settings = {"mode": mode, "line_end": opening.line_end, "trigger": pair[0], "read": pair[1]}
    with ThreadHub(limits=PATIENT, announce=0, **settings) as hub, hub.peer() as peer:
        for sent, piece in enumerate(pieces_of(opening.sent, size), 1):
            peer.send(piece)
            until(partial(has_heard, hub, min(sent * size, len(opening.sent))))
        peer.half_close()
        return peer.rest()


@pytest.mark.promise("lines-openings")
@modes
@openings
def test_an_opening_gets_the_same_whole_and_byte_by_byte(program: str, mode: str) -> None:
    opening = OPENINGS[program]
    for size, pair in ((1000, PAIRS[0]), (1, PAIRS[1]), (1, PAIRS[2])):
        assert separate(by_a_hub(opening, mode, size, pair)) == promised(opening, mode), (size, pair)


@pytest.mark.promise("lines-openings")
@modes
@openings
def test_an_opening_gets_the_same_cut_anywhere_in_two(program: str, mode: str) -> None:
    opening = OPENINGS[program]
    for cut in range(1, len(opening.sent)):
        stage = Stage(mode=mode, announce=0, line_end=opening.line_end)
        [peer] = stage.arrive()
        for piece in (opening.sent[:cut], opening.sent[cut:]):
            peer.send(piece)
            stage.rest()
        peer.half_close()
        stage.rest()
        assert separate(peer.got) == promised(opening, mode), cut


@pytest.mark.promise("lines-openings")
def test_plink_itself_gets_every_line_with_a_return() -> None:
    with ThreadHub(mode="chat", announce=0) as hub:
        command = [require("plink"), "-telnet", "-P", str(hub.port), "127.0.0.1"]
        printed = converse(command, [b"hello\n/quit\n"])  # The program goes on after the end of its input.
        assert hub.ending()["bytes_in"] > len(NEGOTIATES)
    lines = printed.decode().split("\r\n")
    assert lines == [GREETING, "<guest-1> hello", "* bye reason=quit - goodbye", ""]
