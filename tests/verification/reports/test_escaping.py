"""Whatever text is in a report, every form of the report has the structure that it has with harmless text."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.reports.badge import badge_as_json, badge_as_svg
from sdpo_ref.verification.reports.diff import difference
from sdpo_ref.verification.reports.gfm import code, fence, plain
from sdpo_ref.verification.reports.junit import junit
from sdpo_ref.verification.reports.markdown import markdown
from sdpo_ref.verification.reports.page import page
from sdpo_ref.verification.reports.side_by_side import matrix, matrix_as_markdown, matrix_as_page
from tests.verification.reports.examples import everything, filled, read

HOSTILE = (
    "</script><script>alert(1)</script>",
    '" onload="x" <!-- --> <style> ]]> &amp; &#60;',
    "a | b \\| c",
    "```` ``` ` ~~~~",
    "x\n\n# heading\n\n- item\n\n```\nout\n```",
    "- item",
    "1. item",
    "***",
    "\x1b[31m\x00\x07\x85\u202e\u2066\u2028\ufeff\ufffe",
    "</details><img src=x> ![a](b) [c](javascript:d) <https://e.f>",
    "https://example.org/ www.example.org me@example.org",
    "javascript:alert(1)",
    "text\r\nmore\r",
    "\\",
    "`",
    "|",
)
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), min_size=1)).filter(
    lambda text: bool(text.split())
)
OLD = read(everything())
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class Elements(HTMLParser):
    """Collects elements, their attributes, and those that were not closed in order."""

    def __init__(self, text: str, *, whole: bool = True) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.whole = whole
        self.others: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note."""
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]
        self.open += [] if tag == "meta" else [tag]

    def handle_endtag(self, tag: str) -> None:
        """Close."""
        assert not self.whole or self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        """There is none."""
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        """There is none."""
        self.others.append(data)


def unlinked(page: Elements) -> list[tuple[str, tuple[str, ...]]]:
    """Its elements, a link to the web as the text that it is where the address is none."""
    return [("span", ()) if it == ("a", ("href", "rel")) else it for it in page.found]


def outline(tokens: list[Token]) -> list[str]:
    """Blocks, and what is in their lines but text."""
    found = []
    for token in tokens:
        found.append(token.type + token.markup.strip("`"))
        found += [
            child.type for child in token.children or () if child.type not in {"text", "softbreak", "text_special"}
        ]
    return found


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"linkify": False}).enable("table").parse(text)


@settings(max_examples=40)
@given(text=TEXTS)
@example(text=HOSTILE[0])
@example(text=HOSTILE[1])
def test_a_page_has_no_element_that_text_brought_along(text: str) -> None:
    """Elements, their attributes and their order are those of harmless text; nothing is invisible, nothing runs."""
    shown, harmless = (page(it, difference(OLD, it)) for it in (filled(text), filled("x")))
    found = Elements(shown)
    assert (found.open, found.others) == ([], [])
    assert unlinked(found) == unlinked(Elements(harmless))
    assert all(it.startswith(("#", "https://", "http://")) for it in found.addresses)
    assert not UNSEEN.search(shown)


def test_a_page_asks_for_nothing() -> None:
    """No address but links that a person may follow, no script, and a policy that admits its own style only."""
    shown = page(read(everything()))
    found = Elements(shown)
    assert {name for name, _ in found.found}.isdisjoint({"script", "img", "link", "iframe", "object", "form"})
    assert {it for it in found.addresses if not it.startswith("#")} == {"https://example.org/1"}
    assert "default-src 'none'; style-src 'sha256-" in shown
    assert "url(" not in shown
    assert "@import" not in shown


@settings(max_examples=60)
@given(text=TEXTS)
@example(text=HOSTILE[5])
@example(text=HOSTILE[7])
def test_markdown_keeps_its_blocks(text: str) -> None:
    """A parser of CommonMark with tables finds the blocks of harmless text: no heading, link, tag or cell more."""
    shown = markdown(filled(text))
    assert outline(parsed(shown)) == outline(parsed(markdown(filled("x"))))
    blocks = [token.content for token in parsed(shown) if token.type == "html_block"]
    allowed = {("details", ()), ("summary", ()), ("b", ())}
    assert {it for block in blocks for it in Elements(block, whole=False).found} == allowed
    assert not UNSEEN.search(shown)


@given(text=TEXTS)
def test_a_fence_shows_what_was_printed(text: str) -> None:
    """It is one block whose content is the text with its invisible characters spelled out."""
    (token,) = parsed(fence(text))
    assert token.type == "fence"
    assert token.content == f"{printable(text)}\n"


@given(text=TEXTS)
def test_code_in_a_line_shows_what_was_printed(text: str) -> None:
    """It is one piece of code, whatever backticks are in it."""
    (block,) = [token for token in parsed(f"x {code(text)} x") if token.type == "inline"]
    children = block.children or []
    assert [child.type for child in children] == ["text", "code_inline", "text"]
    assert children[1].content == " ".join(printable(text).split())


@given(text=TEXTS)
def test_plain_text_means_nothing(text: str) -> None:
    """At the beginning of a list's item, in a cell and in a tag, it is text."""
    shown = plain(text)
    assert outline(parsed(f"- {shown}")) == outline(parsed("- x"))
    assert outline(parsed(f"| a |\n| --- |\n| {shown} |")) == outline(parsed("| a |\n| --- |\n| x |"))
    assert Elements(f"<b>{shown}</b>").found == [("b", ())]
    assert not re.search(r"://|www\.\w|\w@", shown)


@settings(max_examples=60)
@given(text=TEXTS)
@example(text=HOSTILE[8])
def test_xml_is_well_formed(text: str) -> None:
    """JUnit and the picture of a badge parse, and have the elements of harmless text."""

    def elements(made: str) -> list[str]:
        return [it.tag for it in ET.fromstring(made).iter()]  # noqa: S314 - written by ourselves

    for form in (junit, badge_as_svg):
        assert elements(form(filled(text))) == elements(form(filled("x")))


@settings(max_examples=30)
@given(text=TEXTS)
def test_a_matrix_keeps_its_cells(text: str) -> None:
    """In Markdown and in HTML."""
    shown, harmless = (matrix([filled(it), read(everything())], ["a", "b"], everything=True) for it in (text, "x"))
    assert outline(parsed(matrix_as_markdown(shown))) == outline(parsed(matrix_as_markdown(harmless)))
    assert Elements(matrix_as_page(shown)).found == Elements(matrix_as_page(harmless)).found


@given(text=TEXTS)
def test_lines_for_a_terminal_stay_lines(text: str) -> None:
    """A difference has no control characters, and no line more than it has changes."""
    lines = difference(OLD, filled(text)).lines()
    assert len(lines) == len(difference(OLD, filled("x")).lines())
    assert not any(UNSEEN.search(line) or "\n" in line for line in lines)


@given(text=TEXTS)
def test_a_badge_is_json(text: str) -> None:
    """Of the endpoint's schema."""
    assert json.loads(badge_as_json(filled(text)))["schemaVersion"] == 1
