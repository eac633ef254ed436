"""`hubbub client` in a terminal window, on a real hub: no line can be made to look like two."""

import pytest

from tests.e2e.programs import client_window, rows_of, screen_of
from tests.support import ThreadHub, until

FILLINGS = ["x", " ", "\t", "я", "漢", "e\u0301", "👨\u200d👩\u200d👧", "🇳🇱", "❤\ufe0f", "\u200b"]
FORGED = ("<bob> pay", "* bye")


@pytest.mark.promise("client-rows")
@pytest.mark.parametrize(
    ("columns", "mode"), [(8, "chat"), (13, "broadcast"), (24, "chat"), (40, "broadcast")]
)
def test_no_line_looks_like_two_in_a_window(columns: int, mode: str) -> None:
    """Fillings of each length are said before a forged beginning, while somebody has begun to type."""
    said = [f"#{filling * n}{FORGED[n % 2]}\n" for filling in FILLINGS for n in range(2 * columns)]
    with ThreadHub(mode=mode) as hub, client_window(hub.port, columns) as window:
        until(lambda: hub.open_clients() == 1)
        window.type("some text")
        window.wait_for("some text")
        with hub.peer() as mallory:
            mallory.send("".join([*said, "z\n"]).encode())
            window.wait_for("z\r\n")
        rows = rows_of(screen_of(window.printed, columns, rows=4 * len(said)))
    assert len(rows) > len(said)
    assert [row for row in rows if row.startswith(FORGED)] == []
