"""The pieces that the application is put together from."""

import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

from hub.config.settings import Settings
from tests.support import ROOT
from web.app import build_app, files_version, find_files, read_assets, templates
from web.hub_gateway import HubGateway


def test_missing_files_are_an_error_that_names_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: HubGateway
) -> None:
    monkeypatch.setattr("web.app.__file__", str(tmp_path / "web" / "app.py"))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        build_app(Settings(), gateway)


def test_assets_are_files_with_their_types(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_bytes(b"1")
    (tmp_path / "b.strange").write_bytes(b"2")
    (tmp_path / "folder").mkdir()
    assets = read_assets(tmp_path)
    assert {name: (one.content_type, one.body) for name, one in assets.items()} == {
        "a.js": ("text/javascript", b"1"),
        "b.strange": ("application/octet-stream", b"2"),
    }


def test_every_kind_of_file_that_is_shipped_has_its_type() -> None:
    kinds = {Path(name).suffix: one.content_type for name, one in read_assets(find_files("static")).items()}
    assert kinds == {".css": "text/css", ".js": "text/javascript"}


@pytest.mark.parametrize("table", [b"text/plain js css\n", b"text/x-\xe9 js\n"])
def test_the_machines_table_of_types_has_no_say(tmp_path: Path, table: bytes) -> None:
    (tmp_path / "mime.types").write_bytes(table)
    code = "import mimetypes, sys; mimetypes.knownfiles[:] = sys.argv[1:]; from web import app; "
    code += "print(*{one.content_type for one in app.read_assets(app.find_files('static')).values()})"
    command = [sys.executable, "-c", code, str(tmp_path / "mime.types")]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=30, text=True)
    assert (set(done.stdout.split()), done.stderr) == ({"text/javascript", "text/css"}, "")


@pytest.mark.parametrize(
    ("template", "error"), [("{{ sumary }}", jinja2.UndefinedError), ("{{ asset('none.js') }}", KeyError)]
)
def test_a_misspelt_name_in_a_template_is_an_error(template: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        templates({}).from_string(template).render()


def test_templates_escape() -> None:
    assert templates({}).from_string("{{ nick }}").render(nick="<b>") == "&lt;b&gt;"


def test_the_address_of_an_asset_changes_with_its_bytes(tmp_path: Path) -> None:
    seen = set()
    for content in (b"1", b"2"):
        (tmp_path / "a.js").write_bytes(content)
        seen.add(templates(read_assets(tmp_path)).from_string("{{ asset('a.js') }}").render())
    assert len(seen) == 2 and all(address.startswith("static/a.js?v=") for address in seen)


def test_the_version_of_all_files_changes_with_any_of_them(tmp_path: Path) -> None:
    static, made = tmp_path / "static", tmp_path / "templates"
    seen = []

    def write(path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        seen.append(files_version(read_assets(static), made))

    made.mkdir()
    write(static / "a.js", "1")
    write(static / "a.js", "1")
    write(static / "b.js", "2")
    write(static / "b.js", "other")
    write(made / "page.html", "3")
    (static / "b.js").rename(static / "c.js")
    write(made / "page.html", "3")
    assert seen[0] == seen[1] and len(set(seen)) == 5
