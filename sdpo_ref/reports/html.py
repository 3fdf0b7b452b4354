"""A report as one HTML page that loads nothing and runs nothing."""

import html
import shlex
from collections.abc import Iterable
from typing import get_args

from sdpo_ref.reports.document import Document, RequirementPart, StrengthName
from sdpo_ref.verify.printable import printable

_STRENGTHS: tuple[StrengthName, ...] = get_args(StrengthName)
_OPEN = 5
"""This many failures are unfolded; the others unfold on demand."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #1b7f3b; --bad: #c0262d; --open: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #4cc26f; --bad: #ff7b72; --open: #e3b341; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
code, pre { font: .86rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
h1 code { font-size: 1.1rem; font-weight: 600; }
pre { white-space: pre-wrap; background: var(--soft); padding: .5rem .75rem; margin: 0; border-radius: .3rem; }
.verdict { border-left: .4rem solid var(--open); padding: .75rem 1rem; background: var(--soft); margin: 1rem 0; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.verdict strong { font-size: 1.1rem; } .verdict p { margin: .25rem 0 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .5rem 0; }
dt { opacity: .7; } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); } .verdict { color: inherit; }
details { border: 1px solid var(--line); border-radius: .3rem; padding: .5rem .9rem; margin: .6rem 0; }
summary { cursor: pointer; } summary b { margin-right: .5rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .4rem; } }
@media print { body { max-width: none; } details { break-inside: avoid; } }
"""


