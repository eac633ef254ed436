"""`hubbub client` on real sockets, pipes, files and terminals, against a small server in a thread."""

import contextlib
import fcntl
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.cli import terminal
from tests.unit.cli.support import (
    BUSY_S,
    PATIENCE_S,
    client,
    echo,
    end_of,
    feed,
    in_shell,
    memory_kib,
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

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is not a fault of the text."""

CLOSED_FIRST = b"hubbub: the server closed the connection\n"
RESET = b"hubbub: connection lost: connection reset by peer\n"


# Both ways


def test_a_piped_line_is_answered_and_the_client_ends() -> None:
    with serving(echo) as port:
        assert play(port, b"hi\n") == (0, b"hi\n", b"")


def test_an_unfinished_last_line_is_sent() -> None:
    received: list[bytes] = []
    with serving(lambda peer: received.append(read_all(peer))) as port:
        assert play(port, b"one\ntwo") == (0, b"", b"")
    assert received == [b"one\ntwo"]


def test_after_the_end_of_the_input_the_answer_is_awaited() -> None:
    def answer_at_eof(peer: socket.socket) -> None:
        peer.sendall(b"you sent %d bytes\n" % len(read_all(peer)))

    with serving(answer_at_eof) as port:
        assert play(port, b"x" * 1000) == (0, b"you sent 1000 bytes\n", b"")


def test_five_megabytes_pass_both_ways_in_parts() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    question, answer = dice.randbytes(5_000_000), dice.randbytes(5_000_000)
    received = bytearray()

    def read_crumbs(peer: socket.socket) -> None:
        crumbs = random.Random(seed + 1)
        while data := peer.recv(crumbs.randrange(1, 20_000)):
            received.extend(data)

    def converse(peer: socket.socket) -> None:
        reader = threading.Thread(target=read_crumbs, args=[peer])
        reader.start()
        peer.sendall(answer)
        reader.join()

    shown = bytearray()
    with serving(converse, receive_bytes=4096) as port, client(port) as program:
        typist = feed(program, question)
        while data := os.read(pipe_of(program.stdout).fileno(), dice.randrange(1, 9000)):
            shown.extend(data)
        typist.join()
        assert program.wait(PATIENCE_S) == 0
    assert shown == answer
    assert received == question


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
        before_kib = memory_kib(program, "VmRSS")
        taken = write_until_it_stands_still(stdin_fd)
        assert terminal.MAX_UNSENT_BYTES < taken < 1 << 26
        assert memory_kib(program, "VmHWM") - before_kib < 2048
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
        before_kib = memory_kib(program, "VmRSS")
        wait_for(stopped)
        assert terminal.MAX_UNSHOWN_BYTES < sent[0] < 1 << 26
        assert memory_kib(program, "VmHWM") - before_kib < 2048
        code, output, errors = end_of(program)
        assert (code, 1 + len(output), errors) == (0, sent[0], b"")


# Kinds of input and output


def test_a_file_is_sent_from_where_the_shell_left_it(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"first\n" + b"and more\n" * 100_000)
    with serving(echo) as port, path.open("rb", buffering=0) as file:
        file.readline()
        with client(port, file) as program:
            assert end_of(program) == (0, b"and more\n" * 100_000, b"")


def test_output_is_appended_to_a_file_that_has_lines_already(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    with serving(echo) as port:
        line = f'{{ echo before; echo hi | "$@"; echo after; }} > {path}'
        assert in_shell(port, line) == (0, b"", b"")
    assert path.read_bytes() == b"before\nhi\nafter\n"


def test_without_input_the_client_listens_until_the_server_ends() -> None:
    def greet_at_eof(peer: socket.socket) -> None:
        assert read_all(peer) == b""
        peer.sendall(b"hello\n")

    with serving(greet_at_eof) as port:
        assert in_shell(port, '"$@" < /dev/null') == (0, b"hello\n", b"")


def test_an_input_that_cannot_be_read_is_named_as_the_fault() -> None:
    errors_fd, stderr_fd = os.pipe()
    directory_fd = os.open("/", os.O_RDONLY)
    with serving(read_until_gone) as port:
        assert terminal.run("127.0.0.1", port, stdin_fd=directory_fd, stderr_fd=stderr_fd) == 74
    assert os.read(errors_fd, 100) == b"hubbub: cannot read the input: is a directory\n"
    for fd in (errors_fd, stderr_fd, directory_fd):
        os.close(fd)


@pytest.mark.promise("client-failure")
def test_an_output_that_cannot_be_written_is_named_as_the_fault() -> None:
    with serving(say(b"hello\n")) as port:
        code, output, errors = in_shell(port, '"$@" > /dev/full')
    assert (code, output) == (74, b"")
    assert errors == b"hubbub: cannot write the output: no space left on device\n"


def test_the_client_ends_at_once_when_its_output_has_no_reader() -> None:
    with serving(say(b"one\n")) as port, client(port) as program:
        stdout = pipe_of(program.stdout)
        assert stdout.readline() == b"one\n"
        stdout.close()
        assert program.wait(PATIENCE_S) == 74
        assert pipe_of(program.stderr).read() == b""


def test_an_endless_server_is_cut_by_head() -> None:
    def talk(peer: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                peer.sendall(b"line\n" * 1000)

    with serving(talk) as port:
        assert in_shell(port, '"$@" | head -1; exit ${PIPESTATUS[0]}') == (74, b"line\n", b"")


def test_standard_descriptors_keep_their_flags() -> None:
    (stdin_fd, typist_fd), (reader_fd, stdout_fd) = os.pipe(), os.pipe()
    seen: list[bool] = []

    def look(peer: socket.socket) -> None:
        peer.sendall(peer.recv(100))
        seen.extend(bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK) for fd in (stdin_fd, stdout_fd))

    os.write(typist_fd, b"hi\n")
    with serving(look) as port:
        assert terminal.run("127.0.0.1", port, stdin_fd=stdin_fd, stdout_fd=stdout_fd) == 0
    assert os.read(reader_fd, 100) == b"hi\n"
    assert seen == [False, False]
    for fd in (stdin_fd, typist_fd, reader_fd, stdout_fd):
        os.close(fd)


def test_sockets_serve_as_input_and_output() -> None:
    ours, theirs = socket.socketpair()
    with serving(echo) as port, ours, theirs:
        ours.sendall(b"hi\n")
        ours.shutdown(socket.SHUT_WR)
        fd = theirs.fileno()
        assert terminal.run("127.0.0.1", port, stdin_fd=fd, stdout_fd=fd) == 0
        assert ours.recv(100) == b"hi\n"


# How it begins and ends


def test_a_refused_connection_is_one_clear_line() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        code, output, errors = play(port)
    assert (code, output) == (69, b"")
    assert errors == f"hubbub: cannot connect to 127.0.0.1:{port}: connection refused\n".encode()


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
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # Once the queue is full, Linux leaves a SYN without an answer.
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(terminal.Ended) as ended:
            terminal.connect(*full.getsockname())
    assert (ended.value.code, ended.value.text.rpartition(": ")[2]) == (69, "timed out")


def test_every_address_of_a_name_is_tried() -> None:
    with serving(echo) as port:
        assert play(port, b"hi\n", host="localhost") == (0, b"hi\n", b"")


def test_different_causes_are_each_given_once() -> None:
    refused, unreachable = (
        ConnectionRefusedError(111, "Connection refused"),
        OSError(101, "Network is unreachable"),
    )
    group = ExceptionGroup("two addresses and one of them twice", [refused, unreachable, refused])
    assert terminal._reason(group) == "connection refused, network is unreachable"


def test_a_server_that_closes_first_is_reported_after_its_lines() -> None:
    with serving(lambda peer: peer.sendall(b"* bye reason=kicked\n")) as port, client(port) as program:
        assert pipe_of(program.stdout).read() == b"* bye reason=kicked\n"
        assert (program.wait(PATIENCE_S), pipe_of(program.stderr).read()) == (0, CLOSED_FIRST)


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


def test_a_reset_shows_what_came_before_it() -> None:
    def speak_and_reset(peer: socket.socket) -> None:
        peer.recv(1)  # A reset that comes before connect() has returned is a refusal.
        peer.sendall(b"last words\n")
        reset(peer)

    with serving(speak_and_reset) as port, client(port) as program:
        os.write(pipe_of(program.stdin).fileno(), b"x")
        assert pipe_of(program.stdout).read() == b"last words\n"
        assert (program.wait(PATIENCE_S), pipe_of(program.stderr).read()) == (1, RESET)


def test_a_farewell_is_shown_though_input_can_not_be_sent() -> None:
    def farewell(peer: socket.socket) -> None:
        peer.recv(1)
        peer.sendall(b"* bye reason=line_too_long\n")  # The close with unread input resets.

    with serving(farewell) as port, client(port) as program:
        typist = feed(program, bytes(1_000_000))
        assert pipe_of(program.stdout).read() == b"* bye reason=line_too_long\n"
        assert (program.wait(PATIENCE_S), pipe_of(program.stderr).read()) == (1, RESET)
        typist.join()


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE])
def test_waiting_for_the_server_takes_no_processor_time(stdin: int) -> None:
    over = threading.Event()

    def wait_after_hello(peer: socket.socket) -> None:
        peer.sendall(b"hello\n")
        read_all(peer)
        wait_for(over)

    with serving(wait_after_hello) as port, client(port, stdin) as program:
        if program.stdin:
            program.stdin.close()
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
        assert screen.read_to_the_end() == CLOSED_FIRST.replace(b"\n", b"\r\n")
        assert screen.exit_code() == 0


@pytest.mark.promise("client-failure")
def test_ctrl_c_ends_with_130_and_without_a_traceback() -> None:
    with serving(say(b"welcome\n")) as port, on_screen(port) as screen:
        screen.read_until(b"welcome\r\n")
        screen.type(b"\x03")
        assert screen.read_to_the_end() == b"^C"
        assert screen.exit_code() == 130


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
        assert screen.exit_code() == 130


@pytest.mark.promise("client-terminal")
def test_a_terminal_shows_control_characters_and_never_obeys() -> None:
    hostile = b"\x1b]0;owned\x07 \x1b[2J\x9b31m \xc2\x9b31m \xe2\x80\xaetxt \x00\x7f caf\xc3\xa9\ttab\r\n"
    with serving(say(hostile)) as port, on_screen(port) as screen:
        assert screen.read_until(b"\n") == (
            rb"^[]0;owned^G ^[[2J\x9b31m <U+009B>31m <U+202E>txt ^@^? caf" + b"\xc3\xa9\ttab\r\r\n"
        )
        screen.type(b"\x04")
        screen.read_to_the_end()


def test_a_character_cut_off_by_the_end_is_shown_as_bytes() -> None:
    with serving(lambda peer: peer.sendall(b"caf\xc3")) as port, on_screen(port) as screen:
        assert screen.read_to_the_end() == rb"caf\xc3" + CLOSED_FIRST.replace(b"\n", b"\r\n")


@pytest.mark.promise("client-terminal")
def test_a_pipe_gets_every_byte_as_it_came() -> None:
    everything = bytes(range(256))
    with serving(echo) as port:
        assert play(port, everything) == (0, everything, b"")


@unhurried
@given(data=st.binary(), cuts=st.lists(st.integers(0, 100)))
def test_visible_text_is_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(data)]
    whole, cut = terminal.VisibleText(), terminal.VisibleText()
    pieces = [cut.feed(data[start:end]) for start, end in itertools.pairwise(borders)]
    assert b"".join(pieces) + cut.feed(b"", final=True) == whole.feed(data, final=True)


@unhurried
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_visible_text_holds_no_control_but_tab_and_line_ends(text: str) -> None:
    shown = terminal.VisibleText().feed(text.encode(errors="surrogatepass"), final=True).decode()
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


@unhurried
@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs"])))
def test_ordinary_text_of_any_script_is_left_alone(text: str) -> None:
    assert terminal.VisibleText().feed(text.encode(), final=True).decode() == text
