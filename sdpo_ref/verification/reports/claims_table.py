"""The verdicts on claims as a table of a report, with both error rates."""

from rich.table import Table
from rich.text import Text

from sdpo_ref.claims.statistics.ruling import Ruling
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.verification.results import Report

_STYLES = {
    Ruling.PASS: "green",
    Ruling.FAIL: "bold red",
    Ruling.INCONCLUSIVE: "yellow",
    Ruling.INVALID: "bold magenta",
    None: "yellow",
}

RATES = (
    "held: controls. false pass: chance of PASS if one comparison is a toss-up (or at its margin). false fail: most "
    "that the chance of FAIL can be if every comparison holds. Between the two no guarantee is made."
)
"""What the columns mean."""


def claims_table(report: Report) -> Table:
    """One row for each claim that was run.

    Args:
        report: with claims.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("claim", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True, max_width=20)
    table.add_column("verdict", no_wrap=True)
    for name in ("parts", "seeds", "held", "false\npass", "false\nfail"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in report.claims:
        table.add_row(
            one.claim.id,
            one.claim.title,
            Text("NOT-RUN" if one.ruling is None else one.ruling.value, style=_STYLES[one.ruling]),
            f"{sum(answer.ruling is Ruling.PASS for answer in one.answers)}/{len(one.answers)}",
            str(one.seeds),
            f"{sum(control.holds is True for control in one.controls)}/{len(one.controls)}",
            _rate(one.false_pass),
            _rate(one.false_fail),
        )
    return table


def suite_rates(claims: tuple[ClaimVerdict, ...]) -> str:
    """Both rates of all claims together.

    Args:
        claims: that were run.
    """
    any_fail = sum(one.false_fail for one in claims)
    worst_pass = max(one.false_pass for one in claims)
    return (
        f"all {len(claims)} claims: a FAIL of an implementation that reproduces them {_rate(any_fail)} or less, a PASS "
        f"of one that breaks one comparison {_rate(worst_pass)} or less, and less if it breaks several"
    )


def _rate(rate: float) -> str:
    return f"{100 * rate:.2g} %"
