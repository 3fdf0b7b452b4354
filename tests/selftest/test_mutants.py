"""Mutants are ordinary implementations with permanent names, and nothing of them leaks into the reference."""

import sys

import pytest
import torch

import sdpo_ref.functional.divergence
from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError, LoadError
from sdpo_ref.mutants import make, make_benign, mutants
from sdpo_ref.mutants.benign import BENIGN
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.types import FULL
from sdpo_ref.verification.isolation.loader import load
from sdpo_ref.verification.suite.capabilities import PARTS
from sdpo_ref.verification.suite.spec_text import read_catalogue

MUTANTS = mutants()
PAIR = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log(), torch.tensor([[0.9, 0.1]], dtype=torch.float64).log()


def test_names_and_ids_are_unique() -> None:
    """No two mutants share a name or an id, and no name is an id."""
    names = [name for mutant in MUTANTS for name in (mutant.id, mutant.name)]
    assert len(set(names)) == len(names)


def test_same_defect_means_an_earlier_mutant_of_its_own_kind() -> None:
    """What is said to be the same defect is there, comes before, and is itself no repetition."""
    known = {mutant.id: mutant for mutant in MUTANTS}
    for mutant in MUTANTS:
        first = known[mutant.defect]
        assert first.defect == first.id
        assert first.id <= mutant.id


def test_requirements_exist() -> None:
    """Every requirement that must catch a mutant is in the specification."""
    known = set(read_catalogue(content("spec")).requirements)
    assert {name for mutant in MUTANTS for name in mutant.caught_by} <= known


PLANTED = {mutant.id: mutant.build for mutant in MUTANTS if isinstance(mutant.build, Planted)}
ONE_OF_EACH_FILE = {build.file: name for name, build in PLANTED.items()}.values()


@pytest.mark.parametrize("name", [*(it.id for it in MUTANTS if it.id not in PLANTED), *ONE_OF_EACH_FILE])
def test_is_an_implementation(name: str) -> None:
    """Each is made by ``module:factory`` from its name, and has parts."""
    loaded = load(f"sdpo_ref.mutants:make,name={name}")
    assert any(callable(getattr(loaded.implementation, part, None)) for part in PARTS)


@pytest.mark.parametrize("name", PLANTED)
def test_line_is_there_once(name: str) -> None:
    """What a mutant exchanges stands in its file once, and the altered file is Python."""
    compile(PLANTED[name].altered(), name, "exec")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch.compile itself
@pytest.mark.parametrize("name", BENIGN)
def test_right_variant_is_an_implementation(name: str) -> None:
    """So is every right variant."""
    loaded = load(f"sdpo_ref.mutants:make_benign,name={name}")
    assert callable(loaded.implementation.loss)  # type: ignore[attr-defined]


def test_id_serves_as_name() -> None:
    """A mutant is found by what a diagnosis calls it."""
    expected = make("always_forward").divergence(*PAIR, alpha=1.0, support=FULL)  # type: ignore[attr-defined]
    assert torch.equal(make("M003").divergence(*PAIR, alpha=1.0, support=FULL), expected)  # type: ignore[attr-defined]


@pytest.mark.parametrize("factory", [make, make_benign])
def test_unknown_name_is_refused(factory: object) -> None:
    """A name that is nobody's is an error that says where the names are."""
    with pytest.raises(LoadError, match="nobody"):
        factory("nobody")  # type: ignore[operator]


def test_planted_line_reaches_everything_and_leaks_nowhere() -> None:
    """The altered file serves the whole implementation; the loaded modules are the same objects as before."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("sdpo_ref.")}
    right = sdpo_ref.functional.divergence.generalized_jsd(*PAIR, alpha=1.0)
    planted = Planted("functional/divergence.py", "return terms.sum(-1)", "return 2 * terms.sum(-1)")()
    found = planted.divergence(*PAIR, alpha=1.0, support=FULL)  # type: ignore[attr-defined]
    assert torch.equal(found, 2 * right)
    assert torch.equal(sdpo_ref.functional.divergence.generalized_jsd(*PAIR, alpha=1.0), right)
    after = {name: module for name, module in sys.modules.items() if name.startswith("sdpo_ref.")}
    assert {name: after[name] for name in before} == before


def test_line_that_is_gone_is_an_error() -> None:
    """A mutant whose line was rewritten does not become a copy of the reference."""
    with pytest.raises(IntegrityError, match="0 times"):
        Planted("functional/divergence.py", "no such line", "nothing")()
