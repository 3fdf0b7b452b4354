"""The kill matrix as a page, ``conformance/mutants/README.md``, with how accurate the diagnosis is."""

from collections.abc import Mapping
from dataclasses import dataclass

from sdpo_ref.claims.power import DEFECTS
from sdpo_ref.mutants.selftest.problems import BENIGN_MARGIN, BOUNDED, UNBREAKABLE, WRONG_MARGIN, too_near
from sdpo_ref.mutants.selftest.repeats import Repeats
from sdpo_ref.verification.diagnosis.diagnosis import ranking
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
    found = diagnosis_accuracy(matrix)
    defect = f"{found.right} of {found.with_sibling} left out in turn, {found.share:.0%}"
    killed = sum(1 for row in matrix.rows if row.failed)
    families = {row.family for row in matrix.rows}
    family = f"{found.right_family} of {found.rows}, {found.right_family / max(found.rows, 1):.0%}"
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| mutants | {len(matrix.rows)} in {len(families)} families |",
            f"| killed | {killed} |",
            f"| right variants | {len(matrix.benign)} |",
            f"| defect told by failed checks alone: right one first | {defect} |",
            f"| family told by failed checks alone, each mutant left out in turn | {family} |",
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
    for name, verdicts in wrong.items():
        listed = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items())
        lines.append(
            f"| `{name}` | {DEFECTS[name]} | {verdicts.get('PASS', 0)} of {sum(verdicts.values())} | {listed} |"
        )
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


@dataclass(frozen=True)
class DiagnosisAccuracy:
    """How often the diagnosis is right when each mutant is left out of the matrix and diagnosed from all others.

    Attributes:
        with_sibling: number of mutants whose defect another mutant has as well, so that it can be named.
        right: number of these for which such a mutant is named first.
        misses: the others, each with what was named instead; ``None`` where nothing was near.
        rows: number of mutants.
        right_family: number of mutants for which one of the same family is named first: what to expect of a new defect.
    """

    with_sibling: int
    right: int
    misses: tuple[tuple[Row, Row | None], ...]
    rows: int
    right_family: int

    @property
    def share(self) -> float:
        """Share of right ones among those with a sibling."""
        return self.right / max(self.with_sibling, 1)


def diagnosis_accuracy(matrix: KillMatrix) -> DiagnosisAccuracy:
    """Diagnose each mutant from all others.

    Args:
        matrix: which mutant fails what.

    Returns:
        How often the right defect came first.
    """
    with_sibling, right_family, misses = 0, 0, []
    for row in matrix.rows:
        others = [other for other in matrix.rows if other.id != row.id]
        found = next((it.row for it in ranking(row.checks, others, matrix.parts)), None)
        right_family += found is not None and found.family == row.family
        if not any(other.defect == row.defect for other in others):
            continue
        with_sibling += 1
        if found is None or found.defect != row.defect:
            misses.append((row, found))
    return DiagnosisAccuracy(with_sibling, with_sibling - len(misses), tuple(misses), len(matrix.rows), right_family)
