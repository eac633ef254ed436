"""The first minutes with hubbub: start it, talk to it with what is at hand, read its figures."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.programs import ENVIRONMENT, command_of, require
from tests.support import PATIENCE_S, ROOT, HubProcess, Peer, ThreadHub, bye, interpreted_only, until

BROADCAST = ("--mode", "broadcast", "--no-web")
SENDERS = ["ncat --send-only", "socat -u"]


def sender_command(program: str, port: int) -> list[str]:
    """A program that sends its input, and never reads what comes back."""
    if program == "ncat --send-only":
        return [require("ncat"), "--send-only", "127.0.0.1", str(port)]
    return [require("socat"), "-u", "-", f"TCP:127.0.0.1:{port}"]


def rows(hub: HubProcess) -> list[dict[str, Any]]:
    """The open clients, oldest first."""
    clients: list[dict[str, Any]] = hub.get("/api/clients")["clients"]
    return clients


def closed_clients(hub: HubProcess) -> list[dict[str, Any]]:
    """The connections that have ended, newest first."""
    closed: list[dict[str, Any]] = hub.get("/api/closed")["closed"]
    return closed


def test_serve_says_where_it_listens_one_line_for_each_listener() -> None:
    with HubProcess() as hub:
        *listeners, page, limit = hub.start_lines
        expected = [f"hubbub: lines on 127.0.0.1:{hub.port}\n", f"hubbub: lines on [::1]:{hub.port}\n"]
        expected += [
            line.replace("lines", "websockets").replace(str(hub.port), str(hub.ws_port)) for line in expected
        ]
        assert listeners in (expected, expected[::2])  # There may be no IPv6.
        assert page == f"hubbub: page on {hub.url}\n"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", hub.url)
        assert re.fullmatch(r"hubbub: at most \d+ clients \(\d+ descriptors\)\n", limit)
        assert hub.stop() == 0


@interpreted_only("a Makefile belongs to a checkout")
@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("run", ".wheel/bin/hubbub serve"),
        ("demo", ".wheel/bin/hubbub demo"),
        ("debug", ".venv/bin/hubbub serve"),
        ("wheel", "dist/"),
        ("test", "bin/pytest"),
        ("test-compiled", "tests.compiled"),
        ("lint", "bin/ruff check"),
        ("types", "bin/mypy"),
        ("fuzz", "tests.fuzz.run"),
    ],
)
def test_make_has_the_targets_that_a_newcomer_is_told_of(target: str, command: str) -> None:
    plan = subprocess.run(
        [require("make"), "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert plan.returncode == 0, plan.stderr
    assert command in plan.stdout


@pytest.mark.parametrize("program", SENDERS)
def test_lines_of_a_program_that_stays_are_delivered_meanwhile(program: str) -> None:
    with HubProcess(*BROADCAST) as hub, hub.peer() as ann, hub.peer() as ben:
        prove_admitted(ann, ben)
        with subprocess.Popen(
            sender_command(program, hub.port), stdin=subprocess.PIPE, env=ENVIRONMENT, bufsize=0
        ) as process:
            assert process.stdin is not None
            for line in (b"first\n", b"still here\n"):
                process.stdin.write(line)
                assert ann.line() == ben.line() == line
            process.stdin.close()
            assert process.wait(PATIENCE_S) == 0


@pytest.mark.promise("limits-file-whole")
@pytest.mark.parametrize("mode", ["broadcast", "chat"])
def test_a_file_into_the_write_only_port_is_whole_amid_talk(mode: str, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"".join(b"%079d\n" % number for number in range(25_000)))
    command = [require("socat"), "-u", f"FILE:{file}", "TCP:127.0.0.1:%d"]
    with ThreadHub(mode=mode, write_only_port=0) as hub, hub.peer() as reader, hub.peer() as talker:
        talker.send(b"ready\n")
        reader.read_until(b"ready\n")
        with ThreadPoolExecutor(2) as side:
            talking, hearing = side.submit(talk, talker, hub), side.submit(reader.rest)
            command[-1] %= hub.write_only_port
            subprocess.run(command, env=ENVIRONMENT, timeout=PATIENCE_S, check=True)
            said = talking.result(PATIENCE_S)
            reader.half_close()
            heard = hearing.result(PATIENCE_S)
        of_file, of_talk = list[bytes](), list[bytes]()
        for line in heard.splitlines(keepends=True):
            text = line.partition(b"> ")[2] if mode == "chat" else line
            if not line.startswith(b"* "):
                (of_talk if text.startswith(b"talk ") else of_file).append(text)
        assert b"".join(of_file) == file.read_bytes()
        assert of_talk == [b"talk %d\n" % number for number in range(len(of_talk))]
        assert 0 < len(of_talk) <= said
        assert hub.endings()[0]["transport"] == "write-only"
        assert (hub.endings()[0]["reason"], hub.endings()[0]["bytes_out"]) == ("peer_closed", 0)


@pytest.mark.promise("viewer-receives")
@pytest.mark.parametrize("program", ["ncat", "socat"])
def test_a_viewer_whose_stdin_is_at_its_end_gets_all_lines(program: str) -> None:
    with (
        HubProcess(*BROADCAST, "--read-only-port", "0") as hub,
        hub.peer() as talker,
        subprocess.Popen(
            command_of(program, hub.read_only_port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        ) as viewer,
    ):
        assert viewer.stdout is not None
        until(partial(is_half_closed, hub.read_only_port))
        for number in range(100):
            talker.send(b"line %d\n" % number)
            assert viewer.stdout.readline() == b"line %d\n" % number
        talker.close()
        assert hub.stop() == 0
        assert viewer.stdout.read() == bye("server_shutdown")
        assert viewer.wait(PATIENCE_S) == 0


def talk(talker: Peer, hub: ThreadHub) -> int:
    """Say a line, see it come back behind whatever others said, until somebody has gone; how many lines."""
    said = 0
    while not hub.endings():
        talker.send(b"talk %d\n" % said)
        talker.read_until(b"talk %d\n" % said)
        said += 1
    return said


def is_half_closed(port: int) -> bool:
    """Whether a peer of this port of loopback has sent its end of stream: /proc/net/tcp, state CLOSE_WAIT."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "08" for row in rows)


