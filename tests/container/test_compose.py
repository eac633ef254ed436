"""`docker compose up --build` on a real engine: what a newcomer meets, and what an operator relies on.

The ports are the real ones, 9000, 9001 and 8080 on loopback, and have to be free.
"""

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hub import __version__
from tests.container.engine import BUILD_S, Container, compose, docker, patiently, reason_for_none
from tests.e2e.programs import command_of, converse, telnet_window
from tests.ptrace import held_still
from tests.support import Peer, bye, closing, until
from tests.support_ws import WsPeer

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(900)]

LINES, WEBSOCKETS, PAGE = 9000, 9001, 8080


@pytest.fixture(scope="module")
def built() -> Iterator[None]:
    """The image, built from nothing but the sources; at the end nothing of it is left running."""
    if why := reason_for_none():
        pytest.skip(f"NO CONTAINER ENGINE, NOTHING OF THE CONTAINER WAS TESTED: {why}")
    compose("build", timeout_s=BUILD_S)
    try:
        yield
    finally:
        compose("down", "--volumes", "--timeout", "1")


@pytest.fixture
def container(built: None) -> Container:
    """Running, and taking clients."""
    compose("up", "--detach")
    until(is_up)
    return Container()


def is_up(port: int = PAGE) -> bool:
    try:
        return bool(json.loads(get("/readyz", port=port))["ready"])
    except OSError:
        return False


def get(path: str, *, host: str = "", port: int = PAGE) -> bytes:
    address = f"localhost:{port}"
    request = urllib.request.Request(f"http://{address}{path}", headers={"Host": host or address})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        doors = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(door.getsockname()[1]) for door in doors]


@pytest.mark.promise("container-rights")
def test_telnet_and_a_browser_meet_through_the_published_ports(container: Container) -> None:
    with telnet_window(LINES) as window, WsPeer(WEBSOCKETS, origin="http://localhost:8080") as browser:
        window.wait_for("* welcome to hubbub")
        browser.read_until("welcome to hubbub")
        window.type("from telnet\r")
        assert "from telnet" in str(browser.read_until("from telnet")[-1])
        browser.say("from a browser")
        window.wait_for("from a browser")
        window.leave()


def test_the_image_runs_the_compiled_build(container: Container) -> None:
    assert container.run("hubbub", "--version") == f"hubbub {__version__} (compiled)"
    assert json.loads(get("/api/summary"))["build"] == "compiled"


def test_a_script_talks_through_the_published_port(container: Container) -> None:
    printed = converse(command_of("ncat", LINES), [b"hi\n", b"/quit\n"])
    assert b"> hi\n" in printed
    assert b"* bye reason=quit" in printed


def test_the_page_is_served_under_the_published_name_only(container: Container) -> None:
    assert b"hubbub" in get("/")
    assert json.loads(get("/readyz")) == {"ready": True, "alive": True, "draining": False}
    assert get("/livez", host="127.0.0.1:8080")
    with pytest.raises(urllib.error.HTTPError, match="421") as refused:
        get("/", host="hub.example:8080")
    refused.value.close()


def test_on_other_ports_everything_works_as_well(built: None) -> None:
    lines, websockets, page = free_ports(3)
    moved = {"HUBBUB_PORT": lines, "HUBBUB_WS_PORT": websockets, "HUBBUB_WEB_PORT": page}
    compose("up", "--detach", **{name: str(port) for name, port in moved.items()})
    until(lambda: is_up(page))
    origin = f"http://localhost:{page}"
    with Peer(lines) as peer, WsPeer(websockets, origin=origin, host="localhost") as browser:
        peer.send(b"moved\n")
        assert "moved" in str(browser.read_until("moved")[-1])
    Container().wait_until("healthy")


@pytest.mark.promise("container-settings")
def test_variables_of_the_shell_reach_the_hub_inside(built: None) -> None:
    compose("up", "--detach", HUBBUB_IDLE_TIMEOUT="1m", HUBBUB_MODE="echo", HUBBUB_GREETING="")
    until(is_up)
    assert json.loads(get("/api/summary"))["idle_timeout_s"] == 60
    with Peer(LINES) as peer:
        peer.echo()


def test_nothing_is_published_beyond_loopback(container: Container) -> None:
    published = container.inspect("NetworkSettings.Ports")
    assert set(published) == {"9000/tcp", "9001/tcp", "8080/tcp"}
    assert {one["HostIp"] for ports in published.values() for one in ports} == {"127.0.0.1"}


