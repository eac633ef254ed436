"""`hubbub client` on real sockets, pipes, files and terminals, against a small server in a thread."""

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyte
import pytest

from hub.cli import terminal
from tests.unit.cli.support import (
    BUSY_S,
    PATIENCE_S,
    client,
    echo,
    end_of,
    feed,
    full_door,
    most_memory_kib,
    on_screen,
    pipe_of,
    play,
    processor_s_while_quiet,
    read_all,
    read_until_gone,
    reset,
    say,
    serving,
    wait_for,
    write_until_it_stands_still,
)

CLOSED_FIRST = b"hubbub: the server closed the connection\n"
RESET = b"hubbub: connection lost: connection reset by peer\n"


@pytest.fixture
def keyboard() -> Iterator[int]:
    """An input with an `x` in it that does not end."""
    stdin_fd, typist_fd = os.pipe()
    os.write(typist_fd, b"x")
    yield stdin_fd
    os.close(stdin_fd)
    os.close(typist_fd)


# Both ways


def test_megabytes_pass_both_ways_in_parts() -> None:
    question, answer = os.urandom(2_000_000), os.urandom(2_000_000)
    received: list[bytes] = []

    def converse(peer: socket.socket) -> None:
        with ThreadPoolExecutor(1) as side:
            hearing = side.submit(read_all, peer)
            peer.sendall(answer)
            received.append(hearing.result())

    with serving(converse, receive_bytes=4096) as port, client(port) as program:
        typist = feed(program, question)
        assert pipe_of(program.stdout).read() == answer
        typist.join()
        assert program.wait(PATIENCE_S) == 0
    assert received == [question]


def test_ctrl_c_works_while_a_server_reads_nothing() -> None:
    started, over = threading.Event(), threading.Event()

    def read_one_byte(peer: socket.socket) -> None:
        peer.recv(1)
        started.set()
        wait_for(over)

    with serving(read_one_byte, receive_bytes=4096) as port, client(port) as program:
        stdin_fd = pipe_of(program.stdin).fileno()
        os.write(stdin_fd, b"x")
        wait_for(started)
        before_kib = most_memory_kib(program)
        taken = write_until_it_stands_still(stdin_fd)
        assert terminal.MAX_UNSENT_BYTES < taken < 1 << 26
        assert most_memory_kib(program) - before_kib < 2048
        assert processor_s_while_quiet(program) < BUSY_S
        program.send_signal(signal.SIGINT)
        assert end_of(program) == (130, b"", b"")
        over.set()


def test_an_output_that_nobody_reads_stops_the_server_losslessly() -> None:
    stopped = threading.Event()
    sent: list[int] = []

    def flood(peer: socket.socket) -> None:
        peer.sendall(b"x")
        sent.append(1 + write_until_it_stands_still(peer.fileno()))
        stopped.set()
        peer.setblocking(True)

    with serving(flood) as port, client(port, subprocess.DEVNULL) as program:
        assert os.read(pipe_of(program.stdout).fileno(), 1) == b"x"
        before_kib = most_memory_kib(program)
        wait_for(stopped)
        assert terminal.MAX_UNSHOWN_BYTES < sent[0] < 1 << 26
        assert most_memory_kib(program) - before_kib < 2048
        code, output, errors = end_of(program)
        assert (code, 1 + len(output), errors) == (0, sent[0], b"")


# Kinds of input and output


def test_a_file_goes_from_where_the_shell_left_it_into_another(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"first\n" + b"and more\n" * 100_000)
    with serving(echo) as port, (tmp_path / "lines").open("rb", buffering=0) as lines:
        lines.readline()
        with (tmp_path / "copy").open("wb", buffering=0) as copy:
            copy.write(b"before\n")
            assert play(port, stdin_fd=lines.fileno(), stdout_fd=copy.fileno()) == (0, b"", b"")
            copy.write(b"after\n")
    assert (tmp_path / "copy").read_bytes() == b"before\n" + b"and more\n" * 100_000 + b"after\n"


def test_without_input_the_client_listens_until_the_server_ends() -> None:
    def greet_at_eof(peer: socket.socket) -> None:
        assert read_all(peer) == b""
        peer.sendall(b"hello\n")

    with serving(greet_at_eof) as port, open("/dev/null", "rb") as nothing:
        assert play(port, stdin_fd=nothing.fileno()) == (0, b"hello\n", b"")


def test_an_input_that_cannot_be_read_is_named_as_the_fault() -> None:
    directory_fd = os.open("/", os.O_RDONLY)
    with serving(read_until_gone) as port:
        line = b"hubbub: cannot read the input: is a directory\n"
        assert play(port, stdin_fd=directory_fd) == (74, b"", line)
    os.close(directory_fd)


@pytest.mark.promise("client-failure")
def test_an_output_that_cannot_be_written_is_named_as_the_fault() -> None:
    with serving(say(b"hello\n")) as port, open("/dev/full", "wb", buffering=0) as full:
        line = b"hubbub: cannot write the output: no space left on device\n"
        assert play(port, stdout_fd=full.fileno()) == (74, b"", line)


