"""HTML in which text stays text, and a page that needs nothing else: only what :func:`tag` makes is markup.

The page's style is inside, and its policy forbids scripts and the network.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from sdpo_ref.verification.isolation.text import printable

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5b6570; --paper: #fff; --rule: #d5dae0; --box: #f5f7f9;
  --good: #17713a; --bad: #b3261e; --open: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --dim: #9aa5b1; --paper: #14171a; --rule: #363d45;
  --box: #1d2126; --good: #5ecb86; --bad: #ff8a80; --open: #f0b84a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
p, ul { margin: .4rem 0; }
.verdict { padding: .7rem 1rem; border-left: .4rem solid var(--open); background: var(--box); }
.verdict.good { border-color: var(--good); }
.verdict.bad { border-color: var(--bad); }
.verdict strong { font-size: 1.1rem; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.open { color: var(--open); }
.dim, dt { color: var(--dim); }
.verdict, .verdict strong { color: var(--ink); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .7rem 0;
  align-items: baseline; }
dd { margin: 0; min-width: 0; }
dl[id] { scroll-margin-top: 4rem; }
pre { margin: 0; white-space: pre-wrap; font: .85rem/1.45 ui-monospace, monospace; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top;
  overflow-wrap: normal; }
th { color: var(--dim); font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
td:first-child { white-space: nowrap; }
details { margin: .5rem 0; padding: .5rem .8rem; border: 1px solid var(--rule); border-radius: .35rem; }
summary { cursor: pointer; }
a { color: inherit; }
@media (max-width: 34rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
@media print {
  body { max-width: none; font-size: 10pt; }
  details { break-inside: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""


@dataclass(frozen=True)
class Markup:
    """Finished HTML, of another type than text.

    Attributes:
        html: the HTML.
    """

    html: str


def tag(name: str, *children: str | Markup, **attributes: str) -> Markup:
    """An element.

    Args:
        name: of the element.
        children: text, which is escaped, with control characters spelled out; or markup, which is not.
        attributes: text; an underscore at the end of a name is left out, so that ``class_`` is possible.

    Example:
        >>> tag("b", "<&", tag("i", "x"), class_='"').html
        '<b class="&quot;">&lt;&amp;<i>x</i></b>'
    """
    settings = "".join(f' {key.rstrip("_")}="{_escaped(text)}"' for key, text in attributes.items())
    return Markup(f"<{name}{settings}>{joined(*children).html}</{name}>")


def joined(*children: str | Markup) -> Markup:
    """Children one after the other, without an element around them."""
    return Markup("".join(_escaped(it) if isinstance(it, str) else it.html for it in children))


def _escaped(text: str) -> str:
    return escape(printable(text), quote=True)


def sheet(title: str, *content: str | Markup) -> str:
    """The page.

    Args:
        title: of the window; also of a bookmark.
        content: of the body.
    """
    fingerprint = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{fingerprint}'; base-uri 'none'; form-action 'none'"
    begin = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    begin += f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    begin += '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    head = f"{tag('title', title).html}\n<style>{STYLE}</style>\n</head>\n<body>\n"
    return f"{begin}{head}{joined(*content).html}\n</body>\n</html>\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Markup]], *, numbers: Iterable[str] = ()) -> Markup:
    """A table that scrolls by itself where the window is narrow.

    Args:
        columns: their titles.
        rows: cells in the order of the columns.
        numbers: titles of columns that hold numbers.
    """
    right = set(numbers)
    kinds = [{"class_": "number"} if name in right else {} for name in columns]
    head = tag("tr", *(tag("th", name, **kind) for name, kind in zip(columns, kinds, strict=True)))
    body = (tag("tr", *(tag("td", it, **kind) for it, kind in zip(row, kinds, strict=True))) for row in rows)
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="wide")


def section(title: str, *content: str | Markup) -> Markup:
    """A heading with its content."""
    return joined(tag("h2", title), *content)


def listing(lines: Iterable[str | Markup]) -> Markup:
    """One point for each line."""
    return tag("ul", *(tag("li", line) for line in lines))


def definitions(rows: Iterable[tuple[str, str | Markup]], **attributes: str) -> Markup:
    """Names with their texts."""
    return tag("dl", *(joined(tag("dt", name), tag("dd", text)) for name, text in rows), **attributes)
