"""A badge: the verdict in a few words, never without its denominator."""

import json

from sdpo_ref.verification.report import Report
from sdpo_ref.verification.reports.markup import Markup, tag
from sdpo_ref.verification.status import ExitCode, Status

_COLORS = {"brightgreen": "#2f8132", "red": "#c0392b", "yellow": "#8f6a00", "lightgrey": "#6a737d"}
"""As shields.io names them, and as our own picture has them: white text on each is readable."""

_LETTER = 7
"""Width of a letter in pixels; ``textLength`` makes it so in every font."""


def badge_as_json(report: Report) -> str:
    """For an endpoint badge of shields.io."""
    message, color = _message(report)
    badge = {"schemaVersion": 1, "label": _label(report), "message": message, "color": color}
    return json.dumps(badge, ensure_ascii=False, indent=2) + "\n"


def badge_as_svg(report: Report) -> str:
    """A picture that needs nothing else."""
    label, (message, color) = _label(report), _message(report)
    left, right = ((len(text) + 2) * _LETTER for text in (label, message))
    words = f"{label}: {message}"
    content = (
        tag("title", words),
        tag("rect", width=str(left), height="20", fill="#444"),
        tag("rect", x=str(left), width=str(right), height="20", fill=_COLORS[color]),
        _text(label, _LETTER),
        _text(message, left + _LETTER),
    )
    settings = {"width": str(left + right), "height": "20", "role": "img", "aria-label": words}
    return tag("svg", *content, xmlns="http://www.w3.org/2000/svg", **settings).html + "\n"


def _text(words: str, at: int) -> Markup:
    font = {"font-family": "Verdana, sans-serif", "font-size": "11", "fill": "#fff"}
    return tag("text", words, x=str(at), y="14", textLength=str(len(words) * _LETTER), **font)


def _label(report: Report) -> str:
    return f"SDPO spec {report.versions.get('spec', 'unknown')}"


def _message(report: Report) -> tuple[str, str]:
    """The message and its colour, which is green for what conforms and for nothing else."""
    verdict = report.verdict
    must = [it for it in report.requirements if it.strength == "MUST"]
    waived = [it for it in must if it.waiver is not None and it.status is not Status.NA]
    failed = [it for it in must if it.status.is_failure and it.waiver is None]
    applicable = [it for it in must if it.status is not Status.NA]
    passed = sum(it.status is Status.PASS for it in applicable)
    others = len(applicable) - passed - len(failed) - len(waived)
    score = f"{passed}/{len(applicable)} MUST"
    score += "".join(
        f", {number} {what}"
        for number, what in (
            (len(failed), "failed"),
            (others, "not decided"),
            (len(waived), "waived"),
            (len(must) - len(applicable), "not offered"),
        )
        if number > 0
    )
    if verdict.exit_code == ExitCode.INVALID:
        return f"invalid run, {score}", "lightgrey"
    if verdict.exit_code == ExitCode.INCOMPLETE:
        return f"incomplete, {score}", "lightgrey"
    if failed or verdict.exit_code in (ExitCode.FAILED, ExitCode.USAGE):
        return score, "red"
    if verdict.exit_code == ExitCode.INCONCLUSIVE:
        return f"inconclusive, {score}", "yellow"
    if verdict.conformant and not waived and passed == len(applicable):
        return score, "brightgreen"
    partial = verdict.partial or report.is_smoke
    return f"partial run, {score}" if partial else score, "yellow" if waived else "lightgrey"
