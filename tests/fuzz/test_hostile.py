"""What a hostile client sends, through everything that it controls, and what of it reaches others.

Others are: a person at a terminal, a browser, whoever reads the log in either form, and whoever reads the
page's JSON. A real hub in a process of its own, so that the log is the one that is written.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyte
import pytest

from hub.modes.sanitize import clean
from hub.modes.typed import without_keys
from tests.fuzz.hostile import PAYLOADS, clean_lines, shown
from tests.support import HubProcess, Peer, ThreadHub
from tests.support_ws import Refused, WsPeer
from tests.unit.modes.test_sanitize import is_forbidden

COMMANDS = [
    b"/", b"/nick ", b"/nick n", b"/join ", b"/join r", b"/msg ", b"/msg ben -", b"/whois ", b"/help ",
    b"/who ", b"/history ", b"/rooms ", b"/stats ", b"/me -", b"//",
]  # fmt: skip
"""Behind each of them comes what the client chooses."""
HEARD = [b"/msg ben -", b"/me -", b"//"]
"""Of these the other one hears every word."""
GUARD = b"this is the last line"
ONE_LINE = [payload for payload in PAYLOADS if b"\n" not in payload]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubProcess, Path]]:
    """A hub that logs JSON into a file, and takes 0xFF as data, so that every byte gets to the chat."""
    path = tmp_path_factory.mktemp("log") / "log"
    flags = ["--log", "json", "--no-telnet", "--history", "0", "--announce", "50", "--max-rooms", "0"]
    with path.open("wb") as log, HubProcess(*flags, stderr=log) as process:
        yield process, path


def without_keys_in(payload: bytes) -> bytes:
    """What a command has of it: the sequences of keys are taken out of commands."""
    return without_keys(payload.decode(errors="replace")).encode()


def assert_harmless(text: str) -> None:
    wrong = sorted({hex(ord(char)) for char in text if is_forbidden(char) and char != "\n"})
    assert not wrong, wrong


@pytest.mark.promise("chat-clean")
def test_a_hostile_line_is_shown_and_never_obeyed(hub: tuple[HubProcess, Path]) -> None:
    process, _ = hub
    with process.peer() as ben, process.peer() as mallory, WsPeer(process.ws_port) as browser:
        mallory.read_until(b"/help lists commands\n")
        browser.read_until("/help lists commands")
        ben.send(b"hi\n")
        ben.read_until(b"hi\n")
        mallory.send(b"".join(b"-" + payload + b"\n" for payload in ONE_LINE) + GUARD + b"\n")
        got = ben.read_until(GUARD + b"\n").split(b"\n")
        heard = [str(message) for message in browser.read_until(GUARD.decode())]
    name = got[-2].removesuffix(GUARD)
    lines = [line.removeprefix(name).decode() for line in got if line.startswith(name)][:-1]
    expected = [line for payload in ONE_LINE if (line := shown(b"-" + payload))]
    assert lines == expected
    said = [text.removeprefix(name.decode()) for text in heard if text.startswith(name.decode())]
    assert said[:-1] == expected
    for line in lines:
        assert_on_screen(line)


def assert_on_screen(line: str) -> None:
    """A terminal shows it where it stands, and is the same terminal afterwards."""
    screen = pyte.Screen(120, 3)
    pyte.ByteStream(screen).feed(f"above\r\n{line}\r\nbelow".encode())
    rows = [row.rstrip() for row in screen.display]
    # Characters of no width of their own are drawn into the one before them.
    assert rows[0] == "above" and rows[2] == "below", (line, rows)
    if line.isascii() or "\N{REPLACEMENT CHARACTER}" in line:
        assert rows[1] == line.rstrip(), (line, rows)
    assert (screen.title, screen.icon_name, screen.cursor.y) == ("", "", 2)


@pytest.mark.promise("chat-clean")
def test_nothing_that_a_client_controls_carries_harm_to_anybody(hub: tuple[HubProcess, Path]) -> None:
    process, log = hub
    with process.peer() as ben, process.peer() as mallory:
        ben.send(b"/nick ben\n")
        ben.read_until(b"you are now ben\n")
        for command in COMMANDS:
            mallory.send(b"".join(command + payload + b" x\n" for payload in ONE_LINE))
            mallory.send(b"/leave\n" + GUARD + b"\n")
            assert_harmless(mallory.read_until(GUARD + b"\n").decode())
            heard = ben.read_until(GUARD + b"\n").decode()
            assert_harmless(heard)
            if command in HEARD:
                said = ONE_LINE if command == b"//" else [without_keys_in(payload) for payload in ONE_LINE]
                assert [payload for payload in said if shown(payload) not in heard] == []
        assert_page_is_harmless(process)
    knock_with_headers(process.ws_port)
    mallory_leaves_in_every_way(process)
    assert_page_is_harmless(process)
    assert "internal_error" not in process.get("/api/summary")["closed"]
    assert_log_is_harmless(log)


def knock_with_headers(port: int) -> None:
    """A target, a Host and an Origin are shown in the detail of an ending."""
    for payload in ONE_LINE[::5]:
        clean_of_ends = payload.replace(b"\r", b"").replace(b"\0", b"")
        for header in (b"Host: %s", b"Host: localhost:%d\r\nOrigin: %%s" % port, b"Sec-WebSocket-Key: %s"):
            with Peer(port) as peer, suppress(ConnectionError):
                head = b"GET /?tag=%s HTTP/1.1\r\nUpgrade: websocket\r\n" % clean_of_ends
                peer.send(head + header % clean_of_ends + b"\r\n\r\n")
                assert_harmless(peer.rest().decode().replace("\r\n", "\n"))
    with suppress(Refused):
        WsPeer(port, "/?tag=%1b%5b2J").sock.close()


def mallory_leaves_in_every_way(process: HubProcess) -> None:
    with WsPeer(process.ws_port) as browser:
        browser.close(4000, "\x1b[2J\x07")
        browser.rest()
    with process.peer() as peer:
        peer.send(b"GET /\x1b[2J HTTP/1.1\r\n")
        peer.read_until(b"\n")


def assert_page_is_harmless(process: HubProcess) -> None:
    for path in ("/api/clients?limit=1000", "/api/closed?limit=1000", "/api/rooms?limit=1000"):
        for text in texts_in(process.get(path)):
            assert_harmless(text)


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a JSON value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def assert_log_is_harmless(path: Path) -> None:
    """Printable ASCII, one JSON object a line, and none that a client wrote."""
    written = path.read_bytes()
    assert written.count(b"\n") > 10
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in written)
    for line in written.splitlines():
        record = json.loads(line)
        assert record["event"] in ("started", "closed", "page"), record


@pytest.mark.promise("chat-clean")
def test_a_thousand_clean_lines_in_many_scripts_pass_as_they_are() -> None:
    lines = clean_lines(1000)
    assert all(clean(line.encode()) == line.encode() for line in lines)
    with ThreadHub(mode="chat", history=0) as hub, hub.peer() as ann, WsPeer(hub.ws_port) as browser:
        browser.read_until("/help lists commands")
        ann.send("".join(f"{line}\n" for line in lines).encode() + GUARD + b"\n")
        heard = [str(message) for message in browser.read_until(GUARD.decode())]
        said = [line.removeprefix("<guest-1> ") for line in heard if line.startswith("<guest-1> ")]
        assert said == [*lines, GUARD.decode()]
        got = ann.read_until(GUARD + b"\n").decode().split("\n")
        assert [line.removeprefix("<guest-1> ") for line in got if line.startswith("<guest-1> ")] == said
