"""How a hub ends when it is told to: under load, in the middle of something, told again and again.

A signal may come at any moment, so the random sequences here come in two kinds: some wait for what a signal
did before they send the next, and their exit code is known; the others are bursts, which the kernel may
merge, and of them it is only known which codes are possible.
"""

import os
import random
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support import (
    HUBBUB,
    PATIENCE_S,
    ROOT,
    HubProcess,
    Peer,
    Record,
    bye,
    closing,
    each_trigger,
    until,
)
from tests.support_ws import WsPeer

Hearer = Peer | WsPeer

TERM, INT, HUP, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1
BYE = bye("server_shutdown")
DRAIN_S = 1.0
SMALL_BUFFER_BYTES = 4096
LINE = b"%099d\n"


def admitted(hub: HubProcess, count: int = 1) -> list[Peer]:
    """Clients of an echo hub that are known to be in."""
    peers = [hub.peer() for _ in range(count)]
    for peer in peers:
        peer.echo()
    return peers


# One signal, under load.


@contextmanager
def chatter(peer: Peer) -> Iterator[None]:
    """One client says numbered lines, with hardly a pause, until its connection or this context ends."""
    ended = threading.Event()

    def talk() -> None:
        number = 0
        with suppress(OSError):  # The hub resets who still sends.
            while not ended.wait(0.002):
                peer.send(b"".join(LINE % at for at in range(number, number + 10)))
                number += 10

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(PATIENCE_S)


def hear_to_the_end(subscribers: Sequence[Hearer]) -> list[bytes]:
    """What each gets up to the hub's end of stream, a browser's messages as lines; all read side by side."""

    def hear(subscriber: Hearer) -> bytes:
        if isinstance(subscriber, Peer):
            heard = subscriber.rest()
        else:
            heard = "".join(f"{message!s}\n" for message in subscriber.rest()).encode()
            heard += b"* bye %s\n" % str(subscriber.close_reason).encode()
            assert subscriber.close_code == 1001
        subscriber.sock.close()
        return heard

    with ThreadPoolExecutor(len(subscribers)) as side:
        return list(side.map(hear, subscribers))


def assert_everyone_was_told_everything(heard: Sequence[bytes]) -> int:
    """All lines from the first to the same last one, in order, and the farewell; how many lines."""
    lines, bye, nothing = heard[0].partition(BYE)
    assert (bye, nothing) == (BYE, b"")
    count = lines.count(b"\n")
    assert lines == b"".join(LINE % number for number in range(count))
    assert set(heard) == {heard[0]}
    return count


@pytest.mark.promise("process-stop")
@pytest.mark.long
@each_trigger
def test_200_clients_get_all_lines_and_a_farewell_while_50_lag(trigger: str, record_property: Record) -> None:
    with ExitStack() as stack:
        flags = ("--mode", "broadcast", "--trigger", trigger, "--max-lag", "8MiB", "--log", "json")
        hub = stack.enter_context(HubProcess(*flags, stderr=subprocess.PIPE))
        subscribers: list[Hearer] = []
        for number in range(200):  # Every second is a browser. A quarter reads nothing before the signal.
            buffer = SMALL_BUFFER_BYTES if number % 8 < 2 else 0
            port, kind = (hub.ws_port, WsPeer) if number % 2 else (hub.port, Peer)
            subscribers.append(stack.enter_context(kind(port, receive_buffer=buffer)))
        hub.wait_open(200)
        speaker = stack.enter_context(hub.peer())
        stack.enter_context(chatter(speaker))
        slow = [subscriber for number, subscriber in enumerate(subscribers) if number % 8 < 2]
        quick = [subscriber for subscriber in subscribers if subscriber not in slow]
        with ThreadPoolExecutor(2) as side:
            quickly = side.submit(hear_to_the_end, quick)
            until(lambda: lagging(hub) >= len(slow))
            now_s = time.monotonic()
            hub.process.send_signal(TERM)
            slowly = side.submit(hear_to_the_end, slow)
            heard = quickly.result(PATIENCE_S) + slowly.result(PATIENCE_S)
        speaker.close()
        assert hub.process.wait(PATIENCE_S) == 0
        took_s = time.monotonic() - now_s
        count = assert_everyone_was_told_everything(heard)
        log = hub.log()
        assert "fault" not in log and "crashed" not in log
        record_property("lines that 200 clients were owed and got", count)
        record_property("from SIGTERM to the end", f"{took_s:.2f} s")
        assert took_s < 10 + 1  # --drain


def lagging(hub: HubProcess) -> int:
    """How many of its clients are owed a good deal more than their kernels take.

    The speaker reads nothing either, but how soon it is one of them is up to the kernel's buffers.
    """
    rows = hub.get("/api/clients?sort=lag_bytes&order=desc&limit=60")["clients"]
    return sum(row["lag_bytes"] > 200_000 for row in rows)


# Dialling a hub that ends.


