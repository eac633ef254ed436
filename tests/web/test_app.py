"""The pieces that the application is put together from."""

import shutil
from pathlib import Path

import jinja2
import pytest

from hub.mailbox import Mailbox
from hub.settings import Settings
from web.app import build_app, duration, find_files, number, read_assets, templates, utc
from web.feed import Feed


def test_files_are_found_in_a_checkout() -> None:
    assert (find_files("static") / "hubbub.css").is_file()
    assert (find_files("templates") / "base.html").is_file()


def test_files_inside_the_package_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "web" / "static").mkdir(parents=True)
    monkeypatch.setattr("web.app.__file__", str(tmp_path / "web" / "app.py"))
    assert find_files("static") == tmp_path / "web" / "static"
    shutil.rmtree(tmp_path / "web" / "static")
    assert find_files("static") == tmp_path / "static"


def test_missing_files_are_an_error_that_names_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox
) -> None:
    monkeypatch.setattr("web.app.__file__", str(tmp_path / "web" / "app.py"))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        build_app(Settings(), Feed(mailbox, lambda: 0.0))


def test_assets_are_files_with_their_types(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_bytes(b"1")
    (tmp_path / "b.strange").write_bytes(b"2")
    (tmp_path / "folder").mkdir()
    assert read_assets(tmp_path) == {
        "a.js": ("text/javascript", b"1"),
        "b.strange": ("application/octet-stream", b"2"),
    }


def test_a_misspelt_name_in_a_template_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        templates().from_string("{{ sumary }}").render()


def test_templates_escape() -> None:
    assert templates().from_string("{{ nick }}").render(nick="<b>") == "&lt;b&gt;"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (5.25, "5.2 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
        (100 * 86_400 + 7200, "100 d 2 h"),
    ],
)
def test_durations_show_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_are_grouped_by_thousands() -> None:
    assert number(1_234_567).replace("\u202f", " ") == "1 234 567"
    assert number(999) == "999"


def test_moments_are_shown_in_utc() -> None:
    assert utc(1_700_000_000) == "2023-11-14 22:13:20"