@pytest.mark.parametrize("talks", [False, True])
def test_the_client_ends_at_once_when_its_output_has_no_reader(talks: bool, keyboard: int) -> None:
    def stay(peer: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            while talks:
                peer.sendall(b"line\n" * 1000)
            read_all(peer)

    reader_fd, stdout_fd = os.pipe()
    os.close(reader_fd)
    with serving(stay) as port:
        assert play(port, stdin_fd=keyboard, stdout_fd=stdout_fd) == (74, b"", b"")
    os.close(stdout_fd)


def test_standard_descriptors_keep_their_flags(keyboard: int) -> None:
    reader_fd, stdout_fd = os.pipe()
    seen: list[bool] = []

    def look(peer: socket.socket) -> None:
        peer.sendall(peer.recv(1))
        seen.extend(bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK) for fd in (keyboard, stdout_fd))

    with serving(look) as port:
        assert play(port, stdin_fd=keyboard, stdout_fd=stdout_fd) == (0, b"", CLOSED_FIRST)
    assert os.read(reader_fd, 100) == b"x"
    assert seen == [False, False]
    os.close(reader_fd)
    os.close(stdout_fd)


def test_sockets_serve_as_input_and_output() -> None:
    ours, theirs = socket.socketpair()
    with serving(echo) as port, ours, theirs:
        ours.sendall(b"hi\n")
        ours.shutdown(socket.SHUT_WR)
        assert play(port, stdin_fd=theirs.fileno(), stdout_fd=theirs.fileno()) == (0, b"", b"")
        assert ours.recv(100) == b"hi\n"


# How it begins and ends


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("a..b", "cannot connect to a..b:9000: not a host name"),
        ("::zz", "cannot connect to [::zz]:9000: name or service not known"),
    ],
)
def test_a_name_that_is_none_is_one_clear_line(host: str, text: str) -> None:
    assert play(9000, host=host) == (69, b"", f"hubbub: {text}\n".encode())


def test_a_silent_address_is_given_up_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "CONNECT_TIMEOUT_S", 0.2)
    with full_door() as address, pytest.raises(terminal.Ended) as ended:
        terminal.connect(*address)
    assert (ended.value.code, ended.value.text.rpartition(": ")[2]) == (69, "timed out")


def test_every_address_of_a_name_is_tried() -> None:
    with serving(echo) as port:
        assert play(port, b"hi\n", host="localhost") == (0, b"hi\n", b"")


def test_different_causes_are_each_given_once() -> None:
    refused, unreachable = OSError(111, "Connection refused"), OSError(101, "Network is unreachable")
    group = ExceptionGroup("two addresses and one of them twice", [refused, unreachable, refused])
    assert terminal._reason(group) == "connection refused, network is unreachable"


@pytest.mark.parametrize(("resets", "code", "line"), [(False, 0, CLOSED_FIRST), (True, 1, RESET)])
def test_how_the_server_ended_is_told_after_its_lines(
    keyboard: int, resets: bool, code: int, line: bytes
) -> None:
    def speak_and_end(peer: socket.socket) -> None:
        # A reset before connect() has returned is a refusal; a close with unread input is a reset.
        assert peer.recv(1) == b"x"
        peer.sendall(b"last words\n")
        if resets:
            reset(peer)

    with serving(speak_and_end) as port:
        assert play(port, stdin_fd=keyboard) == (code, b"last words\n", line)


@pytest.mark.promise("client-failure")
def test_input_that_could_not_be_sent_is_counted_and_fails() -> None:
    started, full, over = threading.Event(), threading.Event(), threading.Event()

    def half_close(peer: socket.socket) -> None:
        started.set()
        wait_for(full)
        peer.shutdown(socket.SHUT_WR)
        wait_for(over)

    with serving(half_close, receive_bytes=4096) as port, client(port) as program:
        wait_for(started)
        write_until_it_stands_still(pipe_of(program.stdin).fileno())
        full.set()
        code, output, errors = end_of(program)
        over.set()
    match = re.fullmatch(
        rb"hubbub: the server closed the connection, (\d+) bytes of input were not sent\n", errors
    )
    assert (code, output) == (1, b"")
    assert match and int(match[1]) >= terminal.MAX_UNSENT_BYTES


def test_a_farewell_is_shown_though_input_can_not_be_sent() -> None:
    def farewell(peer: socket.socket) -> None:
        peer.recv(1)
        peer.sendall(b"* bye reason=line_too_long\n")  # The close with unread input resets.

    with serving(farewell) as port, client(port) as program:
        typist = feed(program, bytes(1_000_000))
        assert pipe_of(program.stdout).read() == b"* bye reason=line_too_long\n"
        assert (program.wait(PATIENCE_S), pipe_of(program.stderr).read()) == (1, RESET)
        typist.join()


