"""The specification is parsed strictly: what cannot be read is an error with file and line."""

from pathlib import Path

import pytest

from sdpo_ref._resources import content
from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.verification.suite.spec_text import read_catalogue

GOOD = """# 04 Loss

Prose, and a table:

### LOSS-001
**MUST** · level 1 · needs `loss`, `loss.temperature`

The loss is a number
in nats.

A second paragraph explains.

- Source: here,
  and there.
- Why: because.
- If broken: it breaks.
- After: LOSS-002
- Profile: aggregation, top_k_from

### LOSS-002
**SHOULD** · level 0

It is finite.

- Source: here.
- Why: because.
- If broken: it breaks.

### LOSS-003
Retired: it meant
the same as LOSS-002.
"""


def write(folder: Path, text: str) -> Path:
    (folder / "04-loss.md").write_text(text, encoding="utf-8")
    return folder


def test_every_field_is_read(tmp_path: Path) -> None:
    """Strength, level, needs, sentence, list items over several lines, chapter and anchor arrive as written."""
    catalogue = read_catalogue(write(tmp_path, GOOD))
    loss = catalogue["LOSS-001"]
    assert (loss.strength, loss.level, loss.needs) == ("MUST", 1, ("loss", "loss.temperature"))
    assert loss.sentence == "The loss is a number in nats."
    assert (loss.source, loss.why, loss.if_broken) == ("here, and there.", "because.", "it breaks.")
    assert (loss.after, loss.profile_fields) == (("LOSS-002",), ("aggregation", "top_k_from"))
    assert (loss.anchor, loss.line) == ("spec/04-loss.md#loss-001", 5)
    assert catalogue["loss-002"].needs == ()
    assert catalogue.titles == {"04-loss": "04 Loss"}


def test_line_breaks_do_not_change_the_fingerprint_and_words_do(tmp_path: Path) -> None:
    """Re-wrapping a sentence keeps its fingerprint; another word changes it."""
    before = read_catalogue(write(tmp_path, GOOD))["LOSS-001"].sentence_sha256
    wrapped = read_catalogue(write(tmp_path, GOOD.replace("number\nin", "number in")))["LOSS-001"].sentence_sha256
    reworded = read_catalogue(write(tmp_path, GOOD.replace("in nats", "in bits")))["LOSS-001"].sentence_sha256
    assert before == wrapped
    assert before != reworded


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("### LOSS-002", "### LOSS-2", r"04-loss.md:20: LOSS-2: an id is"),
        ("### LOSS-002", "### LOSS-001", r"04-loss.md:20: LOSS-001: this id is used twice"),
        ("**SHOULD** · level 0", "**SHALL** · level 0", r":20: LOSS-002: the first line after the heading"),
        ("**SHOULD** · level 0", "**SHOULD** · level 9", r":20: LOSS-002: the first line after the heading"),
        ("It is finite.\n\n", "", r":20: LOSS-002: there is no sentence"),
        ("`loss.temperature`", "`loss.temprature`", r":5: LOSS-001: unknown capability 'loss.temprature'"),
        ("`loss`, ", "loss, ", r":5: LOSS-001: `needs` lists each capability in backticks"),
        (
            "- Why: because.\n- If broken: it breaks.\n- After",
            "- After",
            r":5: LOSS-001: the list misses Why, If broken",
        ),
        ("- After: LOSS-002", "- Afer: LOSS-002", r":5: LOSS-001: unknown item 'Afer'"),
        ("- After: LOSS-002", "- LOSS-002 goes first", r":5: LOSS-001: a list item is"),
        ("- After: LOSS-002", "- Why: again", r":5: LOSS-001: the item 'Why' is there twice"),
        ("- After: LOSS-002", "- After: LOSS-777", r":5: LOSS-001: comes after LOSS-777, which does not exist"),
        ("- After: LOSS-002", "- After: LOSS-001", r":5: LOSS-001: comes after itself"),
        ("aggregation, top", "agregation, top", r":5: LOSS-001: unknown profile field 'agregation'"),
    ],
)
def test_a_malformed_entry_is_named_by_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Each mistake that an author can make is an error which says where it is."""
    assert old in GOOD
    with pytest.raises(IntegrityError, match=message):
        read_catalogue(write(tmp_path, GOOD.replace(old, new, 1)))


def test_a_folder_without_requirements_is_refused(tmp_path: Path) -> None:
    """An empty specification would make everything conformant."""
    with pytest.raises(IntegrityError, match="holds no requirement"):
        read_catalogue(tmp_path)


def test_an_unknown_id_names_near_misses_and_a_retired_one_its_reason(tmp_path: Path) -> None:
    """A slip of the finger is answered with what was probably meant."""
    catalogue = read_catalogue(write(tmp_path, GOOD))
    with pytest.raises(UsageError, match=r"'LOSS-0O1'; did you mean LOSS-001"):
        catalogue["LOSS-0O1"]
    with pytest.raises(UsageError, match=r"LOSS-003 was retired: it meant the same as LOSS-002\."):
        catalogue["LOSS-003"]


def test_the_chapter_of_the_study_is_read_on_request_only(tmp_path: Path) -> None:
    """A chapter that begins with 06- is read on request only."""
    write(tmp_path, GOOD)
    (tmp_path / "06-simulation.md").write_text("# 06 Simulation\n\n" + GOOD.split("\n", 1)[1].replace("LOSS-", "SIM-"))
    assert not any(name.startswith("SIM-") for name in read_catalogue(tmp_path).requirements)
    assert "SIM-001" in read_catalogue(tmp_path, study=True).requirements


def test_no_sentence_of_the_released_specification_is_a_list() -> None:
    """A sentence of more than forty words says several things; cases, formulas and consequences stand below it."""
    released = read_catalogue(content("spec"), study=True)
    words = {requirement.id: len(requirement.sentence.split()) for requirement in released}
    assert {name: count for name, count in words.items() if count > 40} == {}
