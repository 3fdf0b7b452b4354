"""How the answers of known defects differ from the right ones: written by ``sdpo-ref selftest``."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError
from sdpo_ref.verification.diagnosis.answers import NOT_FINITE, NOT_OFFERED, Answer, Answers
from sdpo_ref.verification.diagnosis.probe_calls import Call, probes_of

FILE = Path("mutants") / "answers.json"
"""Below ``conformance/``."""

_SCHEMA = 1

EXACT = 1e-5
"""By which share of its largest number an answer must differ to be wrong; enough for sums in any order."""

_HALF = 0.03
"""The same where logits are in bfloat16: a gradient may come back in it."""

_ABSOLUTE = 1e-9

_SAME = 1e-3
"""By which share of its size one deviation may differ from another that counts as the same."""

_DIGITS = 4
"""Of a deviation on file."""


@dataclass(frozen=True)
class Deviation:
    """How an answer differs from the right one.

    Attributes:
        words: what came instead of numbers; empty if numbers came.
        numbers: what came, less what is right.
    """

    words: str = ""
    numbers: tuple[float, ...] = ()

    def is_same(self, other: "Deviation") -> bool:
        """Whether another answer is wrong in the same way.

        Example:
            >>> Deviation(numbers=(1.0, 0.0)).is_same(Deviation(numbers=(1.0001, 0.0)))
            True
        """
        size = max(map(abs, (*self.numbers, *other.numbers)), default=0.0)
        pairs = zip_longest(self.numbers, other.numbers, fillvalue=0.0)  # zeros at the end are not on file
        return self.words == other.words and all(abs(one - two) <= _SAME * size for one, two in pairs)


Deviations = Mapping[str, Deviation]
"""Name of a call to how its answer differs; answers that are right are left out."""


@dataclass(frozen=True)
class KnownAnswers:
    """The right answers, and those of every known defect.

    Attributes:
        right: under the paper's profile.
        depends: for each call, the fields of the profile that change its right answer.
        wrong: id of a mutant to how its answers differ.
    """

    right: Answers
    depends: Mapping[str, frozenset[str]]
    wrong: Mapping[str, Deviations]

    def comparable(self, answers: Answers, departures: Collection[str]) -> frozenset[str]:
        """Calls whose right answer is on file.

        Args:
            answers: of an implementation.
            departures: fields in which its profile departs from the paper's.

        Returns:
            Calls that it answers, whose right answer does not depend on these fields.
        """
        known = probes_of()
        return frozenset(
            name
            for name, answer in answers.items()
            if name in self.right
            and name in known
            and not self.depends.get(name, frozenset()) & set(departures)
            and (answer.words != NOT_OFFERED or self.right[name].words == NOT_OFFERED)
        )

    def deviations(self, answers: Answers, calls: Collection[str], *, exact: float = EXACT) -> dict[str, Deviation]:
        """How answers differ from the right ones.

        Args:
            answers: of an implementation.
            calls: those to compare.
            exact: the least difference, as a share of an answer's largest number.

        Returns:
            The deviations.
        """
        known = probes_of()
        found = {name: deviation(answers[name], self.right[name], known[name][1], exact=exact) for name in calls}
        return {name: it for name, it in found.items() if it is not None}


def deviation(answer: Answer, right: Answer, call: Call, *, exact: float = EXACT) -> Deviation | None:
    """How an answer differs from the right one.

    Of an answer that is rightly infinite nothing else counts. Of a surrogate only the gradient does.

    Args:
        answer: of an implementation.
        right: the right one.
        call: that was answered.
        exact: the least difference, as a share of the largest number.

    Returns:
        The difference; ``None`` if there is none.
    """
    if right.words.startswith(NOT_FINITE):
        return None if answer.words.startswith(NOT_FINITE) else Deviation(answer.words or "finite")
    if answer.words != right.words or len(answer.numbers) != len(right.numbers):
        return Deviation(answer.words or "an answer")
    begin = 1 if call.is_surrogate else 0
    numbers = list(zip(answer.numbers, right.numbers, strict=True))[begin:]
    size = max((abs(wanted) for _, wanted in numbers), default=0.0)
    allowed = max(exact, _HALF if call.is_half else 0.0) * size + _ABSOLUTE
    apart = tuple(got - wanted for got, wanted in numbers)
    return None if all(abs(it) <= allowed for it in apart) else Deviation("", apart)


def read_known_answers(conformance: Path | None = None) -> KnownAnswers:
    """The answers that the suite was released with.

    Args:
        conformance: folder of the suite; the released one by default.

    Returns:
        Right and wrong answers.

    Raises:
        IntegrityError: if there is no such file, or it is damaged.
    """
    path = (conformance or content("conformance")) / FILE
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} holds no answers ({error!r}); write it with `sdpo-ref selftest --answers`"
        ) from error


def write_known_answers(conformance: Path, known: KnownAnswers) -> None:
    """Write them so that a change of one mutant is a change of one line."""
    index = {name: number for number, name in enumerate(known.right)}
    calls = [
        [name, sorted(known.depends.get(name, ())), right.words, *(float(f"{it:.12g}") for it in right.numbers)]
        for name, right in known.right.items()
    ]
    mutants = {
        id_: [[index[name], it.words, *_rounded(it.numbers)] for name, it in found.items()]
        for id_, found in known.wrong.items()
    }
    lines = {
        "calls": f"[\n{_lines(map(_json, calls))}\n]",
        "mutants": f"{{\n{_lines(f'{_json(id_)}: {_json(found)}' for id_, found in mutants.items())}\n}}",
    }
    body = ",\n".join(f'"{name}": {text}' for name, text in lines.items())
    path = conformance / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{\n"schema": {_SCHEMA},\n{body}\n}}\n', encoding="utf-8")


def _lines(texts: Any) -> str:
    return ",\n".join(texts)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _rounded(numbers: Sequence[float]) -> list[float]:
    """Without zeros at the end."""
    found = [float(f"{number:.{_DIGITS}g}") for number in numbers]
    while found and not found[-1]:
        found.pop()
    return found


def _parse(document: Mapping[str, Any]) -> KnownAnswers:
    if document["schema"] != _SCHEMA:
        raise ValueError(f"schema {document['schema']}, this release reads {_SCHEMA}")
    calls = document["calls"]
    return KnownAnswers(
        right={name: Answer(words, tuple(map(float, numbers))) for name, _, words, *numbers in calls},
        depends={name: frozenset(fields) for name, fields, *_ in calls},
        wrong={
            id_: {calls[number][0]: Deviation(words, tuple(map(float, numbers))) for number, words, *numbers in found}
            for id_, found in document["mutants"].items()
        },
    )
