"""Blind changes of the reference: what counts as noticed, what is explained, and that a score can be repeated."""

import os
import subprocess
import sys
from functools import cache

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.protocols.profile import PROFILES
from sdpo_ref.verification.suite.capabilities import PARTS
from tools.mutation_score.__main__ import Score, files_of, render
from tools.mutation_score.mutations import line_text, make, variants
from tools.mutation_score.suite import declarations, parts_to_ask
from tools.mutation_score.survivors import FILE, Explained, explained, read
from tools.mutation_score.unit_tests import noticed_by_tests

SWAP = Explained(
    file="functional/log_probs.py",
    line="precise = logits.to(torch.promote_types(logits.dtype, torch.float32))",
    before="torch.promote_types(logits.dtype, torch.float32)",
    after="torch.promote_types(torch.float32, logits.dtype)",
    reason="Promotion is symmetric.",
)


@cache
def scored() -> list[str]:
    """Every file that can be scored; asked for in a test, for each worker collects all tests."""
    return files_of(["functional", "losses", "teachers"])


def test_entries_on_file_match() -> None:
    """Each names a change that is made today."""
    entries = read(FILE.read_text(encoding="utf-8"))
    assert len(explained(entries, scored())) == len(entries)


@pytest.mark.parametrize("field", ["line", "before", "after"])
def test_entry_that_matches_nothing(field: str) -> None:
    """A line that was rewritten takes its explanation with it."""
    fields = {name: getattr(SWAP, name) for name in ("file", "line", "before", "after", "reason")}
    stale = Explained(**{**fields, field: fields[field] + " "})
    with pytest.raises(IntegrityError, match="adapt the entry or take it out"):
        explained([stale], [SWAP.file])


def test_occurrence_counts_from_one() -> None:
    """The second of one is nowhere, and two entries may not share a change."""
    assert len(explained([SWAP], [SWAP.file])) == 1
    second = Explained(SWAP.file, SWAP.line, SWAP.before, SWAP.after, SWAP.reason, occurrence=2)
    with pytest.raises(IntegrityError, match="occurrence 2"):
        explained([second], [SWAP.file])
    with pytest.raises(IntegrityError, match="two entries"):
        explained([SWAP, SWAP], [SWAP.file])


def test_entries_of_other_files_wait() -> None:
    """Who scores one file is not asked about the others."""
    assert not explained([SWAP], ["functional/divergence.py"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("reason = ' '", "empty"),
        ("reason = 'r'\nbecause = 'b'", "because"),
        ("", "reason"),
    ],
)
def test_table_is_strict(table: str, message: str) -> None:
    """No reason, an empty one, or a key that nobody reads."""
    keys = "file = 'f'\nline = 'l'\nbefore = 'b'\nafter = 'a'\n"
    with pytest.raises(IntegrityError, match=message):
        read(f"[[equivalent]]\n{keys}{table}")


def test_unknown_table() -> None:
    """Only equivalents are explained."""
    with pytest.raises(IntegrityError, match="hopeless"):
        read("[[hopeless]]\nfile = 'f'")


def test_every_part_is_asked_first_by_the_paper() -> None:
    """Under the paper's profile all parts, under each other one only those in which its choices can show."""
    assert declarations()[: len(PROFILES)] == tuple(PROFILES)
    assert parts_to_ask("paper") == frozenset(PARTS)
    assert "context" in parts_to_ask("lasgroup")
    assert "divergence" not in parts_to_ask("trl-sdpo")
    assert all(parts_to_ask(declares) for declares in declarations())


@hypothesis_settings(max_examples=40)
@given(st.deferred(lambda: st.sampled_from(scored())), st.randoms(use_true_random=False))
def test_each_change_is_one(file: str, random: st.DataObject) -> None:
    """A changed file is Python, differs from the file as it stands, and begins on the line that is named."""
    variant = random.choice(variants(file))  # type: ignore[attr-defined]
    assert variant.before != variant.after
    assert line_text(variant)
    compile(variant.source(), file, "exec")


def test_choices_that_nobody_published_can_be_declared() -> None:
    """An implementation with one of them has no published defaults and declares what it does."""
    made = make("functional/importance.py", -1, "aggregation:row_sum")
    assert made.profile == {"aggregation": "row_sum"}  # type: ignore[attr-defined]
    assert not hasattr(made, "defaults")


def test_files_of() -> None:
    """A folder stands for its files, but for those that cannot be loaded twice."""
    assert files_of(["functional/importance.py"]) == ["functional/importance.py"]
    assert "losses/sdft.py" in scored()
    assert not [file for file in scored() if file.startswith("losses/fused/")]
    with pytest.raises(UsageError, match="is not below"):
        files_of(["functional/nothing.py"])
    for empty in ("losses/fused", "losses/fused/evaluate.py", "functional/__init__.py"):
        with pytest.raises(UsageError, match="nothing to change"):
            files_of([empty])


def test_table_tells_noticed_explained_and_left_apart() -> None:
    """Of three changes one is noticed by the suite, one by a unit test, one is none; a fourth is left."""
    file = "functional/importance.py"
    changes = [(file, number) for number in range(4)]
    found = Score(changes, {changes[2]: "none"}, {changes[0]: "a check"}, frozenset({changes[1]}))
    assert found.survivors == [changes[3]]
    assert not found.unjust
    assert f"| `{file}` | 4 | 1 | 1 (33.3%) | 2 (66.7%) |" in render(found)
    unjust = Score(changes, {changes[0]: "none"}, {changes[0]: "a check"}, frozenset())
    assert unjust.unjust == [changes[0]]


@pytest.mark.slow
def test_unit_tests_are_asked_in_a_process_of_their_own() -> None:
    """They fail for an altered file, pass for another, and this process keeps the file as it stands."""
    file, tests = "functional/importance.py", ["tests/functional/test_bad_input.py"]
    numbers = {variant.before + variant.after: number for number, variant in enumerate(variants(file))}
    assert noticed_by_tests(file, numbers["ratio_cap > 0ratio_cap >= 0"], tests)
    assert not noticed_by_tests(file, numbers["20.021.0"], tests)


@pytest.mark.slow
def test_command() -> None:
    """A small file's score: the suite notices all six changes of the surrogate, under the paper's profile already."""
    words = ("functional/sampled_token.py", "--jobs", "2", "--profiles", "1")
    ended = subprocess.run(
        [sys.executable, "-m", "tools.mutation_score", *words],
        capture_output=True,
        text=True,
        check=False,
        env={name: text for name, text in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "| `functional/sampled_token.py` | 6 | 0 | 6 (100.0%) | 6 (100.0%) |" in ended.stdout
    assert "Nothing notices: 0" in ended.stdout
