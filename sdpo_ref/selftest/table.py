"""The kill matrix as a page: ``conformance/mutants/README.md``."""

from collections.abc import Mapping

from sdpo_ref.claims.power import DEFECTS
from sdpo_ref.selftest.judgement import BENIGN_MARGIN, BOUNDED, UNBREAKABLE, WRONG_MARGIN, too_near
from sdpo_ref.selftest.leave_one_out import leave_one_out
from sdpo_ref.selftest.repeats import Repeats
from sdpo_ref.verification.diagnosis.kill_matrix import KillMatrix, Row
from sdpo_ref.verification.suite.catalogue import Catalogue

WrongTrainers = Mapping[str, Mapping[str, int]]
"""Name of a defect to how often each verdict was given."""

_INTRODUCTION = """# Mutants: what the suite catches

Written by `sdpo-ref selftest`; do not edit. Each mutant is an implementation with one defect (spec/decisions/0024):
`sdpo-ref verify sdpo_ref.mutants:make,name=M006` fails, and its report names the requirements below. *Seen in* is
public code that had the defect: an issue or pull request, a repository, or a release that was read or run. *Shown by*
is a call, none of the suite's, to which the mutant answers differently from the reference."""


def render(matrix: KillMatrix, catalogue: Catalogue, repeats: Repeats, wrong: WrongTrainers) -> str:
    """The page.

    Args:
        matrix: what to show.
        catalogue: the specification.
        repeats: of the right variants.
        wrong: how often each verdict was given on F01 to trainers that are wrong (``conformance/rates.json``).

    Returns:
        Markdown.
    """
    sections = [
        _INTRODUCTION,
        _summary(matrix),
        _mutants(matrix),
        _trainers(wrong),
        _requirements(matrix, catalogue),
        _benign(matrix, repeats),
        _tolerances(matrix),
    ]
    return "\n\n".join(sections) + "\n"


def _summary(matrix: KillMatrix) -> str:
    found = leave_one_out(matrix)
    killed = sum(1 for row in matrix.rows if row.failed)
    families = {row.family for row in matrix.rows}
    akin = found.akin / max(found.rows, 1)
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| mutants | {len(matrix.rows)} in {len(families)} families |",
            f"| killed | {killed} |",
            f"| right variants | {len(matrix.benign)} |",
            f"| diagnosis: right defect first | {found.right} of {found.asked} left out in turn, {found.share:.0%} |",
            f"| diagnosis: right family first, each left out in turn | {found.akin} of {found.rows}, {akin:.0%} |",
        ]
    )


def _mutants(matrix: KillMatrix) -> str:
    lines = ["## Mutants"]
    for family in dict.fromkeys(row.family for row in matrix.rows):
        lines += ["", f"### {family[0].upper()}{family[1:]}", ""]
        lines += ["| | what is wrong | what that does to training | caught by | shown by |", "|---|---|---|---|---|"]
        lines += [_line(row) for row in matrix.rows if row.family == family]
    return "\n".join(lines)


def _trainers(wrong: WrongTrainers) -> str:
    lines = [
        "## Wrong trainers",
        "",
        "What level 4 says about them on F01 in independent repeats (`sdpo-ref claims power`). Each but the last is an",
        "implementation too: `sdpo-ref verify sdpo_ref.claims.wrong_runs:make,name=deaf --only F01`.",
        "",
        "| | what is wrong | passed | verdicts |",
        "|---|---|---|---|",
    ]
    for name, rulings in wrong.items():
        listed = ", ".join(f"{ruling} {count}" for ruling, count in rulings.items())
        lines.append(f"| `{name}` | {DEFECTS[name]} | {rulings.get('PASS', 0)} of {sum(rulings.values())} | {listed} |")
    return "\n".join(lines)


def _line(row: Row) -> str:
    also = len(set(row.failed) - set(row.caught_by))
    caught = ", ".join(row.caught_by) + (f" and {also} more" if also else "")
    shown = "nothing" if row.live is None else f"{row.live.probe}: {row.live.difference}"
    wrong = row.wrong + (f"; seen in {', '.join(row.seen_in)}" if row.seen_in else "")
    return f"| {row.id} `{row.name}` | {wrong} | {row.effect} | {caught} | {_cell(shown)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _requirements(matrix: KillMatrix, catalogue: Catalogue) -> str:
    lines = ["## Requirements", "", "Which mutants each requirement of levels 0 to 3 kills.", ""]
    lines += ["| requirement | kills | mutants |", "|---|---|---|"]
    for requirement in catalogue:
        if requirement.level > 3:
            continue
        kills = [row.id for row in matrix.rows if requirement.id in row.failed]
        named = _shortened(kills) or UNBREAKABLE.get(requirement.id, "none: it is a warning")
        lines.append(f"| {requirement.id} | {len(kills)} | {named} |")
    return "\n".join(lines)


def _shortened(ids: list[str], *, shown: int = 12) -> str:
    return ", ".join(ids[:shown]) + (f" and {len(ids) - shown} more" if len(ids) > shown else "")


def _benign(matrix: KillMatrix, repeats: Repeats) -> str:
    lines = ["## Right variants", "", "Different from the reference and not wrong: no MUST may fail.", ""]
    lines += [f"- `{name}`" + ("" if name in repeats.variants else " (not repeated)") for name in matrix.benign]
    lines += [
        "",
        f"Under {repeats.repeats} other sets of random inputs each ({repeats.runs} runs,",
        f"`sdpo-ref selftest --repeats {repeats.repeats}`), {len(repeats.failed)} failed"
        + (":" if repeats.failed else "."),
        *(f"- `{name}`: {', '.join(wrong)}" for name, wrong in repeats.failed.items()),
    ]
    return "\n".join(lines)


def _tolerances(matrix: KillMatrix) -> str:
    lines = [
        "## Tolerances",
        "",
        f"At least {BENIGN_MARGIN:g} times the largest error of a right implementation, at most 1/{WRONG_MARGIN:g} of",
        "the smallest error by which a mutant fails it. In units of the tolerance; a dash where none fails by number.",
        *(f"Except for {check}: {reason}." for check, reason in BOUNDED.items()),
        "",
        "| check | relative | absolute | largest right | smallest wrong |",
        "|---|---|---|---|---|",
    ]
    for it in matrix.tolerances:
        wrong = "–" if it.wrong is None else f"{it.wrong:.2g}"
        mark = "".join(f" ({text})" for text in too_near(it))
        lines.append(f"| {it.check} | {it.relative:g} | {it.absolute:g} | {it.benign:.2g} | {wrong}{mark} |")
    return "\n".join(lines)
