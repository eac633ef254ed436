"""A page on a real port of its own, with a stand-in hub behind it, for each test."""

from collections.abc import Iterator

import pytest

from hub.config.settings import Settings
from hub.control.mailbox import Mailbox
from tests.unit.web.support import Clock, StandInHub, make_summary
from web.thread import WebThread


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


@pytest.fixture
def hub(mailbox: Mailbox) -> Iterator[StandInHub]:
    stand_in = StandInHub(mailbox)
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def page(mailbox: Mailbox, clock: Clock) -> Iterator[WebThread]:
    """Not started; what it owns is given back in any case."""
    settings = Settings(web_port=0, allowed_hosts=("Hub.Example", "one.example:7777"))
    thread = WebThread(settings, mailbox, clock=clock)
    yield thread
    thread.stop()


@pytest.fixture
def url(page: WebThread, hub: StandInHub) -> str:
    """The page's URL, served, with a hub behind it that has published once."""
    page.gateway.publish(make_summary())
    return page.start()
