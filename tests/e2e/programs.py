"""Real programs as clients: run through pipes, or in a terminal window of their own.

A program that is not installed skips its tests, but fails them where REQUIRE_PROGRAMS=1 says that the
machine has been prepared for them.
"""

import fcntl
import io
import os
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pexpect  # type: ignore[import-untyped]  # the package ships no types
import pyte
import pytest
from pexpect import fdpexpect

from tests.support import PATIENCE_S, ROOT

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
"""What every program gets; without a home there is no ~/.telnetrc that could change what telnet does."""
ROWS, COLUMNS = 40, 100
TELNET_BANNER = ("Trying 127.0.0.1...", "Connected to 127.0.0.1.", "Escape character is '^]'.")

# The shell leads a session without a terminal, so the one it opens becomes its controlling terminal, and
# Ctrl-C reaches the program as in a real window. The first line end that is typed starts the program.
_IN_A_WINDOW = ': <>"$0"; read go; exec "$@"'


def require(program: str) -> str:
    """The path of a program; where there is none the test is skipped, or fails with REQUIRE_PROGRAMS=1."""
    path = shutil.which(program)
    if path is None:
        give_up = pytest.fail if os.environ.get("REQUIRE_PROGRAMS") == "1" else pytest.skip
        give_up(f"{program} is not installed")
    return path


def command_of(program: str, port: int) -> list[str]:
    """The command line by which `ncat`, `socat` or `hubbub client` carries its pipes to and from a hub."""
    if program == "hubbub client":
        return [sys.executable, "-m", "hubbub", "client", "127.0.0.1", str(port)]
    path = require(program)
    if program == "socat":  # -t: how long it waits for the answers to its last input.
        return [path, "-t", f"{PATIENCE_S:g}", "-", f"TCP:127.0.0.1:{port}"]
    return [path, "127.0.0.1", str(port)]


def converse(command: Sequence[str], pieces: Sequence[bytes]) -> bytes:
    """Feed the pieces into a program's standard input, one write each, then end it; all that it printed."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env=ENVIRONMENT,
        bufsize=0,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            for piece in pieces:
                process.stdin.write(piece)
            printed, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        assert process.returncode == 0, (command, process.returncode, printed)
        return printed


class Window:
    """A terminal window in which a program runs: somebody types, and looks at what is shown."""

    def __init__(self, process: subprocess.Popen[bytes], keyboard_fd: int) -> None:
        self._process = process
        self._screen = io.BytesIO()
        self._window = fdpexpect.fdspawn(keyboard_fd, timeout=PATIENCE_S, use_poll=True)
        self._window.logfile_read = self._screen

    @property
    def printed(self) -> bytes:
        """Everything shown so far: what the program printed, and the terminal's echo of what was typed."""
        return self._screen.getvalue()

    def type(self, text: str) -> None:
        """Press these keys."""
        self._window.send(text)

    def wait_for(self, text: str) -> float:
        """Look until `text` is shown, behind all that was waited for before; returns the seconds it took."""
        start = time.monotonic()
        self._window.expect_exact(text.encode())
        return time.monotonic() - start

    def leave(self) -> None:
        """Go by telnet's own escape, and see the window to its end."""
        self.type("\x1d")
        self.wait_for("telnet> ")
        self.type("close\n")
        self.wait_for_end()

    def wait_for_end(self) -> None:
        """Look until the program has ended by itself."""
        self._window.expect(pexpect.EOF)
        self._process.wait(PATIENCE_S)


@contextmanager
def _window(command: Sequence[str], columns: int) -> Iterator[Window]:
    """A program that starts at the first line end that is typed."""
    keyboard_fd, terminal_fd = os.openpty()
    fcntl.ioctl(terminal_fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    with subprocess.Popen(
        ["sh", "-c", _IN_A_WINDOW, os.ttyname(terminal_fd), *command],
        stdin=terminal_fd,
        stdout=terminal_fd,
        stderr=terminal_fd,
        start_new_session=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    ) as process:
        os.close(terminal_fd)
        try:
            yield Window(process, keyboard_fd)
        finally:
            process.kill()
            os.close(keyboard_fd)


@contextmanager
def telnet_window(port: int, typed_ahead: str = "") -> Iterator[Window]:
    """A person with telnet, connected; `typed_ahead` was typed before telnet started."""
    with _window([require("telnet"), "127.0.0.1", str(port)], COLUMNS) as window:
        window.type(f"\n{typed_ahead}")
        window.wait_for(f"{TELNET_BANNER[-1]}\r\n")
        yield window


@contextmanager
def client_window(port: int, columns: int) -> Iterator[Window]:
    """A person with `hubbub client` in a window that is so wide."""
    with _window(command_of("hubbub client", port), columns) as window:
        window.type("\n")
        yield window


def screen_of(printed: bytes, columns: int = COLUMNS, rows: int = ROWS) -> pyte.Screen:
    """A terminal's screen after it was shown these bytes."""
    screen = pyte.Screen(columns, rows)
    pyte.ByteStream(screen).feed(printed)
    return screen


def rows_of(screen: pyte.Screen) -> list[str]:
    """What stands on a screen, without the blanks at the right and the empty rows at the end."""
    return "\n".join(row.rstrip() for row in screen.display).rstrip("\n").split("\n")
