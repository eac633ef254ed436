"""The command: what it refuses and how, and, run for real, what it says and how it ends."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hub import BUILD, __version__
from hub.config.settings import Settings
from hub.config.values import NO_RATE, Rate
from tests.support import PATIENCE_S, ROOT, HubProcess, Peer, until
from tests.unit.cli.conftest import Hubbub

PORT = "a number from 0 to 65535"
TIME = "a time such as 0.5, 500ms, 30s, 5m or 2h, from 10ms to 8760h, or 0 for none"
LAG = "a size such as 8192, 64KiB or 1MiB, from 64KiB to 1GiB"
LINE = "a size such as 8192, 64KiB or 1MiB, from 1 to 1GiB, or 0 for none"
COUNT = "a number from 1 to 1000000, or 0 for none"
CIDR = "an IP network such as 10.0.0.0/8 or fd00::/8"
HOST = "a host name or an IP address"
WS_URL = "a URL ws:// or wss:// with host, and port and path if need be: wss://hub.example/ws"
STARVES = "drain with --trigger edge: a client that leaves bytes behind is never reported again, it starves"
NOBODY_WAITS = "disconnect or skip with --mode chat: people must not wait for one"
NOBODY_HEARS = "none with --mode echo, where nobody would get the lines"
ECHO_ONLY = "on with --mode echo, where there is nothing else to hear"
PATIENCE = "a time such as 0.5, 500ms, 30s, 5m or 2h, from 10ms to 1h, or 0 for none"
NO_FILE = "a file that can be read (No such file or directory)"
FIRST_WORD = "serve, demo, client, health or bench, as the first word; see hubbub --help"

HUB = (sys.executable, "-m", "hubbub")
SERVE_ECHO = (*HUB, "--host", "127.0.0.1", "--no-ws", "--no-web", "--mode", "echo", "--port")


@pytest.mark.promise("cli-wrong-input")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "abc"], f"--port: 'abc': {PORT}"),
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
        (["--patience", "1ms"], f"--patience: '1ms': {PATIENCE}"),
        (["--slow", "wait"], f"--slow: 'wait': {NOBODY_WAITS}"),
        (["--mode", "echo", "--write-only-port", "0"], f"--write-only-port: '0': {NOBODY_HEARS}"),
        (["--mode", "echo", "--no-self-echo"], f"--no-self-echo: {ECHO_ONLY}"),
        (["--self-echo=perhaps"], "--self-echo: 'perhaps': true or false; auto in a variable or a file"),
        (["--max-line", "1.5"], f"--max-line: '1.5': {LINE}"),
        (["--max-clients", "many"], f"--max-clients: 'many': {COUNT}"),
        (["--max-lag", "1KiB"], f"--max-lag: '1KiB': {LAG}"),
        (["--per-ip-exempt", "::/0", "--per-ip-exempt", "::/129"], f"--per-ip-exempt: '::/129': {CIDR}"),
        (["--host", "**"], f"--host: '**': {HOST}, or * for every address"),
        (["--public-ws", "http://hub.example/"], f"--public-ws: 'http://hub.example/': {WS_URL}"),
        (["--greeting", "a\nb"], "--greeting: 'a\\nb': one line of UTF-8, at most 400 characters"),
        (["--config", "nix.toml"], f"--config: 'nix.toml': {NO_FILE}"),
        (["loud"], f"command: 'loud': {FIRST_WORD}"),
        (["-6"], "-6: no such flag: see hubbub --help"),
        (["client", "localhost", "1", "-2"], "-2: no such flag: see hubbub --help"),
        (["--port", "1", "serve"], f"command: 'serve': {FIRST_WORD}"),
        (["serve", "loud"], "serve: 'loud': nothing more"),
        (["client", "localhost"], "PORT: no value: a number from 1 to 65535"),
        (["client", "localhost", "0"], "PORT: '0': a number from 1 to 65535"),
        (["client", "a b", "1"], f"HOST: 'a b': {HOST}"),
        (["client", "localhost", "1", "2"], "client: '2': nothing more"),
    ],
)
def test_a_wrong_flag_is_one_line(hubbub: Hubbub, arguments: list[str], line: str) -> None:
    assert hubbub(*arguments) == (2, "", f"hubbub: {line}\n", None)


@pytest.mark.promise("cli-wrong-input")
@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("HUBBUB_PORT", "abc", f"HUBBUB_PORT: 'abc': {PORT}"),
        ("HUBBUB_PER_IP_EXEMPT", "10.0.0.0/8, all", f"HUBBUB_PER_IP_EXEMPT: 'all': {CIDR}"),
        ("HUBBUB_SLOW", "wait", f"HUBBUB_SLOW: 'wait': {NOBODY_WAITS}"),
        ("HUBBUB_SELF_ECHO", "both", "HUBBUB_SELF_ECHO: 'both': true or false; auto in a variable or a file"),
        ("HUBBUB_WRITE_ONLY_PORT", "no", f"HUBBUB_WRITE_ONLY_PORT: 'no': {PORT}, or none"),
        ("HUBBUB_PROT", "1", "HUBBUB_PROT: no such variable: did you mean HUBBUB_PORT?"),
        ("HUBBUB_port", "1", "HUBBUB_port: no such variable: did you mean HUBBUB_PORT?"),
        ("HUBBUB_", "1", "HUBBUB_: no such variable: see hubbub --help"),
        ("HUBBUB_CONFIG", "nix", f"HUBBUB_CONFIG: 'nix': {NO_FILE}"),
        ("HUBBUB_CONFIG", ".", "HUBBUB_CONFIG: '.': a file that can be read (Is a directory)"),
    ],
)
def test_a_wrong_variable_is_one_line(hubbub: Hubbub, name: str, value: str, line: str) -> None:
    assert hubbub(**{name: value}) == (2, "", f"hubbub: {line}\n", None)


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
        (b"port" + b".a" * 2000 + b" = 1", f"port: too much to show: {PORT}"),
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
def test_a_wrong_file_is_one_line(hubbub: Hubbub, text: bytes, line: str) -> None:
    Path("hubbub.toml").write_bytes(text)
    assert hubbub() == (2, "", f"hubbub: hubbub.toml: {line}\n", None)


@pytest.mark.promise("cli-wrong-input")
def test_a_wrong_value_is_named_even_where_a_flag_hides_it(hubbub: Hubbub) -> None:
    Path("hubbub.toml").write_text("port = -1")
    assert hubbub("--port", "0").err == f"hubbub: hubbub.toml: port: '-1': {PORT}\n"


def test_a_file_that_is_named_is_read_instead_of_the_usual_one(hubbub: Hubbub) -> None:
    Path("hubbub.toml").write_text("mode = 'wrong'")
    Path("other.toml").write_text("mode = 'loud'")
    line = "hubbub: other.toml: mode: 'loud': one of chat, broadcast, echo\n"
    assert hubbub("--config", "other.toml").err == line
    assert hubbub(HUBBUB_CONFIG="other.toml").err == line
    assert hubbub("--config", "other.toml", HUBBUB_CONFIG="hubbub.toml").err == line


@pytest.mark.promise("cli-precedence")
def test_flags_beat_variables_and_variables_beat_the_file(hubbub: Hubbub) -> None:
    Path("hubbub.toml").write_text("max-clients = 1\nmax-rooms = '4'\nweb = false\nmode = 'echo'")
    said = hubbub("--max-clients", "3", HUBBUB_MAX_CLIENTS="2", HUBBUB_MODE="broadcast")
    assert said.settings == Settings(max_clients=3, max_rooms=4, web=False, mode="broadcast")


@pytest.mark.promise("cli-precedence")
@pytest.mark.parametrize(
    ("variables", "arguments", "self_echo"),
    [
        ({}, [], True),
        ({"HUBBUB_SELF_ECHO": "auto"}, [], None),
        ({"HUBBUB_SELF_ECHO": "no"}, ["--self-echo"], True),
        ({"HUBBUB_SELF_ECHO": "yes"}, ["--no-self-echo"], False),
    ],
)
def test_self_echo_may_be_set_by_every_source(
    hubbub: Hubbub, variables: dict[str, str], arguments: list[str], self_echo: bool | None
) -> None:
    Path("hubbub.toml").write_text("mode = 'broadcast'\nslow = 'wait'\nwrite-only-port = 0\nself-echo = true")
    expected = Settings(mode="broadcast", slow="wait", write_only_port=0, self_echo=self_echo)
    assert hubbub(*arguments, **variables).settings == expected


@pytest.mark.parametrize(("text", "value"), [("30/m:5", Rate(30, "m", 5)), ("0", NO_RATE), ("auto", "auto")])
def test_a_rate_is_one_word_of_the_command_line(hubbub: Hubbub, text: str, value: object) -> None:
    settings = hubbub("--line-rate", text, "--no-telnet", "--port", "1").settings
    assert settings and (settings.line_rate, settings.telnet, settings.port) == (value, False, 1)


def test_a_client_that_is_refused_says_so_and_reads_no_settings(hubbub: Hubbub) -> None:
    with socket.socket() as reserved:  # Bound and not listening: a connection is refused.
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        said = hubbub("client", "127.0.0.1", str(port), HUBBUB_PROT="1")
    line = f"hubbub: cannot connect to 127.0.0.1:{port}: connection refused\n"
    assert said == (69, "", line, None)


def test_help_fits_eighty_columns_and_has_defaults_and_codes(hubbub: Hubbub) -> None:
    said = hubbub("--help")
    assert said.code == 0 and said.err == ""
    assert max(map(len, said.out.splitlines())) <= 80
    assert said.out.isascii()
    text = " ".join(said.out.split())
    for wanted in (
        "[default: 5m]",
        "[default: 1MiB]",
        "--self-echo --no-self-echo A sender gets its own lines as well. auto: in chat and echo, not in",
        "--slow disconnect|skip|wait",
        "--patience TIME",
        "The flags below are those of serve",
        "--greeting TEXT A line for everyone who connects. '': welcome to hubbub. [default: '']",
        "--write-only-port N A further port of lines, for programs that only send: they get nothing.",
        "--max-lag SIZE",
        "--no-web",
        "69 address not available",
    ):
        assert wanted in text
    assert "Close a client that did nothing for so long. 0: never." in text


@pytest.mark.parametrize(
    ("command", "wanted"),
    [("client", "130 Ctrl-C."), ("health", "1 not well: the loop hangs"), ("demo", "70 internal error")],
)
def test_the_help_of_a_command_has_its_exit_codes(hubbub: Hubbub, command: str, wanted: str) -> None:
    said = hubbub(command, "--help").out
    assert wanted in said
    assert said.count("Exit codes") == 1
    assert ("--max-lag" in said) is (command == "demo")
    assert max(map(len, said.splitlines())) <= 80


def test_the_version_and_the_build_are_one_line(hubbub: Hubbub) -> None:
    said = hubbub("--version")
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert said.out == f"hubbub {__version__} ({BUILD})\n"
    assert said.code == 0


# Processes.


def test_help_into_a_pipe_whose_reader_left_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        done = subprocess.run([*HUB, "--help"], cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_start_lines_name_every_listener_and_the_limits() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with HubProcess("--max-clients", "7", prefix=["sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh"]) as hub:
        *listeners, limits = hub.start_lines
        assert re.fullmatch(r"hubbub: lines on 127\.0\.0\.1:\d+\n", listeners[0])
        assert re.fullmatch(r"hubbub: page on http://127\.0\.0\.1:\d+/\n", listeners[-1])
        # The soft limit is raised to the hard one.
        assert limits == f"hubbub: at most 7 clients ({hard} descriptors)\n"
        assert re.fullmatch(r"hubbub: websockets on 127\.0\.0\.1:\d+\n", listeners[len(listeners) // 2])
        others = [line for line in listeners[1:-1] if "127.0.0.1" not in line]
        assert all(re.fullmatch(r"hubbub: (lines|websockets) on \[::1\]:\d+\n", line) for line in others)


@pytest.mark.promise("process-signals")
def test_a_second_signal_of_either_kind_leaves_at_once() -> None:
    with HubProcess("--no-web") as hub, hub.peer() as peer:
        peer.read_until(b"/help")
        hub.process.send_signal(signal.SIGINT)
        peer.read_until(b"* bye reason=server_shutdown")  # The hub now waits for this peer to close.
        assert hub.stop(signal.SIGTERM) == 128 + signal.SIGTERM


@pytest.mark.promise("process-signals")
def test_nohup_is_respected_and_other_signals_do_nothing() -> None:
    with HubProcess("--no-web", prefix=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]) as hub:
        with hub.peer() as peer:
            peer.read_until(b"/help")
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                hub.process.send_signal(number)
            peer.send(b"still here\n")
            peer.read_until(b"still here\n")
        assert hub.stop() == 0


@pytest.fixture
def port() -> Iterator[int]:
    """A port that is kept for a hub: bound, so that nobody else is given it, and a hub may still listen."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def echo_through(port: int, process: subprocess.Popen[bytes]) -> None:
    """A line and its echo, once the hub listens; nothing else may come out of the socket."""

    def listens() -> bool:
        assert process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(listens)
    with Peer(port) as peer:
        for number in range(50):
            peer.send(b"line %d\n" % number)
            assert peer.line() == b"line %d\n" % number


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_standard_descriptor_is_filled(closed: str) -> None:
    program = (
        "import os, sys; from hub.cli.logs import fill_standard_descriptors; fill_standard_descriptors();"
        f"sys.exit(os.readlink('/proc/self/fd/{closed}') != '/dev/null')"
    )
    shell = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", sys.executable, "-c", program]
    assert subprocess.run(shell, cwd=ROOT, stderr=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.promise("resources-log")
def test_closed_standard_descriptors_are_no_socket_of_a_client(port: int) -> None:
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *SERVE_ECHO, str(port)]
    with subprocess.Popen(shell, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            echo_through(port, process)
            held = {os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)}
            assert held == {"/dev/null"}
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


