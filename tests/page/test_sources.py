"""Rules for the page's own files that can be read from them."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

SCRIPTS = sorted((ROOT / "static").glob("*.js"))
STYLES = sorted((ROOT / "static").glob("*.css"))
TEMPLATES = sorted((ROOT / "templates").glob("*.html"))
LINES_MAX = 200

MAKES_MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML|createContextualFragment|\beval\b"
    r"|new Function|srcdoc"
)
ELSEWHERE = re.compile(r"""["'(]\s*(https?:)?//""")
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", re.IGNORECASE)


def name(path: Path) -> str:
    return path.name


def test_there_is_something_to_check() -> None:
    assert len(SCRIPTS) > 10 and STYLES and TEMPLATES


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_is_short_enough_to_be_read_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX
    assert text.startswith("/* ")


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_no_script_makes_markup_out_of_text(path: Path) -> None:
    assert MAKES_MARKUP.findall(path.read_text()) == []


@pytest.mark.parametrize("path", [*SCRIPTS, *STYLES, *TEMPLATES], ids=name)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    assert ELSEWHERE.findall(path.read_text()) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_no_template_has_inline_code_or_switches_escaping_off(path: Path) -> None:
    text = path.read_text()
    assert INLINE.findall(text) == []
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_every_script_parses(path: Path, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the browser tests load every script anyway")
    module = tmp_path / f"{path.stem}.mjs"
    module.write_bytes(path.read_bytes())
    subprocess.run([node, "--check", module], check=True)


def test_the_picture_in_the_readme_is_there_and_small() -> None:
    assert "](docs/page.png)" in (ROOT / "README.md").read_text()
    picture = (ROOT / "docs" / "page.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (1440, 900)
    assert len(picture) < 250_000


@pytest.mark.parametrize(
    "sample",
    ["x.innerHTML = y", "new Function('x')", "document.write(x)", "eval (x)"],
)
def test_what_makes_markup_is_seen(sample: str) -> None:
    assert MAKES_MARKUP.search(sample)


@pytest.mark.parametrize(
    "sample", ["<script>x</script>", "<p style='x'>", '<a onclick="x">', "<style>", "<img src=x onerror=y>"]
)
def test_inline_code_is_seen(sample: str) -> None:
    assert INLINE.search(sample)


@pytest.mark.parametrize("sample", ['src="https://cdn.example/x.js"', "url(//cdn.example/x)", "'http://x'"])
def test_a_fetch_from_elsewhere_is_seen(sample: str) -> None:
    assert ELSEWHERE.search(sample)
