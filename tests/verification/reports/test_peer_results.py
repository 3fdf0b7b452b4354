"""Recorded results: notes survive a new run, the table says what the files say, and what is released is current."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sdpo_ref.cli.results import app
from sdpo_ref.errors import IntegrityError, UsageError
from sdpo_ref.verification.engine import Suite, verify
from sdpo_ref.verification.report import Report
from sdpo_ref.verification.reports.peer_results import (
    Recorded,
    as_toml,
    problems,
    read_recorded,
    render,
    updated,
    write_recorded,
)
from sdpo_ref.verification.status import Status
from sdpo_ref.verification.suite.catalogue import Catalogue, Requirement
from tests.forked import installed
from tests.verification.reports.examples import fields, read
from tests.verification.reports.examples import requirement as requirement_fields

RELEASED = Suite.released()
RESULTS = RELEASED.conformance / "results"


def requirement(name: str, sentence: str) -> Requirement:
    """A MUST of the loss chapter."""
    return Requirement(name, "MUST", 1, (), sentence, "", "", "", "", (), (), "04-loss", 1)


CATALOGUE = Catalogue(
    requirements={
        "LOSS-001": requirement("LOSS-001", "KL(p | q) is not negative."),
        "LOSS-002": requirement("LOSS-002", "It is finite."),
    },
    retired={},
    titles={"04-loss": "Loss"},
)
PEER = Recorded("peer", "peer:make", "pytest")


def report(*statuses: Status, broken: tuple[str, ...] = ()) -> Report:
    """A run that ended so for each requirement of CATALOGUE."""
    found = fields(*(requirement_fields(it.id, status) for it, status in zip(CATALOGUE, statuses, strict=True)))
    return read({**found, "implementation": {**found["implementation"], "name": "Peer"}, "broken": list(broken)})


def test_a_new_fault_gets_an_empty_note_and_old_notes_are_kept() -> None:
    """The run decides statuses, profile, name and version; a person's words stay, also where the fault is gone."""
    before = replace(PEER, notes={"LOSS-001": "It swaps the arguments."})
    after = updated(before, report(Status.PASS, Status.ERROR), "1.2.3")
    assert after.notes == {"LOSS-001": "It swaps the arguments.", "LOSS-002": ""}
    assert after.statuses == {"LOSS-001": Status.PASS, "LOSS-002": Status.ERROR}
    assert (after.name, after.version) == ("Peer", "1.2.3")
    assert after.without_note == ("LOSS-002",)


