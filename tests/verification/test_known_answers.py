"""Answers are reduced to a few numbers, compared with the right ones, and kept on file."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
import torch
from torch import Tensor

from sdpo_ref.bundled import make
from sdpo_ref.errors import IntegrityError
from sdpo_ref.mutants import mutants
from sdpo_ref.verification.checks.subject import Subject
from sdpo_ref.verification.diagnosis.answers import NOT_OFFERED, RAISED, Answer, answers_of
from sdpo_ref.verification.diagnosis.known_answers import (
    FILE,
    Deviation,
    KnownAnswers,
    deviation,
    read_known_answers,
    write_known_answers,
)
from sdpo_ref.verification.diagnosis.probe_calls import Call, probes_of

KNOWN = read_known_answers()
CALL = Call(lambda _: None)


def test_the_reference_is_right() -> None:
    """Every call has its right answer on file; the reference gives them."""
    answers = answers_of(Subject(make()), ["divergence", "completion_mask", "context", "hybrid_loss"])
    assert KNOWN.deviations(answers, KNOWN.comparable(answers, ())) == {}
    assert len(KNOWN.comparable(answers, ())) >= 0.9 * len(answers) > 300  # those entered since have to be written


def test_on_file_is_every_mutant_that_lives() -> None:
    """Mutants that end their process are not asked; `sdpo-ref selftest --check` says which are missing."""
    assert KNOWN.wrong.keys() <= {it.id for it in mutants() if not it.isolated}
    assert len([found for found in KNOWN.wrong.values() if found]) > 300


def test_calls_that_depend_on_a_choice_are_left_out() -> None:
    """An implementation with another aggregation is compared where it makes no difference."""
    answers = dict.fromkeys(KNOWN.right, Answer("", (1.0,)))
    left = KNOWN.right.keys() - KNOWN.comparable(answers, ["aggregation"])
    assert "loss of a batch, alpha 0, full" in left
    assert {probes_of()[name][0] for name in left} <= {
        "loss",
        "step",
        "hybrid_loss",
        "defaults",
        "sdft_loss",
        "trainer",
        "hybrid_trainer",
        "hidden_loss",
        "top_k_loss",
        "packed_loss",
    }
    assert "loss of rows of one length, alpha 0, full" in KNOWN.comparable(answers, ["missing_behaviour"])


@pytest.mark.parametrize(
    ("got", "right", "expected"),
    [
        (Answer("", (1.0, 2.0)), Answer("", (1.0, 2.0 + 1e-7)), None),
        (Answer("", (1.5, 2.0)), Answer("", (1.0, 2.0)), Deviation("", (0.5, 0.0))),
        (Answer(RAISED), Answer("", (1.0,)), Deviation(RAISED)),
        (Answer("", (1.0,)), Answer(RAISED), Deviation("an answer")),
        (Answer("not finite in 1"), Answer("not finite in 0"), None),
        (Answer("", (1.0,)), Answer("not finite in 0"), Deviation("finite")),
    ],
)
def test_how_an_answer_differs(got: Answer, right: Answer, expected: Deviation | None) -> None:
    """Rounding does not count, and nothing beside an infinity does."""
    assert deviation(got, right, CALL) == expected


def test_the_value_of_a_surrogate_does_not_count() -> None:
    """Its gradient does."""
    surrogate = Call(lambda _: None, is_surrogate=True)
    assert deviation(Answer("", (9.0, 2.0)), Answer("", (1.0, 2.0)), surrogate) is None
    assert deviation(Answer("", (1.0, 3.0)), Answer("", (1.0, 2.0)), surrogate) == Deviation("", (1.0,))


def test_deviations_are_the_same_up_to_what_is_on_file() -> None:
    """Four digits, and zeros at the end left out."""
    assert Deviation("", (1.0, 0.5, 0.0)).is_same(Deviation("", (1.0004, 0.5)))
    assert not Deviation("", (1.0, 0.5)).is_same(Deviation("", (1.01, 0.5)))
    assert not Deviation("", ()).is_same(Deviation(RAISED))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Right answers to twelve digits, deviations to four."""
    known = KnownAnswers(
        {"a": Answer("", (1 / 3, 2.0)), "b": Answer(RAISED)},
        {"a": frozenset({"aggregation"}), "b": frozenset()},
        {"M1": {"b": Deviation("an answer"), "a": Deviation("", (1 / 3, 0.0))}},
    )
    write_known_answers(tmp_path, known)
    read = read_known_answers(tmp_path)
    assert read.right["a"].numbers == pytest.approx((1 / 3, 2.0), rel=1e-11)
    assert read.depends == known.depends
    assert read.wrong == {"M1": {"b": Deviation("an answer"), "a": Deviation("", (0.3333,))}}
    path = tmp_path / FILE
    path.write_text(json.dumps({"schema": 0}), encoding="utf-8")
    with pytest.raises(IntegrityError, match="selftest --answers"):
        read_known_answers(tmp_path)


def test_an_answer_may_be_missing() -> None:
    """What is not offered, what raises, and what takes too long; the calls after that are not made."""
    calls: list[float] = []

    def divergence(student: Tensor, _teacher: Tensor, *, alpha: float, support: object) -> Tensor:
        calls.append(alpha)
        if alpha == 0:
            raise NotImplementedError
        if alpha == 0.5:
            raise ValueError("half")
        if alpha == 1 and 0.5 in calls:
            time.sleep(60)
        del support
        return student.exp().sum(-1)

    subject = Subject(SimpleNamespace(divergence=divergence, capabilities={"divergence"}))
    began = time.monotonic()
    answers = answers_of(subject, ["divergence"], seconds=1.0)
    assert time.monotonic() - began < 30
    assert {it.words for it in answers.values()} == {NOT_OFFERED, RAISED, ""}
    assert len(answers) < 40
    assert calls[-1] == 1


def test_an_implementation_cannot_hide_the_end_of_the_time() -> None:
    """One that catches everything is stopped at its next call."""

    def divergence(*_sides: Tensor, alpha: float, support: object) -> NoReturn:
        del alpha, support
        try:
            time.sleep(0.5)
        finally:
            raise ValueError(torch.zeros(1))

    subject = Subject(SimpleNamespace(divergence=divergence, capabilities={"divergence"}))
    assert len(answers_of(subject, ["divergence"], seconds=0.8)) < 10
