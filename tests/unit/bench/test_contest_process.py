"""A contestant is on its core, and gone with all its children however the run ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contest.process import DidNotStart, family, free_port, running, waited_s_of
from tests.support import ROOT, until

LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
STAY = LISTEN + "time.sleep(600)"
PARENT = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    + STAY
)
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); " + STAY


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text, "{port}"]


def exists(pid: int) -> bool:
    """Whether it runs; a dead child that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_runs_on_its_core_and_we_do_not(tmp_path: Path) -> None:
    ours = os.sched_getaffinity(0)
    cpu = max(ours)
    with running(program(STAY), cpu, tmp_path / "log", {}) as server:
        assert os.sched_getaffinity(server.pid) == {cpu}
        assert os.sched_getaffinity(0) == ours


def test_a_server_ends_with_its_children(tmp_path: Path) -> None:
    with running(program(PARENT), 0, tmp_path / "log", {}) as server:
        pids = family(server.pid)
        assert len(pids) == 2
    until(lambda: not any(map(exists, pids)))


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.contest.process.END_S", 0.1)
    with running(program(STUBBORN), 0, tmp_path / "log", {}) as server:
        pass
    assert not exists(server.pid)


def test_a_server_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    starter = f"""
import sys, time
from pathlib import Path
from bench.contest.process import running
with running({program(STAY)!r}, 0, Path({str(tmp_path / "log")!r}), {{}}) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", starter], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert exists(pid)
        process.send_signal(signal.SIGKILL)
    until(lambda: not exists(pid))


def test_a_server_that_ends_at_once_tells_why(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match="ended with 3"):  # noqa: SIM117
        with running(program("print('the reason'); exit(3)"), 0, tmp_path / "log", {}):
            pass
    assert (tmp_path / "log").read_text() == "the reason\n"


def test_a_server_that_never_listens_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.contest.process.START_S", 0.1)
    with pytest.raises(DidNotStart, match="nobody listens"):  # noqa: SIM117
        with running(program("import time; time.sleep(600)"), 0, tmp_path / "log", {}):
            pass


def test_a_server_gets_its_variables_and_none_of_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_MODE", "echo")
    tell = "import os; print([os.environ.get(name) for name in ('GOMAXPROCS', 'HUBBUB_MODE')], flush=True); "
    with running(program(tell + STAY), 0, tmp_path / "log", {"GOMAXPROCS": "1"}):
        pass
    assert (tmp_path / "log").read_text().startswith("['1', None]")


def test_waiting_for_a_core_is_counted() -> None:
    cpu = max(os.sched_getaffinity(0))
    busy = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"]
    with subprocess.Popen(busy) as one, subprocess.Popen(busy) as two:
        try:
            until(lambda: waited_s_of(one.pid) > 0.05 and waited_s_of(two.pid) > 0.05)
        finally:
            one.kill()
            two.kill()


def test_a_process_that_is_gone_has_waited_for_nothing() -> None:
    assert waited_s_of(2**22 + 1) == 0.0


def test_free_ports_can_be_listened_on() -> None:
    socket.create_server(("127.0.0.1", free_port())).close()
