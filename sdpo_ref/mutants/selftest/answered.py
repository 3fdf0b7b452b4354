"""What every mutant answers to the calls of a diagnosis, and how that differs from the right answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import torch

from sdpo_ref.mutants.mutant import GOOD, Mutant
from sdpo_ref.mutants.plant import reference_under
from sdpo_ref.protocols.profile import Profile
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.diagnosis.answers import Answers, answers_of
from sdpo_ref.verification.diagnosis.known_answers import KnownAnswers
from sdpo_ref.verification.diagnosis.probe_calls import probes_of
from sdpo_ref.verification.suite.capabilities import PARTS

_LIMIT = 30.0
"""Seconds for all answers of a mutant."""


NONE = KnownAnswers({}, {}, {})
"""Where nothing is on file."""


def known_answers(mutants: Sequence[Mutant], filed: KnownAnswers = NONE) -> KnownAnswers:
    """The right answers, and those of mutants; a mutant that hangs or ends its process has none.

    Args:
        mutants: whose answers are wanted.
        filed: right answers that are taken as they are, and answers of other mutants.

    Returns:
        The answers.
    """
    known = _with_right_answers(filed)
    wrong = dict(filed.wrong)
    for mutant in mutants:
        if not mutant.isolated:
            answers = answers_of(Subject(mutant.build()), mutant.parts or PARTS, seconds=_LIMIT)
            wrong[mutant.id] = known.deviations(answers, known.comparable(answers, ()))
            torch.set_default_dtype(torch.float32)  # M439 leaves another one
    return replace(known, wrong={name: wrong[name] for name in sorted(wrong)})


def _with_right_answers(filed: KnownAnswers) -> KnownAnswers:
    """With the right answers to calls that are not on file, behind those that are."""
    parts = {part for name, (part, _) in probes_of().items() if name not in filed.right}
    found = answers_of(Subject(GOOD), parts)
    added = {name: it for name, it in found.items() if name not in filed.right}
    return KnownAnswers({**filed.right, **added}, {**filed.depends, **_depends(added, parts)}, {})


def _depends(right: Answers, parts: Collection[str]) -> Mapping[str, frozenset[str]]:
    """For each call of these parts, the fields of the profile that change its right answer."""
    found: dict[str, set[str]] = {}
    base = KnownAnswers(right, {}, {})
    for name, field in Profile.model_fields.items():
        for choice in get_args(field.annotation):
            if isinstance(choice, str) and choice != field.default:
                answers = answers_of(Subject(reference_under({name: choice})), parts)
                for call in base.deviations(answers, right):
                    found.setdefault(call, set()).add(name)
    return {call: frozenset(fields) for call, fields in found.items()}
