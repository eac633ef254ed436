"""Starting loudly, stopping politely."""

import errno
import http.client
import logging
import socket
import threading
from contextlib import closing

import pytest

import web.thread
from hub.config.settings import Settings
from hub.control.mailbox import Mailbox
from tests.support import until
from tests.unit.web.support import Records, Served, ask, make_row, make_summary, port_of
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


@pytest.mark.parametrize(
    ("listened", "host"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("*", "127.0.0.1")]
)
def test_start_returns_a_url_that_serves(mailbox: Mailbox, listened: str, host: str) -> None:
    page = WebThread(Settings(web_host=listened, web_port=0), mailbox)
    url = page.start()
    page.gateway.publish(make_summary())
    assert url == f"http://{host}:{port_of(url)}/"
    with closing(http.client.HTTPConnection(host, port_of(url), timeout=10)) as connection:
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
    assert [thread.daemon for thread in web_threads()] == [True], "so it cannot keep the process"
    page.stop()


@pytest.mark.parametrize("dualstack", [True, False])
def test_a_page_on_all_addresses_has_one_port_on_each(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, dualstack: bool
) -> None:
    if not dualstack:
        monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: False)
    elif not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    page = WebThread(Settings(web_host="*", web_port=0), mailbox)
    port = port_of(page.start())
    for address in ("127.0.0.1", "localhost", "::1")[: 3 if dualstack else 2]:
        with closing(http.client.HTTPConnection(address, port, timeout=10)) as connection:
            connection.request("GET", "/livez")
            assert connection.getresponse().read()
    page.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
def test_a_taken_port_is_raised_in_the_caller(mailbox: Mailbox, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        page = WebThread(Settings(web_host=host, web_port=taken.getsockname()[1]), mailbox)
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


def test_a_start_that_takes_too_long_fails_and_serves_nothing(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, build = threading.Event(), web.thread.build_app
    monkeypatch.setattr(web.thread, "build_app", lambda *made: go_on.wait(30) and build(*made))
    page = WebThread(Settings(web_port=0), mailbox)
    with pytest.raises(TimeoutError, match="did not start within"):
        page.start(timeout_s=0.05)
    go_on.set()
    join_web_threads()


def test_stop_may_come_first_and_be_repeated_and_frees_the_port(mailbox: Mailbox) -> None:
    page = WebThread(Settings(web_port=0), mailbox)
    page.stop()
    url = page.start()
    for turns in range(2):
        page.stop()
        assert web_threads() == []
        page.gateway.publish(make_summary(turns=turns))
        assert page.gateway.latest is not None and page.gateway.latest.turns == turns
    with pytest.raises(ConnectionRefusedError):
        ask(url, "/livez")


def test_stop_waits_for_no_connection_and_no_answer(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.thread, "HANDLERS_END_WITHIN_S", 0.1)
    page = WebThread(Settings(web_port=0), mailbox)
    url = page.start()
    address = ("127.0.0.1", port_of(url))
    with (
        socket.create_connection(address),
        closing(http.client.HTTPConnection(*address, timeout=10)) as kept,
        closing(http.client.HTTPConnection(*address, timeout=10)) as asking,
    ):
        kept.request("GET", "/livez")
        kept.getresponse().read()
        asking.request("GET", "/api/rooms")
        until(lambda: mailbox.has_commands)  # The question has arrived, so the handler waits for its answer.
        page.stop()
        assert web_threads() == []


@pytest.mark.parametrize("log", [Records(), None])
def test_errors_are_told_to_the_handler_and_not_to_stderr(
    log: Records | None, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere = Records()
    logging.getLogger().addHandler(elsewhere)
    with Served(log=log) as served:
        served.hub.rows = [
            make_row(1, nick="\ud800")
        ]  # No UTF-8 for this: an error that no handler foresees.
        answer = ask(served.url, "/api/clients")
        for name in LOGGERS:
            logging.getLogger(name).error("from %s", name)
    logging.getLogger().removeHandler(elsewhere)
    assert answer.status == 500
    assert answer.json() == {"error": "internal error"}
    if log:
        assert log.messages == ["no answer to GET /api/clients", *[f"from {name}" for name in LOGGERS]]
    assert elsewhere.messages == []
    assert capfd.readouterr().err == ""
