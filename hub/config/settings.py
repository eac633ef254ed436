"""Everything a user may set, written once: default, unit, what is allowed and the consequence.

`Settings` is the record that the hub reads; it checks nothing, so that a test may build a hub that no
user should run. What a user types (a flag, a variable, a line of hubbub.toml) is text and comes in
through the `Kind` beside its field (hub/config/values.py), which is strict. The flag names the key
everywhere: `--idle-timeout`, HUBBUB_IDLE_TIMEOUT, `idle-timeout`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from cyclopts import Group, Parameter

import hub.config.values as kinds
from hub.config.values import Kind, Rate, show_size, show_time

Mode = Literal["chat", "broadcast", "echo"]
Trigger = Literal["level", "edge"]
Read = Literal["drain", "once"]
IdleStrategy = Literal["deadline", "sweep", "poll"]
IdleCounts = Literal["auto", "rx", "rx+tx"]
Slow = Literal["disconnect", "skip", "wait"]
Eol = Literal["auto", "lf", "crlf"]
LineEnd = Literal["lf", "cr"]
Log = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

DESCRIPTOR_RESERVE = 64
OWN_DESCRIPTORS = 24
"""What a hub holds of its own: 18 with the page and both ports on IPv4 and IPv6, and 5 for large rooms."""
PAGE_CONNECTIONS = 256


def _flags(title: str, place: int) -> Callable[[str, Kind], Parameter]:
    """What declares the flags of one group of the help page."""
    group = Group(title, sort_key=place)

    def flag(name: str, kind: Kind) -> Parameter:
        return Parameter(
            name=name,
            converter=kind,
            group=group,
            metavar=kind.metavar,
            accepts_keys=False,
            n_tokens=None if kind in (kinds.FLAG, kinds.AUTO_FLAG) or kind.many else 1,
            negative=None if kind in (kinds.FLAG, kinds.AUTO_FLAG) else (),
            show_default=kind.show,
            show_choices=False,
        )

    return flag


_lines = _flags("Lines", 1)
_page = _flags("Page", 2)
_loop = _flags("Loop", 3)
idle = _flags("Idle clients", 4)
_limit = _flags("Limits", 5)
_chat = _flags("Chat", 6)
_cluster = _flags("Cluster", 7)
running = _flags("Running", 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one hub runs with. The text below a field is its help: what follows from the value."""

    host: Annotated[str, _lines("--host", kinds.LISTEN)] = "localhost"
    """Where lines are heard. localhost: 127.0.0.1, and ::1 if present. '*': all addresses, IPv4 and IPv6."""
    port: Annotated[int, _lines("--port", kinds.PORT)] = 9000
    """Port of the lines. 0 picks a free one."""
    ws: Annotated[bool, _lines("--ws", kinds.FLAG)] = True
    """Let browsers in as clients, on a port of their own."""
    ws_port: Annotated[int, _lines("--ws-port", kinds.PORT)] = 9001
    """Port of their WebSockets: one line, one text message. 0 picks a free one."""
    public_ws: Annotated[str, _lines("--public-ws", kinds.WS_URL)] = ""
    """Where browsers find --ws-port behind a proxy: wss://hub.example/ws. Else at the page's host."""
    read_only_port: Annotated[int | None, _lines("--read-only-port", kinds.OPTIONAL_PORT)] = None
    """A further port of lines, for viewers: what they send is thrown away. 0 picks a free one."""
    write_only_port: Annotated[int | None, _lines("--write-only-port", kinds.OPTIONAL_PORT)] = None
    """A further port of lines, for programs that only send: they get nothing. 0 picks a free one."""
    mode: Annotated[Mode, _lines("--mode", kinds.choice(Mode))] = "chat"
    """chat: rooms, commands, text cleaned. broadcast: lines to all others, verbatim. echo: to the sender."""
    self_echo: Annotated[bool | None, _lines("--self-echo", kinds.AUTO_FLAG)] = None
    """A sender gets its own lines as well. auto: in chat and echo, not in broadcast."""
    eol: Annotated[Eol, _lines("--eol", kinds.choice(Eol))] = "auto"
    """Line end that clients get. auto: LF until a client sends CRLF itself."""
    line_end: Annotated[LineEnd, _lines("--line-end", kinds.choice(LineEnd))] = "lf"
    """What ends a client's line. lf: LF, CRLF or CR NUL. cr: a bare CR as well."""
    telnet: Annotated[bool, _lines("--telnet", kinds.FLAG)] = True
    """Take telnet commands out of the lines. --no-telnet: the port is 8-bit clean."""
    notices: Annotated[bool, _lines("--notices", kinds.FLAG)] = True
    """Send the hub's own lines, which begin with "* ": greeting, joins, replies, farewells."""
    web: Annotated[bool, _page("--web", kinds.FLAG)] = True
    """Serve the page and its JSON."""
    web_host: Annotated[str, _page("--web-host", kinds.LISTEN)] = "127.0.0.1"
    """Where the page is served. '*': all addresses, as for --host."""
    web_port: Annotated[int, _page("--web-port", kinds.PORT)] = 8080
    """Port of the page. 0 picks a free one."""
    allowed_hosts: Annotated[tuple[str, ...], _page("--allowed-host", kinds.NAMES_IN_URLS)] = ()
    """A name that browsers may use for the page and the WebSockets, besides loopback. May be repeated."""
    trigger: Annotated[Trigger, _loop("--trigger", kinds.choice(Trigger))] = "level"
    """level: epoll reports a client while bytes wait. edge: only when more arrive."""
    read: Annotated[Read, _loop("--read", kinds.choice(Read))] = "drain"
    """drain: read until empty. once: one read for each event; not with --trigger edge."""
    idle_timeout_s: Annotated[float, idle("--idle-timeout", kinds.TIMEOUT)] = 300.0
    """Close a client that did nothing for so long. 0: never."""
    idle_strategy: Annotated[IdleStrategy, idle("--idle-strategy", kinds.choice(IdleStrategy))] = "deadline"
    """deadline: exact. sweep: a look at all each --sweep-interval. poll: one busy client keeps all alive."""
    sweep_interval_s: Annotated[float, idle("--sweep-interval", kinds.duration(0.01, kinds.HOUR_S))] = 5.0
    """Time between two sweeps, and so the most by which sweep is late."""
    idle_warning_s: Annotated[float, idle("--idle-warning", kinds.TIMEOUT)] = 30.0
    """Warn a client so long before it is closed, if --idle-timeout is longer than this. 0: do not."""
    idle_counts: Annotated[IdleCounts, idle("--idle-counts", kinds.choice(IdleCounts))] = "auto"
    """What is activity: bytes received (rx), lines delivered too (rx+tx; auto: in broadcast, for viewers)."""
    max_line_bytes: Annotated[int, _limit("--max-line", kinds.size(1, kinds.GIB, off=True))] = 8192
    """A longer line closes its client. 0: no limit."""
    max_lag_bytes: Annotated[int, _limit("--max-lag", kinds.size(64 * kinds.KIB, kinds.GIB))] = 1 << 20
    """How far a client may fall behind its room. Bounds what a room keeps in memory."""
    slow: Annotated[Slow, _limit("--slow", kinds.choice(Slow))] = "disconnect"
    """A client over --max-lag is closed (disconnect) or misses lines (skip), or a broadcast waits (wait)."""
    patience_s: Annotated[float, _limit("--patience", kinds.duration(0.01, kinds.HOUR_S, off=True))] = 4.0
    """In broadcast, how long senders wait for one client near --max-lag that still reads. 0: not at all."""
    line_rate: Annotated[Rate | Literal["auto"], _limit("--line-rate", kinds.RATE)] = "auto"
    """Lines of a client in a second, and at once; more wait. auto: 50/s:200 in chat only. 0: no limit."""
    max_clients: Annotated[int, _limit("--max-clients", kinds.COUNT)] = 10_000
    """More are refused with a line. 0: as many as the descriptor limit allows."""
    max_per_ip: Annotated[int, _limit("--max-per-ip", kinds.COUNT)] = 64
    """Clients from one address or IPv6 /64; loopback is exempt. 0: no limit."""
    per_ip_exempt: Annotated[tuple[str, ...], _limit("--per-ip-exempt", kinds.NETWORKS)] = ()
    """A network to which --max-per-ip does not apply. May be repeated."""
    max_rooms: Annotated[int, _limit("--max-rooms", kinds.COUNT)] = 1000
    """Rooms at a time. 0: no limit."""
    greeting: Annotated[str, _chat("--greeting", kinds.TEXT)] = ""
    """A line for everyone who connects. '': welcome to hubbub."""
    history: Annotated[int, _chat("--history", kinds.number(1, 10_000, off=True))] = 20
    """What clients said last, so many lines, is shown to a client that joins a room. 0: nothing."""
    announce: Annotated[int, _chat("--announce", kinds.COUNT)] = 50
    """Rooms of at most so many people tell who joins and leaves. 0: none does."""
    cluster: Annotated[tuple[str, ...], _cluster("--cluster", kinds.BROKERS)] = ()
    """Share the rooms with other hubs, by way of this NATS; needs hubbub[cluster]. '': a hub alone."""
    hub_name: Annotated[str, _cluster("--hub-name", kinds.TOKEN)] = ""
    """What the others call this hub; its guests are guest-NAME-1. '': four letters, new each time."""
    cluster_creds: Annotated[str, _cluster("--cluster-creds", kinds.FILE)] = ""
    """How to log in: a creds file of NATS, or a file with a user and below it a password. '': not at all."""
    cluster_ca: Annotated[str, _cluster("--cluster-ca", kinds.FILE)] = ""
    """Certificates that the servers' are checked against. '': those of the system."""
    cluster_replicas: Annotated[int, _cluster("--cluster-replicas", kinds.number(1, 5))] = 1
    """On how many servers what is said is kept; 3 where there are three. The first hub decides."""
    drain_s: Annotated[float, running("--drain", kinds.duration(0.01, kinds.HOUR_S, off=True))] = 10.0
    """Time for farewells and unsent lines after SIGTERM, SIGINT or SIGHUP. 0: no limit."""
    log: Annotated[Log, running("--log", kinds.choice(Log))] = "text"
    """Form of the records on stderr, one a line."""
    log_level: Annotated[LogLevel, running("--log-level", kinds.choice(LogLevel))] = "info"
    """Records of lower levels are left out. debug: also each accept, and ends without a byte or line."""

    @property
    def hears_itself(self) -> bool:
        """Whether a sender gets its own lines back."""
        return self.mode != "broadcast" if self.self_echo is None else self.self_echo

    def delivery_counts(self, transport: str) -> bool:
        """Whether lines that the kernel of such a client took are activity of it, beside what it sends."""
        if self.idle_counts == "auto":
            return transport == "read-only" or (self.mode == "broadcast" and transport != "write-only")
        return self.idle_counts == "rx+tx"