def page(document: Document) -> str:
    """The page.

    Args:
        document: of a run.

    Returns:
        HTML in which everything that comes from the document is text.
    """
    verdict = document.verdict
    tone = "good" if verdict.conformant else "bad" if verdict.exit_code else "open"
    title = f"{document.implementation.spec} and SDPO"
    body = [
        f"<h1>{_code(document.implementation.spec)}</h1>",
        f'<div class="verdict {tone}"><strong>{_text(verdict.sentence)}</strong>'
        f"<p>exit code {verdict.exit_code}: {_text(verdict.meaning)}</p>"
        + "".join(f"<p>{_text(note)}</p>" for note in verdict.notes)
        + "</div>",
        _facts(document),
        _chapters(document),
        _diagnosis(document),
        _failures(document),
        _claims(document),
        _waived(document),
        _list("Broken files of the suite", document.broken),
        _list("Differs from the locked manifest", document.deviations),
        _requirements(document),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _facts(document: Document) -> str:
    implementation = document.implementation
    departs = [f"{name} = {it.declared} (paper: {it.paper})" for name, it in implementation.departures.items()]
    return _pairs(
        [
            ("name", _text(implementation.name)),
            ("offers", _text(", ".join(implementation.capabilities))),
            ("profile", _text("; ".join(departs) or "the paper's")),
            ("with", _text(", ".join(f"{name} {version}" for name, version in document.versions.items()))),
            ("isolated", _text(", ".join(document.isolation.values()) or "not at all")),
            ("took", f"{document.seconds:.1f} s"),
        ]
    )


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{_text(name)}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>"


def _chapters(document: Document) -> str:
    rows = []
    for chapter in document.chapters:
        scores = [_score(*document.count(strength, chapter)) for strength in _STRENGTHS]
        away = sum(it.chapter == chapter and it.status == "N/A" for it in document.requirements)
        open_ = ", ".join(
            f'<span class="{_tone(it)}">{_text(it.id)}</span>'
            for it in document.requirements
            if it.chapter == chapter and it.status not in {"PASS", "N/A"}
        )
        rows.append([_text(chapter), *scores, f'<td class="n">{away or ""}</td>', open_])
    heads = ["chapter", *(f'<th class="n">{it}</th>' for it in _STRENGTHS), '<th class="n">n/a</th>', "not passed"]
    return _table("Chapters", heads, rows)


def _score(passed: int, applicable: int) -> str:
    if not applicable:
        return '<td class="n"></td>'
    return f'<td class="n {"good" if passed == applicable else "bad"}">{passed}/{applicable}</td>'


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; a cell that is not a whole ``td`` or ``th`` becomes one."""
    head = "".join(it if it.startswith("<th") else f"<th>{it}</th>" for it in heads)
    body = "".join(
        f"<tr>{''.join(it if it.startswith('<td') else f'<td>{it}</td>' for it in row)}</tr>\n" for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<h2>{title}</h2>\n<div class="scroll">{table}</div>'


def _tone(it: RequirementPart) -> str:
    if it.status in {"PASS", "N/A"}:
        return "good" if it.status == "PASS" else ""
    return "bad" if it.status in {"FAIL", "ERROR", "INVALID", "XPASS"} and it.strength == "MUST" else "open"


def _diagnosis(document: Document) -> str:
    found = document.diagnosis
    if found is None:
        return ""
    rows = [
        ("effect", _text(found.effect)),
        ("read", _code(f"sdpo-ref spec show {found.requirement}")),
        ("see it", _code(f"sdpo-ref verify sdpo_ref.mutants:make,name={found.name}")),
    ]
    return f"<h2>Diagnosis</h2>\n<p>{_text(found.sentence)}</p>{_pairs(rows)}"


def _failures(document: Document) -> str:
    failing = document.failing()
    if not failing:
        return ""
    blocks = [_failure(it, document.implementation.spec, unfolded=number < _OPEN) for number, it in enumerate(failing)]
    return "\n".join(["<h2>What does not hold</h2>", *blocks])


def _failure(it: RequirementPart, spec: str, *, unfolded: bool) -> str:
    failure = it.shown_failure
    rows = [] if failure is None else [(name, f"<pre>{_text(text)}</pre>") for name, text in failure.rows]
    rows += [
        ("effect", _text(it.if_broken)),
        ("read", f"{_text(it.read)}, or {_code(f'sdpo-ref spec show {it.id}')}"),
        ("repeat", _code(f"sdpo-ref verify {shlex.quote(spec)} --only {it.id}")),
    ]
    rows += [("check", _code(it.shown))] if it.shown else []
    return (
        f"<details{' open' if unfolded else ''}><summary><b>{_text(it.id)}</b>"
        f'<span class="{_tone(it)}">{it.status}</span> {it.strength}</summary>'
        f"<p>{_text(it.sentence)}</p>{_pairs(rows)}</details>"
    )


def _claims(document: Document) -> str:
    rows = []
    for claim in document.claims.verdicts:
        passed = sum(part.ruling == "PASS" for part in claim.parts)
        held = sum(control.holds is True for control in claim.controls)
        tone = {"PASS": "good", "FAIL": "bad", "INVALID": "bad"}.get(claim.ruling or "", "open")
        rows.append(
            [
                _text(claim.id),
                f'<td class="{tone}">{claim.ruling or "NOT-RUN"}</td>',
                f'<td class="n">{passed}/{len(claim.parts)}</td>',
                f'<td class="n">{held}/{len(claim.controls)}</td>',
                f'<td class="n">{claim.false_pass:.2%}</td>',
                f'<td class="n">{claim.false_fail:.2%}</td>',
            ]
        )
    numbers = (f'<th class="n">{name}</th>' for name in ("parts", "controls held", "false pass", "false fail"))
    title = f"Claims, profile {_text(document.claims.profile)}"
    return _table(title, ["claim", "verdict", *numbers], rows) if rows else ""


def _waived(document: Document) -> str:
    rows = [[_text(it.id), _text(it.expires), _text(it.reason), _text(it.link)] for it in document.waivers]
    return _table("Waived", ["requirement", "until", "reason", "link"], rows) if rows else ""


def _list(title: str, lines: Iterable[str]) -> str:
    found = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{found}</ul>" if found else ""


def _requirements(document: Document) -> str:
    rows = [
        [
            _text(it.id),
            f'<td class="{_tone(it)}">{it.status}</td>',
            it.strength,
            _text(it.sentence) + (f"<br><small>{_text(it.reason)}</small>" if it.reason else ""),
        ]
        for it in document.requirements
    ]
    table = _table("Every requirement", ["id", "status", "strength", "sentence"], rows)
    left_out = len(document.not_asked)
    note = f"<p>{left_out} more were left out by --level or --only.</p>" if left_out else ""
    return f"<details><summary>All {len(rows)} requirements</summary>{table}{note}</details>"
