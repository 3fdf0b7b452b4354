"""Nothing that an implementation says leaves its place in a report."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from sdpo_ref.reports.badge import badge_text
from sdpo_ref.reports.document import Document
from sdpo_ref.reports.html import page
from sdpo_ref.reports.markdown import code, fenced, markdown, plain
from tests.reports.documents import HOSTILE, document, requirement

TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from([HOSTILE, "`" * 7, "~~~", "\u2028", "\r"])


def said(text: str) -> Document:
    """A document in which every text that an implementation can choose is this one."""
    failed = requirement(status="FAIL", reason=text)
    failed["checks"][0]["failure"] = dict.fromkeys(("expected", "got", "given", "message", "traceback", "output"), text)
    implementation = {
        "spec": text,
        "name": text,
        "capabilities": [text],
        "profile": {"base": text},
        "departures": {"alpha": {"declared": text, "paper": "0.5"}},
    }
    return document(failed, implementation=implementation, isolation={"network": text}, broken=[text])


class Tags(HTMLParser):
    """Collects the tags of a page, and whether each is closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Take note."""
        del attrs
        self.seen.append(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close it."""
        assert self.open.pop() == tag


def tags(document: Document) -> list[str]:
    """Tags of the page, in order; fails if they are not nested."""
    parser = Tags()
    parser.feed(page(document))
    parser.close()
    assert parser.open == []
    return parser.seen


@given(TEXT)
def test_html_has_the_same_tags_whatever_is_said(text: str) -> None:
    """The tags are those of a harmless text; no control character is left."""
    assert tags(said(text or "x")) == tags(said("harmless"))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page(said(text)))


def test_html_runs_and_loads_nothing() -> None:
    """No script, no address to load from, and a policy that forbids both."""
    text = page(said(HOSTILE))
    assert "<script" not in text
    assert not re.search(r"(src|href|url)\s*[=(]", text)
    assert "default-src 'none'" in text


@given(TEXT)
def test_a_fence_is_ended_by_itself_only(text: str) -> None:
    """The first line that could close the block is its last."""
    lines = fenced(text).split("\n")
    fence = lines[0].removesuffix("text")
    closing = [number for number, line in enumerate(lines) if re.fullmatch(rf" {{0,3}}`{{{len(fence)},}}\s*", line)]
    assert closing == [len(lines) - 1]


@given(TEXT)
def test_code_in_a_line_is_closed_by_itself_only(text: str) -> None:
    """No run of backticks within is as long as the one around it; a table's cell stays one cell."""
    found = code(text)
    (ticks,) = re.findall(r"^`+", found)
    assert ticks not in re.findall("`+", found[len(ticks) : -len(ticks)])
    assert "|" not in found
    assert "\n" not in found


@given(TEXT)
def test_prose_has_no_markup(text: str) -> None:
    """Every special letter is escaped, and all is on one line."""
    found = plain(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>|#~]", found)
    assert "\n" not in found


@given(TEXT)
def test_markdown_has_the_same_headings_whatever_is_said(text: str) -> None:
    """Outside of fences, the lines that begin a heading, a table or a block are those of a harmless text."""

    def outline(of: str) -> list[str]:
        lines, inside, kept = markdown(said(of)).split("\n"), "", []
        for line in lines:
            if inside:
                inside = "" if line == inside else inside
            elif found := re.match("`{3,}", line):
                inside = found[0]
            else:
                kept.append(re.split(r"[ :]", line)[0])
        return kept

    assert outline(text or "x") == outline("harmless")


@given(TEXT)
def test_a_badge_is_a_picture_whatever_the_version_is(text: str) -> None:
    """It is XML."""
    found = badge_text(document(requirement(), versions={"spec": text}), Path("badge.svg"))
    assert ET.fromstring(found).tag.endswith("svg")  # noqa: S314 - our own