def test_the_json_api_tells_the_same_story_as_the_sockets() -> None:
    with HubProcess() as hub, hub.peer() as ann, hub.peer() as ben:
        heard = ann.read_until(b"/help lists commands\n")
        ben.send("/nick Бен\nпривет\n".encode())
        heard += ann.read_until("<Бен> привет\n".encode())
        assert "* guest-2 joined; guest-2 is now Бен\n".encode() in heard
        first, second = rows(hub)
        assert [(row["id"], row["nick"], row["room"]) for row in (first, second)] == [
            (1, "guest-1", "lobby"),
            (2, "Бен", "lobby"),
        ]
        assert [row["peer"] for row in (first, second)] == [address_of(ann), address_of(ben)]
        assert (first["lines_in"], first["bytes_in"], first["lag_bytes"]) == (0, 0, 0)
        assert (first["lines_out"], first["bytes_out"]) == (heard.count(b"\n"), len(heard))
        assert (second["lines_in"], second["bytes_in"]) == (2, len("/nick Бен\nпривет\n".encode()))
        assert hub.get("/api/clients/2")["peer"] == second["peer"]
        assert hub.get("/api/rooms")["rooms"][0]["clients"] == 2
        assert (closed_clients(hub), hub.get("/readyz")["ready"], hub.get("/livez")["alive"]) == (
            [],
            True,
            True,
        )


EVICTIONS = [
    (b"x" * 65, "line_too_long", "limit=64"),
    (b"so quiet\n", "idle", "after=0.3s limit=0.3s"),
    (b"\xff\xfa\x18" + bytes(257), "protocol_error", "telnet=subnegotiation limit=256"),
    (b"/quit\n", "quit", ""),
]


def test_evicted_clients_are_in_the_close_log_with_their_reasons() -> None:
    flags = ("--mode", "chat", "--idle-warning", "0", "--max-line", "64", "--idle-timeout", "300ms")
    with HubProcess(*flags) as hub:
        for number, (sent, reason, detail) in enumerate(EVICTIONS, 1):
            with hub.peer() as peer:
                peer.send(sent)
                heard = peer.rest()
                assert heard.splitlines()[-1] == bye(reason, detail, end="")
                assert rows(hub) == []
                address = address_of(peer)
            # Only now is the connection over, so only now it is in the close log.
            closed = until(lambda number=number: (found := closed_clients(hub))[number - 1 :] and found[0])
            assert (closed["id"], closed["peer"]) == (number, address)
            assert (closed["reason"], closed["detail"], closed["farewell"]) == (reason, detail, True)
            assert (closed["bytes_in"], closed["bytes_out"]) == (len(sent), len(heard))
            assert (closed["lateness_ms"] is not None) == (reason == "idle")
        assert hub.closed(len(EVICTIONS)) == dict.fromkeys((reason for _, reason, _ in EVICTIONS), 1)


def prove_admitted(*peers: Peer) -> None:
    """See that these, everyone in a broadcast, hear each other, so that nothing said later can be missed."""
    for peer in peers:
        peer.send(b"here\n")
    for peer in peers:
        for _ in peers:
            assert peer.line() == b"here\n"


def address_of(peer: Peer) -> str:
    """A client's own address, as the hub sees and shows it."""
    host, port = peer.sock.getsockname()
    return f"{host}:{port}"
