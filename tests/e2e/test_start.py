"""A hub that cannot start says so in one line, with the exit code that scripts know, and soon."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.support import PATIENCE_S, ROOT, HubProcess, Record, bye, closing

USAGE, UNAVAILABLE = 2, 69
ANY_PORTS = ("--port", "0", "--ws-port", "0", "--web-port", "0")


def start(flags: Sequence[str], directory: Path, *launch: str) -> tuple[int, str, float]:
    """A hub that is not going to start: its exit code, what it said, and its processor time in seconds.

    That is what a start costs; how long it takes depends on who else has something to do.
    """
    out = directory / "said"
    with out.open("wb") as said:
        process = subprocess.Popen(
            [*launch, sys.executable, "-m", "hubbub", *flags],
            cwd=directory,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, out.read_text(), used.ru_utime + used.ru_stime


@pytest.mark.promise("process-start")
@pytest.mark.long
def test_a_hub_that_cannot_start_says_why_in_one_line_and_soon(
    tmp_path: Path, record_property: Record
) -> None:
    (tmp_path / "wrong.toml").write_text("port = -1\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        in_use = f"cannot listen on 127.0.0.1:{port}: address in use; give another "
        none_such = "cannot listen on 192.0.2.1:1: cannot assign requested address; give another --host"
        cases = [
            (["--port", port, "--no-ws", "--no-web"], UNAVAILABLE, f"{in_use}--port"),
            (
                ["--port", "0", "--no-ws", "--no-web", "--read-only-port", port],
                UNAVAILABLE,
                f"{in_use}--read-only-port",
            ),
            (["--host", "192.0.2.1", "--port", "1"], UNAVAILABLE, none_such),
            (["--web-host", "192.0.2.1", *ANY_PORTS], UNAVAILABLE, "give another --web-host"),
            (["--idle-timeout", "nan"], USAGE, "--idle-timeout: 'nan': a time such as"),
            (["--config", "wrong.toml"], USAGE, "wrong.toml: port: '-1': a number from 0 to 65535"),
            (["--config", "/proc/1/mem"], USAGE, "--config: '/proc/1/mem': a file that can be read"),
            (["--log", "xml"], USAGE, "--log: 'xml': one of text, json"),
        ]
        used_s = []
        for flags, code, line in cases:
            got, said, cost_s = start(flags, tmp_path)
            assert (got, said.count("\n")) == (code, 1), said
            assert said.startswith("hubbub: ") and line in said
            used_s.append(cost_s)
    record_property("processor time of a start that fails", f"{max(used_s):.2f} s at most")
    assert max(used_s) <= 1.5


@pytest.mark.promise("cli-address-in-use")
@pytest.mark.parametrize("host", ["localhost", pytest.param("*", marks=pytest.mark.long)])
@pytest.mark.parametrize(("flag", "host_flag"), [("--ws-port", "--host"), ("--web-port", "--web-host")])
def test_a_port_that_is_taken_is_named_by_its_flag(
    flag: str, host_flag: str, host: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        others = [word for name in (*ANY_PORTS[::2],) if name != flag for word in (name, "0")]
        code, said, _ = start([*others, flag, port, host_flag, host], tmp_path)
    assert code == UNAVAILABLE
    assert said.endswith(f":{port}: address in use; give another {flag}\n") and said.count("\n") == 1


@pytest.mark.promise("process-start")
@pytest.mark.long
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not here")
@pytest.mark.parametrize("page", [ANY_PORTS, (*ANY_PORTS[:4], "--no-web")], ids=["page", "no page"])
def test_with_hardly_a_descriptor_it_starts_or_says_why(page: tuple[str, ...], tmp_path: Path) -> None:
    """From enough for the interpreter alone up to enough for a hub and one client.

    What the line says depends on what needed the descriptor: a name server's answer has words of its own.
    """

    def said_with(most: int) -> tuple[int, str]:
        directory = tmp_path / str(most)
        directory.mkdir()
        launch = ("timeout", "--signal=KILL", "60", "prlimit", f"--nofile={most}:{most}")
        port_taken = ("--read-only-port", taken_port)  # So that what has enough ends as well.
        code, said, _ = start([*page, *port_taken], directory, *launch)
        return code, said

    with socket.create_server(("127.0.0.1", 0)) as taken, ThreadPoolExecutor(2) as side:
        taken_port = str(taken.getsockname()[1])
        outcomes = list(side.map(said_with, range(8, 29)))
    for most, (code, said) in zip(range(8, 29), outcomes, strict=True):
        assert code == UNAVAILABLE, f"{most} descriptors: exit code {code}: {said}"
        assert said.startswith("hubbub: ") and said.count("\n") == 1, f"{most} descriptors: {said}"


AS_PROCESS_1 = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c")
WITH_NOTHING = (
    'mount -o remount,bind,ro / && exec setpriv --no-new-privs --bounding-set -all --inh-caps -all "$@"'
)


def may_unshare() -> bool:
    """Whether this machine lets us have namespaces, and setpriv."""
    try:
        command = [*AS_PROCESS_1, WITH_NOTHING, "sh", "true"]
        return subprocess.run(command, capture_output=True, timeout=PATIENCE_S).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.promise("process-first")
def test_as_process_1_without_capabilities_it_serves_and_ends() -> None:
    """Process 1 of a namespace gets only those signals that it handles, pid_namespaces(7)."""
    if not may_unshare():
        pytest.skip("this machine gives us no namespaces")
    prefix = (*AS_PROCESS_1, WITH_NOTHING, "sh")
    with HubProcess("--mode", "echo", prefix=prefix) as hub, hub.peer() as peer:
        peer.echo()
        (inside,) = psutil.Process(hub.process.pid).children()
        status = Path(f"/proc/{inside.pid}/status").read_text()
        assert status.split("NSpid:")[1].splitlines()[0].split()[-1] == "1"
        assert int(status.split("CapEff:")[1].split()[0], 16) == 0
        inside.send_signal(signal.SIGTERM)
        assert peer.rest() == bye("server_shutdown")
        peer.close()
        assert hub.process.wait(PATIENCE_S) == 0


@pytest.mark.promise("process-start")
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not here")
def test_with_few_descriptors_it_serves_as_many_as_it_says() -> None:
    flags = ("--mode", "echo", "--no-web")
    with HubProcess(*flags, prefix=("prlimit", "--nofile=28:28"), stderr=subprocess.PIPE) as hub:
        assert hub.start_lines[-1] == "hubbub: at most 14 clients (28 descriptors)\n"
        with closing([hub.peer() for _ in range(14)]) as peers:
            for peer in peers:
                peer.echo()
        assert hub.stop() == 0
        assert hub.log().startswith("hubbub: --max-clients: 10000: lowered to what 28 descriptors allow\n")
