"""The clients of a fan-out: who hears whom, and what is said of servers that do not fan out."""

import pytest

from bench.load import room as gathering
from bench.load.options import FanoutOptions
from bench.load.result import LoadError
from bench.load.room import Room, gather
from bench.load.wire import ChatWire, LineWire, Wire
from tests.support import ThreadHub

READERS, WRITERS, SIZE = 7, 3, 40


def gathered(hub: ThreadHub, wire: Wire | None = None, writer_port: int = 0) -> Room:
    options = FanoutOptions(
        port=hub.port, readers=READERS, writers=WRITERS, size=SIZE, writer_port=writer_port
    )
    return gather(options, wire or LineWire())


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "TRIALS", 1)


@pytest.mark.parametrize("self_echo", [True, False])
def test_writers_of_a_hub_hear_the_others(self_echo: bool) -> None:
    with ThreadHub(self_echo=self_echo) as hub:
        room = gathered(hub)
        assert room.writers_hear
        assert room.per_line == READERS + WRITERS - (not self_echo)
        assert room.delivery_bytes == SIZE
        assert (len(room.readers), len(room.writers)) == (READERS, WRITERS)
        room.close()


def test_writers_on_a_write_only_port_hear_nothing() -> None:
    with ThreadHub(write_only_port=0) as hub:
        room = gathered(hub, writer_port=hub.write_only_port)
        assert not room.writers_hear
        assert room.per_line == READERS
        room.close()


def test_replies_to_writers_are_no_deliveries() -> None:
    """A wire says whether what a writer receives are lines of the room."""

    class RepliesWire(LineWire):
        self_delivery = False

    with ThreadHub() as hub:
        room = gathered(hub, RepliesWire())
        assert (room.writers_hear, room.per_line) == (False, READERS)
        room.close()


def test_nicks_of_a_chat_have_one_length() -> None:
    with ThreadHub(mode="chat") as hub:
        room = gathered(hub, ChatWire())
        assert room.delivery_bytes == SIZE + len("<b00001> ")
        assert room.per_line == READERS + WRITERS
        room.close()


def test_a_chat_without_its_wire_is_named() -> None:
    with ThreadHub(mode="chat") as hub, pytest.raises(LoadError, match="--chat"):
        gathered(hub)


def test_a_server_that_only_echoes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ANSWER_S", 0.1)
    with (
        ThreadHub(mode="echo") as hub,
        pytest.raises(LoadError, match=f"^{READERS} of {READERS} read"),
    ):
        gathered(hub)


def test_a_reader_waits_for_what_makes_it_subscribed(monkeypatch: pytest.MonkeyPatch) -> None:
    class SubscribeWire(ChatWire):
        def __init__(self, ready: bytes) -> None:
            super().__init__()
            self._ready = ready

        def subscribe(self) -> bytes:
            return b"/who\n"

        def ready(self) -> bytes | None:
            return self._ready

    monkeypatch.setattr(gathering, "GREETING_S", 1.0)
    with ThreadHub(mode="chat") as hub:
        gathered(hub, SubscribeWire(b"b00001")).close()
        with pytest.raises(LoadError, match="a reader is not subscribed within 1 s: no b'nothing' came"):
            gathered(hub, SubscribeWire(b"nothing"))


def test_a_server_that_closes_readers_is_named() -> None:
    with ThreadHub(max_clients=READERS) as hub, pytest.raises(LoadError, match="the server closed a conn"):
        gathered(hub)
