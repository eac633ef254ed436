"""`hubbub client HOST PORT`: keyboard and socket in one poller, on a terminal and in a pipe.

    echo hi | hubbub client localhost 9000        prints the answer and ends
    hubbub client localhost 9000 < lines.txt      sends a file; `> copy.txt` keeps what comes back

Two one-way streams meet here, keyboard to server and server to screen. Each holds a bounded number of bytes,
and a full one stops asking its source: whoever is slow slows the other end, and nothing is lost or piled up.
At the end of the input only our half is closed (SHUT_WR), and what comes is shown until the server closes.

Standard input and output share O_NONBLOCK with the shell and all that it starts (fcntl(2)), so it is not
set there. Terminals and pipes are opened once more through /proc/self/fd (proc(5)). Where that is refused
(a socket, or a terminal of another user after `su`), the shared one is used when poll reports it, at most
PIPE_BUF bytes at a time: that much fits where anything fits into a pipe (pipe(7)), and a stopped terminal
blocks until Ctrl-C.
"""

import contextlib
import errno
import os
import select
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hub.cli.logs import own_line, write

# Exit codes, told by --help; those above 63 are of sysexits.h.
OK, LOST, UNREACHABLE, IO_FAILED, INTERRUPTED = 0, 1, 69, 74, 130

CONNECT_TIMEOUT_S: Final = 10.0
MAX_UNSENT_BYTES: Final = 256 * 1024
MAX_UNSHOWN_BYTES = READ_BYTES = 64 * 1024


@dataclass(eq=False)
class Ended(Exception):
    """The client is done. `code` is the exit code; `text` is for the person, or empty for a quiet end."""

    code: int
    text: str = ""


@dataclass
class Stream:
    """A direction: the bytes that its source gave and its sink has not taken yet."""

    limit_bytes: int
    held: bytearray = field(default_factory=bytearray)
    ended: bool = False

    @property
    def wants_more(self) -> bool:
        """Whether the source may be read: one reading may go over the limit, then none until below it."""
        return not self.ended and len(self.held) < self.limit_bytes


