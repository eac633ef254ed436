"""The numbers of the docs about the page, which the other tests know by their names in the sources."""

import pytest

from hub.config.settings import OWN_DESCRIPTORS, PAGE_CONNECTIONS
from web import handlers, history, hub_gateway, live, page_session, schema, snapshot_cache


@pytest.mark.promise("page-rows")
@pytest.mark.promise("page-tabs")
@pytest.mark.parametrize(
    ("number", "promised"),
    [
        pytest.param(hub_gateway.ROWS_FRESH_S, 0.25, id="rows are told again for so long"),
        pytest.param(hub_gateway.ANSWER_LIMIT_S, 2.0, id="the hub has so long to answer"),
        pytest.param(handlers.ALIVE_WITHIN_S, 3.0, id="livez, without a publication"),
        pytest.param(PAGE_CONNECTIONS, 256, id="connections"),
        pytest.param(OWN_DESCRIPTORS, 24, id="descriptors for the hub itself"),
        pytest.param(history.POINTS_MAX * history.INTERVAL_S, 300.0, id="the server's memory"),
        pytest.param(snapshot_cache.CLOSED_SHOWN, 20, id="closed clients of an update"),
        pytest.param(snapshot_cache.CLOSED_BYTES_MAX, 5000, id="bytes of them"),
        pytest.param(snapshot_cache.SILENT_S, 2.0, id="without a publication this is trouble"),
        pytest.param(schema.VIEW_LIMIT_MAX, 500, id="rows of an update"),
        pytest.param(live.SESSIONS_MAX, 64, id="tabs"),
        pytest.param(page_session.MESSAGE_BYTES_MAX, 4096, id="bytes of a message"),
        pytest.param(page_session.UPDATES_PER_S, 4, id="updates a second"),
        pytest.param(page_session.VIEWS_PER_S, 20, id="views a second"),
        pytest.param(page_session.MESSAGES_PER_S, 200, id="messages, before none is read for a second"),
        pytest.param(page_session.TAKE_S, 10.0, id="a tab has so long to take an update"),
        pytest.param(page_session.HEARTBEAT_S, 20.0, id="from ping to ping"),
    ],
)
def test_a_number_is_the_one_that_was_promised(number: float, promised: float) -> None:
    assert number == promised