def test_nothing_is_recorded_when_the_suite_is_broken() -> None:
    """A run in which a control failed, or a file of the suite could not be read, is no evidence."""
    for broken in (report(Status.PASS, Status.INVALID), report(Status.PASS, Status.PASS, broken=("loss/x.py",))):
        with pytest.raises(IntegrityError, match="nothing was recorded for peer"):
            updated(PEER, broken, "1")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Quotation marks, line breaks and signs beyond ASCII in a note survive the file."""
    recorded = replace(
        updated(PEER, report(Status.FAIL, Status.NA), "1.0"), notes={"LOSS-001": 'It says "−0.2 nat"\nand means π.'}
    )
    write_recorded(tmp_path, recorded)
    assert read_recorded(tmp_path) == (recorded,)


def test_two_lines_by_hand_are_a_new_peer(tmp_path: Path) -> None:
    """Implementation and distribution are all that a person writes to add a peer."""
    (tmp_path / "peer.toml").write_text('implementation = "peer:make"\ndistribution = "pytest"\n', encoding="utf-8")
    assert read_recorded(tmp_path, ["peer"]) == (PEER,)


def test_a_wrong_name_and_a_wrong_file_say_so(tmp_path: Path) -> None:
    """An unknown peer lists those that there are; a file with an unknown status is named."""
    write_recorded(tmp_path, PEER)
    with pytest.raises(UsageError, match="recorded for per; there are peer"):
        read_recorded(tmp_path, ["per"])
    (tmp_path / "bad.toml").write_text(as_toml(PEER).replace("[statuses]", '[statuses]\nLOSS-001 = "GOOD"'))
    with pytest.raises(IntegrityError, match=r"bad\.toml does not hold results \('GOOD'"):
        read_recorded(tmp_path)


def test_what_is_wrong_with_a_record() -> None:
    """A fault without a note, an id that is not in the specification, and a requirement without a status are listed."""
    recorded = replace(PEER, statuses={"LOSS-001": Status.FAIL}, notes={"LOSS-001": " ", "LOSS-999": "old"})
    assert problems(recorded, CATALOGUE) == (
        "peer: LOSS-001 has no note",
        "peer: LOSS-999 is not in the specification",
        "peer: no status for LOSS-002; run `sdpo-ref results update`",
    )


def test_the_table_tells_faults_from_variants() -> None:
    """A departure is in the first table and not counted; a fault is marked, counted, and has its note below."""
    recorded = updated(PEER, report(Status.FAIL, Status.NA), "1.0")
    page = render([replace(recorded, notes={"LOSS-001": "It is negative."})], CATALOGUE)
    assert "| `aggregation` | `token_mean` | row_mean |" in page
    assert "| MUST | 0 of 1 hold, 1 broken |" in page
    link = "[LOSS-001](../../spec/04-loss.md#loss-001)"
    assert f"| {link} | MUST | KL(p \\| q) is not negative. | **FAIL** |" in page
    assert f"- {link} (**FAIL**): It is negative." in page


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ({"LOSS-007": Status.PASS, "LOSS-008": Status.PASS}, "yes"),
        ({"LOSS-007": Status.PASS, "LOSS-008": Status.NA}, "yes"),
        ({"LOSS-007": Status.NOT_RUN, "LOSS-008": Status.ERROR}, "**no** (LOSS-008)"),
        ({"LOSS-007": Status.PASS}, "not decided (LOSS-008)"),
        ({"LOSS-007": Status.NA, "LOSS-008": Status.NA}, "not offered"),
    ],
)
def test_the_page_begins_with_what_can_be_trusted(statuses: dict[str, Status], answer: str) -> None:
    """One broken requirement is a no, and what was not decided is no yes."""
    page = render([replace(PEER, name="Peer", version="1", statuses=statuses)], CATALOGUE)
    head = page.partition("## Declared variants")[0]
    assert f"| Peer 1 | {answer} | not decided" in head


def suite_with(tmp_path: Path, recorded: Recorded) -> list[str]:
    """Options for a suite with the released requirements, and one recorded peer."""
    (tmp_path / "spec").symlink_to(RELEASED.spec)
    (tmp_path / "conformance" / "results").mkdir(parents=True)
    write_recorded(tmp_path / "conformance" / "results", recorded)
    return ["--suite", str(tmp_path)]


def test_check_finds_a_table_that_is_not_current(tmp_path: Path) -> None:
    """Render makes the table current; a change of a file makes it stale again, and check exits with 1."""
    everything = dict.fromkeys(RELEASED.catalogue().of_every_run.requirements, Status.PASS)
    options = suite_with(tmp_path, replace(PEER, statuses=everything))
    assert CliRunner().invoke(app, ["render", *options]).exit_code == 0
    assert CliRunner().invoke(app, ["check", *options]).exit_code == 0
    write_recorded(tmp_path / "conformance" / "results", replace(PEER, name="Other", statuses=everything))
    stale = CliRunner().invoke(app, ["check", *options])
    assert stale.exit_code == 1
    assert "README.md does not match the files" in stale.output


def test_the_released_results_are_current_and_explained() -> None:
    """The table in the repository is rendered from its files, every fault has a note, and every id exists."""
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 0, done.output


ELSEWHERE = ("ms-swift", "verl")
"""Peers whose pins contradict those of the others."""


def is_installed(distribution: str) -> bool:
    """Whether its version is known here."""
    return any(metadata.distributions(name=distribution))


@pytest.fixture(scope="module")
def peers_imported() -> Iterator[None]:
    """Processes are forked from one that has imported the peers, but no test runner, which some checks forbid."""
    trl = ("trl.experimental.sdpo", "trl.experimental.sdft", "trl.trainer.distillation_trainer")
    with installed(*trl, "sdpo_rl", "liger_kernel.chunked_loss", "sdpo_ref.bundled"):
        yield


@pytest.mark.slow
@pytest.mark.peers
@pytest.mark.usefixtures("peers_imported")
@pytest.mark.parametrize("stem", [recorded.stem for recorded in read_recorded(RESULTS)])
def test_the_released_results_are_what_a_new_run_says(stem: str) -> None:
    """Verified again, each peer has the recorded statuses, profile and version."""
    (recorded,) = read_recorded(RESULTS, [stem])
    if recorded.distribution in ELSEWHERE and not is_installed(recorded.distribution):
        pytest.skip(
            f"{recorded.distribution} is not part of `peers`; install it, then `sdpo-ref results update {stem}`"
        )
    again = updated(recorded, verify(recorded.implementation, jobs=1), metadata.version(recorded.distribution))
    assert again.statuses == recorded.statuses
    assert again == recorded
