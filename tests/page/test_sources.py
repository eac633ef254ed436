"""Rules for the page's own files that can be read from them."""

import re
import struct
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
FROM_THE_ROOT = re.compile(r"""(?:href|src|action)=["']/|url\(["']?/|["'`]/(?:api|static|live|readyz)\b""")
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", re.IGNORECASE)
UNESCAPED = re.compile(r"\|\s*safe|autoescape")
RULES = [
    (MAKES_MARKUP, SCRIPTS, ["x.innerHTML = y", "new Function('x')", "document.write(x)", "eval (x)"]),
    (
        ELSEWHERE,
        [*SCRIPTS, *STYLES, *TEMPLATES],
        ['src="https://cdn.x/x.js"', "url(//cdn.x/x)", "'http://x'"],
    ),
    (
        FROM_THE_ROOT,
        [*SCRIPTS, *STYLES, *TEMPLATES],
        ['<a href="/api/rooms">', "url(/static/x)", "fetch('/live')"],
    ),
    (INLINE, TEMPLATES, ["<script>x</script>", "<p style='x'>", "<style>", "<img src=x onerror=y>"]),
    (UNESCAPED, TEMPLATES, ["{{ nick | safe }}", "{% autoescape false %}"]),
]
"""What no file may hold, the files, and samples that do. An address from the root is wrong below a path."""


@pytest.mark.parametrize(("rule", "path"), [(rule, path) for rule, paths, _ in RULES for path in paths])
def test_no_file_breaks_a_rule(rule: re.Pattern[str], path: Path) -> None:
    assert rule.findall(path.read_text()) == []


@pytest.mark.parametrize(("rule", "sample"), [(rule, text) for rule, _, samples in RULES for text in samples])
def test_what_breaks_a_rule_is_seen(rule: re.Pattern[str], sample: str) -> None:
    assert rule.search(sample)


def test_scripts_are_short_and_say_what_they_are() -> None:
    assert len(SCRIPTS) > 10 and STYLES and TEMPLATES
    for path in SCRIPTS:
        text = path.read_text()
        assert len(text.splitlines()) <= LINES_MAX, path
        assert text.startswith("/* "), path


def test_the_picture_in_the_readme_is_there_and_small() -> None:
    assert "](docs/page.png)" in (ROOT / "README.md").read_text()
    picture = (ROOT / "docs" / "page.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (1440, 900)
    assert len(picture) < 250_000
