"""Programs before the hub, run with the files of deploy/, and a certificate for them."""

import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.e2e.programs import require
from tests.support import PATIENCE_S, ROOT, HubProcess, Peer, until

DEPLOY = ROOT / "deploy"
NAME = "hub.example"


def certificate(folder: Path) -> Path:
    """A new key and a certificate for NAME and localhost, signed by itself, in one file."""
    made = folder / "tls.pem"
    names = f"subjectAltName=DNS:{NAME},DNS:localhost"
    command = [require("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-addext", names, "-keyout", "-", "-out", "-"]
    pem = subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S).stdout
    made.write_bytes(pem)
    return made


def changed(name: str, changes: Mapping[str, str]) -> str:
    """A file of deploy/ with other ports and paths. AssertionError where it does not hold what is changed."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def free_port() -> int:
    """A port at which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def page_port(hub: HubProcess) -> str:
    """The number in the URL of its page."""
    return hub.url.rstrip("/").rpartition(":")[2]


@contextmanager
def running(command: Sequence[str], port: int, said: Path) -> Iterator[Path]:
    """A program in the foreground, once it listens at this port; what it says goes into that file."""
    with said.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            until(lambda: process.poll() is not None or listens(port))
            assert process.poll() is None, said.read_text()
            yield said
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_S)
            process.kill()


def listens(port: int) -> bool:
    """Whether a connection is taken there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE_S):
        return True
    return False


def tls_peer(port: int, trusted: Path) -> Peer:
    """A client that speaks TLS and holds the other side to its name."""
    peer = Peer(port)
    peer.sock = ssl.create_default_context(cafile=str(trusted)).wrap_socket(peer.sock, server_hostname=NAME)
    return peer