class Session:
    """A connection from its first byte to its last: a socket, a keyboard and a screen."""

    def __init__(self, sock: socket.socket, stdin_fd: int, stdout_fd: int) -> None:
        self._sock = sock
        self._stdin_fd = stdin_fd
        self._stdout_fd = stdout_fd
        self._screen = None
        if os.isatty(stdout_fd):
            from hub.cli.screen import TerminalScreen  # Not in a pipe: its tables take a while to load.

            self._screen = TerminalScreen(stdout_fd)
        self._to_server = Stream(MAX_UNSENT_BYTES)
        self._to_screen = Stream(MAX_UNSHOWN_BYTES)
        self._half_closed = False
        self._lost: OSError | None = None

    def run(self) -> None:
        """Carry bytes both ways until the server closed and all is shown; Ended if that was out of order."""
        while self._to_screen.held or not self._to_screen.ended:
            self._turn(self._wait())
        self._judge()

    def _wait(self) -> dict[int, int]:
        """Sleep until something of what can be used now is ready; what is, by descriptor.

        HUP and ERR come unasked and for ever, so a descriptor that is not wanted is left out. The screen
        stays in with mask 0: `| head -1` is over when head ends, not when the next line comes. Not epoll,
        which refuses regular files; to poll(2) they are always ready.
        """
        poller = select.poll()
        poller.register(self._stdout_fd, select.POLLOUT if self._to_screen.held else 0)
        if self._to_server.wants_more:
            poller.register(self._stdin_fd, select.POLLIN)
        events = select.POLLIN if self._to_screen.wants_more else 0
        events |= select.POLLOUT if self._owes_server else 0
        if events:
            poller.register(self._sock, events)
        return dict(poller.poll())

    def _turn(self, ready: dict[int, int]) -> None:
        """The server is heard before it is told: an EOF must be seen before a send can fail from it."""
        events = ready.get(self._sock.fileno(), 0)
        if events and self._to_screen.wants_more:
            self._receive()
        if events & select.POLLOUT and self._owes_server:
            self._send()
        if self._stdin_fd in ready and self._to_server.wants_more:
            self._read_keyboard()
        if self._stdout_fd in ready:
            self._write_screen()

    @property
    def _owes_server(self) -> bool:
        """Whether there are bytes to send, or only the end of the input is left to tell."""
        owed = bool(self._to_server.held) or (self._to_server.ended and not self._half_closed)
        return owed and not self._to_screen.ended and self._lost is None

    def _receive(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost = error
            data = b""
        if not data:  # Nobody takes more input either.
            self._to_screen.ended = self._to_server.ended = True
        if self._screen:
            data = self._screen.show(data, final=not data)
        self._to_screen.held += data

    def _send(self) -> None:
        """Send what the kernel takes. A failure ends only this direction: the other may hold a farewell."""
        try:
            del self._to_server.held[: self._sock.send(self._to_server.held)]
            if self._to_server.ended and not self._to_server.held:
                self._sock.shutdown(socket.SHUT_WR)
                self._half_closed = True
        except BlockingIOError:
            return
        except OSError as error:
            self._lost = error
            self._to_server.ended = True

    def _read_keyboard(self) -> None:
        with _local_errors("read the input"):
            data = os.read(self._stdin_fd, READ_BYTES)
            self._to_server.held += data
            self._to_server.ended = not data

    def _write_screen(self) -> None:
        if not self._to_screen.held:  # Only ERR or HUP can be reported then: the reader is gone.
            raise Ended(IO_FAILED)
        with _local_errors("write the output"):
            del self._to_screen.held[: os.write(self._stdout_fd, self._to_screen.held[: select.PIPE_BUF])]

    def _judge(self) -> None:
        """Say how it ended. EPIPE means that a FIN came before the reset: the server closed."""
        if self._lost is not None and self._lost.errno != errno.EPIPE:
            raise Ended(LOST, f"connection lost: {_reason(self._lost)}")
        if unsent := len(self._to_server.held):
            raise Ended(LOST, f"the server closed the connection, {unsent} bytes of input were not sent")
        if not self._half_closed or os.isatty(self._stdin_fd):
            raise Ended(OK, "the server closed the connection")


def connect(host: str, port: int) -> socket.socket:
    """A non-blocking socket to the first address of `host` that answers in CONNECT_TIMEOUT_S, or Ended."""
    try:
        sock = socket.create_connection((host, port), CONNECT_TIMEOUT_S, all_errors=True)
    except (OSError, UnicodeError, ExceptionGroup) as error:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise Ended(UNREACHABLE, f"cannot connect to {address}: {_reason(error)}") from error
    # A line leaves when it is typed, and a server that vanished is noticed after two silent minutes. No
    # TCP_USER_TIMEOUT: it would also end a connection to a server that is alive and does not read.
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    tcp = {socket.TCP_NODELAY: 1, socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}
    for option, value in tcp.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


def _reason(error: Exception) -> str:
    """The system's words for an error, fit for the middle of a sentence; those of a group each once."""
    if isinstance(error, ExceptionGroup):
        return ", ".join(dict.fromkeys(map(_reason, error.exceptions)))
    if isinstance(error, UnicodeError):  # A label that cannot be one, as in "a..b".
        return "not a host name"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text[:1].lower() + text[1:]


@contextlib.contextmanager
def _local_errors(action: str) -> Iterator[None]:
    """What a failed read or write on this side means: nothing, a quiet end, or an end with its cause."""
    try:
        yield
    except BlockingIOError:
        pass  # Somebody else was quicker; poll will tell again.
    except BrokenPipeError as error:
        raise Ended(IO_FAILED) from error
    except OSError as error:
        raise Ended(IO_FAILED, f"cannot {action}: {_reason(error)}") from error


@contextlib.contextmanager
def _own_description(fd: int, access: int) -> Iterator[int]:
    """A descriptor for what `fd` is open on, non-blocking where that disturbs nobody (see the top)."""
    try:
        reopens = os.isatty(fd) or stat.S_ISFIFO(os.fstat(fd).st_mode)
        # A regular file is only duplicated: opened again it would start at its first byte.
        flags = access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        own = os.open(f"/proc/self/fd/{fd}", flags) if reopens else os.dup(fd)
    except OSError:
        own = os.dup(fd)
    try:
        yield own
    finally:
        os.close(own)


def run(host: str, port: int, *, stdin_fd: int = 0, stdout_fd: int = 1, stderr_fd: int = 2) -> int:
    """Be the client until it ends, and return the exit code (listed at the top).

    `port` is 1 to 65535. The three descriptors are open (the command sees to that). Ctrl-C is expected
    as KeyboardInterrupt, Python's own answer to SIGINT.
    """
    try:
        with (
            connect(host, port) as sock,
            _own_description(stdin_fd, os.O_RDONLY) as keyboard_fd,
            _own_description(stdout_fd, os.O_WRONLY) as screen_fd,
        ):
            Session(sock, keyboard_fd, screen_fd).run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Ended as ended:
        if ended.text:
            write(stderr_fd, own_line(ended.text))
        return ended.code
    return OK
