"""Text of an implementation as anybody may print it."""


def printable(text: str) -> str:
    r"""The text with every character spelled out that a terminal or an XML file would not show.

    Line breaks and tabs stay. What has been through it once is not changed by a second time.

    Args:
        text: any, lone surrogates included.

    Example:
        >>> print(printable("red \x1b[31m"))
        red \x1b[31m
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1] for letter in text)
