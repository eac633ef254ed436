"""What the tests of `hubbub client` share: a server in a thread, the client as a process, and its screen."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

Script = Callable[[socket.socket], None]
Program = subprocess.Popen[bytes]

PATIENCE_S = 30.0
"""How long anything may take before a test fails; never how long something takes."""

QUIET_S = 0.7
"""What does not move for this long stands still; also how long processor time is watched."""

BUSY_S = 0.2 * QUIET_S

PROGRAM = """
import sys
from hub.cli.terminal import run
sys.exit(run(sys.argv[1], int(sys.argv[2])))
"""

PROGRAM_ON_A_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)" + PROGRAM


class Server(threading.Thread):
    """Accepts one client on loopback and plays `script` with it; what the script raises fails the test."""

    def __init__(self, script: Script, receive_bytes: int) -> None:
        super().__init__(daemon=True)
        self._script = script
        self._failure: BaseException | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        if receive_bytes:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._listener.settimeout(PATIENCE_S)
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        try:
            with self._listener.accept()[0] as peer:
                peer.settimeout(PATIENCE_S)
                self._script(peer)
        except BaseException as failure:
            self._failure = failure

    def finish(self) -> None:
        """Wait for the script and hand on what went wrong in it."""
        self.join(PATIENCE_S)
        self._listener.close()
        assert not self.is_alive()
        if self._failure is not None:
            raise self._failure


@contextlib.contextmanager
def serving(script: Script, *, receive_bytes: int = 0) -> Iterator[int]:
    """The port of a server that plays `script`; a small `receive_bytes` makes its buffer full early."""
    server = Server(script, receive_bytes)
    server.start()
    yield server.port
    server.finish()


def echo(peer: socket.socket) -> None:
    while data := peer.recv(65536):
        peer.sendall(data)


def read_all(peer: socket.socket) -> bytes:
    return b"".join(iter(lambda: peer.recv(65536), b""))


def read_until_gone(peer: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        read_all(peer)


def say(text: bytes) -> Script:
    """Send `text` and stay until the client has gone."""

    def script(peer: socket.socket) -> None:
        peer.sendall(text)
        read_all(peer)

    return script


def reset(peer: socket.socket) -> None:
    """Close with RST instead of FIN (SO_LINGER of no seconds, socket(7))."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def wait_for(event: threading.Event) -> None:
    assert event.wait(PATIENCE_S)


def arguments(port: int, host: str = "127.0.0.1") -> list[str]:
    return [sys.executable, "-c", PROGRAM, host, str(port)]


@contextlib.contextmanager
def client(port: int, stdin: int | IO[bytes] = subprocess.PIPE) -> Iterator[Program]:
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments(port), stdin=stdin, stdout=pipe, stderr=pipe) as program:
        try:
            yield program
        finally:
            program.kill()


def play(port: int, typed: bytes = b"", host: str = "127.0.0.1") -> tuple[int, bytes, bytes]:
    """Exit code, output and error output of a client whose whole input is `typed`, from a pipe."""
    done = subprocess.run(arguments(port, host), input=typed, capture_output=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


def in_shell(port: int, line: str) -> tuple[int, bytes, bytes]:
    """The same for a shell line in which "$@" stands for the client."""
    shell = ["bash", "-c", line, "bash", *arguments(port)]
    done = subprocess.run(shell, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


def pipe_of(file: IO[bytes] | None) -> IO[bytes]:
    assert file is not None
    return file


def feed(program: Program, data: bytes) -> threading.Thread:
    """Write `data` to the client's input from a thread until it has gone, then end the input."""

    def write_and_close() -> None:
        with contextlib.suppress(BrokenPipeError), pipe_of(program.stdin) as stdin:
            stdin.write(data)

    thread = threading.Thread(target=write_and_close, daemon=True)
    thread.start()
    return thread


def end_of(program: Program) -> tuple[int, bytes, bytes]:
    """Exit code and what was still to be read of a client that ends by itself."""
    output, errors = program.communicate(timeout=PATIENCE_S)
    return program.returncode, output, errors


def write_until_it_stands_still(fd: int, data: bytes = bytes(65536), limit_bytes: int = 1 << 26) -> int:
    """How many bytes the other side takes before nothing moves for QUIET_S; the limit keeps a fault short."""
    os.set_blocking(fd, False)
    taken = 0
    while taken < limit_bytes and select.select([], [fd], [], QUIET_S)[1]:
        with contextlib.suppress(BlockingIOError):
            taken += os.write(fd, data)
    return taken


def memory_kib(program: Program, field: str) -> int:
    """VmRSS (now) or VmHWM (the most there ever was) of proc_pid_status(5)."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    match = re.search(rf"{field}:\s+(\d+) kB", status)
    assert match
    return int(match[1])


def processor_s(program: Program) -> float:
    """User and system time so far (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_s_while_quiet(program: Program) -> float:
    before = processor_s(program)
    threading.Event().wait(QUIET_S)
    return processor_s(program) - before


class Screen:
    """A client on a terminal of its own: what a person types and sees."""

    def __init__(self, port: int) -> None:
        self.fd, slave_fd = os.openpty()
        command = [sys.executable, "-c", PROGRAM_ON_A_TERMINAL, *arguments(port)[-2:]]
        self.program = subprocess.Popen(
            command, stdin=slave_fd, stdout=slave_fd, stderr=slave_fd, start_new_session=True
        )
        os.close(slave_fd)

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def read_until(self, text: bytes) -> bytes:
        """What was shown up to and with `text`."""
        shown = b""
        while text not in shown:
            data = self._read()
            assert data, shown
            shown += data
        return shown

    def read_to_the_end(self) -> bytes:
        """What was shown until the client had gone."""
        return b"".join(iter(self._read, b""))

    def _read(self) -> bytes:
        assert select.select([self.fd], [], [], PATIENCE_S)[0]
        try:
            return os.read(self.fd, 4096)
        except OSError:  # EIO: nobody has the terminal open any more.
            return b""

    def exit_code(self) -> int:
        return self.program.wait(PATIENCE_S)


@contextlib.contextmanager
def on_screen(port: int) -> Iterator[Screen]:
    screen = Screen(port)
    try:
        yield screen
    finally:
        screen.program.kill()
        screen.program.wait()
        os.close(screen.fd)
