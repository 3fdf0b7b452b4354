"""A report as a JSON document, of which every other report is made; its schema is ``reports.document``."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sdpo_ref.claims.procedure import Answer, Compared
from sdpo_ref.claims.reader import record_sha256
from sdpo_ref.claims.seeds import verdict_seed
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.verification.decided import Decided
from sdpo_ref.verification.isolation.events import Finished
from sdpo_ref.verification.isolation.text import printable
from sdpo_ref.verification.reports.claims_table import RATES, suite_rates
from sdpo_ref.verification.reports.report import NOT_ASKED
from sdpo_ref.verification.results import Count, Report
from sdpo_ref.verification.suite.waivers import Waiver
from sdpo_ref.verification.verdict import verdict

SCHEMA = "sdpo-ref/report/1"


def report_as_text(report: Report) -> str:
    """The document as it is written to a file."""
    return json.dumps(report_as_json(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def report_as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain dictionaries, lists, finite numbers, and text without control characters."""
    conclusion = verdict(report)
    header = report.header
    document = {
        "schema": SCHEMA,
        "versions": dict(header.versions),
        "isolation": dict(header.isolation),
        "implementation": {
            "spec": header.spec,
            "name": header.name,
            "capabilities": list(header.capabilities),
            "profile": dict(header.profile),
            "departures": {
                name: {"declared": declared, "paper": paper} for name, (declared, paper) in header.departures.items()
            },
        },
        "selection": {"level": report.selection.level, "only": list(report.selection.only)},
        "verdict": {
            "conformant": conclusion.conformant,
            "partial": not report.selection.is_everything,
            "exit_code": int(conclusion.exit_code),
            "meaning": conclusion.exit_code.meaning,
            "sentence": conclusion.sentence,
            "notes": list(conclusion.notes),
            "counts": {strength: _count(report.count(strength)) for strength in ("MUST", "SHOULD", "MAY")},
        },
        "diagnosis": _diagnosis(report),
        "requirements": [_requirement(entry) for entry in report.decided],
        "waivers": [{"id": waiver.id, **_waiver(waiver)} for waiver in report.waivers],
        "claims": {
            "profile": report.profile,
            "legend": [suite_rates(report.claims), RATES, NOT_ASKED] if report.claims else [],
            "verdicts": [_claim(one) for one in report.claims],
        },
        "not_asked": [requirement.id for requirement in report.not_asked],
        "deviations": list(report.deviations),
        "broken": list(report.broken),
        "seconds": round(report.seconds, 3),
    }
    shown: dict[str, Any] = _shown(document)
    return shown


def _shown(value: Any) -> Any:
    """The same with every text as anybody may print it, and nothing in place of what is no finite number."""
    match value:
        case str():
            return printable(value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {printable(name): _shown(item) for name, item in value.items()}
        case list():
            return [_shown(item) for item in value]
        case _:
            return value


def _requirement(entry: Decided) -> dict[str, Any]:
    requirement = entry.requirement
    return {
        "id": requirement.id,
        "chapter": requirement.chapter,
        "strength": requirement.strength,
        "level": requirement.level,
        "sentence": requirement.sentence,
        "if_broken": requirement.if_broken,
        "read": requirement.anchor,
        "status": str(entry.status),
        "own_status": str(entry.own_status),
        "reason": entry.reason,
        "waiver": None if entry.waiver is None else _waiver(entry.waiver),
        "first_failure": None if entry.first_failure is None else entry.first_failure.check,
        "checks": [_check(check) for check in entry.checks],
    }


def _waiver(waiver: Waiver) -> dict[str, str]:
    return {"reason": waiver.reason, "link": waiver.link, "expires": waiver.expires.isoformat()}


def _diagnosis(report: Report) -> dict[str, Any] | None:
    found = report.diagnosis
    if found is None:
        return None
    requirement = report.requirement(found.row.caught_by[0])
    return {
        "mutant": found.row.id,
        "name": found.row.name,
        "wrong": found.row.wrong,
        "effect": found.row.effect,
        "agreeing": found.agreeing,
        "together": found.together,
        "likeness": round(found.likeness, 4),
        "sentence": found.sentence,
        "requirement": requirement.id,
        "read": requirement.anchor,
    }


def _claim(verdict: ClaimVerdict) -> dict[str, Any]:
    return {
        "id": verdict.claim.id,
        "title": verdict.claim.title,
        "record": record_sha256(verdict.claim),
        "ruling": verdict.ruling,
        "false_pass": verdict.false_pass,
        "false_fail": verdict.false_fail,
        "further_seeds": verdict.further_seeds,
        "controls": [asdict(control) for control in verdict.controls],
        "parts": [
            {
                "name": answer.question.part.name,
                "ruling": answer.ruling,
                "comparisons": [_compared(answer, one) for one in answer.compared],
            }
            for answer in verdict.answers
        ],
    }


def _compared(answer: Answer, one: Compared) -> dict[str, Any]:
    seeds = [verdict_seed(answer.question.claim.seeds, index) for index in range(len(one.values))]
    return {
        "name": one.comparison.name,
        "decision": None if one.decision is None else asdict(one.decision),
        "values": [{"seed": seed, "value": value} for seed, value in zip(seeds, one.values, strict=True)],
    }


def _check(check: Finished) -> dict[str, Any]:
    failure: Mapping[str, str] = {} if check.failure is None else asdict(check.failure)
    return {
        "id": check.check,
        "status": str(check.status),
        "reason": check.reason,
        "seconds": round(check.seconds, 4),
        "failure": {name: text for name, text in failure.items() if text} or None,
    }


def _count(count: Count) -> dict[str, int]:
    return asdict(count)
