"""Mutants are ordinary implementations with permanent names, and nothing of them leaks into the reference."""

import re
import sys
from collections.abc import Mapping

import pytest
import torch

import sdpo_ref.functional.divergence
from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError, LoadError
from sdpo_ref.mutants import make, make_benign, mutants
from sdpo_ref.mutants.benign import BENIGN
from sdpo_ref.mutants.mutant import GOOD, Mutant
from sdpo_ref.mutants.plant import _REACHES, _ROOT, Planted, altered_reference
from sdpo_ref.types import FULL
from sdpo_ref.verification.checks.inputs import every_row, on_policy, random_batch
from sdpo_ref.verification.isolation.loader import load
from sdpo_ref.verification.suite.capabilities import FORMS, declared_capabilities, part_of
from sdpo_ref.verification.suite.spec_text import read_catalogue

PAIR = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log(), torch.tensor([[0.9, 0.1]], dtype=torch.float64).log()


def test_names_and_ids_are_unique() -> None:
    """No two mutants share a name or an id, and no name is an id."""
    names = [name for mutant in mutants() for name in (mutant.id, mutant.name)]
    assert len(set(names)) == len(names)


def test_same_defect_means_an_earlier_mutant_of_its_own_kind() -> None:
    """The first mutant of a defect exists, comes before the others, and does not refer to another one."""
    known = {mutant.id: mutant for mutant in mutants()}

    def right(mutant: Mutant) -> bool:
        first = known.get(mutant.defect)
        return first is not None and first.defect == first.id <= mutant.id

    assert [mutant.id for mutant in known.values() if not right(mutant)] == []


def test_requirements_exist() -> None:
    """Every requirement that must catch a mutant is in the specification."""
    known = set(read_catalogue(content("spec")).requirements)
    assert [(it.id, name) for it in mutants() for name in it.caught_by if name not in known] == []


def test_where_a_defect_was_seen_is_a_repository_an_issue_or_a_release() -> None:
    """``owner/repository``, perhaps with the number of an issue, or the name of a release; never a sentence."""
    places = [(mutant.id, place) for mutant in mutants() for place in mutant.seen_in]
    assert len(places) > 40
    form = re.compile(r"[\w-]+/[\w.-]+(#\d+)?|[a-z-]+-\d+(\.\d+)+")
    assert [(id_, place) for id_, place in places if not form.fullmatch(place)] == []


@pytest.fixture(scope="module")
def planted() -> Mapping[str, Planted]:
    """Mutants that replace a line of the reference, by id."""
    return {mutant.id: mutant.build for mutant in mutants() if isinstance(mutant.build, Planted)}


def test_line_is_there_once(planted: Mapping[str, Planted]) -> None:
    """The line that a mutant replaces is in its file once, the altered file is Python, and it is loaded again."""

    def fault(name: str, build: Planted) -> str:
        try:
            compile(build.altered(), name, "exec")
        except (IntegrityError, SyntaxError) as error:
            return f"{name}: {error}"
        return "" if build.parts else f"{name}: {build.file} is not loaded again"

    assert len(planted) > 150
    assert [line for name, build in planted.items() if (line := fault(name, build))] == []


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch.compile itself
@pytest.mark.parametrize("name", BENIGN)
def test_right_variant_is_an_implementation(name: str) -> None:
    """So is every right variant."""
    loaded = load(f"sdpo_ref.mutants:make_benign,name={name}")
    parts = {part_of(capability) for capability in declared_capabilities(loaded.implementation)}
    assert parts & {"loss", FORMS["loss"]}
    assert [part for part in parts if not callable(getattr(loaded.implementation, part))] == []


def test_id_serves_as_name() -> None:
    """A mutant is found by what a diagnosis calls it."""
    expected = make("always_forward").divergence(*PAIR, alpha=1.0, support=FULL)  # type: ignore[attr-defined]
    assert torch.equal(make("M003").divergence(*PAIR, alpha=1.0, support=FULL), expected)  # type: ignore[attr-defined]


@pytest.mark.parametrize("factory", [make, make_benign])
def test_unknown_name_is_refused(factory: object) -> None:
    """An unknown name is an error that says where the names are."""
    with pytest.raises(LoadError, match="unheard_of"):
        factory("unheard_of")  # type: ignore[operator]


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


def test_files_that_reach_few_parts_exist() -> None:
    """Every file in the table of what a line can reach is there, under its name of today."""
    assert [file for file in _REACHES if not (_ROOT / file).is_file()] == []


def test_a_change_that_would_have_no_effect_is_refused() -> None:
    """The simulation is shared by altered and loaded reference: a change there would be a copy of the reference."""
    file = "simulation/teachers/placebo.py"
    assert Planted(file, "", "").parts == frozenset()
    with pytest.raises(IntegrityError, match="not loaded again"):
        altered_reference(file, (_ROOT / file).read_text(encoding="utf-8"))


def test_planted_line_reaches_the_loss() -> None:
    """Of whichever part, also with a denominator: none finds its implementation only when it is called."""
    line = "return torch.where(batch.loss_mask, token_losses, 0.0)"
    planted = Planted("losses/reference.py", line, line.replace("token_losses", "2 * token_losses"))()
    batch = every_row(on_policy(random_batch(7)))
    options = {"alpha": 0.5, "support": FULL}
    whole = {**options, "temperature": 1.0, "ratio_cap": None}
    for part, given in (
        ("loss", whole),
        ("loss", {**whole, "denominator": 3.0}),
        ("sdft_loss", {**options, "skip_tokens": 0}),
    ):
        found, right = (getattr(it, part)(batch, **given) for it in (planted, GOOD))
        assert torch.equal(found, 2 * right), (part, given)