@pytest.mark.promise("resources-log")
def test_output_that_nobody_reads_stops_nothing(port: int) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    with subprocess.Popen([*SERVE_ECHO, str(port)], cwd=ROOT, stdout=writer, stderr=writer) as process:
        try:
            for _ in range(3):  # Each end is a record that cannot be written.
                echo_through(port, process)
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
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
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    # With rx the idler was active when it came and not since; what it gets is stamped after it got it.
    flags = ["--idle-timeout", "1h", "--idle-counts", "rx", "--mode", "broadcast", "--no-web"]
    with HubProcess(*flags, env=environment) as hub:
        with hub.peer() as talker, hub.peer() as idler:
            talker.send(b"before\n")
            assert idler.line() == talker.line() == b"before\n"
            step.touch()
            for line in (b"one\n", b"two\n", b"three\n"):
                talker.send(line)
                assert idler.line() == talker.line() == line
        assert hub.stop() == 0


def test_descriptor_table_is_as_large_as_it_gets_at_the_start() -> None:
    """Where it grows as clients come, the kernel stops the loop for a grace period of RCU each time."""
    said = "print(open('/proc/self/status').read().split('FDSize:')[1].split()[0])"
    program = f"from hub.cli.interpreter import grow_descriptor_table as grow; {said}; grow(5000); {said}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    before, after = map(int, done.stdout.split())
    assert before < 5000 <= after
