"""HTML in which text stays text: only what was made by :func:`tag` is markup."""

from dataclasses import dataclass
from html import escape

from sdpo_ref.verification.isolation.text import printable


@dataclass(frozen=True)
class Markup:
    """Finished HTML, which no text can be taken for.

    Attributes:
        html: the HTML.
    """

    html: str


def tag(name: str, *children: str | Markup, **attributes: str) -> Markup:
    """An element.

    Args:
        name: of the element.
        children: text, which is escaped, with control characters spelled out; or markup, which is taken as it is.
        attributes: text; an underscore at the end of a name is left out, so that ``class_`` is possible.

    Example:
        >>> tag("b", "<&", tag("i", "x"), class_='"').html
        '<b class="&quot;">&lt;&amp;<i>x</i></b>'
    """
    settings = "".join(f' {key.rstrip("_")}="{_escaped(text)}"' for key, text in attributes.items())
    return Markup(f"<{name}{settings}>{joined(*children).html}</{name}>")


def joined(*children: str | Markup) -> Markup:
    """Children one after the other, without an element around them.

    Args:
        children: as for :func:`tag`.
    """
    return Markup("".join(_escaped(it) if isinstance(it, str) else it.html for it in children))


def _escaped(text: str) -> str:
    return escape(printable(text), quote=True)
