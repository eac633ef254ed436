"""TLS before the line port: HAProxy and stunnel, each with its file of deploy/."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.support import certificate, changed, free_port, page_port, running, tls_peer
from tests.e2e.programs import require, telnet_window
from tests.support import HubProcess, Peer, bye, until

HTTP_CHECK = "    option httpchk GET /readyz\n"
CHECK = "check port 8080 inter 2s"
each_proxy = pytest.mark.parametrize("proxy", ["haproxy", "stunnel"])


class Door(NamedTuple):
    """A proxy that runs: where it takes TLS, what proves its name, and the file with what it says."""

    port: int
    trusted: Path
    said: Path

    def peer(self) -> Peer:
        """A client that came by TLS."""
        return tls_peer(self.port, self.trusted)


@contextmanager
def haproxy(hub: HubProcess, folder: Path, **changes: str) -> Iterator[Door]:
    """HAProxy with its file, which checks the page of this hub, or what `changes` make of that."""
    port, trusted, config = free_port(), certificate(folder), folder / "haproxy.cfg"
    places = {
        "9443": str(port),
        "127.0.0.1:9000": f"127.0.0.1:{hub.port}",
        "/etc/hubbub/tls.pem": str(trusted),
    }
    checks = {CHECK: f"check port {page_port(hub)} inter 2s"}
    config.write_text(changed("haproxy.cfg", places | (changes or checks)))
    with running([require("haproxy"), "-db", "-f", str(config)], port, folder / "said") as said:
        yield Door(port, trusted, said)


@contextmanager
def stunnel(hub: HubProcess, folder: Path) -> Iterator[Door]:
    """The same by stunnel, which takes another user where it was started by root."""
    port, trusted, config = free_port(), certificate(folder), folder / "stunnel.conf"
    places = {
        "9443": str(port),
        "127.0.0.1:9000": f"127.0.0.1:{hub.port}",
        "/etc/hubbub/tls.pem": str(trusted),
    }
    foreground = {"setuid = stunnel4\n": "foreground = yes\n", "setgid = stunnel4\n": "pid =\n"}
    config.write_text(changed("stunnel.conf", places | foreground))
    with running([require("stunnel4"), str(config)], port, folder / "said") as said:
        yield Door(port, trusted, said)


PROXIES = {"haproxy": haproxy, "stunnel": stunnel}


@pytest.mark.promise("deploy-tls")
@each_proxy
def test_a_tls_client_and_a_person_with_telnet_hear_each_other(proxy: str, tmp_path: Path) -> None:
    with (
        HubProcess("--host", "127.0.0.1") as hub,
        PROXIES[proxy](hub, tmp_path) as door,
        telnet_window(hub.port) as window,
        door.peer() as peer,
    ):
        window.wait_for("* welcome to hubbub")
        peer.send(b"by TLS\n")
        window.wait_for("> by TLS")
        window.type("by telnet\r")
        peer.read_until(b"> by telnet\n")
        window.leave()


@pytest.mark.promise("deploy-tls")
@each_proxy
def test_an_end_through_tls_has_its_own_reason_and_farewell(proxy: str, tmp_path: Path) -> None:
    flags = ("--host", "127.0.0.1", "--idle-timeout", "1s", "--idle-warning", "0")
    with HubProcess(*flags) as hub, PROXIES[proxy](hub, tmp_path) as door:
        with door.peer() as idler:
            idler.send(b"hello\n")
            assert bye("idle", "after=1s limit=1s") in idler.rest()
        with door.peer() as quitter:
            quitter.send(b"/quit\n")
            assert bye("quit") in quitter.rest()
        with door.peer() as leaver:
            leaver.send(b"hello\n")
            leaver.read_until(b"> hello\n")
        until(lambda: hub.reasons().get("peer_closed", 0) + hub.reasons().get("peer_reset", 0) == 1)
        reasons = hub.reasons()
        assert reasons["idle"] == reasons["quit"] == 1


@pytest.mark.promise("deploy-tls")
def test_haproxy_finds_the_hub_unwell_and_well_again(tmp_path: Path) -> None:
    with HubProcess("--host", "127.0.0.1") as hub:
        checks = {CHECK: f"check port {page_port(hub)} inter 200ms"}
        with haproxy(hub, tmp_path, **checks) as door:
            hub.stand_still()
            until(lambda: "Server lines/hub is DOWN" in door.said.read_text())
            hub.go_on()
            until(
                lambda: (
                    "Server lines/hub is UP, reason: Layer7 check passed, code: 200" in door.said.read_text()
                )
            )
            with door.peer() as peer:
                peer.send(b"hello\n")
                peer.read_until(b"> hello\n")


@pytest.mark.promise("deploy-checks")
@pytest.mark.parametrize(
    ("check", "silent"),
    [("", 0), ("    option tcp-check\n    tcp-check connect linger\n", 50)],
    ids=["reset before it is accepted", "closed in order"],
)
def test_checks_of_the_line_port_leave_log_and_history_alone(check: str, silent: int, tmp_path: Path) -> None:
    """Mere connections, as without the page, 50 a second. Those that reset at once never reach the hub."""
    with HubProcess("--host", "127.0.0.1", stderr=subprocess.PIPE) as hub:
        with (
            hub.peer() as talker,
            haproxy(hub, tmp_path, **{HTTP_CHECK: check, CHECK: "check inter 20ms"}) as door,
        ):
            talker.send(b"before\n")
            talker.read_until(b"> before\n")
            until(lambda: hub.reasons().get("silent", 0) >= silent)
            talker.send(b"after\n/history\n")
            assert talker.line() == b"<guest-1> after\n"
            shown = talker.read_until(b"<guest-1> before\n<guest-1> after\n")
            assert shown.count(b"guest-") == 2 and b"left" not in shown
            assert hub.reasons().keys() <= {"silent"}
            assert hub.get("/api/closed")["closed"] == []
            assert hub.stop() == 0
            until(lambda: "Server lines/hub is DOWN" in door.said.read_text())
        ends = {part for part in hub.log().split() if part.startswith("reason=")}
        assert ends == {"reason=server_shutdown"}
