"""Text in GitHub-flavoured Markdown that stays text, whatever an implementation put into it."""

import re

from sdpo_ref.verification.isolation.text import printable

_SAFE = ",;()=/'\"%+-?"
_LAST_ASCII = 127


def plain(text: str) -> str:
    """Text between other text: in a line, in a table, or in an HTML tag that GitHub allows.

    Every sign that could mean something is written as its number, which is never read as markup.

    Args:
        text: any; line breaks become blanks.

    Example:
        >>> plain("KL(p | q) > 0.5")
        'KL(p &#124; q) &#62; 0.5'
    """
    line = " ".join(printable(text).split())
    return "".join(_letter(line, at) for at in range(len(line)))


def code(text: str) -> str:
    """Text as code in a line; not in a table, where a bar would end its cell.

    Args:
        text: any; line breaks become blanks.

    Example:
        >>> code("a `b`")
        '`` a `b` ``'
    """
    line = " ".join(printable(text).split())
    if not line:
        return ""
    ticks = "`" * next(n for n in range(1, len(line) + 2) if n not in _runs(line))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fence(text: str) -> str:
    """Text as a block of its own, with its line breaks.

    Args:
        text: any.

    Example:
        >>> fence("a").splitlines()
        ['```text', 'a', '```']
    """
    shown = printable(text)
    ticks = "`" * max(3, 1 + max(_runs(shown), default=0))
    return f"{ticks}text\n{shown}\n{ticks}"


def row(*cells: str) -> str:
    """One line of a table.

    Args:
        cells: Markdown in which nothing ends a cell.
    """
    return f"| {' | '.join(cells)} |"


def _letter(line: str, at: int) -> str:
    return line[at] if _is_plain(line[at], line[:at], line[at + 1 : at + 2]) else f"&#{ord(line[at])};"


def _is_plain(letter: str, before: str, after: str) -> bool:
    """Whether a letter means nothing where it stands: begins no block, no address, no emphasis."""
    if letter.isalnum() or letter == " " or ord(letter) > _LAST_ASCII:
        return True
    if not before or (letter in ".)" and before.isdigit()):
        return False
    if letter in ".:":
        return after in ("", " ") or (letter == "." and (before[-1] + after).isdigit())
    return letter in _SAFE


def _runs(text: str) -> set[int]:
    """Lengths of the runs of backticks."""
    return {len(run) for run in re.findall("`+", text)}
