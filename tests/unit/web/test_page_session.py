"""One tab: what a browser may send, how it ends, and one that does not read. Over real sockets."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

import web.page_session
from hub.config.settings import Settings
from hub.control.mailbox import Mailbox
from tests.support import until
from tests.unit.web.support import LiveTab, StandInHub, ask, make_row, make_summary, port_of
from tests.unit.web.test_live import handshake
from tests.unit.web.test_schema import BAD_VIEWS
from web.page_session import ERROR_CHARACTERS, MESSAGE_BYTES_MAX, UPDATES_PER_S
from web.thread import WebThread


@pytest.fixture
def tab(url: str) -> Iterator[LiveTab]:
    with LiveTab(url) as opened:
        yield opened


class RawTab:
    """A tab that reads only when it is told to, and into a small buffer."""

    def __init__(self, url: str) -> None:
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(20)
        self.sock.connect(("127.0.0.1", port_of(url)))
        self.sock.sendall(handshake(url, f"Origin: http://localhost:{port_of(url)}\r\n"))
        self._seen = b""
        while b"\r\n\r\n" not in self._seen:
            self._seen += self.sock.recv(4096)
        head, _, self._seen = self._seen.partition(b"\r\n\r\n")
        assert b" 101 " in head

    def send(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> None:
        """RFC 6455, 5.2, with a mask of zeros."""
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
        self.sock.sendall(bytes([opcode | (0x80 if fin else 0)]) + size + b"\0" * 4 + data)

    def close(self) -> None:
        self.sock.close()

    def frame(self) -> tuple[Opcode, bytes] | None:
        """The next frame, None at the end of stream."""
        header = self._take(2)
        if not header:
            return None
        size = header[1]
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8))
        return Opcode(header[0] & 15), self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._seen) < size:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self._seen += data
        taken, self._seen = self._seen[:size], self._seen[size:]
        return taken


# What a browser may send.


@pytest.mark.promise("page-views")
def test_a_bad_view_is_an_error_and_the_one_before_it_stays(
    tab: LiveTab, hub: StandInHub, page: WebThread
) -> None:
    hub.rows = [make_row(number) for number in range(9)]
    tab.send(sort="id", order="desc", limit=2)
    tab.next()
    for text in BAD_VIEWS:
        tab.ws.send(text)
        error = tab.until(lambda message: True, kind="error")["error"]
        assert 0 < len(error) <= ERROR_CHARACTERS
    page.gateway.publish(make_summary(turns=800))
    update = tab.until(lambda update: update["summary"]["turns"] == 800)
    assert [row["id"] for row in update["clients"]["clients"]] == [8, 7]


def test_a_message_of_the_greatest_size_is_taken_and_no_greater(tab: LiveTab) -> None:
    frame = len('{"q":""}')
    tab.send()
    tab.ws.send('{"q":"' + "x" * (MESSAGE_BYTES_MAX - frame) + '"}')
    tab.until(lambda update: True)
    tab.ws.send('{"q":"' + "x" * (MESSAGE_BYTES_MAX - frame + 1) + '"}')
    assert tab.close_code() == 1009


def test_binary_messages_are_not_accepted(tab: LiveTab) -> None:
    tab.ws.send(b"{}")
    assert tab.close_code() == 1003


def hostile(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> list[tuple[Opcode, bytes, bool]]:
    return [(opcode, data, fin)]


@pytest.mark.promise("page-tabs")
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (hostile(Opcode.TEXT, b"\xff\xfe"), 1007),
        (hostile(Opcode.TEXT, b'{"q":"\xed\xa0\x80"}'), 1007),
        (hostile(Opcode.CONT, b"{}"), 1002),
        (hostile(Opcode.TEXT, b"{", fin=False) + hostile(Opcode.TEXT, b"}"), 1002),
        (hostile(Opcode.TEXT, b"x" * 3000, fin=False) + hostile(Opcode.CONT, b"x" * 3000), 1009),
        (hostile(Opcode.PING, b"x" * 126), 1002),
        (hostile(Opcode.PING, b"", fin=False), 1002),
    ],
)
def test_broken_rules_of_the_protocol_close_only_that_tab(
    url: str, frames: list[tuple[Opcode, bytes, bool]], code: int
) -> None:
    with closing(RawTab(url)) as raw, LiveTab(url) as other:
        for opcode, data, fin in frames:
            raw.send(opcode, data, fin=fin)
        seen = list(iter(raw.frame, None))
        assert seen[-1][0] is Opcode.CLOSE
        assert int.from_bytes(seen[-1][1][:2]) == code
        other.send()
        other.next()


def test_noise_ends_the_tab(url: str) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100):
        with closing(RawTab(url)) as raw:
            raw.sock.sendall(noise)
            frames = [frame for frame in iter(raw.frame, None) if frame[0] is not Opcode.TEXT]
            assert [frame[0] for frame in frames] in ([Opcode.CLOSE], [])
    assert ask(url, "/livez").status == 200


def test_a_ping_is_answered_with_its_own_words(tab: LiveTab) -> None:
    assert tab.ws.ping(b"are you there").wait(10)


def test_a_flood_of_pings_is_answered_in_part_and_tab_goes_on(url: str) -> None:
    with closing(RawTab(url)) as raw:
        for number in range(500):
            raw.send(Opcode.PING, str(number).encode())
        pongs = []
        while not pongs or pongs[-1] != b"499":
            frame = raw.frame()
            assert frame is not None
            pongs += [frame[1]] if frame[0] is Opcode.PONG else []
        assert pongs == sorted(set(pongs), key=int)


def test_of_many_views_at_once_the_newest_counts(tab: LiveTab) -> None:
    started_s = time.monotonic()
    for number in range(150):
        tab.send(offset=number)
    updates = [tab.next()]
    while updates[-1]["clients"]["offset"] != 149:
        updates.append(tab.next())
    passed_s = time.monotonic() - started_s
    assert len(updates) <= 2 + passed_s * UPDATES_PER_S


@pytest.mark.promise("page-update-size")
def test_no_tab_gets_more_updates_than_the_limit(tab: LiveTab) -> None:
    started_s = time.monotonic()  # Before the first: one that is read late would make the rest seem too soon.
    for number in range(8):
        tab.send(offset=number)
        tab.next()
    assert time.monotonic() - started_s >= 7 / UPDATES_PER_S * 0.95


# How it ends.


def test_a_tab_that_closes_is_answered_and_forgotten(url: str, hub: StandInHub, page: WebThread) -> None:
    with LiveTab(url) as tab:
        tab.send()
        tab.next()
        tab.ws.close(1000)
        with pytest.raises(ConnectionClosed) as caught:
            tab.ws.recv(timeout=10)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1000
    asked = len(hub.asked)
    for turns in range(5):
        page.gateway.publish(make_summary(turns=turns))
        assert ask(url, "/livez").status == 200
    assert len(hub.asked) == asked


def test_a_tab_that_vanishes_in_the_middle_disturbs_nobody(url: str, page: WebThread) -> None:
    with LiveTab(url) as other:
        for _ in range(20):
            raw = RawTab(url)
            raw.send(Opcode.TEXT, b"{}")
            raw.close()
        page.gateway.publish(make_summary(turns=77))
        other.until(lambda update: update["summary"]["turns"] == 77)


def test_when_the_page_stops_its_tabs_are_told(page: WebThread, url: str) -> None:
    with LiveTab(url) as watching, LiveTab(url) as paused:
        watching.send()
        paused.send(paused=True)
        watching.next()
        page.stop()
        assert (watching.close_code(), paused.close_code()) == (1001, 1001)


def test_a_fault_of_ours_closes_with_1011_and_is_logged(mailbox: Mailbox, hub: StandInHub) -> None:
    messages: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    page = WebThread(Settings(web_port=0), mailbox, log=Keeping())
    page.gateway.publish(make_summary())
    hub.rows = [make_row(1, nick="\ud800")]  # No UTF-8 for this: an error that nobody foresees.
    url = page.start()
    with LiveTab(url) as tab:
        tab.send()
        assert tab.close_code() == 1011
    hub.rows = []
    with LiveTab(url) as tab:
        tab.send(q="after")
        tab.next()
    page.stop()
    assert set(messages) == {"a live connection failed"}


# One that does not read.


@pytest.mark.promise("page-tabs")
def test_a_tab_that_does_not_read_skips_and_others_do_not_wait(
    url: str, page: WebThread, hub: StandInHub
) -> None:
    hub.rows = [make_row(number, nick="x" * 32) for number in range(500)]
    with closing(RawTab(url)) as stuck, LiveTab(url) as other:
        stuck.send(Opcode.TEXT, b'{"limit":500}')  # About 100 KB each.
        other.send(limit=1)
        for turns in range(2000, 2012):
            page.gateway.publish(make_summary(turns=turns))
            other.until(lambda update, turns=turns: update["summary"]["turns"] == turns)
        seen: list[int] = []
        while 2011 not in seen:
            frame = stuck.frame()
            assert frame is not None
            message: dict[str, Any] = json.loads(frame[1])
            seen += [message["summary"]["turns"]] if message["kind"] == "update" else []
        assert seen == sorted(seen)
        assert len(seen) < 8, "it was to skip"


@pytest.mark.promise("page-tabs")
def test_a_tab_that_takes_nothing_in_time_is_closed_with_1013(
    url: str, page: WebThread, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.page_session, "TAKE_S", 0.3)
    monkeypatch.setattr(web.page_session, "LINGER_S", 30.0)
    hub.rows = [make_row(number, nick="x" * 32) for number in range(500)]
    with closing(RawTab(url)) as stuck:
        stuck.send(Opcode.TEXT, b'{"limit":500}')
        with LiveTab(url) as other:
            other.send(limit=1)
            for turns in range(2000, 2010):
                page.gateway.publish(make_summary(turns=turns))
                other.until(lambda update, turns=turns: update["summary"]["turns"] == turns)
        frame = stuck.frame()
        while frame is not None and frame[0] is not Opcode.CLOSE:
            frame = stuck.frame()
        assert frame is not None and int.from_bytes(frame[1][:2]) == 1013


def test_one_that_never_reads_again_is_dropped_all_the_same(
    url: str, page: WebThread, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.page_session, "TAKE_S", 0.2)
    monkeypatch.setattr(web.page_session, "LINGER_S", 0.2)
    hub.rows = [make_row(number, nick="x" * 32) for number in range(500)]
    with closing(RawTab(url)) as stuck:
        stuck.send(Opcode.TEXT, b'{"limit":500}')

        def dropped() -> bool:
            page.gateway.publish(make_summary())
            try:
                stuck.send(Opcode.PONG)
            except OSError:
                return True
            return False

        until(dropped)
    assert ask(url, "/livez").status == 200
