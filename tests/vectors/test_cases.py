"""The cases as a set: each one says why it exists, and together they cover what they promise."""

from collections import Counter

import pytest

from sdpo_ref.mutants import mutants
from sdpo_ref.vectors.array import Array, array
from sdpo_ref.vectors.case import KINDS, Kind, KnownWrong, Tolerance
from sdpo_ref.vectors.cases import cases
from sdpo_ref.vectors.cases.build import Draws
from sdpo_ref.vectors.store import Vector, load

PROMISED = {
    "LOSS": (
        *(1, 2, 3, 4, 7, 8, 11, 20, 21, 22, 24, 25, 26, 27, 28, 30, 40, 42, 44, 51, 53, 54, 62, 67, 71, 72, 80, 117),
        *(130, 131, 134, 135, 136),
    ),
    "POLICY": (3,),
    "TEACH": (20, 26),
}


@pytest.fixture(scope="module")
def vectors() -> list[Vector]:
    """Every released vector."""
    return [vector for kind in KINDS for vector in load(kind)]


def test_ids_are_unique(vectors: list[Vector]) -> None:
    """No two vectors of any kinds share an id."""
    assert [id_ for id_, count in Counter(vector.id for vector in vectors).items() if count > 1] == []


def test_requirements_are_covered(vectors: list[Vector]) -> None:
    """Every promised requirement has a vector, and no vector names another one."""
    promised = {f"{chapter}-{number:03}" for chapter, numbers in PROMISED.items() for number in numbers}
    assert {id_ for vector in vectors for id_ in vector.requirements} == promised


def test_alphas_are_covered(vectors: list[Vector]) -> None:
    """Interior alphas other than one half occur, close to both ends as well."""
    used = {vector.options["alpha"] for vector in vectors if "alpha" in vector.options}
    assert {0.0, 1e-6, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0} <= used


@pytest.mark.parametrize("kind", KINDS)
def test_small_cases_come_first(kind: Kind) -> None:
    """The size of the inputs never falls along a file."""
    sizes = [sum(tensor.numel() for tensor in vector.inputs.values()) for vector in load(kind)]
    assert sizes == sorted(sizes)


def test_every_vector_explains_itself(vectors: list[Vector]) -> None:
    """Comment, bug, effect and the tolerance's derivation are sentences, not placeholders; the tolerance is small."""

    def explained(vector: Vector) -> bool:
        texts = (vector.comment, vector.bug, vector.effect, vector.tolerance.derivation, vector.derivation)
        return all(len(text.split()) >= 2 for text in texts) and 0 < vector.tolerance.absolute <= 2e-6

    assert len(vectors) > 200
    assert [vector.id for vector in vectors if not explained(vector)] == []


def test_known_wrong_numbers_fail(vectors: list[Vector]) -> None:
    """A known wrong number never passes the tolerance of what it misses, and has its shape."""

    def passes(vector: Vector, wrong: KnownWrong) -> bool:
        expected = vector.expected[wrong.expected].flatten().tolist()
        return all(vector.tolerance.allows(got, want) for got, want in zip(wrong.value, expected, strict=True))

    known = [(vector, wrong) for vector in vectors for wrong in vector.known_wrong]
    assert len(known) > 2000
    assert [(vector.id, wrong.looks_like) for vector, wrong in known if passes(vector, wrong)] == []


DEFECTS = "M001 M006 M010 M016 M019 M041 M042 M048 M056 M081 M084 M095 M101 M150 M171 M176 M179 M286"


def test_known_defects_have_a_number(vectors: list[Vector]) -> None:
    """Each of these mutants is recognised by at least one vector, and every id that is cited is a mutant's."""
    labels = {wrong.looks_like for vector in vectors for wrong in vector.known_wrong}
    cited = {word for label in labels for word in label.split() if word[0] == "M" and word[1:].isdigit()}
    assert set(DEFECTS.split()) <= cited
    assert cited <= {mutant.id for mutant in mutants()}


def test_some_tokens_of_student_and_teacher_differ(vectors: list[Vector]) -> None:
    """Where the two top-k sets differ, taking the other side's gives another number."""
    labels = {w.looks_like for vector in vectors if vector.options.get("k") == 2 for w in vector.known_wrong}
    assert any("top-k chosen from the other side" in label for label in labels)


def test_draws_are_reproducible() -> None:
    """The generator's first numbers are fixed for ever."""
    assert Draws(11).logits(1, 3) == [[-0.2857, 0.3586, 2.5453]]


def test_arrays_keep_shape_and_round_to_their_dtype() -> None:
    """Nested lists come back as they were, float32 rounded."""
    assert array([[1.0], [2.0]]).nested() == [[1.0], [2.0]]
    assert array(3.0) == Array("float64", (), (3.0,))
    assert array([0.1], "float32").values == (0.10000000149011612,)
    assert array([1.0]).little_endian == b"\0\0\0\0\0\0\xf0\x3f"


@pytest.mark.parametrize(("got", "passes"), [(1.0, True), (1.2, True), (1.3, False), (float("nan"), False)])
def test_tolerance_adds_its_two_parts(got: float, passes: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Absolute plus relative times the expected magnitude."""
    assert Tolerance(relative=0.1, absolute=0.11, derivation="").allows(got, 1.0) is passes


def test_tolerance_of_infinities() -> None:
    """An infinite expectation needs the same infinity."""
    tolerance, inf = Tolerance(relative=0.1, absolute=0.1, derivation=""), float("inf")
    assert tolerance.allows(inf, inf)
    assert not tolerance.allows(-inf, inf)
    assert not tolerance.allows(1e300, inf)


def test_definitions_and_files_have_the_same_order(vectors: list[Vector]) -> None:
    """Files list the cases as the definitions do."""
    assert [case.id for kind in KINDS for case in cases(kind)] == [vector.id for vector in vectors]
