"""How much of what was said a room keeps for those who come later."""

import pytest

from tests.loop.scene import KERNEL_BYTES, SMALL_LAG, Scene
from tests.sim.stage import BROWSERS, LINES, Stage
from tests.unit.protocol.support import text

KEPT = 256 * 1024
LINE = b"x" * 989 + b"\n"
SAID = len(b"<guest-1> ") + len(LINE)


def bytes_shown(stage: Stage) -> int:
    """To somebody who comes now."""
    [late] = stage.join()
    return late.got.count(LINE) * SAID


@pytest.mark.promise("chat-history")
@pytest.mark.parametrize("history", [0, 1, 20])
def test_joiner_is_shown_as_many_lines_as_history_says(history: int) -> None:
    stage = Stage(mode="chat", history=history, announce=0)
    [talker] = stage.join()
    for number in range(30):
        talker.send(b"%02d\n" % number)
        stage.rest()
    [late] = stage.join()
    [_, *shown] = late.got.splitlines()
    if history:
        plural = b"s" if history > 1 else b""
        first = b"* history: %d line%b of lobby, the newest 0 s old" % (history, plural)
        assert (shown.pop(0), shown.pop()) == (first, b"* end of history")
    assert shown == [b"<guest-1> %02d" % number for number in range(30 - history, 30)]


@pytest.mark.promise("chat-history")
@pytest.mark.parametrize(
    ("lag", "shown"), [(1024 * 1024, KEPT), (2 * KEPT, KEPT), (384 * 1024, 192 * 1024), (0, KEPT)]
)
def test_joiner_is_shown_at_most_256_kib_and_half_the_lag(lag: int, shown: int) -> None:
    stage = Stage(mode="chat", history=10_000, announce=0, max_lag_bytes=lag)
    [talker] = stage.join()
    for _ in range(KEPT // SAID // 10 + 2):
        talker.send(LINE * 10)
        stage.rest()
    assert shown - SAID < bytes_shown(stage) <= shown


@pytest.mark.promise("chat-history")
@pytest.mark.parametrize("lag", [1024 * 1024, SMALL_LAG])
def test_joiner_is_shown_no_more_while_the_log_is_held_back(lag: int) -> None:
    """And what is shown on demand is the same."""
    scene = Scene(others=3, mode="chat", history=10_000, max_lag_bytes=lag)
    scene.talk_until(lambda: scene.client.outbox.lag_bytes > scene.hub.limits.lagging_bytes, LINE * 8)
    log, shown = scene.hub.rooms.lobby.log, min(KEPT, lag // 2)
    assert log.head - log.chunks[0].start > shown
    assert shown - SAID < bytes_shown(scene.stage) <= shown
    before, [asker, *_] = len(scene.others[0].got), scene.others
    asker.send(b"/history 10000\n")
    scene.stage.rest()
    assert asker.got[before:].count(LINE) == min(shown, 64 * 1024) // SAID


@pytest.mark.promise("chat-past")
def test_history_of_an_empty_lobby_is_talk_and_says_its_age() -> None:
    stage = Stage(mode="chat")
    for words in (b"hello\n", b"is there anybody?\n"):
        [alone] = stage.join()
        alone.send(words + b"/join tea\n/quit\n")
        stage.rest()
    stage.pass_time(3600)
    stage.suspended_s = 3600
    [late] = stage.join()
    assert late.got.splitlines()[1:] == [
        *(b"* history: 2 lines of lobby, the newest 2 h 0 min old", b"<guest-1> hello"),
        *(b"<guest-2> is there anybody?", b"* end of history"),
    ]


@pytest.mark.promise("chat-past")
@pytest.mark.parametrize("patience_s", [0.0, 0.2], ids=["at once", "after the greeting"])
@pytest.mark.parametrize("end", ["half_close", "close"])
def test_silent_connections_leave_talk_and_history_alone(end: str, patience_s: float) -> None:
    stage = Stage(mode="chat", history=3)
    [talker] = stage.join()
    talker.send(b"one\ntwo\n")
    stage.rest()
    before = talker.got
    for _ in range(30):
        [probe] = stage.arrive()
        stage.rest()
        stage.pass_time(patience_s)
        getattr(probe, end)()
        stage.rest()
    assert talker.got == before
    [late] = stage.join()
    assert late.got.splitlines()[2:] == [b"<guest-1> one", b"<guest-1> two", b"* end of history"]


@pytest.mark.promise("chat-history")
@pytest.mark.parametrize(("slow", "listener"), [("disconnect", LINES), ("skip", LINES), ("skip", BROWSERS)])
def test_slow_joiner_reads_all_of_a_long_history_and_stays(slow: str, listener: int) -> None:
    stage = Stage(mode="chat", history=1000, announce=0, max_lag_bytes=SMALL_LAG, slow=slow)
    [talker] = stage.join()
    talker.send(b"/join tea\n")
    for _ in range(SMALL_LAG * 2 // SAID):
        talker.send(LINE)
        stage.rest()
    [late] = stage.join(listener=listener, out=KERNEL_BYTES, reads=False)
    client = stage.client(late)
    late.send(b"/join tea\n" if listener == LINES else text("/join tea"))
    stage.rest()
    assert client.outbox.blocked
    late.reads = True
    stage.rest()
    assert (client.close.reason, client.outbox.closed, client.outbox.losses.skipped_lines) == (None, False, 0)
    assert late.got.count(LINE.rstrip()) == SMALL_LAG // 2 // SAID
