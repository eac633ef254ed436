"""The command, run for real: what it refuses and how, what it says, how it ends."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import ROOT, HubProcess, until

PORT = "a number from 0 to 65535"
TIME = "a time such as 0.5, 500ms, 30s, 5m or 2h, from 10ms to 8760h, or 0 for none"
LAG = "a size such as 8192, 64KiB or 1MiB, from 64KiB to 1GiB"
LINE = "a size such as 8192, 64KiB or 1MiB, from 1 to 1GiB, or 0 for none"
COUNT = "a number from 1 to 1000000, or 0 for none"
CIDR = "an IP network such as 10.0.0.0/8 or fd00::/8"
HOST = "a host name or an IP address"
STARVES = "drain with --trigger edge: a client that leaves bytes behind is never reported again, it starves"
NOBODY_WAITS = "disconnect or skip with --mode chat: people must not wait for one"
NOBODY_HEARS = "none with --mode echo, where nobody would get the lines"
ECHO_ONLY = "on with --mode echo, where there is nothing else to hear"
PATIENCE = "a time such as 0.5, 500ms, 30s, 5m or 2h, from 10ms to 1h, or 0 for none"
FIRST_WORD = "serve, demo, client or health, as the first word"
WITHIN_S = 60.0


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **variables}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hub", *arguments]


def hubbub(
    directory: Path, arguments: Sequence[str], variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=directory,
        env=environment(**(variables or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def assert_refused(result: subprocess.CompletedProcess[str], line: str, code: int = 2) -> None:
    assert result.stderr == f"hubbub: {line}\n"
    assert result.stdout == ""
    assert result.returncode == code


@dataclass
class Running:
    process: subprocess.Popen[str]
    said: list[str]

    def port(self, what: str = "lines on 127.0.0.1:") -> int:
        line = next(line for line in self.said if what in line)
        return int(re.findall(r":(\d+)/?$", line)[0])


@contextmanager
def serving(directory: Path, *arguments: str, launch: Sequence[str] = ()) -> Iterator[Running]:
    """A hub that has said all its start lines; ended by its id if the test did not."""
    process = subprocess.Popen(
        [*launch, *command("serve", "--port", "0", "--ws-port", "0", "--web-port", "0", *arguments)],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            while said[-1] and "at most" not in said[-1]:
                said.append(process.stdout.readline())
            yield Running(process, [line.rstrip("\n") for line in said])
        finally:
            process.kill()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)


def read_until(peer: socket.socket, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        received = peer.recv(4096)
        assert received, seen
        seen += received
    return seen


@pytest.mark.promise("cli-wrong-input")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "abc"], f"--port: 'abc': {PORT}"),
        (["--port", "65536"], f"--port: '65536': {PORT}"),
        (["--port", "-1"], f"--port: '-1': {PORT}"),
        (["--port="], f"--port: '': {PORT}"),
        (["--port"], f"--port: no value: {PORT}"),
        (["--port", "1", "--port", "2"], "--port: given more than once: one value"),
        (["--prot", "1"], "--prot: no such flag: did you mean --port?"),
        (["--no-port"], "--no-port: no such flag: did you mean --port?"),
        (["-x"], "-x: no such flag: see hubbub --help"),
        (["--a\nb\x1b[2J"], "--a\\nb\\x1b[2J: no such flag: see hubbub --help"),
        (["--web=maybe"], "--web: 'maybe': true or false"),
        (["--mode", "loud"], "--mode: 'loud': one of chat, broadcast, echo"),
        (["--trigger", "edge", "--read", "once"], f"--read: 'once': {STARVES}"),
        (["--idle-timeout", "nan"], f"--idle-timeout: 'nan': {TIME}"),
        (
            ["--idle-timeout", "9s", "--idle-warning", "9"],
            "--idle-warning: '9': less than --idle-timeout, 9s",
        ),
        (["--patience", "1ms"], f"--patience: '1ms': {PATIENCE}"),
        (["--slow", "wait"], f"--slow: 'wait': {NOBODY_WAITS}"),
        (
            ["--mode", "broadcast", "--slow", "wait", "--patience", "1s"],
            "--patience: '1s': not given with --slow wait, which waits for as long as it takes",
        ),
        (["--mode", "echo", "--write-only-port", "0"], f"--write-only-port: '0': {NOBODY_HEARS}"),
        (["--mode", "echo", "--no-self-echo"], f"--no-self-echo: '': {ECHO_ONLY}"),
        (["--self-echo=perhaps"], "--self-echo: 'perhaps': true or false; auto in a variable or a file"),
        (["--max-line", "1.5"], f"--max-line: '1.5': {LINE}"),
        (
            ["--max-line", "1MiB"],
            "--max-line: '1MiB': at most half of --max-lag, 512KiB: one line must not close its subscribers",
        ),
        (["--max-lag", "1KiB"], f"--max-lag: '1KiB': {LAG}"),
        (["--per-ip-exempt", "::/0", "--per-ip-exempt", "::/129"], f"--per-ip-exempt: '::/129': {CIDR}"),
        (["--host", ""], f"--host: '': {HOST}"),
        (["--greeting", "a\nb"], "--greeting: 'a\\nb': one line of at most 400 characters"),
        (
            ["--config", "nix.toml"],
            "--config: 'nix.toml': a file that can be read (No such file or directory)",
        ),
        (["loud"], f"command: 'loud': {FIRST_WORD}"),
        (["--port", "1", "serve"], f"command: 'serve': {FIRST_WORD}"),
        (["serve", "loud"], "serve: 'loud': nothing more"),
        (["client", "localhost"], "PORT: no value: a number from 1 to 65535"),
        (["client", "localhost", "0"], "PORT: '0': a number from 1 to 65535"),
        (["client", "a b", "1"], f"HOST: 'a b': {HOST}"),
        (["client", "localhost", "1", "2"], "client: '2': nothing more"),
    ],
)
def test_a_wrong_flag_is_one_line(tmp_path: Path, arguments: list[str], line: str) -> None:
    assert_refused(hubbub(tmp_path, arguments), line)


@pytest.mark.promise("cli-wrong-input")
@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("HUBBUB_PORT", "abc", f"HUBBUB_PORT: 'abc': {PORT}"),
        ("HUBBUB_PORT", "", f"HUBBUB_PORT: '': {PORT}"),
        ("HUBBUB_MODE", "loud", "HUBBUB_MODE: 'loud': one of chat, broadcast, echo"),
        ("HUBBUB_WEB", "perhaps", "HUBBUB_WEB: 'perhaps': true or false"),
        ("HUBBUB_IDLE_TIMEOUT", "5d", f"HUBBUB_IDLE_TIMEOUT: '5d': {TIME}"),
        ("HUBBUB_MAX_CLIENTS", "many", f"HUBBUB_MAX_CLIENTS: 'many': {COUNT}"),
        ("HUBBUB_PER_IP_EXEMPT", "10.0.0.0/8, all", f"HUBBUB_PER_IP_EXEMPT: 'all': {CIDR}"),
        ("HUBBUB_SLOW", "wait", f"HUBBUB_SLOW: 'wait': {NOBODY_WAITS}"),
        ("HUBBUB_SELF_ECHO", "", "HUBBUB_SELF_ECHO: '': true or false; auto in a variable or a file"),
        ("HUBBUB_WRITE_ONLY_PORT", "no", f"HUBBUB_WRITE_ONLY_PORT: 'no': {PORT}, or none"),
        ("HUBBUB_PROT", "1", "HUBBUB_PROT: no such variable: did you mean HUBBUB_PORT?"),
        ("HUBBUB_port", "1", "HUBBUB_port: no such variable: did you mean HUBBUB_PORT?"),
        ("HUBBUB_", "1", "HUBBUB_: no such variable: see hubbub --help"),
        ("HUBBUB_CONFIG", "nix", "HUBBUB_CONFIG: 'nix': a file that can be read (No such file or directory)"),
        ("HUBBUB_CONFIG", ".", "HUBBUB_CONFIG: '.': a file that can be read (Is a directory)"),
    ],
)
def test_a_wrong_variable_is_one_line(tmp_path: Path, name: str, value: str, line: str) -> None:
    assert_refused(hubbub(tmp_path, [], {name: value}), line)


@pytest.mark.promise("cli-wrong-input")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"max-lag = '1XB'", f"max-lag: '1XB': {LAG}"),
        (b"max_lag = '1XB'", f"max_lag: '1XB': {LAG}"),
        (b"port = true", f"port: 'true': {PORT}"),
        (b"port = 99999", f"port: '99999': {PORT}"),
        (b"port = [9000]", f"port: [9000]: {PORT}"),
        (b"idle-timeout = inf", f"idle-timeout: 'inf': {TIME}"),
        (b"per-ip-exempt = ['::/0', 'all']", f"per-ip-exempt: 'all': {CIDR}"),
        (b"per-ip-exempt = [4]", f"per-ip-exempt: [4]: {CIDR}"),
        (b"prot = 1", "prot: no such key: did you mean port?"),
        (b"config = 'other.toml'", "config: no such key: see hubbub --help"),
        (b"max-lag = 65536\nmax_lag = 65536", "max_lag: 65536: each key once"),
        (b"[serve]\nport = 1", "serve: no such key: see hubbub --help"),
        (b"port = 0x" + b"f" * 5000, f"port: too much to show: {PORT}"),
        (b"port" + b".a" * 5000 + b" = 1", f"port: too much to show: {PORT}"),
        (b"slow = 'wait'", f"slow: 'wait': {NOBODY_WAITS}"),
        (b"mode = 'echo'\nself-echo = false", f"self-echo: 'false': {ECHO_ONLY}"),
        (b"mode = 'echo'\nwrite_only_port = 9003", f"write_only_port: '9003': {NOBODY_HEARS}"),
        (b"patience = -1", f"patience: '-1': {PATIENCE}"),
        (b"read = 'once'\ntrigger = 'edge'", f"read: 'once': {STARVES}"),
        (
            b"port: 9000",
            "not a TOML file: Expected '=' after a key in a key/value pair (at line 1, column 5)",
        ),
        (
            b"\xff",
            "not a TOML file: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: bytes, line: str) -> None:
    (tmp_path / "hubbub.toml").write_bytes(text)
    assert_refused(hubbub(tmp_path, []), f"hubbub.toml: {line}")


@pytest.mark.promise("cli-wrong-input")
def test_a_wrong_value_is_named_even_where_a_flag_hides_it(tmp_path: Path) -> None:
    (tmp_path / "hubbub.toml").write_text("port = -1")
    assert_refused(hubbub(tmp_path, ["--port", "0"]), f"hubbub.toml: port: '-1': {PORT}")


def test_a_file_that_is_named_is_read_instead_of_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "hubbub.toml").write_text("mode = 'wrong'")
    (tmp_path / "other.toml").write_text("mode = 'loud'")
    line = "other.toml: mode: 'loud': one of chat, broadcast, echo"
    assert_refused(hubbub(tmp_path, ["--config", "other.toml"]), line)
    assert_refused(hubbub(tmp_path, [], {"HUBBUB_CONFIG": "other.toml"}), line)


def test_the_client_reads_no_settings(tmp_path: Path) -> None:
    with socket.socket() as reserved:  # Bound and not listening: a connection is refused.
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        result = hubbub(tmp_path, ["client", "127.0.0.1", str(port)], {"HUBBUB_PROT": "1"})
    assert result.returncode == 69
    assert result.stderr.startswith("hubbub: ") and result.stderr.count("\n") == 1


def test_help_fits_eighty_columns_and_has_defaults_and_codes(tmp_path: Path) -> None:
    result = hubbub(tmp_path, ["--help"])
    assert result.returncode == 0 and result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.isascii()
    text = " ".join(result.stdout.split())
    for wanted in (
        "[default: 5m]",
        "[default: 1MiB]",
        "--self-echo --no-self-echo A sender gets its own lines as well. auto: in chat and echo, not in",
        "--slow disconnect|skip|wait",
        "--patience TIME",
        "--write-only-port N A further port of lines, for programs that only send: they get nothing.",
        "--max-lag SIZE",
        "--no-web",
        "69 address not available",
    ):
        assert wanted in text
    assert "Close a client that did nothing for so long. 0: never." in text


def test_help_into_a_pipe_whose_reader_left_is_quiet(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        process = subprocess.Popen(
            command("--help"), cwd=tmp_path, env=environment(), stdout=stdout, stderr=subprocess.PIPE
        )
    assert process.communicate(timeout=WITHIN_S)[1] == b""
    assert process.returncode == 0


def test_the_version_is_one_line(tmp_path: Path) -> None:
    result = hubbub(tmp_path, ["--version"])
    assert re.fullmatch(r"hubbub \d+\.\d+\.\d+\n", result.stdout)
    assert result.returncode == 0


def test_the_start_lines_name_every_listener_and_the_limits(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-clients", "7") as hub:
        *listeners, limits = hub.said
        assert re.fullmatch(r"hubbub: lines on 127\.0\.0\.1:\d+", listeners[0])
        assert re.fullmatch(r"hubbub: page on http://127\.0\.0\.1:\d+/", listeners[-1])
        assert re.fullmatch(r"hubbub: at most 7 clients \(\d+ descriptors\)", limits)
        assert re.fullmatch(r"hubbub: websockets on 127\.0\.0\.1:\d+", listeners[len(listeners) // 2])
        others = [line for line in listeners[1:-1] if "127.0.0.1" not in line]
        assert all(re.fullmatch(r"hubbub: (lines|websockets) on \[::1\]:\d+", line) for line in others)


@pytest.mark.promise("cli-precedence")
def test_flags_beat_variables_and_variables_beat_the_file(tmp_path: Path) -> None:
    (tmp_path / "hubbub.toml").write_text(
        "max-clients = 1\nmax-rooms = '4'\nweb = false\nws = false\nhost = '127.0.0.1'"
    )
    launch = ["env", "HUBBUB_MAX_CLIENTS=2", "HUBBUB_MODE=echo"]
    with serving(tmp_path, launch=launch) as hub:
        assert hub.said[1].startswith("hubbub: at most 2 clients")  # One listener and no page: the file.
        with connect(hub.port()) as peer:
            peer.sendall(b"echoed\n")
            assert peer.recv(100) == b"echoed\n"
    with serving(tmp_path, "--max-clients", "3", launch=launch) as hub:
        assert hub.said[1].startswith("hubbub: at most 3 clients")


@pytest.mark.promise("cli-precedence")
@pytest.mark.parametrize(
    ("variables", "arguments", "hears_itself"),
    [
        ([], [], True),
        (["HUBBUB_SELF_ECHO=auto"], [], False),
        (["HUBBUB_SELF_ECHO=no"], ["--self-echo"], True),
        (["HUBBUB_SELF_ECHO=yes"], ["--no-self-echo"], False),
    ],
)
def test_self_echo_may_be_set_by_every_source(
    tmp_path: Path, variables: list[str], arguments: list[str], hears_itself: bool
) -> None:
    (tmp_path / "hubbub.toml").write_text(
        "mode = 'broadcast'\nslow = 'wait'\nwrite-only-port = 0\nself-echo = true\nws = false\nweb = false"
    )
    with (
        serving(tmp_path, *arguments, launch=["env", *variables]) as hub,
        connect(hub.port()) as peer,
        connect(hub.port("write-only lines on 127.0.0.1:")) as source,
    ):
        peer.sendall(b"mine\n")
        if hears_itself:
            assert read_until(peer, b"\n") == b"mine\n"
        source.sendall(b"of a program\n")
        assert read_until(peer, b"\n") == b"of a program\n"


@pytest.mark.promise("admission-reserve")
def test_few_descriptors_lower_the_number_of_clients_with_a_line(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-web", launch=["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]) as hub:
        assert hub.said[-1] == "hubbub: at most 32 clients (64 descriptors)"
        assert hub.process.stderr is not None
        line = "hubbub: --max-clients: 10000: lowered to what 64 descriptors allow\n"
        assert hub.process.stderr.readline() == line


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with serving(tmp_path, "--no-web", launch=["sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh"]) as hub:
        assert hub.said[-1].endswith(f"({hard} descriptors)")


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        port = address.rpartition(":")[2]
        result = hubbub(tmp_path, ["--port", port, "--no-ws", "--no-web"])
        assert_refused(result, f"cannot listen on {address}: address in use", 69)
        result = hubbub(tmp_path, ["--port", "0", "--ws-port", "0", "--web-port", port])
        assert_refused(result, f"cannot listen on {address}: address in use", 69)


def test_an_address_that_is_not_of_this_machine_is_one_line(tmp_path: Path) -> None:
    result = hubbub(tmp_path, ["--host", "192.0.2.1", "--port", "1", "--no-web"])  # RFC 5737
    assert_refused(result, "cannot listen on 192.0.2.1:1: cannot assign requested address", 69)


@pytest.mark.promise("process-signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_hub_with_a_farewell_and_exit_code_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serving(tmp_path) as hub, connect(hub.port()) as peer:
        read_until(peer, b"/help")
        hub.process.send_signal(number)
        read_until(peer, b"* bye reason=server_shutdown")
        peer.close()
        assert hub.process.wait(WITHIN_S) == 0


@pytest.mark.promise("process-signals")
def test_a_second_signal_of_either_kind_leaves_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-web") as hub, connect(hub.port()) as peer:
        read_until(peer, b"/help")
        hub.process.send_signal(signal.SIGINT)
        read_until(peer, b"* bye")  # The hub now waits for this peer to close.
        hub.process.send_signal(signal.SIGTERM)
        assert hub.process.wait(WITHIN_S) == 128 + signal.SIGTERM


@pytest.mark.promise("process-signals")
def test_nohup_is_respected_and_other_signals_do_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-web", launch=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]) as hub:
        with connect(hub.port()) as peer:
            read_until(peer, b"/help")
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                hub.process.send_signal(number)
            peer.sendall(b"still here\n")
            read_until(peer, b"still here\n")
        hub.process.send_signal(signal.SIGTERM)
        assert hub.process.wait(WITHIN_S) == 0


def test_an_error_of_the_loop_is_logged_once_with_exit_code_70(tmp_path: Path) -> None:
    program = """