def test_waiting_for_the_server_takes_no_processor_time() -> None:
    over = threading.Event()

    def wait_after_hello(peer: socket.socket) -> None:
        peer.sendall(b"hello\n")
        read_all(peer)
        wait_for(over)

    with serving(wait_after_hello) as port, client(port, subprocess.DEVNULL) as program:
        assert pipe_of(program.stdout).readline() == b"hello\n"
        assert processor_s_while_quiet(program) < BUSY_S
        over.set()
        assert program.wait(PATIENCE_S) == 0


def test_a_reset_behind_a_full_output_takes_no_processor_time() -> None:
    gone = threading.Event()

    def flood_and_reset(peer: socket.socket) -> None:
        write_until_it_stands_still(peer.fileno())
        reset(peer)
        gone.set()

    with serving(flood_and_reset) as port, client(port) as program:
        wait_for(gone)
        assert processor_s_while_quiet(program) < BUSY_S
        code, output, errors = end_of(program)
    assert (code, errors) == (1, RESET)
    assert len(output) > terminal.MAX_UNSHOWN_BYTES


# On a terminal


def test_a_person_types_lines_and_ends_with_ctrl_d() -> None:
    with serving(echo) as port, on_screen(port) as screen:
        screen.type(b"helo\x7flo\n")  # The terminal's own line editing: DEL takes the o back.
        assert screen.read_until(b"hello\r\n").endswith(b"\r\nhello\r\n")
        screen.type(b"\x04")
        assert screen.ends() == (0, CLOSED_FIRST.replace(b"\n", b"\r\n"))


@pytest.mark.promise("client-failure")
def test_ctrl_c_ends_with_130_and_without_a_traceback() -> None:
    with serving(say(b"welcome\n")) as port, on_screen(port) as screen:
        screen.read_until(b"welcome\r\n")
        screen.type(b"\x03")
        assert screen.ends() == (130, b"^C")


def test_a_stopped_screen_holds_up_neither_keyboard_nor_ctrl_c() -> None:
    full, heard = threading.Event(), threading.Event()

    def flood_and_listen(peer: socket.socket) -> None:
        write_until_it_stands_still(peer.fileno(), b"flood\n" * 1000)
        full.set()
        peer.settimeout(PATIENCE_S)
        assert peer.recv(100) == b"still here\n"
        heard.set()
        read_until_gone(peer)

    with serving(flood_and_listen) as port, on_screen(port) as screen:
        wait_for(full)
        screen.type(b"still here\n")
        wait_for(heard)
        screen.type(b"\x03")
        assert screen.ends()[0] == 130


@pytest.mark.promise("client-terminal")
def test_a_terminal_shows_control_characters_and_never_obeys() -> None:
    hostile = b"\x1b]0;owned\x07 \x1b[2J\x9b31m \xc2\x9b31m \xe2\x80\xaetxt \x00\x7f caf\xc3\xa9\ttab\r\r\n"
    shown = rb"^[]0;owned^G ^[[2J\x9b31m <U+009B>31m <U+202E>txt ^@^? caf" + "é     tab^M\r\n".encode()
    cut_off = b"caf\xc3"  # It waits for its rest until the end, and is a line of its own.
    with serving(lambda peer: peer.sendall(hostile + cut_off)) as port, on_screen(port) as screen:
        assert screen.ends() == (0, shown + rb"caf\xc3" + b"\r\n" + CLOSED_FIRST.replace(b"\n", b"\r\n"))


@pytest.mark.promise("client-rows")
def test_rows_follow_the_width_of_the_window() -> None:
    with serving(echo) as port, on_screen(port, 10) as screen:
        screen.type(b"01234567890<b>\n")
        screen.read_until(b"\r\n0123456789\r\n 0<b>\r\n")
        screen.resize(12)
        screen.type(b"01234567890<b>\n")
        screen.read_until(b"\r\n01234567890<\r\n b>\r\n")


@pytest.mark.promise("client-rows")
@pytest.mark.parametrize("typed", ["", "h", "hel", "x" * 19, "x" * 20, "x" * 21, "日本語", "x" * 50])
def test_a_line_begins_in_a_row_of_its_own_amid_typing(typed: str) -> None:
    typing = threading.Event()

    def speak_meanwhile(peer: socket.socket) -> None:
        wait_for(typing)
        peer.sendall(b"<b> one\n<b> two, and two and two\n")
        read_all(peer)

    with serving(speak_meanwhile) as port, on_screen(port, 20, "xterm") as screen:
        screen.type(typed.encode())
        printed = screen.read_until(typed.encode())
        typing.set()
        printed += screen.read_until(b"  two\r\n")
        emulator = pyte.Screen(20, 10)
        pyte.ByteStream(emulator).feed(printed)
        before = [typed[at : at + 20] for at in range(0, len(typed), 20)]
        rows = [row.rstrip() for row in emulator.display]
        assert rows[: len(before) + 3] == [*before, "<b> one", "<b> two, and two and", "  two"]


@pytest.mark.promise("client-terminal")
def test_a_pipe_gets_every_byte_as_it_came() -> None:
    everything = bytes(range(256))
    with serving(echo) as port:
        assert play(port, everything) == (0, everything, b"")
