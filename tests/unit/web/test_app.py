"""The pieces that the application is put together from."""

import shutil
from pathlib import Path

import jinja2
import pytest

from hub.config.settings import Settings
from hub.control.mailbox import Mailbox
from web.app import build_app, files_version, find_files, read_assets, templates
from web.hub_gateway import HubGateway


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
        build_app(Settings(), HubGateway(mailbox, lambda: 0.0))


def test_assets_are_files_with_their_types(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_bytes(b"1")
    (tmp_path / "b.strange").write_bytes(b"2")
    (tmp_path / "folder").mkdir()
    assets = read_assets(tmp_path)
    assert {name: (one.content_type, one.body) for name, one in assets.items()} == {
        "a.js": ("text/javascript", b"1"),
        "b.strange": ("application/octet-stream", b"2"),
    }


def test_a_misspelt_name_in_a_template_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        templates({}).from_string("{{ sumary }}").render()


def test_templates_escape() -> None:
    assert templates({}).from_string("{{ nick }}").render(nick="<b>") == "&lt;b&gt;"


def test_the_address_of_an_asset_changes_with_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_bytes(b"1")
    first = templates(read_assets(tmp_path)).from_string("{{ asset('a.js') }}").render()
    (tmp_path / "a.js").write_bytes(b"2")
    second = templates(read_assets(tmp_path)).from_string("{{ asset('a.js') }}").render()
    assert first.startswith("/static/a.js?v=") and second.startswith("/static/a.js?v=")
    assert first != second


def test_the_version_of_all_files_changes_with_any_of_them(tmp_path: Path) -> None:
    static, made = tmp_path / "static", tmp_path / "templates"
    for path, text in ((static / "a.js", "1"), (static / "b.js", "2"), (made / "page.html", "3")):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def version() -> str:
        return files_version(read_assets(static), made)

    seen = [version(), version()]
    assert seen[0] == seen[1]
    (static / "b.js").write_text("other")
    seen.append(version())
    (static / "b.js").rename(static / "c.js")
    seen.append(version())
    (made / "page.html").write_text("other")
    seen.append(version())
    assert len(set(seen)) == 4


def test_an_asset_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        templates({}).from_string("{{ asset('none.js') }}").render()
