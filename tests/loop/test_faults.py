"""Faults of the hub's own cost one client; and small deeds that several steps share."""

import errno
import math
import re
from collections.abc import Iterable

import pytest

from hub.loop.limits import Limits
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from tests.loop.scene import LINE, Scene
from tests.loop.support import SteppedHub
from tests.sim.stage import Stage
from tests.support import ROOT, bye, closing

# Faults.


class Faulty(Room):
    """A room in which a step of the mode fails, the only way into a mode of either build."""

    fails = ""
    """The step; none yet."""

    def join(self, outbox: Outbox, history: Iterable[bytes] = ()) -> None:
        self._perhaps("joined")
        super().join(outbox, history)

    def extend(self, lines: Iterable[bytes], size: int, sender: int) -> None:
        self._perhaps("lines")
        super().extend(lines, size, sender)

    def leave(self, outbox: Outbox) -> None:
        self._perhaps("left")
        super().leave(outbox)

    def _perhaps(self, step: str) -> None:
        if step == self.fails:
            self.fails = ""
            raise ZeroDivisionError("a fault")


@pytest.mark.parametrize("step", ["joined", "lines", "left"])
def test_fault_of_the_mode_costs_its_client_only(step: str) -> None:
    with SteppedHub(make_room=Faulty) as hub, closing(hub.join(2)) as (ann, bob):
        lobby = hub.hub.rooms.lobby
        assert isinstance(lobby, Faulty)
        if step == "joined":
            lobby.fails = step
        with closing(hub.join(1)) as (unlucky,):
            lobby.fails = step if step != "joined" else ""
            if step == "lines":
                hub.say(unlucky, b"fail\n")
            if step == "left":
                hub.deliver(unlucky, b"", fin=True)
                hub.turns_until(hub.endings)
                assert unlucky.rest() == b""
            else:
                assert unlucky.rest() == bye("internal_error")
        hub.turns_until(hub.endings)
        assert 3 not in [outbox.id for outbox in hub.hub.rooms.lobby.members()]
        hub.say(ann, b"after\n")
        for peer in (ann, bob):
            assert peer.line() == b"after\n"
        (fault,) = (record for record in hub.log if record[0] == "fault")
        trace = str(fault[1]["trace"])
        assert fault[1]["id"] == 3 and "ZeroDivisionError: a fault" in trace
        function, call = {
            "joined": ("joined", ".join("),
            "lines": ("_heard", ".extend("),
            "left": ("left", ".leave("),
        }[step]
        assert call in quoted(trace, function)
        hub.log.remove(fault)  # This one was expected.


def quoted(trace: str, function: str) -> str:
    """The line of this function of the relay modes that a trace quotes, checked against the source."""
    [(number, line)] = re.findall(rf'hub/modes/relay.py", line (\d+), in {function}\n +(.*)\n', trace)
    source = (ROOT / "hub/modes/relay.py").read_text().splitlines()
    assert source[int(number) - 1].strip() == line
    return str(line)


def test_client_that_cannot_be_watched_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "")

    stage = Stage()
    [inside] = stage.join()
    with monkeypatch.context() as broken:
        broken.setattr(stage.kernel.epoll, "register", no_memory)
        stage.join()
        [end] = stage.ends
    assert (end["id"], end["reason"], end["detail"]) == (2, "io_error", "epoll=ENOMEM")
    inside.send(b"still here\n")
    stage.rest()
    assert inside.got == b"still here\n"


# What a client may cost.


@pytest.mark.parametrize(
    ("lag_bytes", "near", "lagging"), [(1 << 20, 786_432, 524_288), (0, float("inf"), float("inf"))]
)
def test_thresholds_of_lag_follow_from_the_limit(lag_bytes: int, near: float, lagging: float) -> None:
    limits = Limits(lag_bytes=lag_bytes)
    assert (limits.near_bytes, limits.lagging_bytes) == (near, lagging)


def test_closed_client_leaves_no_timer_running() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1)) as (peer,):
        timers, client = hub.hub.timers, hub.client(peer)
        for timer in timers.by_id:
            timer.touch(client.id, hub.now_s)
        assert timers.timeout(hub.now_s) < timers.idle.timeout(hub.now_s) < math.inf
        timers.forget(client)
        assert timers.timeout(hub.now_s) == math.inf
        timers.idle.touch(client, hub.now_s)
        peer.close()
        hub.turns_until(hub.endings)
        assert timers.timeout(hub.now_s) == math.inf


def test_watching_again_costs_no_system_call() -> None:
    with SteppedHub() as hub, closing(hub.join(1)):
        client = hub.hub.connections.clients[1]
        before = hub.poller.calls["epoll_ctl"]
        for _ in range(3):
            hub.hub.connections.watch(client)
        assert hub.poller.calls["epoll_ctl"] == before
        client.outbox.refused(hub.now_s)
        for _ in range(2):
            hub.hub.connections.watch(client)
        assert hub.poller.calls["epoll_ctl"] == before + 1


# Output that nobody will get.


def test_dropped_output_is_unsent_and_items_counted_apart() -> None:
    scene = Scene(mode="broadcast")
    scene.fill(10)
    outbox, account = scene.client.outbox, scene.hub.account
    scene.hub.ready.put(scene.client, b"* a notice\n")
    lag, begun = outbox.lag_bytes, outbox.partial
    assert begun is not None and lag >= 10 * len(LINE) and 0 < begun.owed < len(LINE)
    outbox.drop(keep_partial=True)
    assert (account.unsent, outbox.losses.unsent_bytes, outbox.losses.unsent_item_bytes) == (lag, lag, 11)
    assert (outbox.partial, outbox.lag_bytes, outbox.items) == (begun, 0, ())
    for _ in range(2):
        outbox.drop()
        assert (account.unsent, outbox.losses.unsent_bytes) == (lag + begun.owed, lag + begun.owed)
        assert outbox.is_empty
