"""Listening, and what to say of an address where that fails: which flag to change."""

import errno
import os
from collections.abc import Callable
from typing import Final

from hub.config.allowed_hosts import in_url
from hub.config.settings import Settings

_PORT_IS_WRONG: Final = (errno.EADDRINUSE, errno.EACCES)
"""Somebody else has it, or it is below 1024 and only root may (ip(7))."""
_HOST_IS_WRONG: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
_PORT_FLAGS: Final = {
    "line": "--port",
    "websocket": "--ws-port",
    "read-only": "--read-only-port",
    "write-only": "--write-only-port",
}


class Unavailable(Exception):
    """An address cannot be listened on; the text is the line for the user."""


def bind_lines(listen: Callable[[], list[str]]) -> list[str]:
    """Where lines are heard. Raises Unavailable."""
    from hub.loop.acceptor import CannotListen  # Here, as in main: other commands need no loop.

    try:
        return listen()
    except CannotListen as failed:
        advice = _advice(failed.error, _PORT_FLAGS[failed.transport], "--host")
        raise Unavailable(f"{failed.error.strerror}{advice}") from failed


def bind_page(start: Callable[[], str], settings: Settings) -> str:
    """The URL of the page. Raises Unavailable."""
    try:
        return start()
    except OSError as error:
        where = f"{in_url(settings.web_host)}:{settings.web_port}"
        advice = _advice(error, "--web-port", "--web-host")
        raise Unavailable(f"cannot listen on {where}: {_reason(error)}{advice}") from error


def _reason(error: OSError) -> str:
    """What is wrong, in the system's words where there is a number: asyncio puts a sentence around them."""
    number = error.errno or 0
    if number == errno.EADDRINUSE:
        return "address in use"
    return (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()


def _advice(error: OSError, port_flag: str, host_flag: str) -> str:
    """A name that cannot be looked up has a number below 0 (getaddrinfo(3)).

    From 3.13 on asyncio gives none for an address that the machine does not have.
    """
    if error.errno in _PORT_IS_WRONG:
        return f"; give another {port_flag}"
    is_nobody_s = error.errno is None and not isinstance(error, TimeoutError)
    if is_nobody_s or error.errno in _HOST_IS_WRONG or (error.errno or 0) < 0:
        return f"; give another {host_flag}"
    return ""
