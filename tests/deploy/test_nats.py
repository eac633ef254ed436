"""The files of deploy/nats on a real nats-server: a hub with its own user works, and speaks as no other."""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError
from nats.js.errors import KeyWrongLastSequenceError, NotFoundError

from tests.cluster.support import nats_server
from tests.deploy.support import DEPLOY, certificate, changed, free_port, running
from tests.support import HubProcess, until

PASSWORD = "of the tests"
HASH = "$2b$04$abcdefghijklmnopqrstuOvzODdV6O9fF8hhmeAFwrEQI7h55irmS"
STREAM, TABLE = "hubbub-main-chat-0", "hubbub-main-chat-nicks"
HERE = "hubbub.main-chat.0"
ALONE = ("--host", "127.0.0.1", "--no-web", "--no-ws")
REQUEST_S = 0.5


class Site:
    """Servers that run with the files of deploy/nats, and the file of creds of each user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = ("FOUNDER", "ORDERS", "HUB_A", "HUB_B", "HUB_C")
        (folder / "passwords.conf").write_text("".join(f'{name} = "{HASH}"\n' for name in names))
        shutil.copy(DEPLOY / "nats/accounts.conf", folder)
        self.ports: list[int] = []

    @property
    def url(self) -> str:
        """All servers, as --cluster takes them."""
        return ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)

    @contextmanager
    def server(self, name: str, port: int, changes: dict[str, str], node: str = "n") -> Iterator[None]:
        """A nats-server with this file, on ports of its own."""
        places = {
            "0.0.0.0:4222": f"127.0.0.1:{port}",
            'http: "127.0.0.1:8222"': "",
            "/var/lib/nats": str(self._folder / f"store-{node}"),
        }
        config = self._folder / f"{node}.conf"
        config.write_text(changed(f"nats/{name}", places | changes))
        self.ports.append(port)
        with running([nats_server(), "-c", str(config)], port, self._folder / f"{node}.log"):
            yield

    def creds(self, user: str, password: str = PASSWORD) -> str:
        """The path of a file with a user and a password."""
        made = self._folder / f"{user}.creds"
        made.write_text(f"{user}\n{password}\n")
        return str(made)

    def hub(self, name: str, *flags: str, **creds: str) -> HubProcess:
        """A hub with the user of its name."""
        login = ("--hub-name", name, "--cluster-creds", self.creds(name, **creds))
        where = () if "--cluster" in flags else ("--cluster", self.url)
        return HubProcess(*ALONE, *login, *where, *flags)

    def found(self, *flags: str) -> None:
        """What accounts.conf asks to be done once."""
        with self.hub("founder", *flags) as founder:
            assert is_linked(founder)
            assert founder.stop() == 0


def is_linked(hub: HubProcess) -> bool:
    """Whether it had a link when it began to serve."""
    return any("of the cluster at" in line for line in hub.start_lines)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with what the founder makes, for all tests that leave it as it is."""
    made = Site(tmp_path_factory.mktemp("site"))
    with made.server("nats-server.conf", free_port(), {}):
        made.found()
        yield made


def hear_each_other(*hubs: HubProcess) -> None:
    """A line from each of them reaches a client of every one."""
    with ExitStack() as ends:
        peers = [ends.enter_context(hub.peer()) for hub in hubs]
        for number, peer in enumerate(peers):
            line = b"line %d\n" % number
            peer.send(line)
            for listener in peers:
                listener.read_until(b"> " + line)


class User:
    """A connection of a user, and what the server refused it."""

    def __init__(self) -> None:
        self.nats = Client()
        self._refused: list[str] = []

    async def hear(self, error: Exception) -> None:
        """An error of the server, which belongs to no call."""
        self._refused.append(str(error))

    async def refusals(self) -> str:
        """All that was refused of what was sent up to here.

        The ping of nats-py's flush overtakes what waits to be written, so only the second pong tells.
        """
        await self.nats.flush()
        await self.nats.flush()
        return "".join(self._refused)


@contextlib.asynccontextmanager
async def user_of(site: Site, name: str) -> AsyncIterator[User]:
    """A program that has the creds of a hub, and does what it likes."""
    user = User()
    inbox = f"_INBOX.{name}"
    user.nats = await nats.connect(
        site.url, user=name, password=PASSWORD, error_cb=user.hear, inbox_prefix=inbox
    )
    try:
        yield user
    finally:
        await user.nats.close()


