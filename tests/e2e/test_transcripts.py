"""One scripted session, many ways: what a client gets must not depend on how the hub waits and reads.

Every transcript is compared byte by byte, over the three trigger and read pairs and against what the mode
promises. Each session has a hub of its own, so its client is guest-1.
"""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.e2e.programs import TELNET_BANNER, command_of, converse, require, telnet_window
from tests.support import PAIRS, ThreadHub, until


def crlf(*lines: str) -> bytes:
    """These lines as a telnet terminal, or a client that sent CRLF, gets them."""
    return "".join(f"{line}\r\n" for line in lines).encode()


MODES = ["chat", "broadcast", "echo"]
ways = pytest.mark.parametrize("size", [1, 7, 10_000], ids=["byte by byte", "by sevens", "whole"])

GREETING = "* welcome to hubbub - you are guest-1 in lobby, with nobody else; /help lists commands"
JOINED = "* guest-1 joined"
NO_SUCH_COMMAND = (
    "* no such command: /whoo - did you mean /who?; a line that starts with // is said with one slash"
)

# What a person could type. Linux telnet looks for its own keys in the low seven bits of every byte, so that a
# character with the byte 0x9D in it means Ctrl-] to it: a few scripts can only be sent by the other programs.
TYPED = ["hello", "", "Grüße, мир", "/who", "/whoo", "//slash", "last"]
IN_CHAT = {
    "": [],
    "/who": ["* in lobby (1): guest-1"],
    "/whoo": [NO_SUCH_COMMAND],
    "//slash": ["<guest-1> /slash"],
}

# A program that copies bytes can also send other line ends, and a last line without one. The first line ends
# in CRLF, so the answers do too from the first on, wherever the input is cut.
PIPED_LINES = ["hello", "", "日本語, שלום, 😀", "/who", "/whoo", "//slash", "last"]
PIPED = "hello\r\n\n日本語, שלום, 😀\n/who\r\n/whoo\r\0//slash\r\nlast".encode()

PLAIN = (
    "first\r\n\nlf\nnul\r\0a\rb\r\nää мир 日本 שלום 😀\n/who\n//x\r\n\r\n"
    "/nick Ann\r\n/msg ann psst\n/join den\r\n/nope\nhere\n/leave\ntab\there\r\nlast"
).encode()

SAID_IN_LOBBY = [
    "<guest-1> first",
    "<guest-1> lf",
    "<guest-1> nul",
    "<guest-1> a\N{REPLACEMENT CHARACTER}b",
    "<guest-1> ää мир 日本 שלום 😀",
]
CHAT_OF_PLAIN = [
    *SAID_IN_LOBBY,
    "* in lobby (1): guest-1",
    "<guest-1> /x",
    "* you are now Ann",
    "<Ann to you> psst",
    "<you to Ann> psst",
    "* you are now in den, with nobody else",
    "* no such command: /nope - /help lists what there is; a line that starts with // is said with one slash",
    "<Ann> here",
    "* you are now in lobby, with nobody else",
    "<Ann> tab\there",
    "<Ann> last",
]

ARE_YOU_THERE, TIMING_MARK, ECHO, NO_OPERATION = b"\xff\xf6", b"\xff\xfd\x06", b"\xff\xfd\x01", b"\xff\xf1"
TERMINAL_TYPE = b"\xff\xfb\x18\xff\xfa\x18\x00xterm\xff\xff\n\xff\xf0"
INTERRUPT = b"\xff\xf4" + TIMING_MARK
TELNET = (
    ARE_YOU_THERE
    + TIMING_MARK
    + (b"tel" + NO_OPERATION + b"net\n")
    + (TERMINAL_TYPE + b"m\xc3" + NO_OPERATION + b"\xa4h\r\0")
    + (ECHO + ECHO + b"\xff\xfe\x01twice\r\n")
    + (INTERRUPT + b"\r\n/who\r\n" + b"data \xff\xff byte\nlast" + NO_OPERATION)
)
NEGOTIATED = b"\xff\xfc\x06" + b"\xff\xfe\x18" + b"\xff\xfc\x01" + b"\xff\xfc\x06"
RELAY_OF_TELNET = (
    "* yes, hubbub is here\r\ntelnet\r\nmäh\r\ntwice\r\n\r\n/who\r\n".encode()
    + b"data \xff\xff byte\r\nlast\r\n"
)
CHAT_OF_TELNET = crlf(
    "* yes, hubbub is here",
    "<guest-1> telnet",
    "<guest-1> mäh",
    "<guest-1> twice",
    "* in lobby (1): guest-1",
    "<guest-1> data \N{REPLACEMENT CHARACTER} byte",
    "<guest-1> last",
)


def pieces_of(script: bytes, size: int = 1) -> list[bytes]:
    return [script[at : at + size] for at in range(0, len(script), size)]


def answers(mode: str, line: str) -> list[str]:
    """What the one client of a fresh hub gets for a line."""
    if mode != "chat":
        return [line]
    return IN_CHAT.get(line, [f"<guest-1> {line}"])