def outcome_of(sock: socket.socket) -> str:
    """How a connection ended: `closed` or `reset`; `hangs` when nothing came for 2 s."""
    sock.settimeout(2.0)
    try:
        while sock.recv(4096):
            pass
    except TimeoutError:
        return "hangs"
    except ConnectionError:
        return "reset"
    return "closed"


def dial(port: int) -> tuple[socket.socket, str]:
    """A connection on its way, from an address of its own: one from the listener's might meet itself."""
    sock = socket.socket()
    sock.bind(("127.0.0.2", 0))
    sock.settimeout(2.0)
    try:
        sock.connect(("127.0.0.1", port))
    except ConnectionRefusedError:
        return sock, "refused"
    except ConnectionResetError:
        return sock, "reset"
    except TimeoutError:
        return sock, "hangs"
    return sock, ""


@pytest.mark.promise("process-stop")
@pytest.mark.parametrize("trigger", ["level", pytest.param("edge", marks=pytest.mark.long)])
def test_of_200_who_dial_while_the_hub_stops_nobody_hangs(trigger: str, record_property: Record) -> None:
    with (
        HubProcess("--mode", "echo", "--no-web", "--trigger", trigger) as hub,
        closing(admitted(hub)) as (stays,),
        ExitStack() as stack,
    ):
        dials: list[tuple[socket.socket, str]] = []
        while len(dials) < 200 or dials[-1][1] != "refused":  # To the end of the door, at least.
            if len(dials) == 100:
                hub.process.send_signal(TERM)
            dials.append(dial(hub.port))
            stack.enter_context(dials[-1][0])
            assert len(dials) < 10_000, "the door does not shut"
            time.sleep(0.001)  # The pace of who dials.
        outcomes = [seen or outcome_of(sock) for sock, seen in dials]
        for sock, _ in dials:
            sock.close()
        assert set(outcomes) <= {"refused", "reset", "closed"}
        assert {"refused", "closed"} <= set(outcomes)
        assert stays.rest() == BYE
        stays.close()
        assert hub.process.wait(PATIENCE_S) == 0
        record_property("dials", ", ".join(f"{outcomes.count(one)} {one}" for one in sorted(set(outcomes))))


# In the background of a terminal.

BACKGROUND = '"$@" & echo $!'
ORPHANED = '("$@" & echo $!)'
"""Ways of a shell to start a job; of an orphaned one no shell is the parent, which could let it go on."""


@contextmanager
def job(way: str, *flags: str, command: str = "serve") -> Iterator[tuple[HubProcess, psutil.Process, int]]:
    """A hub in the background of a terminal after `stty tostop`; its process, and the terminal's screen."""
    screen, terminal = os.openpty()
    prefix = ("setsid", "--ctty", "sh", "-c", f"set -m; stty tostop; {way}; exec cat", "sh")
    with HubProcess(*flags, prefix=prefix, command=command, stdin=terminal, stderr=terminal) as hub:
        os.close(terminal)
        process = psutil.Process(int(hub.start_lines[0]))
        assert os.getsid(process.pid) == hub.process.pid != os.getpgid(process.pid)
        try:
            yield hub, process, screen
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            os.close(screen)


def shown(screen: int, text: bytes) -> bytes:
    """What the terminal shows, up to `text`."""
    seen = b""
    while text not in seen:
        assert select.select([screen], [], [], PATIENCE_S)[0], seen
        seen += os.read(screen, 4096)
    return seen


@pytest.mark.promise("process-background")
@pytest.mark.parametrize("way", [BACKGROUND, ORPHANED])
def test_a_record_to_the_terminal_stops_no_background_hub(way: str) -> None:
    """SIGTTOU, or EIO for a group that is orphaned, is the answer to a write with TOSTOP, termios(3)."""
    with job(way, "--mode", "echo", "--no-web") as (hub, process, screen):
        for number in range(3):
            with hub.peer() as peer:
                peer.echo()
            shown(screen, b"reason=peer_closed")
            assert process.status() != psutil.STATUS_STOPPED, number
        process.terminate()
        shown(screen, b"event=draining")


@pytest.mark.promise("process-background")
def test_a_note_before_the_start_stops_no_background_hub() -> None:
    with job(f"HUBBUB_PORT=tcp://10.96.7.12:9000 {BACKGROUND}", "--no-web") as (hub, _, screen):
        shown(screen, b"ignored, as service links of Kubernetes: HUBBUB_PORT")
        with hub.peer() as peer:
            peer.read_until(b"/help")


