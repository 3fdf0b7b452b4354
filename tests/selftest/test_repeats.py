"""Right variants under other random inputs: they differ from repeat to repeat, are the same again, and are kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError
from sdpo_ref.mutants.benign import BENIGN
from sdpo_ref.mutants.selftest.processes import run_targets
from sdpo_ref.mutants.selftest.repeats import FILE, read_repeats, repeats_of, write_repeats
from sdpo_ref.mutants.selftest.targets import Finding, all_targets, repeated, select
from sdpo_ref.mutants.unusual import UNUSUAL
from sdpo_ref.verification.checks.inputs import inputs_of, random_batch

NOT_REPEATED = {"hidden-states-alone", "hidden-states-alone-chunked", "lists-spread", "lists-textbook"}
"""Right variants that are newer than the file, of which it says nothing: 59 of one take four to eight CPU minutes.
To be taken out when ``sdpo-ref selftest --repeats 59`` has written it again."""


def test_inputs_are_those_of_the_repeat() -> None:
    """Another repeat gives other logits, the same repeat the same, and afterwards all is as before."""
    usual = random_batch(30).student_logits
    with inputs_of(1):
        first = random_batch(30).student_logits
    with inputs_of(2):
        second = random_batch(30).student_logits
    with inputs_of(1):
        again = random_batch(30).student_logits
    assert not torch.equal(usual, first)
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    assert torch.equal(usual, random_batch(30).student_logits)


@pytest.mark.slow
def test_examples_of_properties_are_those_of_the_repeat() -> None:
    """How near a comparison comes to its tolerance changes with the repeat, and is the same when it is run again.

    Of a mutant with one part: the checks of a right variant take ten times as long.
    """
    (usual,) = select(all_targets(), ["arithmetic_mixture"])
    repeats = [replace(usual, repeat=number) for number in (1, 2)]
    one, first, second = run_targets([usual, *repeats], jobs=1)
    (again,) = run_targets(repeats[:1], jobs=1)
    assert one.failed == first.failed == second.failed == again.failed != []
    assert first.margins == again.margins
    assert one.margins != first.margins != second.margins


def test_repeated() -> None:
    """Every right variant but the compiled and the unusual ones, once for each repeat, none with the usual inputs."""
    targets = repeated(3)
    assert {target.repeat for target in targets} == {1, 2, 3}
    assert len(targets) == 3 * (len(BENIGN) - len(UNUSUAL) - 1)
    assert len({target.key for target in targets}) == len(targets)


def test_what_fails_is_kept_and_warnings_are_not(tmp_path: Path) -> None:
    """A failed MUST and a broken check count, CONF-003 does not; the file gives back what was written."""
    targets = repeated(1)[:3]
    keys = [target.key for target in targets]
    findings = {
        keys[0]: Finding(keys[0], requirements=["CONF-003"]),
        keys[1]: Finding(keys[1], requirements=["CONF-003", "LOSS-001"]),
        keys[2]: Finding(keys[2], broken=["the worker ended"]),
    }
    found = repeats_of(targets, findings)
    assert found.failed == {keys[1]: ("LOSS-001",), keys[2]: ("the worker ended",)}
    assert found.runs == 3
    (tmp_path / FILE.parent).mkdir()
    write_repeats(tmp_path, found)
    assert read_repeats(tmp_path) == found


@pytest.mark.parametrize("text", ["", "[]", '{"repeats": 1}', '{"repeats": 1, "variants": [], "failed": []}'])
def test_what_holds_no_repeats_is_refused(tmp_path: Path, text: str) -> None:
    """A broken file is named, with the command that writes it again."""
    (tmp_path / FILE.parent).mkdir()
    (tmp_path / FILE).write_text(text)
    with pytest.raises(IntegrityError, match="sdpo-ref selftest --repeats"):
        read_repeats(tmp_path)


def test_no_right_variant_failed_in_59() -> None:
    """59 sets of inputs without a failure: with 95 % confidence fewer than one in twenty makes one fail."""
    filed = read_repeats(content("conformance"))
    assert filed.repeats >= 59
    assert filed.failed == {}
    assert not NOT_REPEATED & set(filed.variants)
    assert {*filed.variants, *NOT_REPEATED} == {target.name for target in repeated(1)}
