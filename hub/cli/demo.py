"""`hubbub demo`: the settings that it differs in, and the child process with its made-up clients.

The clients are a program of their own, bench/demo.py, which the launcher starts and the hub never imports:
the hub meets them over sockets, as anybody. The child's stdin is a pipe that only the hub holds, so the child
ends with the hub, whatever ends that: at its `stop`, at a crash, at kill -9. A child that ends by itself
does not end the hub.
"""

import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from hub.cli.logs import own_line, say
from hub.config.allowed_hosts import WILDCARD_ADDRESSES, in_url, reachable
from hub.config.settings import Settings, idle
from hub.config.values import TIMEOUT

ROOT: Final = Path(__file__).absolute().parents[2]
"""Where hub and bench stand side by side: the top of a checkout, `_app` in an installed wheel."""
LAUNCHER: Final = (ROOT.parent if ROOT.name == "_app" else ROOT / "hubbub") / "__main__.py"
CLIENTS: Final = "made-up-clients"
"""The launcher's first argument for the program in bench/demo.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings(Settings):
    """What `hubbub demo` runs with: as serve, but that an idle client is seen to end within half a minute."""

    idle_timeout_s: Annotated[float, idle("--idle-timeout", TIMEOUT)] = 20.0
    """Close a client that did nothing for so long. 0: never."""
    idle_warning_s: Annotated[float, idle("--idle-warning", TIMEOUT)] = 10.0
    """Warn a client so long before it is closed, if --idle-timeout is longer than this. 0: do not."""


class Company:
    """The made-up clients of one hub, as a child process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, name="company", daemon=True)
        self._stopping = False

    def invitation(self, addresses: Sequence[str], url: str) -> list[str]:
        """Lines for the person who started this: what to open and type. `url` is empty without a page."""
        host, _, port = addresses[0].rpartition(":")
        host = "localhost" if host.strip("[]") in WILDCARD_ADDRESSES else host.strip("[]")
        where = f"open {url} and " if url else ""
        return [f"demo: {where}type: telnet {host} {port}", "demo: Ctrl-C ends all of it"]

    def start(self, addresses: Sequence[str], ws_addresses: Sequence[str]) -> None:
        """Start the child, once the hub listens on these addresses. Where that fails, the hub goes on."""
        try:
            self._process = subprocess.Popen(
                command(self._settings, addresses, ws_addresses),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                process_group=0,  # A terminal's Ctrl-C goes to a whole group. The hub passes the signal on.
            )
        except OSError as error:
            say(2, own_line(f"demo: the made-up clients did not start: {error.strerror}"))
            return
        self._watcher.start()

    def stop(self, timeout_s: float) -> None:
        """End the child, by force when it takes longer. Harmless when it is gone, or never was."""
        self._stopping = True
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._watcher.join(timeout_s)
        if self._watcher.is_alive():
            self._process.kill()
            self._watcher.join(timeout_s)

    def _watch(self) -> None:
        """Wait for the child's end. The company ends with 0 when the hub does; anything else is worth a
        line."""
        assert self._process is not None
        code = self._process.wait()
        if code and not self._stopping:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            say(2, own_line(f"demo: the made-up clients have ended ({how}); the hub goes on without them"))


def command(settings: Settings, addresses: Sequence[str], ws_addresses: Sequence[str]) -> list[str]:
    """The child's command line: where to connect to, and what it must know to break the rules.

    The launcher is named by its path, because `-m` looks in the working directory and in PYTHONPATH first.
    -P keeps the launcher's own folder off the path; an isolated hub (-I) has an isolated child.
    """
    python = [sys.executable, "-I" if sys.flags.isolated else "-P"]
    lines = [part for address in addresses for part in ("--lines", _dialled(address))]
    lines += [part for address in ws_addresses for part in ("--ws", _dialled(address))]
    rules = ["--mode", settings.mode, "--max-line", str(settings.max_line_bytes)]
    telnet = "--telnet" if settings.telnet else "--no-telnet"
    return [*python, str(LAUNCHER), CLIENTS, *lines, *rules, telnet]


def _dialled(address: str) -> str:
    """An address of a listener as a client dials and names it: 0.0.0.0 in Host is no name of the hub's."""
    host, _, port = address.rpartition(":")
    return f"{in_url(reachable(host.strip('[]')))}:{port}"
