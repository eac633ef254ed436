"""The contestants that are ours, the wires of the others, and what is said of those that cannot take part."""

import shutil
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.contest.calls import read
from bench.contest.contestants import Build, Contestant, Others, builds, version_of, wrong_build
from bench.contest.contests import contests
from bench.contest.process import running
from bench.contest.wires import MqttWire, wire_of
from tests.support import Peer

LINE = b"x" * 63 + b"\n"
NEED_C = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")


def contestant(name: str, folder: Path) -> Contestant:
    """A contestant that speaks its own protocol."""
    others = Others(folder)
    return {"redis": others.redis, "nats": others.nats, "mqtt": others.mosquitto, "line": others.ncat}[name]()


@pytest.mark.parametrize("name", ["redis", "nats", "mqtt", "line"])
def test_a_broker_delivers_what_its_wire_says(name: str, tmp_path: Path) -> None:
    server, wire = contestant(name, tmp_path), wire_of(name)
    if server.missing:
        pytest.skip(f"needs {server.missing}")
    with ExitStack() as stack:
        running_server = stack.enter_context(running(server.command, 0, tmp_path / "log", server.extra))
        reader, writer = (stack.enter_context(Peer(running_server.port)) for _ in range(2))
        reader.send(wire.hello() + wire.subscribe())
        if ready := wire.ready():
            reader.read_until(ready)
        else:
            writer.send(wire.hello() + LINE)  # ncat has let the reader in when that comes.
            reader.read_until(LINE)
        writer.send(wire.hello() + wire.message(LINE) * 2)
        assert reader.read(2 * len(wire.delivery(LINE))) == 2 * wire.delivery(LINE)


@pytest.mark.parametrize(
    ("size", "head"), [(122, b"\x30\x7f"), (123, b"\x30\x80\x01"), (16379, b"\x30\x80\x80\x01")]
)
def test_the_length_of_an_mqtt_packet_has_groups_of_seven_bits(size: int, head: bytes) -> None:
    assert MqttWire().message(b"x" * size) == head + b"\x00\x03hub" + b"x" * size


def test_every_mqtt_client_has_a_name_of_its_own() -> None:
    wire = MqttWire()
    assert wire.hello() != wire.hello()


@NEED_C
def test_the_c_hub_echoes_to_the_sender_alone(tmp_path: Path) -> None:
    server = Others(tmp_path).c("echo")
    with (
        running(server.command, 0, tmp_path / "log", {}) as hub,
        Peer(hub.port) as ann,
        Peer(hub.port) as bob,
    ):
        ann.echo()
        bob.echo(b"from bob\n")
        ann.echo(b"again\n")


@NEED_C
def test_the_c_hub_sends_to_all_and_survives_an_end(tmp_path: Path) -> None:
    server = Others(tmp_path).c("broadcast")
    with (
        running(server.command, 0, tmp_path / "log", {}) as hub,
        Peer(hub.port) as ann,
        Peer(hub.port) as bob,
    ):
        with Peer(hub.port) as leaver:
            leaver.echo()
        assert (ann.line(), bob.line()) == (b"hello\n", b"hello\n")
        bob.echo()
        assert ann.line() == b"hello\n"
        ann.sock.shutdown(socket.SHUT_WR)
        assert ann.rest() == b""
        bob.echo(b"alone\n")


@NEED_C
def test_the_yardstick_is_short() -> None:
    assert len((Path(__file__).parents[3] / "bench/contest/hub.c").read_text().splitlines()) <= 70


@pytest.mark.parametrize("library", ["asyncio", "uvloop"])
@pytest.mark.parametrize("form", ["protocol", "streams"])
def test_a_python_echo_server_sends_lines_back(library: str, form: str, tmp_path: Path) -> None:
    server = Others(tmp_path).python(library, form)
    if server.missing:
        pytest.skip(f"needs {server.missing}")
    with running(server.command, 0, tmp_path / "log", {}) as echo, Peer(echo.port) as peer:
        peer.echo()
        peer.send(b"two\nlines\n")
        assert peer.read(10) == b"two\nlines\n"


def test_builds_are_names_and_commands() -> None:
    assert builds(["old=/old/bin/hubbub", "new=python -m hubbub"]) == [
        Build("old", ("/old/bin/hubbub",)),
        Build("new", ("python", "-m", "hubbub")),
    ]


@pytest.mark.parametrize("text", ["hubbub", "=hubbub", "old=", "old= "])
def test_a_build_without_name_or_command_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=COMMAND"):
        builds([text])


@pytest.mark.parametrize(
    ("name", "version", "wrong"),
    [
        ("compiled", "hubbub 1.0 (compiled)", False),
        ("compiled", "hubbub 1.0 (pure)", True),
        ("pure", "hubbub 1.0 (compiled)", True),
        ("pure", "hubbub 1.0 (pure)", False),
        ("compiled", "hubbub 0.4.0", False),
        ("old", "hubbub 1.0 (pure)", False),
    ],
)
def test_a_build_that_is_another_one_is_noticed(name: str, version: str, wrong: bool) -> None:
    assert wrong_build(Build(name, ("hubbub",)), version) is wrong


def test_what_is_missing_has_a_name() -> None:
    assert Contestant("a", ("no-such-program", "{port}")).missing == "no-such-program"
    assert Contestant("a", (sys.executable,), module="no_such_module").missing == "no_such_module"
    assert Contestant("a", (sys.executable,), module="asyncio").missing == ""


def test_a_version_is_the_first_line_with_a_number() -> None:
    program = (sys.executable, "-c", "print('Usage: me\\nversion 1.2\\nof 3')")
    assert version_of(Contestant("a", ("a",), version=program)) == "version 1.2"
    assert version_of(Contestant("a", ("a",), version=("no-such-program",))) == "unknown"


def test_every_goal_and_base_names_a_contestant_of_its_contest(tmp_path: Path) -> None:
    both = [Build("compiled", ("a",)), Build("pure", ("b",))]
    for contest in contests(both, Others(tmp_path)):
        names = [entry.contestant.name for entry in contest.entries]
        assert len(set(names)) == len(names)
        assert {contest.base, *(name for goal in contest.goals for name in (goal.subject, goal.base))} <= {
            *names
        }


SUMMARY = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
 51.02    0.120000           6     20000           sendto
 40.00    0.100000           5     20010        10 recvfrom
  8.98    0.010000         100       100           epoll_wait
------ ----------- ----------- --------- --------- ------------------
100.00    0.230000           5     40110        10 total
"""


def test_the_summary_of_strace_is_read_with_and_without_errors() -> None:
    assert read(SUMMARY) == {"sendto": 20000, "recvfrom": 20010, "epoll_wait": 100}
