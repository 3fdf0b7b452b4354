"""A report as a JSON document for machines; ``schema`` changes when a reader would have to change."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sdpo_ref.claims.procedure import Answer, Compared
from sdpo_ref.claims.records import record_sha256
from sdpo_ref.claims.seeds import verdict_seed
from sdpo_ref.claims.verdict import ClaimVerdict
from sdpo_ref.verify.events import Finished
from sdpo_ref.verify.results import Count, Decided, Report
from sdpo_ref.verify.verdict import verdict

SCHEMA = "sdpo-ref/report/1"


def report_as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain dictionaries, lists, text and numbers."""
    conclusion = verdict(report)
    header = report.header
    return {
        "schema": SCHEMA,
        "versions": dict(header.versions),
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
        "requirements": [_requirement(entry) for entry in report.decided],
        "claims": {"profile": report.profile, "verdicts": [_claim(one) for one in report.claims]},
        "not_asked": [requirement.id for requirement in report.not_asked],
        "deviations": list(report.deviations),
        "broken": list(report.broken),
        "seconds": round(report.seconds, 3),
    }


def _requirement(entry: Decided) -> dict[str, Any]:
    requirement = entry.requirement
    return {
        "id": requirement.id,
        "strength": requirement.strength,
        "level": requirement.level,
        "sentence": requirement.sentence,
        "if_broken": requirement.if_broken,
        "read": requirement.anchor,
        "status": str(entry.status),
        "own_status": str(entry.own_status),
        "reason": entry.reason,
        "checks": [_check(check) for check in entry.checks],
    }


def _claim(verdict: ClaimVerdict) -> dict[str, Any]:
    return {
        "id": verdict.claim.id,
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