@pytest.mark.promise("process-background")
@pytest.mark.parametrize("command", ["serve", "demo", "health"])
def test_a_wrong_setting_stops_no_background_command(command: str) -> None:
    screen, terminal = os.openpty()
    script = 'set -m; stty tostop; "$@" & wait $!; echo code $?'
    shell = ("setsid", "--ctty", "sh", "-c", script, "sh", *HUBBUB, command, "--port", "x")
    with subprocess.Popen(shell, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        try:
            assert b"--port: 'x'" in shown(screen, b"code 2")
        finally:
            process.kill()  # Then the kernel hangs up on the job.
            os.close(screen)


def test_a_client_in_the_background_stops_as_its_user_wished() -> None:
    screen, terminal = os.openpty()
    script = 'set -m; stty tostop; "$@" >&2 & echo $!; exec cat'
    with HubProcess("--no-web") as hub:
        shell = ("setsid", "--ctty", "sh", "-c", script, "sh", *HUBBUB, "client", "127.0.0.1", str(hub.port))
        with subprocess.Popen(
            shell, cwd=ROOT, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal
        ) as process:
            os.close(terminal)
            assert process.stdout
            client = psutil.Process(int(process.stdout.readline()))
            until(lambda: client.status() == psutil.STATUS_STOPPED)
            client.kill()
            process.kill()
    os.close(screen)


@pytest.mark.promise("process-background")
def test_a_hub_stopped_by_hand_goes_on_in_the_background() -> None:
    """Ctrl-Z is the user's will; after `bg` the hub serves and writes."""
    with job(BACKGROUND, "--mode", "echo", "--no-web") as (hub, process, screen), hub.peer() as peer:
        peer.echo()
        process.send_signal(signal.SIGTSTP)
        until(lambda: process.status() == psutil.STATUS_STOPPED)
        process.send_signal(signal.SIGCONT)
        peer.echo()
        peer.close()
        shown(screen, b"reason=peer_closed")


@pytest.mark.promise("process-background")
def test_made_up_clients_do_not_stop_for_a_terminal_either() -> None:
    """They are never in its foreground: the demo gives them a group of their own."""
    with job(BACKGROUND, command="demo") as (_, process, _):
        (child,) = until(process.children)
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert int(status.split("SigIgn:")[1].split()[0], 16) >> signal.SIGTTOU - 1 & 1


# Many signals.


@pytest.mark.promise("process-signals")
def test_a_thousand_hangups_are_one_drain_and_usr1_is_nothing() -> None:
    with (
        HubProcess("--mode", "echo", "--no-web", stderr=subprocess.PIPE) as hub,
        closing(admitted(hub)) as (peer,),
    ):
        for _ in range(1000):
            hub.process.send_signal(USR1)
        peer.echo()
        for _ in range(500):
            hub.process.send_signal(HUP)
        assert peer.rest() == BYE
        for _ in range(500):  # Now it waits for this client to close.
            hub.process.send_signal(HUP)
        peer.close()
        assert hub.process.wait(PATIENCE_S) == 0
        events = [line.split("event=")[1].split()[0] for line in hub.log().splitlines()]
        assert events == ["started", "draining", "closed", "stopped"]


@pytest.mark.promise("process-signals")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [4, pytest.param(40, marks=pytest.mark.long)])
def test_sequences_of_signals_end_with_the_promised_code(count: int, record_property: Record) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chances = [random.Random(seed + number) for number in range(count)]
    with ThreadPoolExecutor(4) as side:
        late_s = list(side.map(play, chances, [number % 2 == 0 for number in range(count)]))
    record_property("latest end after the drain was over, or after a second signal", f"{max(late_s):.2f} s")


def play(chance: random.Random, is_patient: bool) -> float:
    """One hub, and some signals: at moments of chance, or each after the one before has shown."""
    numbers = chance.choices([TERM, INT, HUP, USR1], k=chance.randrange(1, 6))
    flags = ("--mode", "echo", "--no-web", "--drain", f"{DRAIN_S:g}s")
    begun_s = time.monotonic()
    with HubProcess(*flags, stderr=subprocess.PIPE) as hub, closing(admitted(hub, 3)) as (stays, *_):
        asked, code, now_s = False, 0, time.monotonic()
        start_s = now_s - begun_s
        for number in numbers:
            if not is_patient:
                time.sleep(chance.choice([0.0, 0.0, 0.001, 0.03]))  # The moments of chance.
            if not asked:
                now_s = time.monotonic()
            hub.process.send_signal(number)
            if asked and number in (TERM, INT):
                code = 128 + number
                break
            asked = asked or number != USR1
            if is_patient and asked:
                assert stays.rest() in (BYE, b"")
        if not asked:
            hub.process.send_signal(TERM)
        got = hub.process.wait(PATIENCE_S)
        took_s = time.monotonic() - now_s
        log = hub.log()
        assert "Traceback" not in log and "crashed" not in log and "fault" not in log, log
        # In a burst two may come as one, and the interpreter runs the handlers in the order of numbers.
        possible = {code} if is_patient else {code, 0} | {128 + one for one in numbers if one in (TERM, INT)}
        assert got in possible, f"{numbers}, patient: {is_patient}: exit code {got}"
        late_s = took_s - (DRAIN_S if got == 0 else 0.0)
        # To end a process takes less than to start one, and as much longer on a busy machine.
        assert late_s <= 1.0 + start_s, f"{numbers}, patient: {is_patient}: {took_s} s, exit code {got}"
        return late_s