def as_user(site: Site, name: str, act: Callable[[User], Coroutine[Any, Any, None]]) -> None:
    """Do this as that user."""

    async def play() -> None:
        async with user_of(site, name) as user:
            await act(user)

    asyncio.run(play())


async def refusal(user: User, subject: str, reply: str = "") -> str:
    """What the server says to a message on this subject; nothing if it takes it."""
    await user.nats.publish(subject, b"{}", reply=reply)
    return await user.refusals()


def test_hubs_with_users_of_their_own_hear_each_other(site: Site) -> None:
    with site.hub("a") as first, site.hub("b") as second:
        assert is_linked(first) and is_linked(second)
        hear_each_other(first, second)


def test_a_hub_that_was_away_hears_what_was_said(site: Site) -> None:
    """By direct get: all that a new hub shows of the past it has fetched."""
    with site.hub("a") as first, first.peer() as peer:
        peer.send(b"before\n")
        peer.read_until(b"> before\n")
        with site.hub("b") as second, second.peer() as late:
            late.read_until(b"> before\n")


@pytest.mark.parametrize("way", ["in.{}.1", "beat.{}.1", "ask.{}.1", "to.c.1.{}.1"])
def test_a_user_on_another_hub_s_subject_is_refused(way: str, site: Site) -> None:
    async def act(user: User) -> None:
        assert await refusal(user, f"{HERE}.{way.format('a')}") == ""
        said = await refusal(user, f"{HERE}.{way.format('b')}")
        assert f'permissions violation for publish to "{HERE}.{way.format("b")}"' in said

    as_user(site, "a", act)


def test_another_hub_s_line_is_not_stored(site: Site) -> None:
    async def act(user: User) -> None:
        js = user.nats.jetstream(timeout=REQUEST_S)
        before = (await js.stream_info(STREAM)).state.last_seq
        with pytest.raises(TimeoutError):
            await js.publish(f"{HERE}.in.b.1", b"as b")
        assert (await js.stream_info(STREAM)).state.last_seq == before

    as_user(site, "a", act)


@pytest.mark.parametrize("call", ["DIRECT.GET", "STREAM.MSG.GET", "STREAM.INFO"])
def test_an_answer_to_another_hub_s_subject_is_not_stored(call: str, site: Site) -> None:
    """A request names where its answer goes, and an answer may be a message that was stored for this."""

    async def act(user: User) -> None:
        js = user.nats.jetstream(timeout=REQUEST_S)
        stored = await js.publish(f"{HERE}.in.a.1", b"as b")
        asked = json.dumps({"seq": stored.seq}).encode()
        await user.nats.publish(f"$JS.API.{call}.{STREAM}", asked, reply=f"{HERE}.in.b.1")
        await user.nats.publish(f"{HERE}.in.a.1", b"more", reply=f"{HERE}.in.b.1")
        after = await js.publish(f"{HERE}.in.a.1", b"behind it")
        assert await user.refusals() == ""
        assert after.seq == stored.seq + 2
        with pytest.raises(NotFoundError):
            await js.get_last_msg(STREAM, f"{HERE}.in.b.1")

    as_user(site, "a", act)


@pytest.mark.parametrize(
    "call",
    [
        f"STREAM.CREATE.{STREAM}", "STREAM.CREATE.other", f"STREAM.UPDATE.{STREAM}", f"STREAM.PURGE.{STREAM}",
        f"STREAM.DELETE.{STREAM}", f"STREAM.MSG.DELETE.{STREAM}", f"CONSUMER.CREATE.{STREAM}.x",
        f"STREAM.PURGE.KV_{TABLE}",
    ],
)  # fmt: skip
def test_a_hub_cannot_make_change_or_empty_a_stream(call: str, site: Site) -> None:
    async def act(user: User) -> None:
        said = await refusal(user, f"$JS.API.{call}", reply=user.nats.new_inbox())
        assert "permissions violation for publish" in said

    as_user(site, "a", act)


@pytest.mark.parametrize("subject", [f"{HERE}.to.b.>", f"{HERE}.in.>", "$KV.>", "$JS.>", ">"])
def test_a_hub_cannot_listen_where_it_is_not_meant(subject: str, site: Site) -> None:
    async def act(user: User) -> None:
        for own in (f"{HERE}.to.a.>", f"{HERE}.out.>", f"{HERE}.beat.>", f"{HERE}.ask.>"):
            await user.nats.subscribe(own)
        assert await user.refusals() == ""
        await user.nats.subscribe(subject)
        assert "permissions violation for subscription" in await user.refusals()

    as_user(site, "a", act)


