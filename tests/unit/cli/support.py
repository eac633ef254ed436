"""What the tests of `hubbub client` share: a server in a thread, the client, and its screen."""

import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import psutil

from hub.cli import terminal

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


@contextlib.contextmanager
def serving(script: Script, *, receive_bytes: int = 0) -> Iterator[int]:
    """The port of a server that plays `script` with a client; what the script raises fails the test.

    A small `receive_bytes` makes its buffer full early.
    """

    def accept_and_play() -> None:
        with listener.accept()[0] as peer:
            peer.settimeout(PATIENCE_S)
            script(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as side:
        if receive_bytes:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        listener.settimeout(PATIENCE_S)
        played = side.submit(accept_and_play)
        yield listener.getsockname()[1]
        played.result(PATIENCE_S)


@contextlib.contextmanager
def full_door() -> Iterator[tuple[str, int]]:
    """An address that answers nobody: once its queue is full, Linux leaves a SYN alone, as firewalls do."""
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(door.getsockname())
        yield door.getsockname()


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


@contextlib.contextmanager
def client(port: int, stdin: int = subprocess.PIPE) -> Iterator[Program]:
    """A client as a process, on pipes."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", PROGRAM, "127.0.0.1", str(port)]
    with subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe) as program:
        try:
            yield program
        finally:
            program.kill()


def play(port: int, typed: bytes = b"", *, host: str = "127.0.0.1", **fds: int) -> tuple[int, bytes, bytes]:
    """Exit code, output and error output of a client in this process, whose whole input is `typed`.

    What has no descriptor of the test's is a pipe.
    """
    (stdin_fd, typist_fd), (reader_fd, stdout_fd), (errors_fd, stderr_fd) = os.pipe(), os.pipe(), os.pipe()
    with open(typist_fd, "wb") as typist:
        typist.write(typed)
    pipes = {"stdin_fd": stdin_fd, "stdout_fd": stdout_fd, "stderr_fd": stderr_fd}
    code = terminal.run(host, port, **(pipes | fds))
    for fd in pipes.values():
        os.close(fd)
    with open(reader_fd, "rb") as reader, open(errors_fd, "rb") as errors:
        return code, reader.read(), errors.read()


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


def most_memory_kib(program: Program) -> int:
    """The most there ever was: VmHWM of proc_pid_status(5)."""
    return int(Path(f"/proc/{program.pid}/status").read_text().split("VmHWM:")[1].split()[0])


def processor_s_while_quiet(program: Program) -> float:
    process = psutil.Process(program.pid)
    before = process.cpu_times()
    threading.Event().wait(QUIET_S)
    after = process.cpu_times()
    return after.user + after.system - before.user - before.system


class Screen:
    """What a person on a terminal types and sees."""

    def __init__(self, fd: int, program: Program) -> None:
        self._fd = fd
        self._program = program

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def resize(self, columns: int) -> None:
        """Make the window so wide (ioctl_tty(2))."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read_until(self, text: bytes) -> bytes:
        """What was shown up to and with `text`."""
        shown = b""
        while text not in shown:
            data = self._read()
            assert data, shown
            shown += data
        return shown

    def ends(self) -> tuple[int, bytes]:
        """The exit code of the client, and what was shown until it had gone."""
        shown = b"".join(iter(self._read, b""))
        return self._program.wait(PATIENCE_S), shown

    def _read(self) -> bytes:
        assert select.select([self._fd], [], [], PATIENCE_S)[0]
        try:
            return os.read(self._fd, 4096)
        except OSError:  # EIO: nobody has the terminal open any more.
            return b""


@contextlib.contextmanager
def on_screen(port: int, columns: int = 0, term: str = "dumb") -> Iterator[Screen]:
    """A client as a process on a terminal of its own, which knows no size unless `columns` are given."""
    fd, slave_fd = os.openpty()
    command = [sys.executable, "-c", PROGRAM_ON_A_TERMINAL, "127.0.0.1", str(port)]
    streams = {"stdin": slave_fd, "stdout": slave_fd, "stderr": slave_fd}
    environment = os.environ | {"TERM": term}
    with subprocess.Popen(command, start_new_session=True, env=environment, **streams) as program:  # type: ignore[call-overload]
        os.close(slave_fd)
        screen = Screen(fd, program)
        screen.resize(columns)
        try:
            yield screen
        finally:
            program.kill()
            os.close(fd)
