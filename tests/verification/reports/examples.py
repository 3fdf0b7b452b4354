"""Reports to render: one requirement of every status, a claim, a diagnosis, waivers."""

import json
from collections.abc import Mapping
from typing import Any

from sdpo_ref.verification.report import SCHEMA, Report
from sdpo_ref.verification.reports.saved import parse_report
from sdpo_ref.verification.status import Status

_FAILURE = {
    "message": "a problem",
    "expected": "1 nat",
    "got": "2 nats",
    "tolerance": "exact",
    "given": "alpha = 0",
    "looks_like": "D01",
    "traceback": "a line\nanother",
    "output": "printed",
}
_FIXED = {"schema", "status", "own_status", "strength", "outcome", "expires"}
"""Fields whose text is one of a few words."""


def requirement(name: str = "LOSS-001", status: Status = Status.PASS, **changes: Any) -> dict[str, Any]:
    """A requirement with one check of its status."""
    failed = status.is_failure or status is Status.INVALID
    check = f"loss/test_it.py::test_{name}"
    return {
        "id": name,
        "chapter": "04-loss",
        "strength": "MUST",
        "level": 0,
        "sentence": f"{name} holds.",
        "if_broken": "training stops",
        "read": f"spec/04-loss.md#{name.lower()}",
        "after": [],
        "status": status.value,
        "own_status": status.value,
        "reason": "" if status is Status.PASS or failed else "because",
        "failed_first": None,
        "waiver": None,
        "first_failure": check if failed else None,
        "checks": [
            {
                "id": check,
                "status": status.value,
                "reason": "",
                "seconds": 0.5,
                "failure": dict(_FAILURE) if failed else None,
            }
        ],
    } | changes


def fields(*requirements: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A report as JSON has it, with its counts and a verdict that fit the requirements."""
    found = requirements or (requirement(),)
    must = [it["status"] for it in found if it["strength"] == "MUST"]
    count = {"passed": must.count("PASS"), "applicable": len(must) - must.count("N/A"), "not_applicable": 0}
    good = count["passed"] == count["applicable"]
    return {
        "schema": SCHEMA,
        "versions": {"suite": "0.1.0", "spec": "0.2", "python": "3.12.0", "torch": "2.13.0"},
        "implementation": {
            "spec": "my_sdpo:make",
            "name": "mine",
            "capabilities": ["divergence"],
            "profile": {"aggregation": "row_mean"},
            "departures": {"aggregation": {"declared": "row_mean", "paper": "token_mean"}},
        },
        "selection": {"level": None, "only": []},
        "verdict": {
            "conformant": good,
            "partial": False,
            "exit_code": 0 if good else 1,
            "meaning": "what it means",
            "sentence": "a sentence",
            "notes": [],
            "counts": {"MUST": count},
        },
        "isolation": {},
        "diagnosis": None,
        "chapters": {"04-loss": "04 Loss"},
        "requirements": list(found),
        "waivers": [],
        "claims": {"profile": "standard", "legend": [], "verdicts": []},
        "not_selected": {},
        "deviations": [],
        "broken": [],
        "seconds": 1.5,
    } | changes


def claim(outcome: str | None = "FAIL", value: float | None = 0.25) -> dict[str, Any]:
    """A claim with one part, one comparison, one seed and one control."""
    decision = {"outcome": outcome or "PASS", "seeds": 1, "wins": None, "further_seeds": 3, "reason": "too few"}
    compared = {"name": "a cell", "decision": decision, "values": [{"seed": 7, "value": value}]}
    return {
        "id": "F01",
        "title": "reward",
        "record": "0" * 64,
        "outcome": outcome,
        "false_pass": 0.05,
        "false_fail": 0.01,
        "further_seeds": 3,
        "controls": [{"name": "negative", "holds": True, "says": "it failed"}],
        "parts": [{"name": "level", "outcome": outcome, "comparisons": [compared]}],
    }


def everything() -> dict[str, Any]:
    """Whatever a report may hold."""
    waiver = {"id": "LOSS-020", "reason": "known", "link": "https://example.org/1", "expires": "2027-01-31"}
    found = [requirement(f"LOSS-00{at}", status) for at, status in enumerate(Status)]
    found += [requirement("LOSS-020", Status.XFAIL, waiver=waiver), requirement("LOSS-021", strength="SHOULD")]
    return fields(
        *found,
        isolation={"network": "no network"},
        selection={"level": 2, "only": ["LOSS"]},
        diagnosis={
            "basis": "answers",
            "mutant": "M006",
            "name": "M006",
            "wrong": "swapped",
            "effect": "odd",
            "agreeing": 3,
            "together": 4,
            "likeness": 0.75,
            "sentence": "looks like M006",
            "requirement": "LOSS-001",
            "read": "spec/04-loss.md",
        },
        waivers=[waiver],
        claims={"profile": "standard", "legend": ["what it means"], "verdicts": [claim()]},
        not_selected={"LOSS-030": "MUST"},
        deviations=["LOSS-002: check gone"],
        broken=["test_x.py: SyntaxError"],
    )


def document(*requirements: dict[str, Any], **changes: Any) -> Report:
    """The same, read."""
    return read(fields(*requirements, **changes))


def read(found: Mapping[str, Any]) -> Report:
    """Read what JSON would have."""
    return parse_report(json.dumps(found), "the report")


def filled(text: str) -> Report:
    """A report that holds this text wherever a report may hold any, names of settings included."""

    def fill(value: Any, name: str = "") -> Any:
        match value:
            case dict() if name == "not_selected":
                return {text: "MUST"}
            case dict():
                return {key: fill(item, key) for key, item in value.items()}
            case list():
                return [fill(item, name) for item in value]
            case str() if name == "link":
                return "https://example.org/" + "".join(text.split())
            case str():
                return value if name in _FIXED or value == "standard" else text
            case _:
                return value

    found = fill(everything())
    for part in ("profile", "departures"):
        (item,) = found["implementation"][part].values()
        found["implementation"][part] = {text: item}
    return read(found | {"versions": {text: text, "spec": text}, "isolation": {text: text}, "chapters": {text: text}})
