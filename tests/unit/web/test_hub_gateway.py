"""The gateway by itself: a real mailbox, and a hub's side that the test or the stand-in plays."""

import asyncio
import math

import pytest

import web.hub_gateway
from hub.control.mailbox import Mailbox, WantRows
from tests.unit.web.support import Clock, StandInHub, make_row, make_summary
from web.hub_gateway import ROWS_FRESH_S, UNANSWERED_MAX, UNFETCHED_MAX, HubGateway, HubSilent
from web.schema import RUN_ROWS


def test_the_newest_publication_is_served_and_ages(mailbox: Mailbox, clock: Clock) -> None:
    gateway = HubGateway(mailbox, clock)
    assert (gateway.latest, gateway.age_s, gateway.ws_port) == (None, math.inf, 0)
    newest = make_summary(turns=2)
    gateway.publish(make_summary(turns=1))
    gateway.publish(newest)
    clock.now_s += 1.5
    assert gateway.latest is newest
    assert gateway.age_s == 1.5


def test_every_publication_is_heard_once_and_in_order(gateway: HubGateway) -> None:
    heard: list[list[int]] = []

    async def hear() -> None:
        gateway.publish(make_summary(turns=8))  # Before anybody listens.
        gateway.on_publish(lambda made: heard.append([summary.turns for summary in made]))
        await asyncio.sleep(0)
        gateway.publish(make_summary(turns=2))
        gateway.publish(make_summary(turns=3))
        while len(heard) < 2:
            await asyncio.sleep(0.001)
        gateway.publish(make_summary(turns=4))
        while len(heard) < 3:
            await asyncio.sleep(0.001)

    asyncio.run(hear())
    assert heard == [[7, 8], [2, 3], [4]]


def test_a_page_that_is_stuck_or_gone_costs_the_hub_nothing(gateway: HubGateway) -> None:
    loop = asyncio.new_event_loop()

    async def listen() -> None:
        gateway.on_publish(lambda made: None)
        await asyncio.sleep(0)
        for turns in range(UNFETCHED_MAX * 3):  # This loop does not turn meanwhile.
            gateway.publish(make_summary(turns=turns))
        assert len(loop._ready) <= 1  # type: ignore[attr-defined]  # no public way to count what waits

    loop.run_until_complete(listen())
    loop.close()
    for turns in range(3):
        gateway.publish(make_summary(turns=turns))
    assert gateway.latest is not None and gateway.latest.turns == 2


def test_those_who_ask_for_rows_together_share_one_question(gateway: HubGateway, mailbox: Mailbox) -> None:
    async def ask_five_times() -> None:
        asking = [asyncio.create_task(gateway.rows()) for _ in range(5)]
        while not (commands := mailbox.take(10)):
            await asyncio.sleep(0)
        assert [type(command) for command in commands] == [WantRows]
        assert isinstance(commands[0], WantRows)
        commands[0].reply([make_row(1)])
        assert await asyncio.gather(*asking) == [[[make_row(1)]]] * 5
        assert mailbox.take(10) == []

    asyncio.run(ask_five_times())


@pytest.mark.promise("page-rows")
def test_fresh_rows_are_served_again_and_stale_ones_are_not(
    gateway: HubGateway, clock: Clock, hub: StandInHub
) -> None:
    async def ask_thrice() -> list[int]:
        seen = []
        for number, later_s in ((0, 0.0), (2, ROWS_FRESH_S * 0.9), (3, ROWS_FRESH_S * 0.2)):
            hub.rows = [make_row(number)] * number  # Of an empty hub, too.
            clock.now_s += later_s
            seen.append(sum(map(len, await gateway.rows())))
        return seen

    assert asyncio.run(ask_thrice()) == [0, 0, 3]
    assert hub.asked == ["WantRows", "WantRows"]


def test_rows_come_in_runs_and_stay_whole_when_newer_ones_come(
    gateway: HubGateway, clock: Clock, hub: StandInHub
) -> None:
    async def hold_and_ask() -> None:
        hub.rows = [make_row(number) for number in range(RUN_ROWS + 3)]
        held = await gateway.rows()
        assert [len(run) for run in held] == [RUN_ROWS, 3]
        hub.rows = []
        clock.now_s += 1
        assert await gateway.rows() == []
        assert [row.id for run in held for row in run] == list(range(RUN_ROWS + 3))

    asyncio.run(hold_and_ask())


def test_a_silent_hub_is_an_error_after_the_time_limit(
    gateway: HubGateway, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.hub_gateway, "ANSWER_LIMIT_S", 0.05)

    async def ask_silent_then_awake() -> None:
        with pytest.raises(HubSilent, match="does not answer"):
            await gateway.rows()
        asking = asyncio.create_task(gateway.rows())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stand_in = StandInHub(mailbox)
        stand_in.rows = [make_row(9)]
        stand_in.answer_all()
        assert stand_in.asked == ["WantRows"] * 2
        assert [row.id for run in await asking for row in run] == [9]

    asyncio.run(ask_silent_then_awake())


def test_questions_to_a_stuck_hub_are_bounded_and_go_on_later(gateway: HubGateway, mailbox: Mailbox) -> None:
    async def ask_too_much() -> None:
        asking = [asyncio.create_task(gateway.client(number)) for number in range(UNANSWERED_MAX + 20)]
        refused, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert len(refused) == 20
        assert all(isinstance(task.exception(), HubSilent) for task in refused)
        stand_in = StandInHub(mailbox)
        stand_in.answer_all()
        assert len(stand_in.asked) == UNANSWERED_MAX
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert sum(answer is None for answer in answers) == UNANSWERED_MAX
        late = asyncio.create_task(gateway.client(5))
        await asyncio.sleep(0)
        stand_in.answer_all()
        assert await late is None

    asyncio.run(ask_too_much())


def test_a_reply_after_the_asker_gave_up_is_dropped(gateway: HubGateway, mailbox: Mailbox) -> None:
    async def leave_and_be_answered() -> None:
        asking = asyncio.create_task(gateway.client(1))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        StandInHub(mailbox).answer_all()
        failures: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert failures == []
        asking = asyncio.create_task(gateway.client(2))  # Its answer comes when the page is gone.
        await asyncio.sleep(0)

    asyncio.run(leave_and_be_answered())
    StandInHub(mailbox).answer_all()