import sys
from hub.cli import main as cli
from hub.loop import event_loop as loop
def fail(self):
    raise OSError("made to fail")
loop.EventLoop.run = fail
sys.exit(cli.run(["--port", "0", "--no-ws", "--no-web"], {}))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert result.returncode == 70
    assert result.stderr.count("\n") == 1
    assert "event=crashed" in result.stderr and "made to fail" in result.stderr


@pytest.fixture
def port() -> Iterator[int]:
    """A port that is kept for a hub: bound, so that nobody else is given it, and a hub may still listen."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def echo_through(port: int, process: subprocess.Popen[bytes]) -> None:
    """A line and its echo, once the hub listens; nothing else may come out of the socket."""

    def let_in() -> socket.socket | None:
        assert process.poll() is None
        with suppress(ConnectionRefusedError):
            return connect(port)
        return None

    with until(let_in) as peer:
        for number in range(50):
            line = b"line %d\n" % number
            peer.sendall(line)
            assert read_until(peer, b"\n") == line


@pytest.mark.promise("resources-log")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_no_socket_of_a_client(
    tmp_path: Path, port: int, closed: str
) -> None:
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--no-ws", "--no-web", "--mode", "echo"]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *command(*arguments)]
    with subprocess.Popen(shell, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL) as process:
        try:
            echo_through(port, process)
            process.terminate()
            assert process.wait(WITHIN_S) == 0
        finally:
            process.kill()


@pytest.mark.promise("resources-log")
def test_output_that_nobody_reads_stops_nothing(tmp_path: Path, port: int) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x")
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    arguments = command("--host", "127.0.0.1", "--port", str(port), "--no-ws", "--no-web", "--mode", "echo")
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=environment(), stdout=writer, stderr=writer
    ) as process:
        try:
            for _ in range(3):  # Each end is a record that cannot be written.
                echo_through(port, process)
            process.terminate()
            assert process.wait(WITHIN_S) == 0
        finally:
            process.kill()
            os.close(reader)
            os.close(writer)


@pytest.mark.promise("idle-wall-clock")
def test_a_step_of_the_wall_clock_ends_nobody(tmp_path: Path) -> None:
    """Idle time is measured on the monotonic clock: whoever sets the date by a day ends no client."""
    step = tmp_path / "step"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "real = time.time\n"
        f"time.time = lambda: real() + 86_400 * os.path.exists({str(step)!r})\n"
    )
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    # With rx the idler was active when it came and not since; what it gets is stamped after it got it.
    flags = ["--idle-timeout", "1h", "--idle-counts", "rx", "--mode", "broadcast"]
    with HubProcess(*flags, "--no-web", env=environment(PYTHONPATH=path)) as hub:
        with hub.peer() as talker, hub.peer() as idler:
            talker.send(b"before\n")
            assert idler.line() == talker.line() == b"before\n"
            step.touch()
            for line in (b"one\n", b"two\n", b"three\n"):
                talker.send(line)
                assert idler.line() == talker.line() == line
        assert hub.stop() == 0