def over_all_pairs(session: Callable[[ThreadHub], bytes], mode: str, **settings: Any) -> bytes:
    """The transcript of a session, which has to be the same for every trigger and read pair."""

    def transcript(pair: tuple[str, str]) -> bytes:
        trigger, read = pair
        with ThreadHub(mode=mode, trigger=trigger, read=read, **settings) as hub:
            return session(hub)

    with ThreadPoolExecutor(len(PAIRS)) as side:
        transcripts = dict(zip(PAIRS, side.map(transcript, PAIRS), strict=True))
    first = transcripts[PAIRS[0]]
    assert transcripts == dict.fromkeys(PAIRS, first)
    return first


def play(pieces: Sequence[bytes]) -> Callable[[ThreadHub], bytes]:
    """A session on a plain socket: each piece is read by the hub before the next one is sent."""

    def session(hub: ThreadHub) -> bytes:
        sent = 0
        with hub.peer() as peer:
            for piece in pieces:
                peer.send(piece)
                sent += len(piece)
                until(partial(has_heard, hub, sent))
            peer.half_close()
            return peer.rest()

    return session


def has_heard(hub: ThreadHub, size: int) -> bool:
    return hub.loop.hub.counters.bytes_in == size


def separate(transcript: bytes) -> tuple[bytes, bytes]:
    """The text of a transcript, and what the telnet layer said in between."""
    option = re.compile(rb"\xff[\xfb-\xfe].", re.DOTALL)
    return option.sub(b"", transcript), b"".join(option.findall(transcript))


@pytest.mark.promise("lines-programs")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("program", ["ncat", "socat", "hubbub client"])
def test_a_program_prints_the_same_under_each_trigger_and_read(program: str, mode: str) -> None:
    def session(hub: ThreadHub) -> bytes:
        return converse(command_of(program, hub.port), pieces_of(PIPED))

    said = [answer for line in PIPED_LINES for answer in answers(mode, line)]
    promised = f"{GREETING}\n".encode() + crlf(JOINED, *said) if mode == "chat" else crlf(*said)
    assert over_all_pairs(session, mode) == promised


@pytest.mark.parametrize("mode", MODES)
def test_telnet_shows_the_same_for_lines_that_were_typed_ahead(mode: str) -> None:
    def session(hub: ThreadHub) -> bytes:
        with telnet_window(hub.port, typed_ahead="".join(f"{line}\n" for line in TYPED)) as window:
            window.wait_for(answers(mode, TYPED[-1])[-1])
            window.leave()
            return window.printed

    said = [answer for line in TYPED for answer in answers(mode, line)]
    greeting = [GREETING, JOINED] if mode == "chat" else []
    assert over_all_pairs(session, mode) == crlf(
        "", *TYPED, *TELNET_BANNER, *greeting, *said, "^]", "telnet> close", "Connection closed."
    )


@pytest.mark.parametrize("mode", MODES)
def test_telnet_shows_the_same_for_lines_typed_key_by_key(mode: str) -> None:
    def session(hub: ThreadHub) -> bytes:
        with telnet_window(hub.port) as window:
            if mode == "chat":
                window.wait_for(f"{GREETING}\r\n")
            for line in TYPED:
                for key in f"{line}\n":
                    window.type(key)
                for shown in ("", *answers(mode, line)):  # first the terminal's echo of the line itself
                    window.wait_for(shown + "\r\n")
            window.leave()
            return window.printed

    said = [shown for line in TYPED for shown in (line, *answers(mode, line))]
    greeted = [GREETING, said[0], JOINED, *said[1:]] if mode == "chat" else said
    assert over_all_pairs(session, mode) == crlf(
        "", *TELNET_BANNER, *greeted, "^]", "telnet> close", "Connection closed."
    )


@pytest.mark.promise("lines-programs")
@pytest.mark.promise("lines-verbatim")
@pytest.mark.promise("chat-answer")
@ways
@pytest.mark.parametrize("mode", MODES)
def test_a_plain_session_is_the_same_however_it_is_cut_and_read(mode: str, size: int) -> None:
    # Announcements are gathered by turn, so they alone may depend on what came together.
    transcript = over_all_pairs(play(pieces_of(PLAIN, size)), mode, announce=0)
    verbatim = PLAIN.replace(b"\r\n", b"\n").replace(b"\r\0", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    assert transcript == (f"{GREETING}\n".encode() + crlf(*CHAT_OF_PLAIN) if mode == "chat" else verbatim)


@pytest.mark.promise("telnet-cuts")
@ways
@pytest.mark.parametrize("mode", MODES)
def test_a_telnet_session_is_the_same_however_it_is_cut_and_read(mode: str, size: int) -> None:
    # Only where in the text the answers of the telnet layer stand depends on what came together.
    promised = f"{GREETING}\r\n".encode() + CHAT_OF_TELNET if mode == "chat" else RELAY_OF_TELNET
    transcript = over_all_pairs(play(pieces_of(TELNET, size)), mode, announce=0)
    assert separate(transcript) == (promised, NEGOTIATED)


def test_a_missing_program_skips_its_test_unless_it_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUIRE_PROGRAMS", "0")
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        require("no-such-program")
    monkeypatch.setenv("REQUIRE_PROGRAMS", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        require("no-such-program")