@pytest.mark.promise("container-rights")
def test_the_hub_is_process_1_and_not_root_and_may_nothing(container: Container) -> None:
    assert b"\0serve\0" in container.run("cat", "/proc/1/cmdline").encode()
    status = container.status_of_the_hub()
    assert status["Uid"].split() == ["10001"] * 4 and status["Gid"].split() == ["10001"] * 4
    sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert set(sets.values()) == {0}
    assert status["NoNewPrivs"] == "1"
    _, *processes = docker("top", container.id, "-eo", "pid,uid").splitlines()
    assert {process.split()[1] for process in processes} == {"10001"}


def test_nothing_can_be_written_and_nothing_needs_to_be(container: Container) -> None:
    tried = "for d in / /tmp /etc/hubbub /opt/hubbub /var/tmp; do touch $d/x 2>/dev/null && echo $d; done; :"
    assert container.run("sh", "-c", tried) == ""
    assert docker("diff", container.id) == ""
    assert "rror" not in compose("logs")


def test_the_image_holds_the_hub_and_not_what_built_it(container: Container) -> None:
    look = "command -v gcc cc make git; ls -d /src /root/.cache 2>/dev/null; find /opt -name 'pip*'; :"
    assert container.run("sh", "-c", look) == ""
    look = "find /opt/hubbub -name 'hatch*' -o -name tests -path '*hubbub/tests'"
    assert container.run("sh", "-c", look) == ""


def test_ten_thousand_clients_have_their_descriptors(container: Container) -> None:
    assert "at most 10000 clients (16384 descriptors)" in compose("logs")


def test_many_clients_of_one_address_are_let_in(container: Container) -> None:
    with closing([Peer(LINES) for _ in range(80)]) as peers:  # --max-per-ip is 64 outside of a container.
        for peer in peers:
            peer.send(b"hello\n")
            peer.read_until(b"> hello\n")


@pytest.mark.promise("container-rights")
def test_stop_says_goodbye_and_ends_with_exit_code_0(container: Container) -> None:
    with closing([Peer(LINES) for _ in range(5)]) as peers, WsPeer(WEBSOCKETS) as browser:
        for peer in peers:
            peer.send(b"hello\n")
            peer.read_until(b"> hello\n")
        compose("stop", timeout_s=15)
        for peer in peers:
            assert peer.rest().endswith(bye("server_shutdown"))
        browser.rest()
        assert (browser.close_code, browser.close_reason) == (
            1001,
            bye("server_shutdown", end="")[6:].decode(),
        )
    assert container.inspect("State.ExitCode") == 0
    assert container.inspect("State.OOMKilled") is False


def test_the_engine_finds_it_healthy_while_it_turns(container: Container) -> None:
    container.wait_until("healthy")
    code, said = container.last_check()
    assert code == 0 and said.startswith("hubbub: well: 127.0.0.1:8080: ") and said.count("\n") == 1


@pytest.mark.promise("container-rights")
def test_a_loop_that_hangs_is_unhealthy_though_the_page_answers(container: Container) -> None:
    container.wait_until("healthy")
    with held_still(container.inspect("State.Pid")):  # The main thread alone, seen from outside.
        container.wait_until("unhealthy")
        code, said = container.last_check()
        assert code == 1 and "the loop hangs, it was heard of " in said
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            get("/livez")
        refused.value.close()
    container.wait_until("healthy")


def test_a_stopped_process_makes_it_unhealthy(container: Container) -> None:
    container.wait_until("healthy")
    # Not by `docker kill`: after any signal of its own the engine takes an end for one that was asked for.
    os.kill(container.inspect("State.Pid"), signal.SIGSTOP)
    try:
        container.wait_until("unhealthy")
        assert container.last_check()[0] == 1
        assert "does not answer within 3 s" in container.last_check()[1]
    finally:
        os.kill(container.inspect("State.Pid"), signal.SIGCONT)
    container.wait_until("healthy")


@pytest.mark.promise("container-restart")
def test_a_hub_that_dies_is_started_again(container: Container) -> None:
    before = container.inspect("State.Pid")
    os.kill(before, signal.SIGKILL)
    patiently(lambda: container.inspect("State.Pid") not in (0, before) and is_up(), 60)
    assert container.inspect("RestartCount") == 1
