"""The report's two forms: one self-contained HTML page, and Markdown beside figures."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from sdpo_ref.study.extra import needed
from sdpo_ref.study.report.contents import SHOWN_METRICS, Contents, Drawn, effect_words, estimate_words


def html(contents: Contents) -> str:
    """One page with everything in it: drawings and style, no script, and nothing that is fetched.

    Implements: SIM-155.

    Args:
        contents: of the report.

    Returns:
        HTML; whatever came from outside is escaped.
    """
    page: str = _environment().get_template("report.html.j2").render(contents=contents, metrics=SHOWN_METRICS)
    return page


def markdown(contents: Contents) -> str:
    """The same as Markdown; drawings are files in ``figures/``."""
    return "\n".join(_lines(contents)) + "\n"


def file_name(drawn: Drawn) -> str:
    """Where the drawing of a figure lies, beside the Markdown."""
    return f"figures/{drawn.figure.name}.svg"


def _lines(contents: Contents) -> Iterator[str]:
    yield "# The simulation study"
    yield ""
    yield _summary(contents)
    yield ""
    yield from (f"> **Note.** {warning}" for warning in contents.warnings)
    yield from ("", "| name | value |", "|---|---|")
    yield from (f"| {_cell(name)} | {_cell(value)} |" for name, value in contents.origins.items())
    for drawn in contents.figures:
        figure = drawn.figure
        yield from ("", f"## {figure.experiment} {figure.title}", "", figure.question, "")
        yield f"![{figure.title}]({file_name(drawn)})"
        yield from (f"\n**Verdict.** {_cell(verdict)}" for verdict in drawn.verdicts)
        yield from ("", figure.caption, "", "```sh", figure.command(len(contents.seeds), contents.parts), "```")
        if drawn.effects:
            yield from ("", "| setting | quantity | mean [95 % interval] | |", "|---|---|---|---|")
        for effect in drawn.effects:
            cells = (effect.setting, effect.quantity, effect_words(effect), effect.note)
            yield "| " + " | ".join(map(_cell, cells)) + " |"
    if contents.rows:
        yield from ("", "## Every cell", "")
        yield "| experiment | cell | seeds | " + " | ".join(SHOWN_METRICS) + " |"
        yield "|---" * (3 + len(SHOWN_METRICS)) + "|"
    for row in contents.rows:
        numbers = [estimate_words(row.estimates[metric]) for metric in SHOWN_METRICS]
        seeds = f"{row.finished}" + (f" ({row.failed} failed)" if row.failed else "")
        yield "| " + " | ".join(map(_cell, (row.experiment, row.labels, seeds, *numbers))) + " |"


def _summary(contents: Contents) -> str:
    return (
        f"{contents.runs} runs, seeds {_range(contents.seeds)}. These are means with 95 % intervals over "
        f"{len(contents.seeds)} seeds, and none of them decides anything. A verdict beside a figure is that of "
        "FINDINGS.md on the bundled methods, from other seeds, by a rule that was fixed beforehand."
    )


def _range(seeds: tuple[int, ...]) -> str:
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def _cell(text: str) -> str:
    """Text that cannot end its cell of a table, nor begin a tag."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


@cache
def _environment() -> Any:
    jinja2 = needed("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sdpo_ref.study.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(effect_words=effect_words, estimate_words=estimate_words, summary=_summary)
    return environment
