"""The docs say what the code says: generated parts, close reasons, flags and links."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.close_reasons import CloseReason
from hub.config.values import AUTO_FLAG, FLAG
from tests.docs import DOCS, ROOT, WORKLOADS, flags, pages, written

MARKDOWN = sorted(path for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FOR_USERS = [ROOT / "README.md", *sorted(DOCS.glob("operate/*.md")), *sorted(DOCS.glob("reference/*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ELSEWHERE = ("http://", "https://", "mailto:")
NO_SETTINGS = {"--config", "--url", "--ready", "--to", "--help", "--version", "--build", "--broker"}
"""Flags of health, docker and ncat, and the one that names the file of settings."""


def name(path: Path) -> str:
    """How a page is called in the name of a test."""
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings: small letters, blanks as hyphens, no other punctuation."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> Iterator[str]:
    """The relative links of a page that lead to no file, or to no heading in it."""
    for link in LINK.findall(text):
        if link.startswith(ELSEWHERE):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", pages(), ids=name)
def test_a_generated_part_is_what_the_code_has_now(page: Path) -> None:
    assert page.read_text() == written(page.read_text()), "python -m tests.docs writes it"


def test_the_generated_parts_are_four() -> None:
    assert sum(page.read_text().count("<!-- generated: ") for page in pages()) == 4


@pytest.mark.promise("close-reasons-listed")
def test_troubleshooting_has_each_close_reason_that_is_given() -> None:
    told = re.findall(r"^## (\w+)$", (DOCS / "operate/troubleshooting.md").read_text(), re.MULTILINE)
    sources = [path.read_text() for path in (ROOT / "hub").rglob("*.py") if "reasons" not in path.stem]
    given = r"CloseReason\.([A-Z_0-9]+)\b(?!: \d)"  # A close code of a reason gives it to nobody.
    named = {found.lower() for text in sources for found in re.findall(given, text)}
    assert told == [reason.value for reason in CloseReason if reason.value in named]


def test_the_docs_for_users_name_only_flags_that_exist() -> None:
    known = {flag.name for flag in flags()}
    known |= {flag.name for of in WORKLOADS.values() for flag in flags(of)}
    known |= {f"--no-{flag.name[2:]}" for flag in flags() if flag.kind in (AUTO_FLAG, FLAG)}
    named = {
        found
        for page in FOR_USERS
        for found in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", page.read_text())
    }
    assert named - known - NO_SETTINGS == set()


@pytest.mark.parametrize("page", MARKDOWN, ids=name)
def test_a_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page, page.read_text())) == []


@pytest.mark.parametrize("link", ["none.md", "docs/none/README.md", "README.md#no-such-heading", "#none"])
def test_a_link_that_leads_nowhere_is_noticed(link: str) -> None:
    page = ROOT / "README.md"
    assert list(broken_links(page, f"[text]({link}) and [good](LICENSE)")) == [link]
