"""Starting loudly, stopping politely."""

import errno
import http.client
import logging
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from hub.config.settings import Settings
from hub.control.mailbox import Command, Mailbox
from tests.unit.web.support import StandInHub, ask, make_row, make_summary, port_of
from web.thread import LOGGERS, WebThread


def web_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "web"]


def join_web_threads() -> None:
    for thread in web_threads():
        thread.join(5)
    assert web_threads() == []


@pytest.fixture(autouse=True)
def _nobody_elses_page() -> None:
    """What another test left behind is not counted here: a busy machine may take longer than `stop` waits."""
    join_web_threads()


class Gate(tuple[str, ...]):
    """A setting that cannot be read before the gate is opened: it holds a start up as long as wanted."""

    opened: threading.Event

    def __iter__(self) -> Iterator[str]:
        self.opened.wait(30)
        return super().__iter__()


class Records(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_start_returns_a_url_that_serves(page: WebThread) -> None:
    page.gateway.publish(make_summary())
    url = page.start()
    assert url == f"http://127.0.0.1:{port_of(url)}/"
    assert ask(url, "/livez").status == 200


def test_a_taken_port_is_raised_in_the_caller(mailbox: Mailbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        page = WebThread(Settings(web_port=taken.getsockname()[1]), mailbox)
        with pytest.raises(OSError, match="in use") as caught:
            page.start()
    assert caught.value.errno == errno.EADDRINUSE
    page.stop()
    join_web_threads()


def test_an_address_that_is_not_ours_is_raised_in_the_caller(mailbox: Mailbox) -> None:
    page = WebThread(Settings(web_host="192.0.2.1", web_port=0), mailbox)
    # From 3.13 on asyncio tells it in words of its own, without the errno.
    with pytest.raises(OSError, match=r"assign requested address|could not bind on any address"):
        page.start()
    join_web_threads()


def test_a_start_that_takes_too_long_fails_and_serves_nothing(mailbox: Mailbox) -> None:
    gate = Gate()
    gate.opened = threading.Event()
    page = WebThread(Settings(web_port=0, allowed_hosts=gate), mailbox)
    with pytest.raises(TimeoutError, match="did not start within"):
        page.start(timeout_s=0.05)
    gate.opened.set()
    join_web_threads()


def test_stop_joins_and_gives_the_port_back(page: WebThread) -> None:
    url = page.start()
    page.stop()
    assert web_threads() == []
    with pytest.raises(ConnectionRefusedError):
        ask(url, "/livez")


def test_stop_may_be_repeated_and_may_come_first(page: WebThread) -> None:
    page.stop()
    page.start()
    page.stop()
    page.stop()
    assert web_threads() == []


def test_stop_does_not_wait_for_connections_that_are_kept_open(page: WebThread, hub: StandInHub) -> None:
    url = page.start()
    idle = socket.create_connection(("127.0.0.1", port_of(url)))
    kept = http.client.HTTPConnection("127.0.0.1", port_of(url))
    kept.request("GET", "/livez")
    kept.getresponse().read()
    page.stop()
    assert web_threads() == []
    idle.close()
    kept.close()


def test_stop_does_not_wait_for_a_hub_that_does_not_answer(page: WebThread, mailbox: Mailbox) -> None:
    url = page.start()
    asking = http.client.HTTPConnection("127.0.0.1", port_of(url), timeout=10)
    asking.request("GET", "/api/rooms")
    commands: list[Command] = []
    while not commands:  # The question has arrived, so the handler waits for its answer.
        commands = mailbox.take(1)
    page.stop()
    assert web_threads() == []
    asking.close()


def test_publishing_after_the_end_does_no_harm(page: WebThread) -> None:
    page.gateway.publish(make_summary())
    page.start()
    page.stop()
    page.gateway.publish(make_summary(turns=9))
    latest = page.gateway.latest
    assert latest is not None and latest.turns == 9


def test_the_thread_cannot_keep_the_process() -> None:
    box = Mailbox()
    page = WebThread(Settings(web_port=0), box)
    page.start()
    assert [thread.daemon for thread in web_threads()] == [True]
    page.stop()
    box.close()


def test_both_addresses_of_localhost_serve_on_their_ports(mailbox: Mailbox) -> None:
    page = WebThread(Settings(web_host="localhost", web_port=0), mailbox)
    url = page.start()
    page.gateway.publish(make_summary())
    assert urlsplit(url).hostname == "localhost"
    connection = http.client.HTTPConnection("localhost", port_of(url), timeout=10)
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
    connection.close()
    page.stop()


def test_errors_are_told_to_the_handler_and_not_to_stderr(
    mailbox: Mailbox, hub: StandInHub, capfd: pytest.CaptureFixture[str]
) -> None:
    log, elsewhere = Records(), Records()
    logging.getLogger().addHandler(elsewhere)
    page = WebThread(Settings(web_port=0), mailbox, log=log)
    url = page.start()
    hub.rows = [make_row(1, nick="\ud800")]  # No UTF-8 for this: an error that no handler foresees.
    answer = ask(url, "/api/clients")
    page.stop()
    logging.getLogger().removeHandler(elsewhere)
    assert answer.status == 500
    assert answer.json() == {"error": "internal error"}
    assert log.messages == ["no answer to GET /api/clients"]
    assert elsewhere.messages == []
    assert capfd.readouterr().err == ""


def test_without_a_handler_nothing_is_written(
    mailbox: Mailbox, hub: StandInHub, capfd: pytest.CaptureFixture[str]
) -> None:
    page = WebThread(Settings(web_port=0), mailbox)
    url = page.start()
    hub.rows = [make_row(1, nick="\ud800")]
    assert ask(url, "/api/clients").status == 500
    for name in LOGGERS:
        logging.getLogger(name).error("nobody reads this")
    page.stop()
    assert capfd.readouterr().err == ""
