"""How a hub comes into a cluster: from its settings to a member on a link, and up to the present."""

import base64
import secrets
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cluster.commons import SPACING_S, Clocks, ClusterCommons
from cluster.envelope import Rules
from cluster.events import Event
from cluster.fold import Origin
from cluster.link import NatsLink
from cluster.member import Member
from cluster.stream import Place
from hub.config.settings import Settings
from hub.control.mailbox import Mailbox, Stop
from hub.loop.assembly import intake_of
from hub.session.commons import Commons
from hub.session.ready_sets import ReadySets

CLUSTER: Final = "main"
"""A NATS account has one cluster of hubs; accounts keep several apart."""
LINK_S: Final = 3.0
"""So long a hub that starts waits for its link; then it serves without, and its clients' lines wait."""
TWIN_S: Final = 0.3
"""So long it waits for an answer of a hub of the same name."""
REPLAY_S: Final = 10.0
"""So long it waits for the past; what is left of it comes while it serves."""
STEP_S: Final = 0.01
_JWT: Final = "BEGIN NATS USER JWT"


class NameTaken(ValueError):
    """Another hub of the cluster has this name."""


class BadCredentials(ValueError):
    """Why a file cannot be used, without anything of its content."""


class Joined:
    """A hub's part in a cluster, from its start to its end."""

    def __init__(
        self, settings: Settings, clocks: Clocks, mailbox: Mailbox, tell: Callable[[str], None]
    ) -> None:
        """Raises BadCredentials."""
        self.name = settings.hub_name or base64.b32encode(secrets.token_bytes(5))[:4].decode().lower()
        self._events: deque[Event] = deque()
        self._clocks, self._mailbox, self._bell = clocks, mailbox, threading.Event()
        self._settings, mode = settings, settings.mode
        rules = Rules(most_line_bytes=0, is_chat=mode == "chat")
        origin = Origin(self.name, secrets.token_hex(6))
        self._link = NatsLink(
            list(settings.cluster), Place(f"{CLUSTER}-{mode}", origin), rules, self._post, tell,
            options_of(settings), settings.cluster_replicas,
        )  # fmt: skip
        self.member = Member(origin, rules, self._link, SPACING_S)
        self.commons: ClusterCommons

    def make_commons(self, ready: ReadySets) -> Commons:
        """What the hub's modes speak to."""
        settings = self._settings
        self.commons = ClusterCommons(
            ready, self.member, self._link, self._events, self._clocks,
            room_bytes=intake_of(settings).room_bytes, history=settings.history, notices=settings.notices,
        )  # fmt: skip
        self.commons.drain = lambda: self._mailbox.post(Stop())
        return self.commons

    def start(self) -> bool:
        """Connect; whether there is a link within some seconds. The hub is made, and does not serve yet.

        Raises NameTaken.
        """
        self._link.start()
        clock = self._clocks.loop
        by = clock() + LINK_S
        while not self.member.follows and clock() < by and not self._mailbox.has_commands:
            self._step()
        company = self.commons.company
        by = clock() + TWIN_S
        while self.member.follows and company.peers.twin_at is None and clock() < by:
            self._step()
        if company.peers.twin_at is not None:
            self._link.stop()
            raise NameTaken(f"--hub-name: {self.name!r}: a name that no other hub of the cluster has")
        company.is_admitted = True
        return self.member.follows

    def catch_up(self, tell: Callable[[int, int], None]) -> None:
        """Hear what the cluster has kept, for the histories; `tell` gets how far that is, each second."""
        clock, fold, began_at = self._clocks.loop, self.member.fold, self.member.fold.applied
        by, told_at = clock() + REPLAY_S, clock()
        while fold.behind and clock() < by and not self._mailbox.has_commands:
            self._step()
            if clock() >= told_at + 1:
                told_at = clock()
                tell(fold.applied - began_at, fold.head - began_at)

    def stop(self, limit_s: float) -> None:
        """Leave the cluster, once what was said is stored. A stream that is silent is not waited for."""
        by = self._clocks.loop() + limit_s
        while self.member.follows and not self.member.outbox.is_empty and self._clocks.loop() < by:
            self._step()
        if self.member.follows:
            self.commons.leave()
        self._link.stop()

    def _step(self) -> None:
        self.commons.step(self._clocks.loop())
        self.commons.pass_by()
        if not self._events and not self.member.next_bytes:
            self._bell.wait(STEP_S)
        self._bell.clear()

    def _post(self, event: Event) -> None:
        self._events.append(event)
        self._bell.set()
        self._mailbox.ring()


def options_of(settings: Settings) -> Mapping[str, Any]:
    """What nats-py's connect takes besides the addresses. Raises BadCredentials."""
    options: dict[str, Any] = {}
    ca = settings.cluster_ca
    if settings.cluster_creds:
        options |= _login(settings.cluster_creds)
    if ca or any(server.startswith("tls:") for server in settings.cluster):
        try:
            options["tls"] = ssl.create_default_context(cafile=ca or None)
        except (OSError, ssl.SSLError) as error:
            raise BadCredentials(f"--cluster-ca: {ca!r}: {_reason(error)}") from None
    return options


def _login(path: str) -> Mapping[str, Any]:
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadCredentials(f"--cluster-creds: {path!r}: {_reason(error)}") from None
    if _JWT in text:
        return {"user_credentials": path}
    lines = text.splitlines()
    if len(lines) != 2 or not all(lines):
        why = "a creds file of NATS, or two lines, a user and a password"
        raise BadCredentials(f"--cluster-creds: {path!r}: {why}")
    return {"user": lines[0], "password": lines[1]}


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else "not such a file"
