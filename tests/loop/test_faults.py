"""Faults of the hub's own cost one client; and small deeds that several steps share."""

import errno
import math

import pytest

from hub.loop.limits import Limits
from hub.session.client import Client
from tests.loop.scene import LINE, Scene
from tests.loop.support import SteppedHub
from tests.sim.stage import Stage
from tests.support import bye, closing

# Faults.


@pytest.mark.parametrize("step", ["joined", "lines", "left"])
def test_fault_of_the_mode_costs_its_client_only(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(client: Client, *_: object) -> None:
        if client.id == 3 or step == "lines":
            raise ZeroDivisionError("a fault")

    with SteppedHub() as hub, closing(hub.join(2)) as (ann, bob):
        with monkeypatch.context() as broken:
            broken.setattr(hub.hub.mode, step, fail)
            with closing(hub.join(1)) as (unlucky,):
                if step == "lines":
                    hub.say(unlucky, b"fail\n")
                if step == "left":
                    hub.deliver(unlucky, b"", fin=True)
                    hub.turns_until(hub.endings)
                    assert unlucky.rest() == b""
                else:
                    assert unlucky.rest() == bye("internal_error")
        hub.turns_until(hub.endings)
        assert 3 not in hub.hub.rooms.lobby.members
        hub.say(ann, b"after\n")
        for peer in (ann, bob):
            assert peer.line() == b"after\n"
        (fault,) = (record for record in hub.log if record[0] == "fault")
        assert fault[1]["id"] == 3 and "ZeroDivisionError: a fault" in str(fault[1]["trace"])
        hub.log.remove(fault)  # This one was expected.


def test_client_that_cannot_be_watched_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "")

    stage = Stage()
    [inside] = stage.join()
    with monkeypatch.context() as broken:
        broken.setattr(stage.poller, "want", no_memory)
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
        timers = hub.hub.timers
        for timer in timers.all:
            timer.touch(1, hub.now_s)
        timers.forget(1)
        assert {timer.timeout(hub.now_s) for timer in timers.all} == {math.inf}
        timers.idle.touch(1, hub.now_s)
        peer.close()
        hub.turns_until(hub.endings)
        assert timers.idle.timeout(hub.now_s) == math.inf


def test_watching_again_costs_no_system_call() -> None:
    with SteppedHub() as hub, closing(hub.join(1)):
        client, calls = hub.hub.connections.clients[1], hub.poller.calls
        before = calls["epoll_ctl"]
        for _ in range(3):
            hub.hub.connections.watch(client)
        assert calls["epoll_ctl"] == before
        client.outbox.refused(hub.now_s)
        for _ in range(2):
            hub.hub.connections.watch(client)
        assert calls["epoll_ctl"] == before + 1


# Output that nobody will get.


def test_dropped_output_is_unsent_and_items_counted_apart() -> None:
    scene = Scene(mode="broadcast")
    scene.fill(10)
    outbox, account = scene.client.outbox, scene.hub.account
    scene.hub.ready.put(scene.client, b"* a notice\n")
    lag, begun = outbox.lag_bytes, outbox.partial
    assert begun is not None and lag >= 10 * len(LINE) and 0 < begun.owed < len(LINE)
    outbox.drop(keep_partial=True)
    assert (account.unsent, outbox.unsent_bytes, outbox.unsent_item_bytes) == (lag, lag, 11)
    assert (outbox.partial, outbox.lag_bytes, outbox.items) == (begun, 0, [])
    for _ in range(2):
        outbox.drop()
        assert (account.unsent, outbox.unsent_bytes) == (lag + begun.owed, lag + begun.owed)
        assert outbox.is_empty
