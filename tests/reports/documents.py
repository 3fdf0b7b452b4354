"""A document to render: something failed, something is waived, and the implementation says hostile things."""

import json
from typing import Any

from sdpo_ref.reports.document import Document

HOSTILE = "</pre></details><script>alert(1)</script> ```\n| a | **b** \x1b[31m \x00 \u202e &amp; ]]> <!--"
"""What an implementation might print to leave its place in a report."""


def requirement(name: str = "LOSS-003", status: str = "PASS", **changed: Any) -> dict[str, Any]:
    """One requirement of a document."""
    failure = {"expected": "1.5", "got": HOSTILE, "given": HOSTILE, "output": HOSTILE}
    check = {
        "id": "loss/test_divergence.py::test_a",
        "status": status,
        "reason": "",
        "seconds": 0.1,
        "failure": failure if status in {"FAIL", "ERROR", "XFAIL"} else None,
    }
    return {
        "id": name,
        "chapter": "04-loss",
        "strength": "MUST",
        "level": 0,
        "sentence": "KL(p || q) is a sum <of> p_i * log(p_i/q_i).",
        "if_broken": "the student learns something else.",
        "read": "spec/04-loss.md#loss-003",
        "status": status,
        "own_status": status,
        "reason": "",
        "waiver": None,
        "shown": check["id"] if check["failure"] else None,
        "checks": [check],
        **changed,
    }


def document(*requirements: dict[str, Any], **changed: Any) -> Document:
    """A document with these requirements."""
    counted = [it for it in requirements if it["strength"] == "MUST"]
    away = sum(it["status"] == "N/A" for it in counted)
    passed = sum(it["status"] == "PASS" for it in counted)
    failed = any(it["status"] in {"FAIL", "ERROR"} for it in counted)
    fields: dict[str, Any] = {
        "schema": "sdpo-ref/report/1",
        "versions": {"suite": "0.1.0", "spec": "0.2"},
        "isolation": {},
        "implementation": {
            "spec": "my_sdpo:make",
            "name": "mine",
            "capabilities": ["divergence", "loss"],
            "profile": {"base": "paper"},
            "departures": {},
        },
        "selection": {"level": None, "only": []},
        "verdict": {
            "conformant": not failed,
            "partial": False,
            "exit_code": int(failed),
            "meaning": "some MUST failed or raised" if failed else "every MUST passes",
            "sentence": f"{passed} of {len(counted) - away} MUST",
            "notes": [],
            "counts": {
                "MUST": {"passed": passed, "applicable": len(counted) - away, "not_applicable": away},
                "SHOULD": {"passed": 0, "applicable": 0, "not_applicable": 0},
                "MAY": {"passed": 0, "applicable": 0, "not_applicable": 0},
            },
        },
        "diagnosis": None,
        "requirements": list(requirements),
        "waivers": [],
        "claims": {"profile": "standard", "verdicts": []},
        "not_asked": [],
        "deviations": [],
        "broken": [],
        "seconds": 1.25,
        **changed,
    }
    return Document.model_validate_json(json.dumps(fields))
