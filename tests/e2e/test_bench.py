"""`hubbub bench` as a user meets it: against hubs and others, with a table, JSON or an error."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from typing import Any

import pytest

from bench.load import options as told
from hub.cli import bench
from tests.support import HUBBUB, PATIENCE_S, ROOT, HubProcess, until

BRIEF = ("--seconds", "0.3", "--warmup", "0.1")
PIDS = "a number from 1 to 4194304"
WORKLOADS = "one of echo, fanout, stalled, mixed, storm, idle"
CLOSED = "0 with --verify, which is closed loop in echo"
NUMBERED = "with --verify at least 20, as each line has a number"
ONE_AT_LEAST = "more, for 10 percent of them to be one at least"
TRIES = 10


def command(*arguments: object) -> list[str]:
    return [*HUBBUB, "bench", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, timeout=100)


def measured(workload: str, port: int, *flags: object) -> dict[str, Any]:
    """The JSON of a run; the first in which a busy machine left the server some time."""
    for _ in range(TRIES):
        ran = run(workload, "127.0.0.1", port, "--json", *flags)
        assert ran.returncode == 0, ran.stderr
        result: dict[str, Any] = json.loads(ran.stdout)
        if result["lines"] or workload == "idle":
            break
    return result


@contextmanager
def hub(mode: str, *flags: str) -> Iterator[HubProcess]:
    with HubProcess("--mode", mode, "--no-web", "--no-ws", *flags) as process:
        yield process


@contextmanager
def other_echo() -> Iterator[int]:
    """The port of an echo server that is no hub: asyncio, which echoes bytes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
        except ConnectionResetError:
            pass
        writer.transport.abort()

    async def serve() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        loops.append(asyncio.get_running_loop())
        stop.append(asyncio.Event())
        await stop[0].wait()
        server.close()

    ports: list[int] = []
    loops: list[asyncio.AbstractEventLoop] = []
    stop: list[asyncio.Event] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    until(lambda: stop)
    yield ports[0]
    loops[0].call_soon_threadsafe(stop[0].set)
    thread.join(PATIENCE_S)


def test_echo_reports_what_the_server_s_process_costs() -> None:
    with hub("echo") as server:
        result = measured("echo", server.port, *BRIEF, "--pid", server.process.pid, "--clients", 10)
    assert result["workload"] == "echo" and result["port"] == server.port
    assert result["lines_per_s"] > 0 and result["latency"]["p50_ms"] > 0
    assert result["rss_bytes"] > 10 << 20 and result["server_cpu_share"] is not None
    assert result["bottleneck"] in ("load", "server", "none")
    assert (result["lost_clients"], result["missing"], result["interrupted"]) == (0, 0, False)


@pytest.mark.parametrize("flags", [[], ["--depth", 16], ["--verify"], ["--rate", 500]])
def test_any_echo_server_can_be_measured(flags: list[object]) -> None:
    with other_echo() as port:
        result = measured("echo", port, *BRIEF, "--clients", 5, *flags)
    assert result["lines"] > 0 and result["lost_clients"] == 0
    assert result["server_cpu_share"] is result["rss_bytes"] is result["cpu_us_per_line"] is None


@pytest.mark.parametrize(
    ("mode", "flags"),
    [
        ("broadcast", []),
        ("broadcast", ["--verify"]),
        ("broadcast", ["--rate", 300]),
        ("chat", ["--chat", "--verify"]),
    ],
)
def test_fanout_counts_deliveries_to_all(mode: str, flags: list[object]) -> None:
    with hub(mode) as server:
        result = measured(
            "fanout", server.port, *BRIEF, "--readers", 8, "--writers", 2, "--window", 5, *flags
        )
    assert result["lines"] > 0 and result["missing"] == result["lost_clients"] == 0
    assert abs(result["deliveries"] - 10 * result["lines"]) <= 10 * 11


