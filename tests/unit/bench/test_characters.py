"""Each part, played once against a real hub: it ends with the reason that it is there to show."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from bench import characters
from bench.characters import TIMING_MARKS, Actor
from bench.connections import HubEnds, dial
from tests.support import ThreadHub, until

DICE = random.Random(1)


@pytest.fixture(autouse=True)
def _short_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(characters, "VISIT_S", (0.1, 0.1))


def play(part: Awaitable[None]) -> None:
    """To its end, whatever the network says."""

    async def once() -> None:
        await asyncio.wait_for(part, 20)

    with suppress(OSError):
        asyncio.run(once())


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (lambda to: characters.idler(to, "/nick dozy", "/join attic"), "idle"),
        (lambda to: characters.quitter(to, DICE, "/nick bo"), "quit"),
        (lambda to: characters.leaver(to, DICE, "/nick bo"), "peer_closed"),
        (lambda to: characters.resetter(to, DICE, "/nick bo"), "peer_reset"),
        (lambda to: characters.rambler(to, DICE, 8192, "/nick bo"), "line_too_long"),
        (lambda to: characters.browser(to), "wrong_protocol"),
        (lambda to: characters.stammerer(to), "protocol_error"),
    ],
)
def test_a_part_ends_with_its_reason(part: Callable[[str], Awaitable[None]], reason: str) -> None:
    # Long for all others: where the machine stands still for a moment they would be idle before they act.
    with ThreadHub(mode="chat", idle_timeout_s=0.5 if reason == "idle" else 15.0) as hub:
        play(part(f"127.0.0.1:{hub.port}"))
        assert hub.ending()["reason"] == reason


@pytest.mark.long
def test_who_asks_and_does_not_take_the_answers_is_cut() -> None:
    with ThreadHub(mode="broadcast") as hub:
        play(characters.talker_who_does_not_listen(f"127.0.0.1:{hub.port}", TIMING_MARKS * 20, 0.01))
        assert hub.ending()["reason"] == "slow_consumer"


@pytest.mark.long
def test_the_sleeper_in_a_flood_is_cut_and_the_flooder_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(characters, "SLOW_STAYS_S", 4.0)
    monkeypatch.setattr(characters, "FLOOD_PAUSE_S", 0.002)
    with ThreadHub(mode="chat", max_lag_bytes=1 << 17) as hub:
        to = f"127.0.0.1:{hub.port}"

        async def all_of_them() -> None:
            flood = asyncio.create_task(characters.flooder(to, "/join flood"))
            sinks = [asyncio.create_task(characters.idler(to, "/join flood")) for _ in range(2)]
            with suppress(OSError):
                await characters.sleeper(to, "/nick sloth", "/join flood")
            assert not flood.done()
            for task in (flood, *sinks):
                task.cancel()

        play(all_of_them())
        ended = until(lambda: [ending for ending in hub.endings() if ending["nick"] == "sloth"])
        assert ended[0]["reason"] == "slow_consumer"


def test_an_actor_says_its_line_in_its_room() -> None:
    with ThreadHub(mode="chat") as hub, hub.peer() as guest:
        guest.send(b"/join stage\n")
        guest.read_until(b"now in stage")

        async def scene() -> None:
            actor = Actor(lambda: dial(f"127.0.0.1:{hub.port}"), "/nick ada", "/join stage")
            await actor.say("before coming in nobody hears this")
            playing = asyncio.create_task(actor.play())
            while hub.loop.hub.counters.lines_in < 3:
                await asyncio.sleep(0.01)
            await actor.say("to be or not to be")
            await asyncio.to_thread(guest.read_until, b"<ada> to be or not to be\n")
            playing.cancel()

        asyncio.run(asyncio.wait_for(scene(), 20))


def test_a_muse_hears_itself_and_a_feed_is_heard() -> None:
    with ThreadHub(mode="broadcast") as hub, hub.peer() as guest:

        async def both() -> None:
            to = f"127.0.0.1:{hub.port}"
            parts = [characters.muse(to, DICE), characters.station(to, DICE, iter(range(1, 100)))]
            tasks = [asyncio.create_task(part) for part in parts]
            await asyncio.to_thread(guest.read_until, b"n=1\n")
            for task in tasks:
                task.cancel()

        asyncio.run(asyncio.wait_for(both(), 20))
        until(lambda: len(hub.endings()) == 2)


def test_a_farewell_at_shutdown_ends_the_whole_play() -> None:
    with ThreadHub(mode="chat") as hub:

        async def part() -> None:
            playing = asyncio.create_task(characters.idler(f"127.0.0.1:{hub.port}"))
            while not hub.loop.hub.connections.clients:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(hub.stop)
            await playing

        with pytest.raises(HubEnds):
            asyncio.run(asyncio.wait_for(part(), 20))
