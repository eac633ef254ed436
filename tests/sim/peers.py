"""Simulated clients: a program with a kernel of its own, that says lines, reads, and ends in every way.

A peer does only what it is told to; what it says carries its number and the line's (`p3.17~...`), so that
each line can be told from all others wherever it turns up.
"""

from random import Random

from tests.sim.journal import Follower, Journal
from tests.sim.kernel import Kernel
from tests.sim.tcp import Listener, Remote, Tcp
from tests.unit.protocol.support import close as close_frame
from tests.unit.protocol.support import masked, request, text

TELNET = (
    b"\xff\xf1", b"\xff\xfd\x01", b"\xff\xfb\x18", b"\xff\xf4\xff\xfd\x06", b"\xff\xf6",
    b"\xff\xfa\x18\x00abc\xff\xf0", b"\xff\xfe\x01",
)  # fmt: skip
COMMANDS = (
    "/who", "/rooms", "/help", "/stats", "/history", "/history 3", "/join attic", "/join cellar", "/leave",
    "/nick n{number}", "/nick n1", "/msg guest-1 hey", "/msg guest-2 hey", "/whois n1", "/me p{number}.hm",
    "/nosuch", "/join", "/quit", "/join a{number}",
)  # fmt: skip
_GARBAGE = bytes(byte for byte in range(256) if byte not in b"\rp\xff")


class Peer:
    """A client. What it does takes effect at once, unless its link stands still."""

    def __init__(
        self, kernel: Kernel, listener: Listener, number: int, *, sizes: tuple[int, int, int], host: int
    ) -> None:
        self.number = number
        self.remote = Remote(sizes[2])
        address = (f"10.0.{host}.{number % 200 + 1}", 20_000 + number)
        self.tcp = Tcp(kernel, self.remote, address, sizes[0], sizes[1])
        self.name = f"{address[0]}:{address[1]}"
        self.websocket = listener.port == 9001
        self.greedy = False
        self.crlf = False
        self.said: list[bytes] = []
        """The content of each line that it said, in order, whether it got to the hub or not."""
        self.spotless = True
        """The client sent nothing but lines and commands."""
        self.has_negotiated = False
        self.read_only = listener.port == 9002
        self.write_only = listener.port == 9003
        self.follower: Follower
        self._unsent = bytearray(request() if self.websocket else b"")
        self._pings = 0
        listener.arrive(self.tcp)

    def follow(self, journal: Journal, *, own_too: bool, echo: bool) -> None:
        self.follower = Follower(journal, self.name, self.number, websocket=self.websocket, own_too=own_too)
        if echo:
            self.follower.echoes = self.said

    @property
    def is_over(self) -> bool:
        return self.remote.closed or self.remote.got_reset or self.tcp.lost

    @property
    def unread_bytes(self) -> int:
        """What it has said, or means to say, and the hub has not read."""
        return len(self._unsent) + len(self.remote.outbox) + len(self.tcp.input)

    # What it says.

    def say(self, count: int, size: int) -> None:
        if self.is_over or self.remote.fin_sent:
            return
        for _ in range(count):
            content = f"p{self.number}.{len(self.said)}~".encode().ljust(size, b".")
            self.said.append(content)
            self._put(content)

    def command(self, which: int, *, history: bool) -> None:
        command = COMMANDS[which % len(COMMANDS)].format(number=self.number)
        if history or not command.startswith("/history"):  # Without its first line it cannot be told apart.
            self._put(command.encode())

    def blank(self) -> None:
        self._put(b"")

    def telnet(self, which: int) -> None:
        if not self.websocket:
            self.has_negotiated = True
            self._unsent += TELNET[which % len(TELNET)]

    def spoil(self, seed: int, size: int) -> None:
        """Bytes without sense; nothing is expected of what it says from here on."""
        rng = Random(seed)
        self.spotless = False
        self._unsent += bytes(rng.choices(_GARBAGE, k=size))

    def unfinished(self, size: int) -> None:
        self.spotless = False
        self._unsent += b"u" * size if not self.websocket else text(b"u" * size, fin=False)

    def control(self, which: int) -> None:
        if self.websocket:
            frames = masked(9, b"hi"), masked(10, b""), close_frame(1000), masked(2, b"bin"), masked(3, b"")
            self.spotless &= which % len(frames) < 2
            self._unsent += frames[which % len(frames)]

    def _put(self, content: bytes) -> None:
        self._unsent += text(content) if self.websocket else content + (b"\r\n" if self.crlf else b"\n")

    # What it does.

    def push(self, keep: int = 0) -> None:
        """Hand to its kernel what it has to say, but for the last `keep` bytes."""
        count = max(0, len(self._unsent) - keep)
        if self.is_over or self.remote.fin_sent:
            self._unsent.clear()
            return
        self.remote.outbox += self._unsent[:count]
        del self._unsent[:count]
        self.tcp.pump()

    def read(self, size: int) -> bool:
        """Take some of what arrived; whether there was anything."""
        if self.is_over or not self.remote.inbox:
            return False
        del self.remote.inbox[:size]
        self.tcp.pump()
        return True

    def live(self) -> None:
        """What a greedy program does by itself while it is there: it reads, and answers what it is asked."""
        if self.remote.inbox or self.tcp.output:
            self.tcp.swallow()
        if self.websocket:
            self._answer()
        if self.remote.got_fin and not self.remote.outbox:
            self.close()

    def _answer(self) -> None:
        follower = self.follower
        follower.read(self.tcp.taken)
        if follower.pings > self._pings and not (self.remote.fin_sent or self._unsent):
            self._pings = follower.pings
            self._unsent += masked(10, b"")
            self.push()

    def half_close(self) -> None:
        if not self.is_over:
            self.push()
            self.remote.fin_sent = True
            self.tcp.pump()

    def close(self) -> None:
        if self.is_over:
            return
        if self.remote.inbox:
            self.reset()
            return
        self.half_close()
        self.remote.closed = True
        self.tcp.pump()

    def reset(self) -> None:
        """RST: what it had sent and the hub's kernel has not is gone."""
        if not self.is_over:
            self.remote.outbox.clear()
            self.remote.closed = True
            self.remote.got_reset = True
            self.tcp.reset()

    def vanish(self) -> None:
        self.tcp.lost = True

    def stall(self, still: bool) -> None:
        self.tcp.stalled = still
        self.tcp.pump()