def test_a_broker_that_is_no_hub_can_be_measured() -> None:
    """ncat --broker sends a line to all others."""
    if not (ncat := shutil.which("ncat")):
        pytest.skip("ncat (Debian: ncat)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([ncat, "--broker", "--listen", "127.0.0.1", str(port)]) as broker:
        try:
            until(lambda: is_open(port))
            result = measured("fanout", port, *BRIEF, "--readers", 5, "--writers", 2, "--window", 5)
        finally:
            broker.kill()
    assert result["lines"] > 0 and result["missing"] == result["lost_clients"] == 0
    assert abs(result["deliveries"] - 6 * result["lines"]) <= 6 * 11


def is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.mark.parametrize(
    ("workload", "flags", "details"),
    [
        ("stalled", ["--readers", 20, "--writers", 2], {"stalled_readers": 2}),
        ("mixed", ["--readers", 20, "--writers", 2, "--rate", 300], {"failed_to_come": 0}),
        ("storm", ["--clients", 50, "--chat"], {}),
        ("idle", ["--clients", 50], {"clients": 50}),
    ],
)
def test_each_workload_ends_with_its_figures(
    workload: str, flags: list[object], details: dict[str, float]
) -> None:
    with hub("chat") as server:
        chat = ["--chat"] if workload in ("stalled", "mixed") else []
        brief = BRIEF if workload != "storm" else ()
        result = measured(workload, server.port, *brief, *flags, *chat, "--pid", server.process.pid)
    assert result["workload"] == workload
    assert result["details"].items() >= details.items()
    assert result["lost_clients"] == result["missing"] == 0


def test_progress_goes_to_stderr_and_a_table_to_stdout() -> None:
    with hub("echo") as server:
        ran = run("echo", "localhost", server.port, "--seconds", "1.2", "--warmup", "0", "--clients", 3)
    assert ran.returncode == 0
    assert "hubbub bench: echo: 1 of 1.2 s, " in ran.stderr
    rows = ran.stdout.splitlines()
    assert rows[0].startswith(f"echo                localhost:{server.port}: 3 clients, depth 1, 64 B a line")
    assert any(row.startswith("the bottleneck was  ") for row in rows)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_with_what_was_measured(signum: int) -> None:
    arguments = command(
        "fanout", "127.0.0.1", "{}", "--seconds", "60", "--warmup", "0", "--readers", 5, "--json"
    )
    with hub("broadcast") as server:
        arguments[arguments.index("{}")] = str(server.port)
        with subprocess.Popen(arguments, stdout=-1, stderr=-1, text=True, cwd=ROOT) as load:
            assert load.stderr is not None
            assert "fanout: 1 of 60 s" in load.stderr.readline()
            load.send_signal(signum)
            out, _ = load.communicate(timeout=PATIENCE_S)
    result = json.loads(out)
    assert load.returncode == 0
    assert result["interrupted"] and 1 <= result["seconds"] < 60


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", f"WORKLOAD: no value: {WORKLOADS}"),
        ("loud", f"WORKLOAD: 'loud': {WORKLOADS}"),
        ("echo", "HOST: no value: a host name or an IP address"),
        ("echo localhost 0", "PORT: '0': a number from 1 to 65535"),
        ("echo localhost 1 2", "bench echo: '2': nothing more"),
        ("echo localhost 1 --depht 2", "--depht: no such flag: did you mean --depth?"),
        ("storm localhost 1 --window 2", "--window: no such flag: see hubbub --help"),
        ("echo localhost 1 --pid 1 --pid x", f"--pid: 'x': {PIDS}"),
        ("echo localhost 1 --clients 1 --clients 2", "--clients: given more than once: one value"),
        ("echo localhost 1 --verify --rate 5", f"--rate: '5': {CLOSED}"),
        ("fanout localhost 1 --verify --size 19", f"--size: '19': {NUMBERED}"),
        ("stalled localhost 1 --readers 9", f"--readers: '9': {ONE_AT_LEAST}"),
    ],
)
def test_wrong_usage_is_one_line(arguments: str, line: str) -> None:
    ran = run(*arguments.split())
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"hubbub: {line}\n")


def test_what_cannot_be_measured_is_one_line() -> None:
    with hub("echo") as server:
        assert run("fanout", "127.0.0.1", server.port, "--pid", 1 << 22).stderr == (
            "hubbub bench: --pid: 4194304: no such process, or it has ended\n"
        )
        server.stop()
        ran = run("echo", "127.0.0.1", server.port)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"hubbub bench: 127.0.0.1:{server.port}: connection refused\n"


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (bench.EchoFlags, told.EchoOptions),
        (bench.FanoutFlags, told.FanoutOptions),
        (bench.StalledFlags, told.StalledOptions),
        (bench.MixedFlags, told.MixedOptions),
        (bench.StormFlags, told.StormOptions),
        (bench.IdleFlags, told.IdleOptions),
    ],
)
def test_flags_and_options_have_the_same_defaults(flags: type, options: type) -> None:
    """What has no flag keeps its default, as the window of mixed, which is all on schedule."""
    typed = {field.name: field.default for field in fields(flags) if field.name != "json"}
    known = {field.name: field.default for field in fields(options) if field.name in typed}
    assert typed == known


def test_help_names_every_workload_and_flag() -> None:
    assert {line.split()[0] for line in run("--help").stdout.splitlines() if line.startswith(" ")} >= {
        "echo", "fanout", "stalled", "mixed", "storm", "idle",
    }  # fmt: skip
    shown = run("fanout", "--help").stdout
    for flag in ("--readers", "--writers", "--window", "--rate", "--pid", "--json", "--verify", "--seconds"):
        assert f" {flag}" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