def affordable(settings: Settings, descriptors: int) -> Settings:
    """Settings whose max_clients leaves descriptors for listeners, the page and files."""
    most = descriptors - min(DESCRIPTOR_RESERVE, descriptors // 2)
    return replace(settings, max_clients=min(settings.max_clients or most, most))


def page_connections(settings: Settings, descriptors: int) -> int:
    """How many the page may hold at a time: what clients and the hub itself leave, at least one."""
    return max(1, min(PAGE_CONNECTIONS, descriptors - settings.max_clients - OWN_DESCRIPTORS))


@dataclass(eq=False)
class Conflict(ValueError):
    """Two settings that do not go together: the flag to change, and what is allowed for it."""

    flag: str
    allowed: str


def refuse_conflicts(hint: object, settings: Settings) -> None:
    """The rules between settings, as a cyclopts validator. Raises Conflict.

    The default warning goes with any timeout (no client is warned then); one that was asked for must fit.
    """
    mode, usual = settings.mode, type(settings)()
    if settings.trigger == "edge" and settings.read == "once":
        why = "a client that leaves bytes behind is never reported again, it starves"
        raise Conflict("--read", f"drain with --trigger edge: {why}")
    is_asked = settings.idle_warning_s not in (0, usual.idle_warning_s)
    if is_asked and 0 < settings.idle_timeout_s <= settings.idle_warning_s:
        raise Conflict("--idle-warning", f"less than --idle-timeout, {show_time(settings.idle_timeout_s)}")
    if mode == "echo" and not settings.hears_itself:
        raise Conflict("--self-echo", "on with --mode echo, where there is nothing else to hear")
    if mode == "echo" and settings.write_only_port is not None:
        raise Conflict("--write-only-port", "none with --mode echo, where nobody would get the lines")
    if settings.slow == "wait" and mode != "broadcast":
        raise Conflict("--slow", f"disconnect or skip with --mode {mode}: people must not wait for one")
    if settings.slow == "wait" and settings.patience_s not in (0, usual.patience_s):
        raise Conflict("--patience", "not given with --slow wait, which waits for as long as it takes")
    if settings.slow == "skip" and not settings.notices:
        raise Conflict("--slow", "disconnect with --no-notices: a client that misses lines has to be told")
    if settings.cluster:
        _refuse_in_cluster(settings)
    if mode != "echo" and settings.max_line_bytes > settings.max_lag_bytes // 2:
        most = f"at most half of --max-lag, {show_size(settings.max_lag_bytes // 2)}"
        raise Conflict("--max-line", f"{most}: one line must not close its subscribers")


def _refuse_in_cluster(settings: Settings) -> None:
    if settings.slow == "wait":
        raise Conflict("--slow", "disconnect or skip with --cluster: the other hubs do not wait")
    if settings.max_lag_bytes < kinds.MIB:
        raise Conflict("--max-lag", "at least 1MiB with --cluster, where up to 128KiB come in one message")
