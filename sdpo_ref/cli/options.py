"""Options that several sub-commands have: one name and one help for each."""

from pathlib import Path
from typing import Annotated

import typer

SuiteAt = Annotated[
    Path | None, typer.Option("--suite", metavar="FOLDER", help="Another suite: holds spec/ and conformance/.")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes; by default one for each core.")]

MarkdownTo = Annotated[str | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown; - for stdout.")]
HtmlTo = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write one HTML page.")]
JunitTo = Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")]
BadgeTo = Annotated[
    str | None, typer.Option("--badge", metavar="FILE", help="Write a badge: .svg, or JSON for shields.io.")
]
