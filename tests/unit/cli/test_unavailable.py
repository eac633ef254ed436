"""An address that cannot be listened on: one line that names the flag to change."""

import errno
import os
import socket
from typing import get_args

import pytest

from hub.cli.unavailable import Unavailable, bind_lines, bind_page
from hub.config.settings import Settings
from hub.loop.acceptor import CannotListen
from hub.session.client import Transport

FLAGS = {"line": "--port", "websocket": "--ws-port"} | {
    kind: f"--{kind}-port" for kind in ("read-only", "write-only")
}
NO_SUCH_NAME = "Name or service not known"
CHANGES = [
    (errno.EADDRINUSE, "port"),
    (errno.EACCES, "port"),
    (errno.EADDRNOTAVAIL, "host"),
    (errno.EAFNOSUPPORT, "host"),
    (errno.EINVAL, "host"),
    (socket.EAI_NONAME, "host"),
    (socket.EAI_AGAIN, "host"),
    (errno.EMFILE, ""),
    (errno.EPERM, ""),
]


@pytest.mark.promise("cli-address-in-use")
@pytest.mark.parametrize(("number", "what"), CHANGES)
@pytest.mark.parametrize("transport", get_args(Transport))
def test_the_line_names_the_flag_of_the_transport(transport: Transport, number: int, what: str) -> None:
    def fail() -> list[str]:
        raise CannotListen(transport, OSError(number, "cannot listen on [::1]:9: because"))

    with pytest.raises(Unavailable) as caught:
        bind_lines(fail)
    flag = {"port": f"; give another {FLAGS[transport]}", "host": "; give another --host", "": ""}[what]
    assert str(caught.value) == f"cannot listen on [::1]:9: because{flag}"


@pytest.mark.promise("cli-address-in-use")
@pytest.mark.parametrize(("number", "what"), CHANGES)
def test_the_line_names_the_flag_of_the_page(number: int, what: str) -> None:
    def fail() -> str:
        raise OSError(number, "error while attempting to bind" if number > 0 else NO_SUCH_NAME)

    with pytest.raises(Unavailable) as caught:
        bind_page(fail, Settings(web_host="::1", web_port=9))
    why = os.strerror(number) if number > 0 else NO_SUCH_NAME
    why = "address in use" if number == errno.EADDRINUSE else why.lower()
    flag = f"; give another --web-{what}" if what else ""
    assert str(caught.value) == f"cannot listen on [::1]:9: {why}{flag}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("could not bind on any address out of []"), "[]; give another --web-host"),
        (TimeoutError("the page did not start within 10 s"), "the page did not start within 10 s"),
    ],
)
def test_a_page_error_without_a_number_is_told_in_its_words(error: OSError, line: str) -> None:
    def fail() -> str:
        raise error

    with pytest.raises(Unavailable) as caught:
        bind_page(fail, Settings())
    assert str(caught.value).endswith(line)
