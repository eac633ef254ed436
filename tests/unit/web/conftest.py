"""A page on a real port, with a stand-in hub behind it, and the parts of one by themselves."""

from collections.abc import Iterator

import pytest

from hub.control.mailbox import Mailbox
from tests.unit.web.support import Clock, LiveTab, Served, StandInHub, make_summary
from web.hub_gateway import HubGateway


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with Served() as made:
        yield made


@pytest.fixture
def served(shared: Served) -> Served:
    """One page for all tests of a module, but for those that open tabs, which may outlast a test."""
    shared.reset()
    return shared


@pytest.fixture
def fresh() -> Iterator[Served]:
    """A page of the test's own; its hub has published once."""
    with Served() as made:
        made.publish()
        yield made


@pytest.fixture
def url(served: Served) -> str:
    return served.url


@pytest.fixture
def tab(fresh: Served) -> Iterator[LiveTab]:
    with LiveTab(fresh.url) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


@pytest.fixture
def hub(mailbox: Mailbox) -> Iterator[StandInHub]:
    """The hub's side of `mailbox`, and so of `gateway`."""
    stand_in = StandInHub(mailbox)
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def gateway(mailbox: Mailbox, clock: Clock) -> HubGateway:
    """The gateway by itself; the hub has published once."""
    made = HubGateway(mailbox, clock)
    made.publish(make_summary())
    return made