def test_the_table_of_nicks_takes_what_a_hub_asks(site: Site) -> None:
    async def act(user: User) -> None:
        founder = await nats.connect(site.url, user="founder", password=PASSWORD)
        with contextlib.suppress(Exception):  # The founder makes the table, where its hub does so.
            await founder.jetstream().create_key_value(bucket=TABLE, history=1, max_bytes=1 << 20)
        await founder.close()
        table = await user.nats.jetstream(timeout=REQUEST_S).key_value(TABLE)
        first = await table.create("ann", b"a.1")
        assert (await table.get("ann")).value == b"a.1"
        with pytest.raises(KeyWrongLastSequenceError):
            await table.create("ann", b"b.1")
        second = await table.update("ann", b"a.2", last=first)
        await table.delete("ann", last=second)
        assert await user.refusals() == ""

    as_user(site, "a", act)


def test_an_operator_is_heard_and_a_hub_is_no_operator(site: Site) -> None:
    site.found()
    with site.hub("a") as hub:
        assert is_linked(hub)
        flags = ("--cluster", site.url, "--cluster-creds")
        for user, heard in (("b", 1), ("operator", 0)):
            said = subprocess.run(
                [sys.executable, "-m", "hubbub", "drain", "--to", "a", *flags, site.creds(user)], check=False
            )
            assert said.returncode == heard
        assert hub.process.wait(30) == 0


def test_a_hub_with_a_wrong_password_says_so_and_serves(site: Site) -> None:
    with site.hub("a", password="wrong") as hub, hub.peer() as peer:
        assert not is_linked(hub)
        peer.read_until(b"* welcome to hubbub")


def test_a_hub_links_by_tls_and_to_the_right_name_only(tmp_path: Path) -> None:
    trusted, site, port = certificate(tmp_path), Site(tmp_path), free_port()
    files = {"#tls {": "tls {", "/etc/nats/tls.pem": str(trusted)}
    with site.server("nats-server.conf", port, files):
        site.found("--cluster", f"tls://localhost:{port}", "--cluster-ca", str(trusted))
        flags = ("--cluster-ca", str(trusted))
        with site.hub("a", "--cluster", f"tls://localhost:{port}", *flags) as hub:
            assert is_linked(hub)
            hear_each_other(hub)
        with site.hub("a", "--cluster", f"tls://127.0.0.1:{port}", *flags) as hub:
            assert not is_linked(hub)


def test_three_servers_go_on_when_each_is_stopped(tmp_path: Path) -> None:
    site, routes = Site(tmp_path), [free_port() for _ in range(3)]
    listed = {f"nats-{number}.example:6222": f"127.0.0.1:{port}" for number, port in enumerate(routes, 1)}
    with ExitStack() as ends:
        servers = [ExitStack() for _ in routes]
        for number, route in enumerate(routes):
            own = {"$NATS_NAME": f"nats-{number}", "0.0.0.0:6222": f"127.0.0.1:{route}"}
            stack = ends.enter_context(servers[number])
            stack.enter_context(site.server("cluster.conf", free_port(), own | listed, f"n{number}"))
        until(lambda: "JetStream cluster new metadata leader" in logs(tmp_path))
        site.found("--cluster-replicas", "3")
        with site.hub("a") as first, site.hub("b") as second:
            hear_each_other(first, second)
            servers[0].close()
            hear_each_other(first, second)


def logs(folder: Path) -> str:
    """What all servers wrote."""
    return "".join(path.read_text() for path in folder.glob("n*.log"))


@pytest.mark.parametrize("name", ["nats-server.conf", "cluster.conf"])
def test_every_server_writes_before_it_acknowledges(name: str) -> None:
    text = (DEPLOY / "nats" / name).read_text()
    assert re.search(r"^  sync_interval: always$", text, re.MULTILINE)
    assert re.search(r'^include "accounts.conf"$', text, re.MULTILINE)


def test_users_differ_in_nothing_but_the_name_of_their_hub() -> None:
    text = (DEPLOY / "nats/accounts.conf").read_text()
    blocks = re.findall(r"user: (\w), password(.*?)\n      }\n", text, re.DOTALL)
    assert [name for name, _ in blocks] == ["a", "b", "c"]
    generic = {
        rules.replace(f".{name}.", ".NAME.")
        .replace(f'.{name}"', '.NAME"')
        .replace(f"HUB_{name.upper()}", "HUB")
        for name, rules in blocks
    }
    assert len(generic) == 1
